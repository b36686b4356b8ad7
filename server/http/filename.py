"""The name a download gets: the video's title, right in every script and safe on every system."""

from __future__ import annotations

import re
import unicodedata
from urllib.parse import quote

#: Names that Windows keeps for devices, with or without an extension.
_DEVICES = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])(\..*)?", re.IGNORECASE)
#: Most file systems take 255 bytes; the rest is for an extension and a browser's " (1)".
_MAX_BYTES = 200
#: Joiners that Persian, Indic scripts and emoji need; other invisible characters go.
_JOINERS = "\u200c\u200d"


def for_title(title: str) -> str:
    """`title` as a file name ending in .mp3."""
    name = "".join(_safe(c) for c in unicodedata.normalize("NFC", title))
    name = " ".join(name.split()).strip(". ")
    name = name.encode()[:_MAX_BYTES].decode(errors="ignore").strip(". " + _JOINERS)
    if _DEVICES.fullmatch(name):
        name = "_" + name
    return (name or "audio") + ".mp3"


def _safe(character: str) -> str:
    if character in '<>:"/\\|?*':
        return "_"
    if character in _JOINERS or not unicodedata.category(character).startswith(("C", "Zl", "Zp")):
        return character
    return " " if character in "\t\r\n" else ""


def content_disposition(title: str) -> str:
    """The header for a download (RFC 6266, RFC 8187): the real name, and one in ASCII for old clients."""
    name = for_title(title)
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    plain = re.sub(r"[^A-Za-z0-9 ._()\[\],'!&+-]", "_", plain).removesuffix(".mp3")
    plain = (" ".join(plain.split()).strip(". ") or "audio") + ".mp3"
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
