"""The thumbnails of the offline YouTube: which addresses it names, and what they answer."""

from __future__ import annotations

import asyncio
import functools
import struct
import zlib

from aiohttp import web

from .behaviours import Reserved, Thumbnail
from .clips import Studio
from .media import GARBAGE

BOMB_EDGE = 16_000
"""Pixels; 256 million of them fit into some 30 kB."""
DRIBBLE = 1.0
"""Seconds between two bytes."""

#: The name of the best there is; an old video has no larger one.
_NAMES = {Thumbnail.LETTERBOXED: ("hqdefault", 480, 360)}
_LARGEST = ("maxresdefault", 1280, 720)


def address(video_id: str, thumbnail: Thumbnail) -> dict[str, str | int]:
    """The largest, as a player response names it."""
    name, width, height = _NAMES.get(thumbnail, _LARGEST)
    path = f"vi_webp/{video_id}/{name}.webp" if thumbnail is Thumbnail.WEBP else f"vi/{video_id}/{name}.jpg"
    return {"url": f"https://i.ytimg.com/{path}", "width": width, "height": height}


async def serve(request: web.Request, entry: Reserved, studio: Studio) -> web.StreamResponse:
    """Any size is the largest there is; of a WebP there is no JPEG, and the other way round."""
    thumbnail = entry.thumbnail
    is_webp = request.path.endswith(".webp")
    there = thumbnail is not Thumbnail.LETTERBOXED or request.match_info["name"].startswith("hqdefault.")
    if thumbnail is Thumbnail.ABSENT or is_webp is not (thumbnail is Thumbnail.WEBP) or not there:
        raise web.HTTPNotFound
    if thumbnail is Thumbnail.SILENT:
        await asyncio.Event().wait()
    if thumbnail is Thumbnail.DRIBBLING:
        return await _dribble(request)
    if thumbnail is Thumbnail.GARBAGE:
        return web.Response(body=GARBAGE, content_type="image/jpeg")
    if thumbnail is Thumbnail.BOMB:
        return web.Response(body=await asyncio.to_thread(_bomb), content_type="image/png")
    path = await studio.thumbnail(request.match_info["id"], thumbnail)
    return web.FileResponse(path, headers={"Content-Type": "image/webp" if is_webp else "image/jpeg"})


async def _dribble(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "image/jpeg", "Content-Length": "50000"})
    await response.prepare(request)
    for byte in b"\xff\xd8" + b"\xff" * 49_998:
        await response.write(bytes([byte]))
        await asyncio.sleep(DRIBBLE)
    return response


@functools.cache
def _bomb() -> bytes:
    """A true PNG, all black, of one bit a pixel."""
    rows = zlib.compress(bytes((1 + BOMB_EDGE // 8) * BOMB_EDGE), 9)
    header = struct.pack(">IIBBBBB", BOMB_EDGE, BOMB_EDGE, 1, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", rows), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )
