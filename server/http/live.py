"""The download of an MP3 while it is being made: all of it as it grows, or a requested part that exists already.

A player may start it at a second of its choice (`?from=`): the bitrate is constant, so a time is a place in the file.
"""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import aiofiles
from aiohttp import HttpVersion11, web

from .. import completion
from ..jobs import Conversion, Status
from ..media import frames, id3
from . import tcp
from .context import ARTIFACTS, ENGINE, METRICS
from .protocol import cut

_CHUNK = 16 * 1024
#: With both ends: of a file whose length nobody knows yet there is no other (RFC 9110 §14.4).
_CLOSED_RANGE = re.compile(r"bytes=([0-9]{1,15})-([0-9]{1,15})", re.IGNORECASE)


async def _open(path: Path) -> Any:
    return await aiofiles.open(path, "rb")


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[Any]:
    """The file, or None if it has just been published or thrown away."""
    try:
        file = await completion.started(_open(path), lambda file: file.close())
    except FileNotFoundError:
        yield None
        return
    try:
        yield file
    finally:
        await completion.finished(file.close())


class Live:
    """One attempt at a conversion, whose growing `file` one reader follows.

    A failure, a cancel or a new attempt cuts the connection with a reset, so that the client sees an error, never a
    short file that looks whole.
    """

    def __init__(self, request: web.Request, conversion: Conversion, attempt: int, file: Any) -> None:
        self._request = request
        self._conversion = conversion
        self._attempt = attempt
        self._file = file

    async def answer(self, headers: dict[str, str], begin: float | None = None) -> web.StreamResponse | None:
        """Send the requested range if all of it exists, else the whole file. Raises ConnectionResetError.

        With `begin`, in seconds of the sound: without the tag, from the frame at that time. None if it is not made yet.
        """
        if begin is not None:
            return await self._send_whole(headers) if await self._reached(begin) else None
        if found := await self._part():
            return await self._send_part(*found, headers)
        if self._request.query.get("tag") == "no":
            # For the page's player: Chromium reads a minute of audio ahead before it plays anything that has a cover.
            await self._file.seek(id3.tag_size(await self._file.read(id3.HEADER_BYTES)))
        return await self._send_whole(headers)

    async def _reached(self, seconds: float) -> bool:
        """Whether the file goes that far. If so, what is read next is the frame at that time."""
        start = id3.tag_size(await self._file.read(id3.HEADER_BYTES))
        start += int(seconds * self._conversion.quality.bitrate_kbps * 125)
        await self._file.seek(start)
        window = await self._file.read(frames.WINDOW)
        await self._file.seek(start + frames.first(window))
        return len(window) == frames.WINDOW or (bool(window) and self._conversion.status is Status.COMPLETED)

    # ---- a part

    async def _part(self) -> tuple[int, int] | None:
        """Its first byte and its last. The file has no validator yet, so `If-Range` never holds."""
        found = _CLOSED_RANGE.fullmatch(self._request.headers.get("Range", ""))
        if not found or "If-Range" in self._request.headers or "tag" in self._request.query:
            return None
        first, last, size = int(found[1]), int(found[2]), await self._file.seek(0, os.SEEK_END)
        await self._file.seek(0)
        return (first, last) if first <= last < size else None

    async def _send_part(self, first: int, last: int, headers: dict[str, str]) -> web.StreamResponse:
        response = web.StreamResponse(status=206, headers={**headers, "Content-Range": f"bytes {first}-{last}/*"})
        response.content_length = left = last - first + 1
        await response.prepare(self._request)
        await self._file.seek(first)
        while left:
            chunk = await self._file.read(min(_CHUNK, left))
            if not (chunk and self._going_on()):
                self._cut()
            left -= len(chunk)
            await self._write(response, chunk)
        await response.write_eof()
        return response

    # ---- the whole

    async def _send_whole(self, headers: dict[str, str]) -> web.StreamResponse:
        # The last header asks nginx not to hold the stream back.
        response = web.StreamResponse(headers={**headers, "X-Accel-Buffering": "no"})
        if self._request.version >= HttpVersion11:
            response.enable_chunked_encoding()
        else:
            response.force_close()
            self._end_by_reset(True)  # also when this process is killed
        await response.prepare(self._request)
        with ExitStack() as stack:
            await self._copy(response, stack)
        await response.write_eof()
        if self._request.version < HttpVersion11:
            self._end_by_reset(False)
        return response

    async def _copy(self, response: web.StreamResponse, stack: ExitStack) -> None:
        """Everything, as it is made. Checks the state before each read, so the last bytes before the end are sent."""
        job, counted = self._conversion.job, False
        while True:
            seen = job.changed.count
            if job.artifact and not counted:
                counted = True  # from now on the file may be removed while this goes on
                reading = self._request.app[ARTIFACTS].reading(job.artifact, partial(cut, self._request))
                stack.enter_context(reading)
            complete = self._conversion.status is Status.COMPLETED and job.attempt == self._attempt
            if chunk := await self._file.read(_CHUNK):
                await self._write(response, chunk)
            elif complete:
                return
            elif not self._going_on():
                self._cut()
            else:
                await job.changed.wait(since=seen)

    async def _write(self, response: web.StreamResponse, chunk: bytes) -> None:
        """Return once the client has caught up: aiohttp itself waits only now and then."""
        await response.write(chunk)
        await self._request.writer.drain()
        self._request.app[METRICS].bytes_served.inc(len(chunk))
        self._request.app[ENGINE].use.count(self._conversion.owner, sent=len(chunk))

    def _going_on(self) -> bool:
        conversion = self._conversion
        return conversion.status in (Status.PROCESSING, Status.COMPLETED) and conversion.job.attempt == self._attempt

    # ---- its end

    def _end_by_reset(self, reset: bool) -> None:
        """HTTP/1.0 has no other sign of a whole file than the end of the connection.

        While it is to be a reset nothing waits in this process, so that what was written reaches the system first.
        """
        if transport := self._request.transport:
            transport.set_write_buffer_limits(high=0)
            tcp.reset_on_close(transport, reset)

    def _cut(self) -> NoReturn:
        if transport := self._request.transport:
            tcp.reset_on_close(transport)
            transport.abort()
        raise ConnectionResetError("the conversion did not come to its end")
