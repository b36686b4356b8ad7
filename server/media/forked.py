"""A warm child that the forkserver forked; see `forking.py`."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection

from .forkserver import WORD

#: Stands for the unknown exit status of a child whose forkserver has ended.
UNKNOWN_STATUS = 255

_KILL_TIMEOUT = 5.0


@dataclass(frozen=True)
class Pipes:
    """The server's ends of a child's pipes. The child dies when `control` is closed."""

    control: Connection
    status: Connection
    events: Connection
    output: Connection

    def close(self) -> None:
        for end in (self.control, self.status, self.events, self.output):
            end.close()


class Forked:
    """A running child of the forkserver, leader of the process group `pid`.

    `events` carries its lines; `output` is the read end of the pipe that is its stdout, to hand on to another child and
    then `close()`.
    """

    def __init__(
        self,
        pid: int,
        pipes: Pipes,
        events: asyncio.StreamReader,
        link: asyncio.ReadTransport,
        on_end: Callable[[], None],
    ) -> None:
        """`link` fills `events`. `on_end` is called once the child has ended and `end` is done."""
        self.pid = pid
        self.events = events
        self.output = pipes.output
        self._pipes = pipes
        self._link = link
        self._on_end: Callable[[], None] | None = on_end
        self._status: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().add_reader(pipes.status.fileno(), self._note_end)

    def _note_end(self) -> None:
        asyncio.get_running_loop().remove_reader(self._pipes.status.fileno())
        word = os.read(self._pipes.status.fileno(), WORD.size)
        self._status.set_result(WORD.unpack(word)[0] if word else UNKNOWN_STATUS)

    async def wait(self) -> int:
        """The exit status, negative for a signal, once the child ended."""
        return await asyncio.shield(self._status)

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
            async with asyncio.timeout(_KILL_TIMEOUT):
                await self.wait()
        finally:
            asyncio.get_running_loop().remove_reader(self._pipes.status.fileno())
            self._pipes.status.close()
            on_end()
