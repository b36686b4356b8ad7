"""Listens on the server's addresses, and accepts a few connections a turn, never more than there is room for."""

from __future__ import annotations

import asyncio
import errno
import functools
import logging
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress

from .connections import Connection
from .protocol import Server

log = logging.getLogger(__name__)

#: Connections that the system queues while this process is busy.
BACKLOG = 1024
#: Connections accepted before other tasks get a turn.
_ACCEPTS_PER_TURN = 16
#: Seconds until the next try after the system could not accept another connection.
_PAUSE = 0.1
#: Unsent bytes that the system buffers for a slow client; without a bound it would be megabytes for each.
_UNSENT_BYTES = 128 * 1024
_TRIES = 10
_EVERY_ADDRESS = "::"
#: Errors for an address that this machine does not have, such as ::1 without IPv6.
_NOT_HERE = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)


class Listener:
    """Accepts on `sockets`, which are its own from now on, until it is stopped."""

    def __init__(self, server: Server, sockets: Sequence[socket.socket]) -> None:
        self._server = server
        self._sockets = sockets
        self._loop = asyncio.get_running_loop()
        self._opening: set[asyncio.Task[None]] = set()
        self._paused: dict[socket.socket, asyncio.TimerHandle] = {}
        for one in sockets:
            self._loop.add_reader(one, self._accept, one)

    @property
    def port(self) -> int:
        return int(self._sockets[0].getsockname()[1])

    async def stop(self) -> None:
        for handle in self._paused.values():
            handle.cancel()
        for one in self._sockets:
            self._loop.remove_reader(one)
            one.close()
        await asyncio.gather(*self._opening)

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(_ACCEPTS_PER_TURN):
            try:
                accepted, address = listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                self._pause(listening, error)
                return
            connection = self._server.admit(address[0])
            if connection is None:
                accepted.close()
                continue
            accepted.setblocking(False)
            task = self._loop.create_task(self._open(accepted, connection), name="open a connection")
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)

    def _pause(self, listening: socket.socket, error: OSError) -> None:
        """The system has no descriptors or memory left: close some idle connections, and try again later."""
        log.warning("a connection cannot be accepted: %s", error.strerror)
        self._server.clients.shed(_ACCEPTS_PER_TURN)
        self._loop.remove_reader(listening)
        self._paused[listening] = self._loop.call_later(_PAUSE, self._resume, listening)

    def _resume(self, listening: socket.socket) -> None:
        del self._paused[listening]
        self._loop.add_reader(listening, self._accept, listening)

    async def _open(self, accepted: socket.socket, connection: Connection) -> None:
        try:
            await self._loop.connect_accepted_socket(functools.partial(self._server, connection), accepted)
        except OSError as error:
            log.warning("a connection cannot be served: %s", error.strerror)
            self._server.clients.leave(connection)
            accepted.close()


def listening_sockets(host: str, port: int) -> list[socket.socket]:
    """Sockets that listen on every address of `host`, all on one port; `::` is every address of both families.

    Port 0 takes a free one. Blocking: a name is looked up. Raises OSError.
    """
    for _ in range(_TRIES - 1):
        try:
            return _bound(host, port)
        except OSError as error:
            if port or error.errno != errno.EADDRINUSE:
                raise
    return _bound(host, port)  # each time, the port that was free at one address was taken at the next


def _bound(host: str, port: int) -> list[socket.socket]:
    missing: OSError | None = None
    with ExitStack() as stack:
        sockets: list[socket.socket] = []
        for family, address in _addresses(host, port):
            if sockets:
                address = (address[0], sockets[0].getsockname()[1], *address[2:])
            try:
                sockets.append(stack.enter_context(_listening(family, address)))
            except OSError as error:
                if error.errno not in _NOT_HERE:
                    raise
                missing = error
            if sockets and host == _EVERY_ADDRESS:
                break
        if not sockets:
            raise missing or OSError(errno.EADDRNOTAVAIL, "it has no address")
        stack.pop_all()
    return sockets


def _addresses(host: str, port: int) -> Iterator[tuple[socket.AddressFamily, tuple[object, ...]]]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    yield from dict.fromkeys((family, address) for family, _, _, _, address in found)
    if host == _EVERY_ADDRESS:
        yield socket.AF_INET, ("0.0.0.0", port)  # noqa: S104  # the system has no IPv6


def _listening(family: socket.AddressFamily, address: tuple[object, ...]) -> socket.socket:
    with ExitStack() as stack:
        one = stack.enter_context(socket.socket(family, socket.SOCK_STREAM))
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, address[0] != _EVERY_ADDRESS)
        with suppress(AttributeError, OSError):  # not on every system
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT_BYTES)  # those accepted inherit it
        one.bind(address)
        one.listen(BACKLOG)
        one.setblocking(False)
        stack.pop_all()
    return one
