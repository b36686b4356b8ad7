"""The ID3v2.3 tag that an MP3 begins with (id3.org, "ID3 tag version 2.3.0", §3.1)."""

from __future__ import annotations

#: Bytes from which the whole tag's length can be told.
HEADER_BYTES = 10


def tag_size(start: bytes) -> int:
    """The bytes of the tag, its header included, of a file that starts so; 0 without a tag.

    The length is in four times seven bits. A muxer writes it last, over zeros: of a tag that is still being written
    only the header's ten bytes are counted.
    """
    if len(start) < HEADER_BYTES or not start.startswith(b"ID3"):
        return 0
    high, upper, lower, low = start[6:HEADER_BYTES]
    return HEADER_BYTES + (high << 21 | upper << 14 | lower << 7 | low)
