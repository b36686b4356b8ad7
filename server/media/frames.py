"""Where a frame of an MP3 starts (ISO/IEC 11172-3, §2.4.1.3), of the kind that this server makes: MPEG-1, layer III."""

from __future__ import annotations

import re

#: So many bytes hold a whole frame and the start of the next, wherever they begin.
WINDOW = 4096

#: In kbit/s, and in Hz, by the numbers in the header.
BITRATES = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_RATES = (44_100, 48_000, 32_000)
_SAMPLES = 1152
_HEADER = re.compile(rb"\xff[\xfa\xfb][\x10-\xeb]", re.DOTALL)


def first(data: bytes) -> int:
    """Where in `data` the first frame starts that another one follows; 0 if there is none."""
    for found in _HEADER.finditer(data):
        at, third = found.start(), found[0][2]
        rate = third >> 2 & 3
        if rate == 3:
            continue
        length = _SAMPLES // 8 * BITRATES[third >> 4] * 1000 // _RATES[rate] + (third >> 1 & 1)
        following = data[at + length : at + length + 3]
        if len(following) == 3 and following[:2] == found[0][:2] and following[2] & 0xFC == third & 0xFC:
            return at
    return 0
