"""An answer that comes slowly, or breaks off: aiohttp's writer with a rate and an end."""

from __future__ import annotations

import asyncio
from typing import Any, NoReturn

from aiohttp import web
from aiohttp.http_writer import StreamWriter
from multidict import CIMultiDict

#: How often in a second a slow body goes on.
_STEPS = 10


def shape(request: web.Request, rate: int | None, cut_after: int | None) -> None:
    """Have the body of the answer sent at `rate` bytes a second, and the connection end after `cut_after` of them.

    With 0 it ends before any byte of the answer. The end is an orderly one (FIN), so that all before it arrives. None
    is no bound.
    """
    request._payload_writer = _Shaped(request, rate, cut_after)


class _Shaped(StreamWriter):
    def __init__(self, request: web.Request, rate: int | None, cut_after: int | None) -> None:
        super().__init__(request.protocol, asyncio.get_running_loop())
        self._rate = rate
        self._left = cut_after

    async def write_headers(self, status_line: str, headers: CIMultiDict[str]) -> None:
        if self._left == 0:
            self._end()
        await super().write_headers(status_line, headers)

    async def write(self, chunk: Any, *, drain: bool = True, LIMIT: int = 0x10000) -> None:
        rest = bytes(chunk)
        step = max(1, self._rate // _STEPS) if self._rate else max(1, len(rest))
        while rest:
            piece, rest = rest[:step], rest[step:]
            if self._rate:
                self.send_headers()
                await asyncio.sleep(len(piece) / self._rate)
            if self._left is not None:
                piece = piece[: self._left]
                self._left -= len(piece)
            await super().write(piece, drain=drain, LIMIT=LIMIT)
            if self._left == 0:
                self._end()

    async def write_eof(self, chunk: bytes = b"") -> None:
        await self.write(chunk)
        await super().write_eof()

    def _end(self) -> NoReturn:
        if self.transport is not None:
            self.transport.close()
        raise ConnectionResetError("a rule ends this connection")
