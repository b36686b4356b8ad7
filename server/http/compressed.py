"""The page's texts as gzip, made once at start, for clients that take it.

Everything that names a part of a file, or asks for one under a condition other than If-None-Match, gets the file as it
is: see `file_response.py`.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

#: Left to the file itself.
_OF_THE_FILE = ("Range", "If-Range", "If-Match", "If-Unmodified-Since", "If-Modified-Since")


@dataclass(frozen=True)
class Compressed:
    """One text. `stamp` says which content of the file this is, so that a changed file is never answered by it."""

    content: bytes
    etag: str
    stamp: tuple[int, int]


@dataclass(frozen=True)
class Asset:
    """A file of the page."""

    path: Path
    compressed: Compressed | None


def compress(path: Path) -> Compressed | None:
    """The file as gzip; None where that saves nothing. Blocking. Raises OSError."""
    stamp, text = _stamp(path.stat()), path.read_bytes()
    content = gzip.compress(text, mtime=0)
    if len(content) >= len(text):
        return None
    return Compressed(content, f"{hashlib.sha256(text).hexdigest()[:32]}-gzip", stamp)


def _stamp(status: os.stat_result) -> tuple[int, int]:
    return status.st_mtime_ns, status.st_size


async def response(
    request: web.Request, path: Path, compressed: Compressed, headers: dict[str, str]
) -> web.Response | None:
    """The answer; None when the file itself is the answer."""
    if not takes_gzip(request.headers.get("Accept-Encoding", "")):
        return None
    if any(name in request.headers for name in _OF_THE_FILE):
        return None
    try:
        if _stamp(await asyncio.to_thread(path.stat)) != compressed.stamp:
            return None
    except OSError:
        return None
    headers = {**headers, "ETag": f'"{compressed.etag}"'}
    if any(one.value in (compressed.etag, "*") for one in request.if_none_match or ()):
        return web.Response(status=304, headers=headers)
    return web.Response(body=compressed.content, headers={**headers, "Content-Encoding": "gzip"})


def takes_gzip(accepted: str) -> bool:
    """Whether a client with this Accept-Encoding takes gzip (RFC 9110, §12.5.3)."""
    for one in accepted.lower().split(","):
        name, _, weight = one.partition(";")
        if name.strip() == "gzip":
            weight = weight.replace(" ", "")
            return not (weight.startswith("q=") and not weight.removeprefix("q=").strip("0."))
    return False
