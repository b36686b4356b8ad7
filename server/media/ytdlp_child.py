"""Runs in the yt-dlp process: one extraction, one download to stdout. The server never imports this.

The forkserver imports it once, so that every child starts with yt-dlp, its YouTube extractor and a first `YoutubeDL`
already made. It talks to `ytdlp.py` by events, one line of JSON each:

    {"event": "media", "media": the fields of a `Media`, "sample_rate", "channels",
                       "length": the format's own or null, "muxed", "head": whether that event will come}
    {"event": "cover", "file": a path or null}
    {"event": "head", "data": the audio's first bytes in base64}
    {"event": "downloaded", "delivered"}            no more will come; whether all came, null where nobody can tell
    {"event": "refused", "code", "message"}         by our own rules: a job error's code or OVERSIZED
    {"event": "failed", "message", "warnings"}      in yt-dlp's own words
    {"event": "said", "text"}                       in yt-dlp's own words, each once, as they are said
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import gc
import getpass
import io
import json
import optparse
import os
import sys
import threading
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from . import lean_ytdlp as lean_ytdlp  # before all of yt-dlp

# isort: split
import yt_dlp
import yt_dlp.extractor.youtube  # what every run needs, imported once for all of them
from yt_dlp.postprocessor.common import PostProcessor

from .. import memory
from . import (
    description,
    download,
    formats,
    guarded_ytdlp,
    playlist_child,
    plugins,
    session,
    thumbnails,
    trust,
)
from .guarded_ytdlp import words_of
from .words import Words


def _nobody_can_be_asked(*_: object, **__: object) -> str:
    raise optparse.OptParseError("a user name needs its password beside it")


# yt-dlp would ask at the server's terminal, which stops a process that is not in its foreground.
getpass.getpass = _nobody_can_be_asked
_PLUGIN_ERRORS = plugins.load()
download.install()
trust.prepare()
# Done here once for all runs, which saves some 70 ms before the first request of each.
yt_dlp.parse_options(["--ignore-config"])
with yt_dlp.YoutubeDL({"quiet": True, "allowed_extractors": ["youtube"]}) as _first:
    for _extractor in _first._ies.values():
        _extractor.suitable("https://www.youtube.com/watch?v=aaaaaaaaaaa")
#: The versions imported above; newer ones may be installed since.
_VERSIONS = {
    "ytdlp": yt_dlp.version.__version__,
    "ejs": getattr(yt_dlp.dependencies.yt_dlp_ejs, "version", ""),
    "plugins": plugins.versions(),
}
memory.give_back()
gc.freeze()


def main(events: Connection, argv: Sequence[str], url: str, rules: dict[str, Any]) -> None:
    """Run yt-dlp with `argv` on `url`.

    `rules`: the `video_id` that must be found there, `max_duration` in seconds, `cover` whether to fetch one,
    `environment` to set, `folder` to work in, `renewed` where to note changes of the cookies, or null.
    """
    _Run(events, rules).run(argv, url)


def playlist(events: Connection, argv: Sequence[str], url: str, rules: dict[str, Any]) -> None:
    """List the videos behind `url`; see `playlist_child.py`. `rules` has `most`, and the last three of `main`'s."""
    playlist_child.Look(events, rules, with_plugins=bool(_VERSIONS["plugins"])).run(argv, url)


class _Run:
    def __init__(self, events: Connection, rules: dict[str, Any]) -> None:
        self.events = events
        self.rules = rules
        self.words = Words(lambda text: self._send(event="said", text=text))
        self.refused: str | None = None
        self.cover: thumbnails.Fetch | None = None
        self.chosen: dict[str, Any] = {}
        self.outlet = download.Outlet(sys.stdout.buffer)
        # A plugin that prints must not print into the audio.
        sys.stdout = os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")
        self._sending = threading.Lock()

    def run(self, argv: Sequence[str], url: str) -> None:
        guarded_ytdlp.settle(self.rules)
        try:
            options = yt_dlp.parse_options(argv).ydl_opts
            options.update(logger=self, match_filter=self._match)
            renewed = self.rules["renewed"] and Path(self.rules["renewed"])
            hosts = guarded_ytdlp.hosts_of(options, with_plugins=bool(_VERSIONS["plugins"]))
            with session.Session(options, self.rules["video_id"], self.outlet, hosts, renewed) as ydl:
                self.words.jar = ydl.cookiejar
                ydl.write_debug = self.hint
                ydl.add_post_processor(_Announce(self), when="before_dl")
                ydl.download([url])
                delivered = session.is_delivered(self.outlet, self.chosen)
                if self.cover:
                    self.cover.wait()
        except download.Refused as error:
            self.refused = error.code
            self._fail(str(error))
        except Exception as error:  # yt-dlp may raise any exception; each ends in one event
            self._fail(words_of(error))
        else:
            if self.outlet.sent and not self.refused:
                self._send(event="downloaded", delivered=delivered)
            else:
                self._fail("yt-dlp ended without audio")
        if self.cover:
            self.cover.forget()

    def _fail(self, message: str) -> None:
        message = self.words.clean(message)
        if self.refused:
            self._send(event="refused", code=self.refused, message=message)
        else:
            self._send(event="failed", message=message, warnings=self.words.warnings)

    def _match(self, info: dict[str, Any], *, incomplete: bool = False) -> str | None:
        status = info.get("live_status")
        if status in ("is_live", "post_live"):
            self.refused = "LIVE_STREAM"
        elif status == "is_upcoming":
            self.refused = "UPCOMING"
        elif (info.get("duration") or 0) > self.rules["max_duration"]:
            self.refused = "TOO_LONG"
        return self.refused

    def announce(self, ydl: Any, info: dict[str, Any]) -> None:
        if (info.get("filesize") or 0) > ydl.params["max_filesize"]:
            raise download.Refused("TOO_LARGE", "larger than allowed")
        if (info.get(formats.LENGTH) or 0) > self.rules["max_duration"]:
            raise download.Refused("TOO_LONG", "longer than allowed")
        self.chosen = info
        session.bound(self.outlet, info, ydl.params["max_filesize"])
        ydl.save_cookies()
        if look := formats.may_be_ambisonic(info):
            self.outlet.on_head = lambda head: self._send(event="head", data=base64.b64encode(head).decode())
        self._send(
            event="media",
            media=dataclasses.asdict(description.media(info, length=info.get(formats.LENGTH))),
            sample_rate=info.get("asr"),
            channels=info.get("audio_channels"),
            length=info.get(formats.LENGTH),
            muxed=formats.has_picture(info),
            head=look,
        )
        if self.rules["cover"] and (urls := thumbnails.candidates(info)):
            self.cover = thumbnails.Fetch(ydl, urls, self._tell_cover)
        else:
            self._tell_cover(None)

    def _tell_cover(self, file: Path | None) -> None:
        self._send(event="cover", file=None if file is None else os.fspath(file))

    def _send(self, **event: Any) -> None:
        line = memoryview(json.dumps(event).encode() + b"\n")
        with self._sending:
            while line:
                line = line[os.write(self.events.fileno(), line) :]

    # yt-dlp's logger interface
    def debug(self, message: str) -> None:
        if "larger than max-filesize" in message:
            self.refused = "TOO_LARGE"
        self.words.say(message)

    info = debug

    def warning(self, message: str) -> None:
        self.words.warn(message)

    error = warning

    def hint(self, message: str, only_once: bool = False) -> None:
        """yt-dlp's verbose messages: they say why formats of its default clients are missing."""
        if not message.startswith("["):  # but an extractor's
            return
        self.warning(message)


