"""Makes a `Media` from yt-dlp's description of a video.

This runs in yt-dlp's process. Texts become single lines of bounded length, dates exist, and chapters do not overlap.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable
from datetime import date
from typing import Any

from ..jobs import Chapter, Media, Source
from . import id3

#: The most characters kept of a text and of a chapter's title, and the most artists or genres.
LONGEST_TEXT = 1000
LONGEST_CHAPTER = 200
MOST_NAMES = 20
#: Seconds from which a number is no time in a video.
LONGEST_VIDEO = 1_000_000

#: Characters that would reverse the text that follows a title.
_OVERRIDES = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
#: YouTube's own channel for an artist's songs has the artist's name with this suffix.
_TOPIC = re.compile(r"\s+[-–—]\s+Topic$")
#: The channel of songs that YouTube cannot attribute.
_NOBODY = "Release"
#: What yt-dlp calls a chapter without a title.
_UNTITLED = re.compile(r"<Untitled Chapter \d+>")


def media(info: dict[str, Any], *, length: float | None = None) -> Media:
    """`info` is yt-dlp's own dictionary of a video, whose fields may all be missing or None.

    `length` is that of the sound in seconds, where it is known to differ from the video's.
    """
    duration = float(info.get("duration") or 0)
    channel = line(info.get("channel") or info.get("uploader"))
    artists = _distinct(map(_without_topic, _names(info, "artists", "artist", "creators", "creator")))
    album, album_artists = line(info.get("album")), _names(info, "album_artists", "album_artist")
    if album and not album_artists:
        album_artists = _likely_album_artists(artists, channel)
    return Media(
        title=line(info.get("title")) or "Untitled",
        artist=", ".join(artists) or _without_topic(channel),
        duration=duration,
        date=_date(info),
        source=Source(_codec(info.get("acodec")), round(info["abr"]) if info.get("abr") else None),
        album=album,
        album_artist=", ".join(album_artists),
        track=line(info.get("track")),
        track_number=_number(info.get("track_number")),
        disc_number=_number(info.get("disc_number")),
        genre=", ".join(_names(info, "genres", "genre")),
        chapters=chapters(info.get("chapters") or (), duration, length=length),
    )


def line(text: object, longest: int = LONGEST_TEXT) -> str:
    """One line without control characters, writing-direction overrides and lone surrogates: it is shown to people."""
    cut = (c for c in str(text or "")[:longest] if c not in _OVERRIDES)
    kept = (c if unicodedata.category(c) not in ("Cc", "Cs", "Zl", "Zp") else " " for c in cut)
    return " ".join("".join(kept).split())


def chapters(found: Iterable[dict[str, Any]], duration: float, *, length: float | None = None) -> tuple[Chapter, ...]:
    """The chapters in order: none is empty, none overlaps the next one or goes beyond the end of the sound, if known.

    A last chapter that ends with the video, at `duration`, is extended to the end of the sound.
    """
    end = length or duration or math.inf
    by_start: dict[float, dict[str, Any]] = {}
    for one in found:
        if (start := _time(one.get("start_time"))) is not None and start < end:
            by_start.setdefault(start, one)
    starts = sorted(by_start)[: id3.MOST_CHAPTERS]
    cleaned = []
    for number, start in enumerate(starts, 1):
        said = _time(by_start[start].get("end_time"))
        following = starts[number] if number < len(starts) else end
        stop = following
        if said is not None and start < said < (duration or math.inf):
            stop = min(said, following)
        title = line(_UNTITLED.sub("", str(by_start[start].get("title") or "")), LONGEST_CHAPTER)
        cleaned.append(Chapter(title or f"Chapter {number}", start, stop if math.isfinite(stop) else start))
    return tuple(cleaned)


def _time(value: object) -> float | None:
    """Seconds, rounded to the millisecond; None if `value` is no time."""
    return max(0.0, round(value, 3)) if isinstance(value, int | float) and abs(value) < LONGEST_VIDEO else None


def _names(info: dict[str, Any], *fields: str) -> list[str]:
    """The values of the first field that has any, without repetitions."""
    found: str | list[str] = next((info[field] for field in fields if info.get(field)), [])
    return _distinct(map(line, ([found] if isinstance(found, str) else found)[:MOST_NAMES]))


def _distinct(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(filter(None, names)))


def _without_topic(name: str) -> str:
    bare = _TOPIC.sub("", name)
    return "" if bare == _NOBODY and bare != name else bare


def _likely_album_artists(artists: list[str], channel: str) -> list[str]:
    """The channel's artist, if it is YouTube's own channel for one or an artist's channel; else the only artist."""
    owner = _without_topic(channel)
    if owner and (owner != channel or owner in artists):
        return [owner]
    return artists if len(artists) == 1 else []


def _number(value: object) -> int | None:
    """The number of a track or a disc."""
    return value if isinstance(value, int) and 0 < value < 1000 else None


def _date(info: dict[str, Any]) -> str:
    """The date of the song's release, else of the video's: `20190313` as 2019-03-13; a year alone stays as it is."""
    for field in ("release_date", "release_year", "upload_date"):
        text = str(info.get(field) or "")
        if re.fullmatch(r"[1-9][0-9]{3}", text):
            return text
        if re.fullmatch(r"[1-9][0-9]{7}", text):
            try:
                return date(int(text[:4]), int(text[4:6]), int(text[6:])).isoformat()
            except ValueError:
                continue
    return ""


def _codec(acodec: str | None) -> str:
    """The codec's common name: `mp4a.40.2` is `aac`."""
    name = (acodec or "unknown").split(".")[0].lower()
    return {"mp4a": "aac", "ec-3": "eac3", "ac-3": "ac3"}.get(name, name)
