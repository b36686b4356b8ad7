"""Server-Sent Events (HTML Living Standard §9.2): conversions as they change, the newest state of each.

A client that connects late, comes back or reads slowly gets the current state, never an older one after a newer: what
waits for it is at most one entry per conversion.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from contextlib import suppress

from aiohttp import HttpVersion11, web

from .. import errors
from ..conversions.engine import Engine
from ..conversions.watch import Watch
from ..jobs import Conversion
from .admission import admit, waiting
from .api import own
from .context import ENGINE, WITHOUT_DEADLINE
from .forwarded import base_url
from .representation import to_bytes

#: Seconds between two rounds of events: at most five a second for one conversion.
INTERVAL = 0.2
#: Seconds of silence after which a comment is sent, so that proxies and clients see that the stream is alive.
HEARTBEAT = 15.0
#: Seconds after which a client that reads nothing is cut off.
READ_TIMEOUT = 60.0
#: Seconds for the end of a stream to be sent.
END_TIMEOUT = 0.5
#: Event streams open at a time for one key.
MAX_STREAMS = 50


async def of_one(request: web.Request) -> web.StreamResponse:
    """`GET /status/{conversion_id}/events`: ends with the conversion."""
    key = admit(request)
    conversion = own(request, key)
    return await _stream(request, key.name, [conversion], lambda one: one is conversion, ends_with=conversion)


async def of_all(request: web.Request) -> web.StreamResponse:
    """`GET /events`: begins with everything of this key that is not finished."""
    key = admit(request)
    unfinished = request.app[ENGINE].table.unfinished(key.name)
    return await _stream(request, key.name, unfinished, lambda one: True, ends_with=None)


async def _stream(
    request: web.Request,
    owner: str,
    first: list[Conversion],
    wanted: Callable[[Conversion], bool],
    *,
    ends_with: Conversion | None,
) -> web.StreamResponse:
    request[WITHOUT_DEADLINE] = True
    base = base_url(request)
    with request.app[ENGINE].table.watch(owner, MAX_STREAMS) as watch:
        for conversion in first:
            watch.note(conversion)
        response = web.StreamResponse(
            headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        )
        if request.version >= HttpVersion11:
            response.enable_chunked_encoding()
        await response.prepare(request)
        with suppress(errors.Unauthorized, errors.KeyDisabled):  # the client learns which when it comes back
            async with waiting(request):
                await _events(request, response, watch, owner, wanted, ends_with, base)
        await _end(request, response)
    return response


async def _events(
    request: web.Request,
    response: web.StreamResponse,
    watch: Watch,
    owner: str,
    wanted: Callable[[Conversion], bool],
    ends_with: Conversion | None,
    base: str,
) -> None:
    """Until the server stops, or the conversion `ends_with` has ended and that was told."""
    engine = request.app[ENGINE]
    await response.write(b"retry: 2000\n: connected\n\n")
    numbers = itertools.count(_after(request))
    while not engine.draining:
        for conversion in watch.take(lambda: engine.queue.places(owner)):
            if wanted(conversion):
                await _write(request, response, _event(next(numbers), to_bytes(conversion, engine.queue, base)))
                await asyncio.sleep(0)  # a thousand may have moved up in the queue
        if ends_with and (ends_with.finished or ends_with.removed) and not watch.pending:
            return
        await _next_change(engine, watch, request, response)


async def _end(request: web.Request, response: web.StreamResponse) -> None:
    """End the stream; cut off a client that does not read even that."""
    try:
        async with asyncio.timeout(END_TIMEOUT):
            await response.write_eof()
    except TimeoutError as error:
        raise _cut(request) from error


async def _next_change(engine: Engine, watch: Watch, request: web.Request, response: web.StreamResponse) -> None:
    """Return when there is something to send, but not before the interval; keep the stream alive meanwhile."""
    await asyncio.sleep(INTERVAL)
    while not watch.pending and not engine.draining:
        if not await watch.woken.wait(HEARTBEAT):
            await _write(request, response, b": still here\n\n")


async def _write(request: web.Request, response: web.StreamResponse, content: bytes) -> None:
    """Send. A client that reads nothing for `READ_TIMEOUT` is cut off, since its changes are kept in memory."""
    try:
        async with asyncio.timeout(READ_TIMEOUT):
            await response.write(content)
    except TimeoutError as error:
        raise _cut(request) from error


def _cut(request: web.Request) -> ConnectionResetError:
    if request.transport:
        request.transport.abort()
    return ConnectionResetError("the client does not read its events")


def _event(number: int, content: bytes) -> bytes:
    return b"event: conversion\nid: %d\ndata: %b\n\n" % (number, content)


def _after(request: web.Request) -> int:
    """The number to continue from. The newest state is always sent, so the number only has to grow."""
    last = request.headers.get("Last-Event-ID", "")
    return int(last) + 1 if last.isascii() and last.isdigit() and len(last) < 16 else 1
