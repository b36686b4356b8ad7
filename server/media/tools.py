"""Confined programs that work on a video, such as ffmpeg: a forkserver forks each, which then becomes the program.

Limits and Landlock are set between the fork and the program. The server itself could not do that, since Python may do
nothing in a child of a process with threads. Each is an `async with` block, as in `process.py`, and ends by SIGKILL.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from multiprocessing.connection import Pipe

from . import environment, process
from .confinement import Confinement
from .forked import Status, reading
from .forking import Current, ForkServer
from .process import safe_import_path

_CHILD = f"{__package__}.tool_child"
_current = Current()


def _forkserver() -> ForkServer:
    return ForkServer(_CHILD, {**environment.for_tools(), **safe_import_path()}, _CHILD)


@asynccontextmanager
async def spawn(
    argv: Sequence[str],
    confinement: Confinement,
    *,
    stdin: int | None = None,
    passed: Sequence[int] = (),
    group: int | None = None,
) -> AsyncIterator[Tool]:
    """Start `argv` at low priority. Raises ChildFailed when no child can be had.

    `stdin` is a descriptor, or None for no input. `passed` are open in the program as 3, 4 and so on. `group` is the
    process group to join; without one the program leads its own, all of which is killed when the block is left. A
    program that cannot be executed ends with status 127, and its stderr says why.
    """

    async def make(server: ForkServer) -> Tool:
        output, stdout = Pipe(duplex=False)
        words, stderr = Pipe(duplex=False)
        work = [*argv], environment.for_tools(), group or 0, confinement.rules, stdin is not None
        try:
            pid, status = await server.start(work, (stdout, stderr), (*([] if stdin is None else [stdin]), *passed))
        except BaseException:
            output.close()
            words.close()
            raise
        return Tool(pid, status, await reading(output), await reading(words), group is None, on_end=server.child_ended)

    async with process.running(argv, _current.start(make, _forkserver)) as tool:
        yield tool


async def run(argv: Sequence[str], confinement: Confinement, *, timeout: float) -> bytes:
    """The output of `argv`, which gets no input. Raises ChildFailed on a bad exit status or after `timeout` seconds."""
    async with spawn(argv, confinement) as tool:
        return await process.output_of(argv, tool, timeout)


class Tool(process.Child):
    """A program that a forkserver's child became."""

    def __init__(
        self,
        pid: int,
        status: Status,
        stdout: tuple[asyncio.StreamReader, asyncio.ReadTransport],
        stderr: tuple[asyncio.StreamReader, asyncio.ReadTransport],
        leads_group: bool,
        on_end: Callable[[], None],
    ) -> None:
        """`on_end` is called once the program has ended and `end` is done."""
        super().__init__(pid, stdout[0], stderr[0])
        self._status = status
        self._links = stdout[1], stderr[1]
        self._leads_group = leads_group
        self._on_end: Callable[[], None] | None = on_end

    async def _ended(self) -> int:
        return await self._status.wait()

    async def _kill(self) -> None:
        if self._on_end is None:
            return
        on_end, self._on_end = self._on_end, None
        if self._leads_group:
            with suppress(ProcessLookupError, PermissionError):  # the latter is macOS's word for a group of zombies
                os.killpg(self.pid, signal.SIGKILL)
        if not self._status.known:  # perhaps it is so young that it has no group yet
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
        for link in self._links:
            link.close()
        try:
            await self._status.ended()
        finally:
            on_end()
