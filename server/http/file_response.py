"""aiohttp's file response (ranges, ETag, conditional requests, sendfile), with our errors for its refusals."""

from __future__ import annotations

import re
from pathlib import Path
from typing import IO, Any

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_writer import StreamWriter

from .. import errors
from .context import CONNECTIONS
from .protocol import held

_ONE_RANGE = re.compile(r"bytes=([0-9]+-[0-9]*|-[0-9]+)", re.IGNORECASE)


class File(web.FileResponse):
    """Answer it with `send`."""

    def __init__(self, path: Path, *, headers: dict[str, str], gone: errors.RequestError) -> None:
        """`gone` is the answer when there is no file at `path`."""
        super().__init__(path, headers=headers)
        self._gone = gone

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        if self.prepared:  # by `send`; aiohttp asks again, and would send it again
            return None
        try:
            return await super().prepare(request)
        except RuntimeError as error:  # how asyncio's sendfile says that the client has left
            if request.transport is None or request.transport.is_closing():
                raise ConnectionResetError("the client left") from error
            raise

    async def _sendfile(self, request: web.BaseRequest, fobj: IO[Any], offset: int, count: int) -> AbstractStreamWriter:
        if type(request.writer) is StreamWriter:
            return await super()._sendfile(request, fobj, offset, count)
        # The kernel would send the file past any other writer.
        writer = await web.StreamResponse.prepare(self, request)
        assert writer is not None  # noqa: S101  # only what is prepared already has none
        return await self._sendfile_fallback(writer, fobj, offset, count)

    def set_status(self, status: int, reason: str | None = None) -> None:
        """aiohttp decides on the status just before anything is sent; refusals are raised here instead."""
        if status == 416:
            said = {"Content-Range": self.headers["Content-Range"]}
            raise errors.RangeNotSatisfiable("The requested range is not within the file.", headers=said)
        if status == 412:
            raise errors.PreconditionFailed("The file is not the one the request's condition names.")
        if status >= 400:
            raise self._gone
        super().set_status(status, reason)


async def send(request: web.Request, file: File, *, download: bool = True) -> File:
    """Send `file` here and now, within the handler, so that a refusal is answered as any other error is.

    Raises NotReady when too many files are being sent, ConnectionResetError when the client takes nothing any more.

    A Range of several parts, of another unit or without sense is ignored, as RFC 9110 §14.2 has it; aiohttp refuses it.
    """
    if not _ONE_RANGE.fullmatch(request.headers.get("Range", "bytes=0-")):
        headers = request.headers.copy()
        del headers["Range"]
        request = request.clone(headers=headers)
    if request.method == "HEAD":
        await file.prepare(request)
        return file
    async with held(request), request.app[CONNECTIONS].file(download=download):
        await file.prepare(request)
    return file
