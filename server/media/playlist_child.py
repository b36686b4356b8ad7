"""Runs in the yt-dlp process: lists the videos of a playlist by yt-dlp's own extractor. The server never imports this.

It talks to `playlists.py` by events, one line of JSON each:

    {"event": "playlist", "id", "title", "channel", "count": as YouTube says, or null}
    {"event": "videos", "videos": [the fields of a `Video`, …]}     so many at a time, in their order
    {"event": "end", "truncated": whether there are more}
    {"event": "failed", "message", "warnings"}                      in yt-dlp's own words
    {"event": "said", "text"}                                       in yt-dlp's own words, each once
"""

from __future__ import annotations

import itertools
import json
import os
import re
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import yt_dlp
from yt_dlp.extractor.youtube import YoutubeTabIE

from .. import youtube_url
from . import description, guarded_ytdlp
from .words import Words

#: Videos in one event.
CHUNK = 25
#: Requests of one look, redirects included. YouTube's pages have a hundred videos; those of a mix, a dozen new ones.
MOST_REQUESTS = 300
#: Addresses that lead on to another list, one after the other.
_MOST_STEPS = 5
#: Most characters of a title or a channel's name; YouTube allows 100 in a video's and 150 in a playlist's.
_MOST_CHARACTERS = 300
_VIDEO_ID = re.compile(r"[A-Za-z0-9_-]{11}")
#: What YouTube puts in the place of a title it does not tell.
_NO_TITLES = frozenset({"[private video]", "[deleted video]", "[unavailable video]", "[unavailable]"})
_CLOSED = frozenset({"private", "premium_only", "subscriber_only", "needs_auth"})
_NOT_NOW = frozenset({"is_live", "is_upcoming", "post_live"})
#: yt-dlp's warning where it then goes on as if the list had ended.
_CUT_SHORT = "incomplete data received"


class NoPlaylist(yt_dlp.utils.ExtractorError):  # type: ignore[misc]  # yt-dlp is untyped
    def __init__(self) -> None:
        super().__init__("YouTube leads to no list of videos", expected=True)


class Look:
    """`rules`: `most` videos to list, `environment` to set, `folder` to work in, `renewed` as in a run."""

    def __init__(self, events: Connection, rules: dict[str, Any], *, with_plugins: bool) -> None:
        self._events = events
        self._rules = rules
        self._with_plugins = with_plugins
        self._words = Words(lambda text: self._send(event="said", text=text))

    def run(self, argv: Sequence[str], url: str) -> None:
        guarded_ytdlp.settle(self._rules)
        try:
            options = yt_dlp.parse_options(argv).ydl_opts
            # Of a channel with several tabs, yt-dlp then reads the first one alone.
            options.update(logger=self, allowed_extractors=["youtube:tab"], noplaylist=False, playlist_items="0")
            hosts = guarded_ytdlp.hosts_of(options, with_plugins=self._with_plugins)
            renewed = self._rules["renewed"] and Path(self._rules["renewed"])
            with _Session(options, hosts, renewed) as ydl:
                self._words.jar = ydl.cookiejar
                self._list(ydl, url)
                ydl.save_cookies()
        except Exception as error:  # yt-dlp may raise any exception; each ends in one event
            message = self._words.clean(guarded_ytdlp.words_of(error))
            self._send(event="failed", message=message, warnings=self._words.warnings)

    def _list(self, ydl: Any, url: str) -> None:
        found = _opened(ydl.get_info_extractor(YoutubeTabIE.ie_key()), url)
        self._send(
            event="playlist",
            id=str(found["id"]),
            title=_short(found.get("title")),
            channel=_short(found.get("channel") or found.get("uploader")),
            count=found.get("playlist_count"),
        )
        videos = (video for entry in _entries(found) if (video := _video(entry)))
        left = self._rules["most"]
        warned = len(self._words.warnings)
        while left and (chunk := list(itertools.islice(videos, min(left, CHUNK)))):
            self._send(event="videos", videos=chunk)
            left -= len(chunk)
        truncated = not left and next(videos, None) is not None
        if cut := [one for one in self._words.warnings[warned:] if _CUT_SHORT in one.lower()]:
            raise yt_dlp.utils.ExtractorError(cut[0], expected=True)
        self._send(event="end", truncated=truncated)

    def _send(self, **event: Any) -> None:
        line = memoryview(json.dumps(event).encode() + b"\n")
        while line:
            line = line[os.write(self._events.fileno(), line) :]

    # yt-dlp's logger interface
    def debug(self, message: str) -> None:
        self._words.say(message)

    info = debug

    def warning(self, message: str) -> None:
        self._words.warn(message)

    error = warning


class _Session(guarded_ytdlp.GuardedYtdlp):
    _requests = 0

    def note_request(self) -> None:
        self._requests += 1
        if self._requests > MOST_REQUESTS:
            raise yt_dlp.utils.ExtractorError(f"more than {MOST_REQUESTS} requests for one playlist", expected=True)


def _opened(extractor: Any, url: str) -> dict[str, Any]:
    """What is behind `url`, of a channel its uploads. Its videos are not fetched yet."""
    for _ in range(_MOST_STEPS):
        found: dict[str, Any] = extractor.extract(url)
        kind = found.get("_type", "video")
        channel = str(found.get("channel_id") or "")
        if kind == "url" and YoutubeTabIE.suitable(str(found["url"])):
            url = found["url"]
        elif kind == "playlist" and channel.startswith("UC") and found.get("id") == channel:
            url = youtube_url.uploads(channel).url
        elif kind == "playlist":
            return found
        else:
            break
    raise NoPlaylist


def _entries(found: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for entry in found.get("entries") or ():
        if entry.get("_type") == "playlist":
            yield from _entries(entry)
        else:
            yield entry


def _video(entry: dict[str, Any]) -> dict[str, Any] | None:
    """The fields of a `Video`; None for what is none."""
    video_id = str(entry.get("id") or "")
    if entry.get("ie_key") != "Youtube" or not _VIDEO_ID.fullmatch(video_id):
        return None
    title, duration = _short(entry.get("title")), entry.get("duration")
    nameless = title is None or title.lower() in _NO_TITLES
    untold = nameless and not duration and not entry.get("channel")
    closed = entry.get("availability") in _CLOSED or entry.get("live_status") in _NOT_NOW
    return {
        "video_id": video_id,
        "title": title,
        "channel": _short(entry.get("channel") or entry.get("uploader")),
        "duration": duration,
        "available": not (untold or closed),
    }


def _short(text: Any) -> str | None:
    """Text as it may be shown, of a bounded length; None where there is none."""
    return description.line(text, _MOST_CHARACTERS) or None
