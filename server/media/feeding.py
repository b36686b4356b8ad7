"""Pipes between the server and its children, through which the audio goes.

Nothing here blocks the loop: pipes are asyncio's, and files are read in a thread.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import termios
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from io import FileIO
from typing import Protocol

from .. import completion

#: Bytes that are read or written at once.
PIECE_BYTES = 64 << 10


class Output(Protocol):
    """The read end of a pipe."""

    def fileno(self) -> int: ...
    def close(self) -> None: ...


async def filled(output: Output) -> bool:
    """Return once there is something in the pipe `output`; False at its end. Nothing is read."""
    loop, change = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(output.fileno(), change.set)
    try:
        await change.wait()
    finally:
        loop.remove_reader(output.fileno())
    return any(fcntl.ioctl(output.fileno(), termios.FIONREAD, bytes(4)))


@asynccontextmanager
async def incoming(output: Output) -> AsyncIterator[asyncio.StreamReader]:
    """A stream of what comes from the pipe `output`, which is closed. What is not read waits in the pipe."""
    loop = asyncio.get_running_loop()
    stream = asyncio.StreamReader(limit=PIECE_BYTES)
    pipe = os.fdopen(os.dup(output.fileno()), "rb", buffering=0)
    output.close()
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stream), pipe)
    try:
        yield stream
    finally:
        transport.close()


class Feed:
    """Writes a growing file into a pipe, from its start to its end, or until nobody reads the pipe any more."""

    def __init__(self, file: FileIO, pipe: int, come: Callable[[int], Awaitable[bool]]) -> None:
        """`pipe` is the write end. `come(position)` waits until the file is longer; it is False at its end."""
        self.position = 0
        self._file = file
        self._pipe = os.fdopen(pipe, "wb", buffering=0)
        self._come = come
        self._task = asyncio.create_task(self._work(), name="feed an encoder")

    async def ended(self) -> bool:
        """Whether the encoder, which has ended, got all of the file. Raises what broke the file off."""
        if not self._task.done():  # it would be done if the encoder had come to the end of the pipe
            return False
        return await self._task

    async def close(self) -> None:
        """Close the file and the pipe."""
        self._task.cancel()
        await completion.finished(asyncio.wait([self._task]))
        if not self._task.cancelled():
            self._task.exception()  # retrieved: it is the encoding that fails
        self._file.close()
        self._pipe.close()

    async def _work(self) -> bool:
        pace = _Pace()
        transport, _ = await asyncio.get_running_loop().connect_write_pipe(lambda: pace, self._pipe)
        try:
            while await self._come(self.position):
                read = asyncio.to_thread(os.pread, self._file.fileno(), PIECE_BYTES, self.position)
                piece = await completion.finished(read)
                transport.write(piece)
                if not await pace.free():
                    return False
                self.position += len(piece)
        except BaseException:
            if not transport.is_closing():
                transport.abort()
            raise
        transport.close()
        return True


class _Pace(asyncio.BaseProtocol):
    """Says when a pipe takes more."""

    def __init__(self) -> None:
        self._free = asyncio.Event()
        self._free.set()
        self._lost = False

    async def free(self) -> bool:
        """True once it does, False once nobody reads it."""
        await self._free.wait()
        return not self._lost

    def pause_writing(self) -> None:
        self._free.clear()

    def resume_writing(self) -> None:
        self._free.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        self._free.set()
