"""What every yt-dlp process has: its run's environment, folder and hosts. The server never imports this."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yt_dlp
from yt_dlp.networking import Request
from yt_dlp.networking.exceptions import HTTPError, RequestError
from yt_dlp.postprocessor.ffmpeg import FFmpegPostProcessor

from . import source_hosts
from .renewals import Renewals

#: Requests until a chain of redirects is given up.
MOST_REQUESTS = 11


class GuardedYtdlp(yt_dlp.YoutubeDL):  # type: ignore[misc]  # yt-dlp is untyped
    """`hosts` says which addresses it may ask.

    It notes in `renewed` what YouTube changes in its cookies, if it has any. The cookies file is not changed.
    """

    def __init__(self, options: dict[str, Any], hosts: source_hosts.Hosts, renewed: Path | None) -> None:
        self._hosts = hosts
        self._renewals: Renewals | None = None
        super().__init__(options)
        # As in yt-dlp's own command: some of its parts do not read the options.
        FFmpegPostProcessor._ffmpeg_location.set(options["ffmpeg_location"])
        if renewed:
            self._renewals = Renewals(self.cookiejar, renewed)

    def save_cookies(self) -> None:
        if self._renewals:
            self._renewals.save()

    def note_request(self) -> None:
        """Called before each request."""

    def urlopen(self, req: Any) -> Any:
        """Every request of yt-dlp and of its plugins goes through here, those that redirects lead to, too."""
        request = Request(req) if isinstance(req, str) else req
        for _ in range(MOST_REQUESTS):
            self._hosts.check(request.url)
            self.note_request()
            try:
                return super().urlopen(request)
            except HTTPError as error:
                request = source_hosts.redirected(request, error)
        raise RequestError(f"more than {MOST_REQUESTS - 1} redirects")


def settle(rules: Mapping[str, Any]) -> None:
    """Take on the `environment` and the `folder` of `rules`."""
    os.environ.update(rules["environment"])
    use_as_temporary(Path(rules["folder"]))
    if bundle := rules["environment"].get("SSL_CERT_FILE"):
        _trust(bundle)
    os.chdir(rules["folder"])


def use_as_temporary(folder: Path) -> None:
    """Let this process and what it starts put temporary files there: /tmp is not theirs."""
    os.environ["TMPDIR"] = tempfile.tempdir = os.fspath(folder)


def hosts_of(options: Mapping[str, Any], *, with_plugins: bool) -> source_hosts.Hosts:
    """The hosts that this process may ask; it is held to them from now on. `options` are yt-dlp's."""
    provider = [source_hosts.PROVIDER] if with_plugins else []
    hosts = source_hosts.Hosts([*source_hosts.named_in(options["extractor_args"]), *provider])
    source_hosts.guard(hosts, proxy=options.get("proxy"))
    return hosts


def words_of(error: Exception) -> str:
    """yt-dlp's message for a failure; the name of any other exception."""
    if isinstance(error, yt_dlp.utils.YoutubeDLError):
        return str(error.msg or error)
    return f"{type(error).__name__}: {error}"


def _trust(bundle: str) -> None:
    """Have curl_cffi, with which `--impersonate` works, trust the authorities in `bundle`.

    It asks neither for SSL_CERT_FILE nor for yt-dlp's `no-certifi`.
    """
    if curl := sys.modules.get("curl_cffi.requests"):
        ask = curl.Session.request

        def request(*args: Any, verify: Any = True, **options: Any) -> Any:
            return ask(*args, verify=bundle if verify is True else verify, **options)

        curl.Session.request = request
        certifi = sys.modules["certifi"]
        certifi.where = lambda: bundle  # type: ignore[attr-defined]  # for a proxy that is asked by https
