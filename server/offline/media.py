"""The media and thumbnails of the offline YouTube: whole, at a given bandwidth, or failing as the catalogue says."""

from __future__ import annotations

import asyncio
import socket
import struct
from pathlib import Path

import aiofiles
from aiohttp import web

from .behaviours import ENORMOUS_BYTES, Media, Reserved
from .videos import Clip

CHUNK = 64 * 1024
PACE = 0.05
"""Seconds between two pieces where the bandwidth is limited."""
GARBAGE = bytes((number * 197 + (number >> 5) * 89) % 251 for number in range(60_000))
HALVED = {Media.DROPPED, Media.CUT, Media.STALLED}
TYPES = {"webm": "audio/webm", "m4a": "audio/mp4"}


def reset(request: web.Request) -> None:
    """Ends the connection with a TCP reset, as a firewall or a crashing server does."""
    transport = request.transport
    if transport is not None:
        connection = transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()


async def serve(request: web.Request, path: Path, clip: Clip, media: Media, kbps: int) -> web.StreamResponse:
    """The bytes of ``path``; ``kbps`` is the bandwidth in kilobits a second, 0 for as fast as it goes."""
    headers = {"Content-Type": TYPES[clip.container]}
    if not kbps and media not in HALVED and media is not Media.ENORMOUS:
        return web.FileResponse(path, chunk_size=CHUNK, headers=headers)

    size = (await asyncio.to_thread(path.stat)).st_size
    announced = ENORMOUS_BYTES if media is Media.ENORMOUS else size
    try:
        wanted = request.http_range
    except ValueError:
        raise web.HTTPRequestRangeNotSatisfiable from None
    start = wanted.start or 0
    end = min(wanted.stop or announced, announced)
    if not 0 <= start < end:
        raise web.HTTPRequestRangeNotSatisfiable

    response = web.StreamResponse(status=206 if "Range" in request.headers else 200, headers=headers)
    response.headers["Accept-Ranges"] = "bytes"
    if response.status == 206:
        response.headers["Content-Range"] = f"bytes {start}-{end - 1}/{announced}"
    response.content_length = end - start
    await response.prepare(request)

    stop = min(end, _breaking_point(media, start, size))
    await _send(response, path, start, stop, kbps)
    if stop < end:
        if media is Media.STALLED:
            await asyncio.Event().wait()
        if request.transport is not None:
            request.transport.close()
    return response


def _breaking_point(media: Media, start: int, size: int) -> int:
    """How far into the file an answer that begins at ``start`` gets."""
    half = size // 2
    if media is Media.DROPPED:
        return half if start == 0 else size
    if media in (Media.CUT, Media.STALLED):
        return max(half, start)
    return size


async def _send(response: web.StreamResponse, path: Path, start: int, stop: int, kbps: int) -> None:
    clock = asyncio.get_running_loop().time
    began = clock()
    chunk = max(1, int(kbps * 125 * PACE)) if kbps else CHUNK
    async with aiofiles.open(path, "rb") as file:
        await file.seek(start)
        sent = 0
        while start + sent < stop:
            piece = await file.read(min(chunk, stop - start - sent))
            if not piece:
                return
            await response.write(piece)
            sent += len(piece)
            if kbps:
                await asyncio.sleep(began + sent / (kbps * 125) - clock())


def bandwidth(entry: Reserved, rate_kbps: int) -> int:
    """The slower of the id's own bandwidth and the one set for all; 0 for neither."""
    return min(filter(None, (entry.source_kbps, rate_kbps)), default=0)
