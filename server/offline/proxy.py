"""An HTTP proxy on loopback that knows CONNECT alone and itself plays every YouTube host behind it.

Nothing is ever passed on: YouTube's hosts are answered from here, under TLS; everything else is answered 502.
"""

from __future__ import annotations

import asyncio
import logging
import re
import ssl
import weakref
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

HOSTS = ("youtube.com", "googlevideo.com", "ytimg.com")
"""Played here, with one level of names below each."""
HOST = re.compile(r"(?:[a-z0-9-]+\.)?(?:" + "|".join(map(re.escape, HOSTS)) + ")")
CONNECT = re.compile(rb"CONNECT ([A-Za-z0-9.-]{1,253}):443 HTTP/1\.[01]\r\n")
HEAD_LIMIT = 16 * 1024
HANDSHAKE_TIMEOUT = 10.0
REFUSED = b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"

logger = logging.getLogger(__name__)


@asynccontextmanager
async def serve_proxy(
    handler: Callable[[], asyncio.Protocol], tls: ssl.SSLContext, unreachable: frozenset[str]
) -> AsyncIterator[int]:
    """Yields the port. The inside of each tunnel is a connection of ``handler``; at the end all are cut at once.

    ``unreachable`` names hosts of YouTube's that are answered 502 as foreign ones are.
    """
    proxy = _Proxy(handler, tls, unreachable)
    server = await asyncio.get_running_loop().create_server(lambda: _Tunnel(proxy), "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await proxy.cut()
        await server.wait_closed()


class _Proxy:
    """What the tunnels of one proxy share."""

    def __init__(
        self, handler: Callable[[], asyncio.Protocol], tls: ssl.SSLContext, unreachable: frozenset[str]
    ) -> None:
        self.handler = handler
        self.transports: weakref.WeakSet[asyncio.Transport] = weakref.WeakSet()
        self._tls = tls
        self._unreachable = unreachable
        self._handshakes: set[asyncio.Task[None]] = set()

    def plays(self, host: str) -> bool:
        return HOST.fullmatch(host) is not None and host not in self._unreachable

    def secure(self, tunnel: _Tunnel, transport: asyncio.Transport) -> None:
        """Begins the TLS handshake, at whose end the tunnel is told its inner transport."""
        task = asyncio.create_task(self._handshake(tunnel, transport), name="offline YouTube TLS handshake")
        self._handshakes.add(task)
        task.add_done_callback(self._handshakes.discard)

    async def cut(self) -> None:
        for transport in list(self.transports):
            transport.abort()
        tasks = list(self._handshakes)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _handshake(self, tunnel: _Tunnel, transport: asyncio.Transport) -> None:
        try:
            inner = await asyncio.get_running_loop().start_tls(
                transport, tunnel, self._tls, server_side=True, ssl_handshake_timeout=HANDSHAKE_TIMEOUT
            )
        except OSError as error:  # a failed handshake, a client that left, a handshake that took too long
            logger.debug("no TLS from a client of the offline YouTube: %r", error)
        else:
            if inner is not None:
                tunnel.hand_over(inner)


class _Tunnel(asyncio.Protocol):
    """One client: its CONNECT, then whatever comes during the handshake, which the handler is given after it."""

    def __init__(self, proxy: _Proxy) -> None:
        self._proxy = proxy
        self._transport: asyncio.Transport | None = None
        self._received = b""
        self._connected = False
        self._lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101  # what create_server promises
        self._transport = transport
        self._proxy.transports.add(transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        if self._connected or self._transport is None:
            return
        if b"\r\n\r\n" in self._received:
            self._answer(self._transport)
        elif len(self._received) > HEAD_LIMIT:
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True

    def hand_over(self, inner: asyncio.Transport) -> None:
        """Makes ``inner`` a connection of the proxy's handler, in one step so that no byte comes between."""
        if self._lost:
            return
        handler = self._proxy.handler()
        inner.set_protocol(handler)
        handler.connection_made(inner)
        if self._received:
            handler.data_received(self._received)

    def _answer(self, transport: asyncio.Transport) -> None:
        request = CONNECT.match(self._received)
        self._received = b""
        self._connected = True
        if request is None or not self._proxy.plays(request[1].decode().lower()):
            transport.write(REFUSED)
            transport.close()
            return
        transport.pause_reading()  # what comes next is for the TLS layer, which resumes
        transport.write(ESTABLISHED)
        self._proxy.secure(self, transport)
