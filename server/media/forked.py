"""The server's side of a child that a forkserver forked; see `forking.py`."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection

from .forkserver import WORD
from .process import LINE_BYTES

#: Stands for the unknown exit status of a child whose forkserver has ended.
UNKNOWN_STATUS = 255

#: Seconds. The forkserver, which says so, has a low priority and may wait for its turn on a busy machine.
_KILL_TIMEOUT = 30.0


class Status:
    """Learns from the forkserver how a child has ended."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._number: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().add_reader(pipe.fileno(), self._note)

    def _note(self) -> None:
        asyncio.get_running_loop().remove_reader(self._pipe.fileno())
        word = os.read(self._pipe.fileno(), WORD.size)
        self._number.set_result(WORD.unpack(word)[0] if word else UNKNOWN_STATUS)

    @property
    def known(self) -> bool:
        return self._number.done()

    async def wait(self) -> int:
        """The exit status, negative for a signal, once the child ended."""
        return await asyncio.shield(self._number)

    async def ended(self) -> None:
        """Wait for a child that was killed. Close the pipe then, or after a time in which even the kernel gave up."""
        try:
            async with asyncio.timeout(_KILL_TIMEOUT):
                await self.wait()
        finally:
            asyncio.get_running_loop().remove_reader(self._pipe.fileno())
            self._pipe.close()


async def reading(pipe: Connection) -> tuple[asyncio.StreamReader, asyncio.ReadTransport]:
    """A reader of lines from a pipe, which belongs to the transport from now on."""
    reader = asyncio.StreamReader(limit=LINE_BYTES)
    link, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
    return reader, link


@dataclass(frozen=True)
class Pipes:
    """The server's ends of a child's pipes. The child dies when `control` is closed."""

    control: Connection
    events: Connection
    output: Connection

    def close(self) -> None:
        for end in (self.control, self.events, self.output):
            end.close()


class Forked:
    """A running child of the forkserver, leader of the process group `pid`.

    `events` carries its lines; `output` is the read end of the pipe that is its stdout, to hand on to another child and
    then `close()`.
    """

    def __init__(
        self,
        pid: int,
        status: Status,
        pipes: Pipes,
        events: asyncio.StreamReader,
        link: asyncio.ReadTransport,
        on_end: Callable[[], None],
    ) -> None:
        """`link` fills `events`. `on_end` is called once the child has ended and `end` is done."""
        self.pid = pid
        self.events = events
        self.output = pipes.output
        self._status = status
        self._pipes = pipes
        self._link = link
        self._on_end: Callable[[], None] | None = on_end

    async def wait(self) -> int:
        """The exit status, negative for a signal, once the child ended."""
        return await self._status.wait()

    async def end(self) -> None:
        """Kill the child's group. Returns once the child has ended."""
        if self._on_end is None:
            return
        on_end, self._on_end = self._on_end, None
        self._pipes.output.close()
        self._link.close()
        self._pipes.control.close()
        # Whatever else is in the group goes too. As long as one member lives its number belongs to no other group;
        # the leader's parent is the forkserver, which may have reaped it a moment ago.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        try:
            await self._status.ended()
        finally:
            on_end()
