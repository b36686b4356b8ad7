"""Writes the ID3v2.3 tag of an MP3, measures the length of a tag, and tells which video an MP3 is of.

After id3.org, "ID3 tag version 2.3.0" (§3 and §4) and "ID3v2 Chapter Frame Addendum 1.0". Every player reads that
version. ffmpeg's own tag has the link in a TXXX frame, which players do not show. Without unsynchronisation, as most
writers have it: no decoder looks for audio within a tag.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from pathlib import Path

from ..jobs import Chapter, Media
from . import frames

#: Bytes of the header, which says the length of the whole tag.
HEADER_BYTES = 10
#: A table of contents counts its chapters in one byte.
MOST_CHAPTERS = 255

_FRONT_COVER = b"\x03"
_TOP_LEVEL_AND_ORDERED = b"\x03"
_NO_OFFSET = 0xFFFFFFFF
_OF_VIDEO = re.compile(rb"WOAS.{6}https://www\.youtube\.com/watch\?v=([A-Za-z0-9_-]{11})", re.DOTALL)
#: Bytes of a tag in which the link is looked for: it stands before chapters and cover.
_MOST_SEARCHED = 1 << 20
_LATIN_1, _UTF_16 = b"\x00", b"\x01"


def tag_size(start: bytes) -> int:
    """The length of the tag, with its header, of a file that starts with these bytes; 0 without a tag."""
    if len(start) < HEADER_BYTES or not start.startswith(b"ID3"):
        return 0
    high, upper, lower, low = start[6:HEADER_BYTES]
    return HEADER_BYTES + (high << 21 | upper << 14 | lower << 7 | low)


def origin(path: Path) -> tuple[str, int] | None:
    """The video's id and the bitrate in kbit/s of an MP3 that has a tag of ours; None of anything else. Blocking.

    A program that wrote the tag anew, in a later version too, has kept the frame WOAS.
    """
    try:
        if not path.is_file():
            return None
        with path.open("rb") as file:
            start = file.read(_MOST_SEARCHED)
            file.seek(tag_size(start))
            frame = file.read(4)
    except OSError:
        return None
    found = _OF_VIDEO.search(start[: tag_size(start)])
    if not found or len(frame) < 4 or frame[0] != 0xFF or frame[2] >> 4 > len(frames.BITRATES) - 1:
        return None
    return found[1].decode(), frames.BITRATES[frame[2] >> 4]


def tag(media: Media, *, url: str, cover: bytes | None = None, more: Sequence[tuple[str, str]] = ()) -> bytes:
    """The whole tag. `url` is where the audio is from, in ASCII; `cover` is a JPEG; `more` are ASCII texts by name."""
    frames = b"".join(
        [
            *(_text(name, value) for name, value in _texts(media) if value),
            _frame("COMM", _LATIN_1 + b"eng" + b"\0" + url.encode("ascii")),
            _frame("WOAS", url.encode("ascii")),
            *(_frame("TXXX", _LATIN_1 + f"{name}\0{value}".encode("ascii")) for name, value in more),
            *_chapters(media.chapters[:MOST_CHAPTERS]),
            *([_picture(cover)] if cover else []),
        ]
    )
    size = len(frames)
    return b"ID3\x03\x00\x00" + bytes(size >> shift & 0x7F for shift in (21, 14, 7, 0)) + frames


def _texts(media: Media) -> list[tuple[str, str]]:
    """Text frames by their names. A song's own title goes before the video's."""
    year, _, day = media.date.partition("-")
    return [
        ("TIT2", (media.track or media.title) + (f" ({media.part})" if media.part else "")),
        ("TPE1", media.artist),
        ("TALB", media.album),
        ("TPE2", media.album_artist),
        ("TRCK", str(media.track_number or "")),
        ("TPOS", str(media.disc_number or "")),
        ("TYER", year),
        ("TDAT", day[3:5] + day[0:2]),
        ("TCON", media.genre),
    ]


def _chapters(chapters: tuple[Chapter, ...]) -> list[bytes]:
    """A table of contents, without which many players show no chapters, and a frame for each chapter."""
    if not chapters:
        return []
    names = [b"chp%d\0" % number for number in range(len(chapters))]
    table = _frame("CTOC", b"toc\0" + _TOP_LEVEL_AND_ORDERED + bytes([len(names)]) + b"".join(names))
    return [table, *(_chapter(name, chapter) for name, chapter in zip(names, chapters, strict=True))]


def _chapter(name: bytes, chapter: Chapter) -> bytes:
    start, end = (min(round(1000 * seconds), _NO_OFFSET - 1) for seconds in (chapter.start, chapter.end))
    return _frame("CHAP", name + struct.pack(">4I", start, end, _NO_OFFSET, _NO_OFFSET) + _text("TIT2", chapter.title))


def _picture(jpeg: bytes) -> bytes:
    return _frame("APIC", _LATIN_1 + b"image/jpeg\0" + _FRONT_COVER + b"\0" + jpeg)


def _text(name: str, value: str) -> bytes:
    """The text in ASCII if possible, else in UTF-16: players take Latin-1 for their country's code page."""
    if value.isascii():
        return _frame(name, _LATIN_1 + value.encode("ascii"))
    return _frame(name, _UTF_16 + b"\xff\xfe" + value.encode("utf-16-le"))


def _frame(name: str, body: bytes) -> bytes:
    return name.encode("ascii") + struct.pack(">IH", len(body), 0) + body
