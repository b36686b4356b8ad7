"""Which addresses a run of yt-dlp may ask: YouTube's own and the owner's. The server never imports this.

YouTube's answers name the next addresses: of media, playlists, keys, pictures, redirects. An answer must not make this
machine ask another site, and never one in its own network. `Session.urlopen` passes every request of yt-dlp and of its
plugins to `Hosts.check`, and follows redirects itself. Where no proxy is between, Python's sockets refuse to connect to
the own network, so no name leads there. curl_cffi (`--impersonate`) has sockets of its own, which are not watched.
"""

from __future__ import annotations

import functools
import socket
import sys
import urllib.parse
import urllib.request
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import yt_dlp.networking._requests
import yt_dlp.networking._urllib
from yt_dlp.networking import Request
from yt_dlp.networking._helper import get_redirect_method
from yt_dlp.networking.exceptions import HTTPError, RequestError

from ..networks import is_in_own_network

#: YouTube's sites, and those of Google's that its pages, media and pictures are on; each with all below it.
SITES = (
    *("youtube.com", "youtu.be", "youtube-nocookie.com", "googlevideo.com", "ytimg.com", "ggpht.com"),
    *("googleusercontent.com", "googleapis.com", "google.com", "gvt1.com"),
)
#: Where a provider of PO tokens listens by itself (bgutil's default), once a plugin is there that may ask it.
PROVIDER = "http://127.0.0.1:4416"
_REDIRECTS = (301, 302, 303, 307, 308)


class OtherHost(RequestError):  # type: ignore[misc]  # yt-dlp is untyped
    def __init__(self, host: str) -> None:
        super().__init__(f"{host} is none of YouTube's hosts, so it is not asked")


class Hosts:
    """`own` are addresses that the owner has set, such as a provider's."""

    def __init__(self, own: Iterable[str] = ()) -> None:
        self._own = {_origin(one) for one in own}

    def check(self, url: str) -> None:
        """Raise OtherHost for what a run may not ask."""
        scheme, host, port = origin = _origin(url)
        if origin in self._own:
            return
        known = any(host == site or host.endswith(f".{site}") for site in SITES)
        if not (scheme == "https" and known and port == 443):
            raise OtherHost(f"{scheme}://{host}:{port}"[:100])

    def addresses(self) -> set[tuple[str, int]]:
        """The numeric addresses of the owner's."""
        found = set()
        for _, host, port in self._own:
            try:
                resolved = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            except OSError:
                continue
            found |= {(str(address[0]), int(address[1])) for *_, address in resolved}
        return found


def guard(hosts: Hosts, *, proxy: str | None) -> None:
    """Hold this process to `hosts`. `proxy` is the one that yt-dlp was given; None leaves it to the environment."""
    _follow_no_redirects()
    from_environment = urllib.request.getproxies()
    if proxy is None:
        proxy = from_environment.get("https") or from_environment.get("all")
    if not proxy:
        _guard_connections(hosts.addresses())


def redirected(request: Request, error: HTTPError) -> Request:
    """The request that an answer redirects `request` to. Raises `error` for any other answer."""
    target = error.response.headers.get("Location")
    if error.status not in _REDIRECTS or not target:
        raise error
    error.close()
    following = request.copy()
    following.url = urllib.parse.urljoin(request.url, target)
    following.headers.pop("Cookie", None)  # the jar knows which belong there
    following.method = get_redirect_method(request.method, error.status)
    if following.method != request.method:
        following.data = None
    return following


def named_in(extractor_args: Mapping[str, Mapping[str, Iterable[str]]]) -> list[str]:
    """The addresses in yt-dlp's parsed `--extractor-args`, such as a provider's `base_url`."""
    values = [value for arguments in extractor_args.values() for several in arguments.values() for value in several]
    return [value for value in values if value.startswith(("http://", "https://"))]


def _follow_no_redirects() -> None:
    """Have yt-dlp's handlers hand redirects out, as they do other errors."""
    yt_dlp.networking._requests.RequestsSession.get_redirect_target = lambda *_: None
    yt_dlp.networking._urllib.RedirectHandler.redirect_request = lambda *_: None
    if curl := sys.modules.get("curl_cffi.requests"):
        curl.Session.request = functools.partialmethod(curl.Session.request, allow_redirects=False)


def _guard_connections(allowed: Collection[tuple[str, int]]) -> None:
    connect = socket.socket.connect

    def connect_outside(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6):
            host, port = address[0], address[1]
            if is_in_own_network(host) and (host, port) not in allowed:
                raise OSError(f"{host} is in this machine's own network, so it is none of YouTube's hosts")
        connect(self, address)

    socket.socket.connect = connect_outside  # type: ignore[method-assign, assignment]


def _origin(url: str) -> tuple[str, str, int]:
    """Scheme, host and port. Raises OtherHost for what has none."""
    try:
        parts = urllib.parse.urlsplit(url)
        port = parts.port or {"https": 443, "http": 80}.get(parts.scheme, 0)
    except ValueError:
        raise OtherHost("an address that is none") from None
    return parts.scheme, (parts.hostname or "").rstrip("."), port