class _Announce(PostProcessor):  # type: ignore[misc]  # yt-dlp is untyped
    """yt-dlp's own seam between the extraction and the download."""

    def __init__(self, run: _Run) -> None:
        super().__init__()
        self._run = run

    def run(self, info: dict[str, Any]) -> tuple[list[str], dict[str, Any]]:
        self._run.announce(self._downloader, info)
        return [], info


def check(events: Connection, base: Sequence[str], own: Sequence[str], allowed: Sequence[str], folder: Path) -> None:
    """Report the versions, and the options outside `allowed` that the operator's `own` arguments change in `base`.

    Temporary files go to `folder`.

    No value of an option is repeated, since it may be a password. The server runs this before it listens, which also
    warms the forkserver.
    """
    guarded_ytdlp.use_as_temporary(folder)
    report: dict[str, Any] = {"event": "checked", "problem": "", "changed": []}
    report |= {"versions": {**_VERSIONS, "runtime": _runtime()}, "plugin_errors": _PLUGIN_ERRORS[-4000:]}
    known = yt_dlp.options.create_parser()
    report["named"] = [name for name, _, _ in (word.partition("=") for word in own) if known.has_option(name)]
    complaints = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaints):
            plain, whole = yt_dlp.parse_options(base), yt_dlp.parse_options([*base, *own])
    except optparse.OptParseError as error:
        report["problem"] = _last_line(str(error))
    except SystemExit:  # --help and the like
        report["problem"] = _last_line(complaints.getvalue()) or "an option that ends yt-dlp"
    else:
        before, after = vars(plain.options), vars(whole.options)
        report["changed"] = sorted(k for k in after if before.get(k) != after[k] and k not in allowed)
        if whole.urls:
            report["changed"].append("urls")
        if not report["changed"]:
            report["problem"] = _translated(whole.ydl_opts) or _trial(whole.ydl_opts)
    for word in own:
        report["problem"] = report["problem"].replace(f'"{word.partition("=")[2] or word}"', '"…"')
    os.write(events.fileno(), json.dumps(report).encode() + b"\n")


def _translated(options: dict[str, Any]) -> str:
    """The option that would make YouTube answer in another language than English; empty if there is none."""
    own = (options.get("extractor_args") or {}).get("youtube") or {}
    return "youtube:lang may not be set, since YouTube's reasons are read in English" if "lang" in own else ""


def _trial(options: dict[str, Any]) -> str:
    """Why yt-dlp cannot start with these options (a browser to imitate, its cookies); empty if it can."""
    try:
        with contextlib.redirect_stderr(io.StringIO()), yt_dlp.YoutubeDL({**options, "quiet": True}) as ydl:
            _ = ydl.cookiejar
    except Exception as error:  # as in a run
        return _last_line(str(error))
    return ""


def _last_line(text: str) -> str:
    """Without the name of the program in front."""
    return (text.strip().splitlines() or [""])[-1].split(": error: ", 1)[-1]


def runtime(events: Connection) -> None:
    """Say which JavaScript runtime yt-dlp finds by itself."""
    os.write(events.fileno(), json.dumps({"event": "runtime", "runtime": _runtime()}).encode() + b"\n")


def _runtime() -> str:
    with yt_dlp.YoutubeDL({"quiet": True}) as ydl:
        for known in ydl._js_runtimes.values():
            if known and known.info and known.info.supported:
                return f"{known.info.name} {known.info.version}"
    return ""
