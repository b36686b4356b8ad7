"""aiohttp's connection, with bounds on its buffers, and with our error answers to malformed HTTP."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, cast

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from .. import errors
from . import addresses, tcp
from .connections import Connection, Connections
from .error_answer import SECURITY_HEADERS, error_response

log = logging.getLogger(__name__)

#: Most bytes of a request's line and headers together; aiohttp bounds the size of each and their number.
MAX_HEAD = 64 * 1024
#: Bytes buffered in this process for a slow client.
MAX_UNSENT = 16 * 1024


class Server(web.Server):
    """Makes the protocol of each connection. Addresses within `trusted` may have any number of connections."""

    def __init__(self, handler: Any, *, connections: Connections, trusted: tuple[str, ...], **more: Any) -> None:
        super().__init__(handler, **more)
        self.clients = connections
        self._trusted = trusted

    def __call__(self, connection: Connection | None = None) -> RequestHandler:
        return Protocol(self, connection, loop=self._loop, **self._kwargs)

    def admit(self, address: str) -> Connection | None:
        """A place for a connection from `address`, or None."""
        exempt = addresses.is_loopback(address) or addresses.is_within(address, self._trusted)
        return self.clients.admit(address, counted=not exempt)


def held(request: web.BaseRequest) -> AbstractAsyncContextManager[None]:
    """See `Protocol.held`."""
    return cast(Protocol, request.protocol).held()


def give_way(request: web.BaseRequest, seconds: float) -> Awaitable[None]:
    """See `Protocol.give_way`."""
    return cast(Protocol, request.protocol).give_way(seconds)


def cut(request: web.BaseRequest) -> None:
    """See `Protocol.cut`."""
    cast(Protocol, request.protocol).cut()


class Protocol(RequestHandler):
    """aiohttp's connection, which tells `Connections` what it does."""

    __slots__ = ("_connection", "_connections", "_head", "_held", "_server")

    def __init__(self, server: Server, connection: Connection | None, **more: Any) -> None:
        super().__init__(server, **more)
        self._server = server
        self._connections = server.clients
        self._connection = connection
        self._head = 0
        self._held: asyncio.Timeout | None = None

    # ---- its life

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        stream = cast(asyncio.Transport, transport)
        super().connection_made(stream)
        stream.set_write_buffer_limits(high=MAX_UNSENT)
        if self._connection is None:
            self._connection = self._server.admit((stream.get_extra_info("peername") or ("",))[0])
        if self._connection is None:
            stream.abort()
            return
        self._connection.cut = self.cut
        self._connection.progress = lambda: tcp.progress(stream)

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._connection is not None:
            self._connections.leave(self._connection)
            self._connection = None
        self._let_go()
        if isinstance(exc, OSError) and not isinstance(exc, ConnectionError):
            lost = ConnectionResetError(f"the connection was lost: {exc.strerror}")
            lost.__cause__ = exc  # such as a lost route to the client: not the handler's fault
            exc = lost
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._waiter is None or self._messages:
            self._head = 0
            return
        self._head += len(data)
        if self._head > MAX_HEAD:
            log.debug("headers of more than %d bytes", MAX_HEAD)
            self.cut()

    async def _handle_request(
        self,
        request: web.BaseRequest,
        start_time: float | None,
        request_handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
    ) -> tuple[web.StreamResponse, bool]:
        if self._connection is not None:
            self._connections.begin(self._connection)
        try:
            return await super()._handle_request(request, start_time, request_handler)
        finally:
            if self._connection is not None:
                self._connections.rest(self._connection)

    # ---- its end

    def cut(self) -> None:
        """End it now; a client that waits for something sees an error."""
        if self.transport is None:
            return
        if self._current_request is not None or self.transport.get_write_buffer_size():
            tcp.reset_on_close(self.transport)
        if self._held is not None:
            self._let_go()
        else:
            self.transport.abort()

    def _let_go(self) -> None:
        if self._held is not None:
            self._held.reschedule(self._loop.time())
            self._held = None

    @asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        """A block that takes as long as the client likes, but ends when it has gone or is cut off.

        Raises ConnectionResetError then. For blocks that may end at any await.
        """
        before = self._held
        try:
            async with asyncio.timeout(None if self.transport else 0) as self._held:
                yield
        except TimeoutError as error:
            if self.transport is not None:
                tcp.reset_on_close(self.transport)
                self.transport.abort()
            raise ConnectionResetError("the client has gone, or takes nothing any more") from error
        finally:
            self._held = before

    async def give_way(self, seconds: float) -> None:
        """Wait before an answer. Meanwhile the connection may be closed, if others need its place."""
        if self._connection is not None:
            self._connections.rest(self._connection)
        async with self.held():
            await asyncio.sleep(seconds)
        if self._connection is not None:
            self._connections.begin(self._connection)

    # ---- what is not HTTP

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if isinstance(exc, ConnectionError):
            log.debug("the client %s left in the middle of its request", request.remote)
            raise exc
        if request.writer.output_size > 0:
            raise ConnectionResetError("failed in mid-answer")
        error: errors.RequestError
        if status < 500:
            log.debug("malformed HTTP from %s", request.remote)
            error = errors.MalformedRequest("This is not well-formed HTTP, or its line or headers are too long.")
        else:
            log.error("a request failed", exc_info=exc)
            error = errors.InternalError("Something went wrong in the server. Try again later.")
        response = error_response(error)
        response.headers.update(SECURITY_HEADERS)
        response.headers["X-Request-ID"] = secrets.token_hex(8)
        response.force_close()
        return response
