"""Reads a picture's header, and finds black bars. Pure functions.

Every picture's header is checked here before a decoder reads it: a few kilobytes can claim gigabytes of pixels.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

#: Most pixels of a picture (YouTube's largest have a ninth of that), and least pixels of a cover's edge.
MOST_PIXELS = 3840 * 2160
LEAST_EDGE = 32

#: Bytes searched for a JPEG's size: a colour profile and a preview may come before it.
_LONGEST_HEADER = 1 << 18

#: A grey value that passes as black, out of 255: compression leaves some noise.
_BLACK = 20
#: The part of the line next to a bar that must not be black. A dark sky, or a word on black, has less.
_LEAST_BESIDE = 0.2
_LEAST_BESIDE_BOTH = 0.8
#: Lines next to a bar that blur and ringing leave neither black nor bright.
_BLUR = 2
#: The most extreme aspect ratio of a film; anything beyond it is no film between bars.
_LONGEST_SHAPE = 2.8


@dataclass(frozen=True)
class Header:
    """`format` is jpeg, png, webp or webp_anim (one that moves); the edges in pixels."""

    format: str
    width: int
    height: int

    @property
    def acceptable(self) -> bool:
        return min(self.width, self.height) >= LEAST_EDGE and self.width * self.height <= MOST_PIXELS


@dataclass(frozen=True)
class Box:
    """A part of a picture, in pixels; `right` and `bottom` are just outside."""

    left: int
    top: int
    right: int
    bottom: int


def header(content: bytes) -> Header | None:
    """The header of a JPEG, PNG or WebP; None for anything else or an incomplete header."""
    try:
        if content.startswith(b"\xff\xd8\xff"):
            return _jpeg(content[:_LONGEST_HEADER])
        if content.startswith(b"\x89PNG\r\n\x1a\n") and content[12:16] == b"IHDR":
            return Header("png", *struct.unpack_from(">II", content, 16))
        if content.startswith(b"RIFF") and content[8:12] == b"WEBP":
            return _webp(content)
    except (struct.error, IndexError):
        pass
    return None


def _jpeg(content: bytes) -> Header | None:
    """ITU-T T.81, annex B: segments up to the frame's header."""
    at = 2
    while True:
        while content[at + 1] == 0xFF:  # fill bytes
            at += 1
        marker, kind = content[at], content[at + 1]
        if marker != 0xFF or kind in (0xD8, 0xD9, 0xDA):
            return None
        length, _, height, width = struct.unpack_from(">HBHH", content, at + 2)
        if 0xC0 <= kind <= 0xCF and kind not in (0xC4, 0xC8, 0xCC):
            return Header("jpeg", width, height)
        at += 2 + max(2, length)


def _webp(content: bytes) -> Header | None:
    """RFC 9649, §2.5 to §2.7."""
    kind = content[12:16]
    if kind == b"VP8X":
        width, height = (int.from_bytes(content[at : at + 3], "little") + 1 for at in (24, 27))
        moves = content[20] & 0x02
        return Header("webp_anim" if moves else "webp", width, height) if len(content) >= 30 else None
    if kind == b"VP8L" and content[20] == 0x2F:
        (bits,) = struct.unpack_from("<I", content, 21)
        return Header("webp", (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
    if kind == b"VP8 " and content[23:26] == b"\x9d\x01\x2a":
        width, height = struct.unpack_from("<HH", content, 26)
        return Header("webp", width & 0x3FFF, height & 0x3FFF)
    return None


def square(grey: bytes, width: int, height: int) -> Box:
    """The middle square of a picture of one byte a pixel, or of the part between its black bars.

    Bars are cut only in pairs of about the same size with a sharp edge, so that a dark picture stays as it is.
    """
    whole = _middle(Box(0, 0, width, height))
    box = _without_bars(grey, width, height)
    if box.left <= whole.left and box.top <= whole.top and box.right >= whole.right and box.bottom >= whole.bottom:
        return whole
    # Lines that blur and ringing darken belong to the bar.
    left, top = box.left + min(box.left, _BLUR), box.top + min(box.top, _BLUR)
    right, bottom = box.right - min(width - box.right, _BLUR), box.bottom - min(height - box.bottom, _BLUR)
    return _middle(Box(left, top, right, bottom))


def _middle(box: Box) -> Box:
    across, down = box.right - box.left, box.bottom - box.top
    edge = min(across, down)
    left, top = box.left + (across - edge) // 2, box.top + (down - edge) // 2
    return Box(left, top, left + edge, top + edge)


def _without_bars(grey: bytes, width: int, height: int) -> Box:
    above, below = _bars(height, lambda y: grey[y * width : (y + 1) * width])
    kept = grey[above * width : (height - below) * width]
    left, right = _bars(width, lambda x: kept[x::width])
    box = Box(left, above, width - right, height - below)
    across, down = box.right - box.left, box.bottom - box.top
    if max(across, down) > _LONGEST_SHAPE * min(across, down):
        return Box(0, 0, width, height)
    return box


def _bars(count: int, line: Callable[[int], bytes]) -> tuple[int, int]:
    """How many of `count` lines at the start and at the end are black bars. Looks at no more of them than it must."""
    before = next((number for number in range(count) if max(line(number)) > _BLACK), count)
    after = next((number for number in range(count) if max(line(count - 1 - number)) > _BLACK), count)
    inside = count - before - after
    if not before or not after or abs(before - after) > 2 + count // 50 or inside <= 2 * _BLUR:
        return 0, 0
    beside = [_not_black(line(before + _BLUR)), _not_black(line(count - 1 - after - _BLUR))]
    if min(beside) < _LEAST_BESIDE or sum(beside) < _LEAST_BESIDE_BOTH:
        return 0, 0
    return before, after


def _not_black(line: bytes) -> float:
    return sum(grey > _BLACK for grey in line) / len(line)
