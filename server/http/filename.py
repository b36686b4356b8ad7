"""The header that names a download (RFC 6266, RFC 8187)."""

from __future__ import annotations

import re
import unicodedata
from urllib.parse import quote

#: ASCII for characters that do not decompose into ASCII, for old clients.
_ASCII = str.maketrans(
    {
        **dict.fromkeys("–—‐‑−", "-"),
        **dict.fromkeys("‘’´", "'"),
        **dict.fromkeys("“”„", "'"),
        **{"…": "...", "ß": "ss", "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L"},
        **{"đ": "d", "Đ": "D", "ð": "d", "Ð": "D", "þ": "th", "Þ": "Th", "ı": "i"},
    }
)


def content_disposition(stem: str, own_id: str, extension: str = "mp3") -> str:
    """For a file called `stem`, which is safe as a file name: that name, and one in ASCII for old clients.

    If letters or digits are lost in the latter, the `own_id` of the video is in it, so that no two videos share one.
    """
    plain, whole = _plain(stem, own_id), quote(f"{stem}.{extension}", safe="")
    return f"attachment; filename=\"{plain}.{extension}\"; filename*=UTF-8''{whole}"


def _plain(stem: str, video_id: str) -> str:
    decomposed = unicodedata.normalize("NFKD", stem.translate(_ASCII))
    lost = any(unicodedata.category(c)[0] in "LN" for c in decomposed if not c.isascii())
    plain = re.sub(r"[^A-Za-z0-9 ._()\[\],'!&+-]", "_", decomposed.encode("ascii", "ignore").decode())
    plain = re.sub(r"\( *\)|\[ *\]|[ ,]+(?= - |$)", "", plain)  # brackets and commas around lost characters
    plain = " ".join(plain.split()).strip(". -_,")
    if not plain:
        return video_id
    return f"{plain} [{video_id}]" if lost and video_id not in plain else plain
