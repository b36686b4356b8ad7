"""The media and thumbnails of the offline YouTube: whole, at a given bandwidth, or failing as the catalogue says."""

from __future__ import annotations

import asyncio
import socket
import struct
from dataclasses import dataclass
from pathlib import Path

import aiofiles
from aiofiles.threadpool.binary import AsyncBufferedReader
from aiohttp import web

from .. import completion
from .behaviours import ENORMOUS_BYTES, FLAKY_BYTES, Media, Reserved
from .videos import Clip

CHUNK = 64 * 1024
PACE = 0.05
"""Seconds between two pieces where the bandwidth is limited."""
GARBAGE = bytes((number * 197 + (number >> 5) * 89) % 251 for number in range(60_000))
BREAKING = {Media.DROPPED, Media.CUT, Media.STALLED, Media.RESUMED_WHOLE, Media.RESUMED_OTHER, Media.FLAKY}
RESENT = {Media.RESUMED_WHOLE, Media.RESUMED_OTHER, Media.PIECES_WHOLE}
"""Media that begin from the start where a later part is asked for."""
ODD = BREAKING | RESENT | {Media.ENORMOUS, Media.HOLED}
TYPES = {"webm": "audio/webm", "m4a": "audio/mp4", "mp4": "video/mp4", "adts": "audio/mp4"}
INVERTED = bytes(255 - byte for byte in range(256))


async def fragment(request: web.Request, path: Path) -> web.StreamResponse:
    return web.FileResponse(path, headers={"Content-Type": "application/octet-stream"})


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
    if media is Media.EMPTY:
        return web.Response(headers=headers)
    if media in (Media.ENDLESS, Media.TWICE):
        return await _repeat(request, path, headers, 2 if media is Media.TWICE else None)
    if not kbps and media not in ODD:
        return web.FileResponse(path, chunk_size=CHUNK, headers=headers)

    size = (await asyncio.to_thread(path.stat)).st_size
    announced = ENORMOUS_BYTES if media is Media.ENORMOUS else size
    start, end = _asked_for(request, announced)
    resent = media in RESENT and start > 0
    if resent:
        start, end = 0, announced

    response = web.StreamResponse(status=206 if "Range" in request.headers and not resent else 200, headers=headers)
    response.headers["Accept-Ranges"] = "bytes"
    if response.status == 206:
        response.headers["Content-Range"] = f"bytes {start}-{end - 1}/{announced}"
    response.content_length = end - start
    await response.prepare(request)

    stop = min(end, size if resent else _breaking_point(media, start, size))
    await _send(response, path, _Part(start, stop, size, media, resent), kbps)
    if stop < end:
        if media is Media.STALLED:
            await asyncio.Event().wait()
        if request.transport is not None:
            request.transport.close()
    return response


def _asked_for(request: web.Request, size: int) -> tuple[int, int]:
    """The first byte that is asked for, and the one after the last."""
    try:
        wanted = request.http_range
    except ValueError:
        raise web.HTTPRequestRangeNotSatisfiable from None
    start = wanted.start or 0
    end = min(wanted.stop or size, size)
    if not 0 <= start < end:
        raise web.HTTPRequestRangeNotSatisfiable
    return start, end


async def _repeat(request: web.Request, path: Path, headers: dict[str, str], times: int | None) -> web.StreamResponse:
    """All bytes so many times in one answer; None for ever."""
    content = await asyncio.to_thread(path.read_bytes)
    response = web.StreamResponse(headers=headers)
    if times is not None:
        response.content_length = times * len(content)
    await response.prepare(request)
    while times is None or times > 0:
        await response.write(content)
        times = None if times is None else times - 1
    return response


def _breaking_point(media: Media, start: int, size: int) -> int:
    """How far into the file an answer that begins at ``start`` gets."""
    if media is Media.DROPPED:
        return size // 2 if start == 0 else size
    if media in (Media.RESUMED_WHOLE, Media.RESUMED_OTHER):
        return size * 2 // 5
    if media in (Media.CUT, Media.STALLED):
        return max(size // 2, start)
    return start + FLAKY_BYTES if media is Media.FLAKY else size


@dataclass(frozen=True)
class _Part:
    """The bytes from ``start`` to ``stop`` of a file of ``size``, which are falsified as ``media`` says."""

    start: int
    stop: int
    size: int
    media: Media
    resent: bool

    def falsified(self, piece: bytes, position: int) -> bytes:
        if self.media is Media.RESUMED_OTHER and self.resent:
            return piece.translate(INVERTED)
        if self.media is Media.HOLED:
            first = max(0, self.size * 3 // 10 - position)
            zeros = min(len(piece), self.size // 2 - position) - first
            return piece[:first] + bytes(zeros) + piece[first + zeros :] if zeros > 0 else piece
        return piece


async def _send(response: web.StreamResponse, path: Path, part: _Part, kbps: int) -> None:
    clock = asyncio.get_running_loop().time
    began = clock()
    chunk = max(1, int(kbps * 125 * PACE)) if kbps else CHUNK
    file = await _open(path)
    try:
        await file.seek(part.start)
        sent = 0
        while part.start + sent < part.stop:
            piece = await file.read(min(chunk, part.stop - part.start - sent))
            if not piece:
                return
            await response.write(part.falsified(piece, part.start + sent))
            sent += len(piece)
            if kbps:
                await asyncio.sleep(began + sent / (kbps * 125) - clock())
    finally:
        await completion.finished(file.close())


async def _open(path: Path) -> AsyncBufferedReader:
    """Opened, or closed again when the client has gone meanwhile."""

    async def start() -> AsyncBufferedReader:
        return await aiofiles.open(path, "rb")

    return await completion.started(start(), AsyncBufferedReader.close)


def bandwidth(entry: Reserved, rate_kbps: int) -> int:
    """The slower of the id's own bandwidth and the one set for all; 0 for neither."""
    return min(filter(None, (entry.source_kbps, rate_kbps)), default=0)
