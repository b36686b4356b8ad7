"""A child that the server started, see `process.spawn`."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress

#: Stderr kept of a child, in bytes: its end, where the reason stands.
TAIL_BYTES = 8192


class Spawned:
    """A running child that the server started. Its stderr is read all along and its end kept."""

    def __init__(self, process: asyncio.subprocess.Process, *, leads_group: bool) -> None:
        if process.stdout is None or process.stderr is None:
            raise AssertionError("spawned without pipes")
        self.pid = process.pid
        self.stdout = process.stdout
        self._process = process
        self._leads_group = leads_group
        self._tail = bytearray()
        self._reader = asyncio.create_task(self._read_stderr(process.stderr), name=f"stderr of {process.pid}")

    async def wait(self) -> int:
        """The exit status, negative for a signal, once the child ended and all its stderr was read."""
        status = await self._process.wait()
        await self._reader
        return status

    @property
    def stderr(self) -> str:
        return self._tail.decode(errors="replace").strip()

    async def _read_stderr(self, stream: asyncio.StreamReader) -> None:
        while chunk := await stream.read(4096):
            self._tail += chunk
            del self._tail[:-TAIL_BYTES]

    async def end(self) -> None:
        with suppress(ProcessLookupError, PermissionError):  # the latter is macOS's word for a group of zombies
            if self._leads_group:
                self._leads_group = False  # once it has ended, its number may become another's
                os.killpg(self.pid, signal.SIGKILL)
            elif self._process.returncode is None:
                self._process.kill()
        # A grandchild could hold the pipes open, and in Python 3.11 `wait` would wait for that too: let go of them.
        # The whole transport may be closed only afterwards: it would take the exit status from asyncio's watcher.
        transport: asyncio.SubprocessTransport = self._process._transport  # type: ignore[attr-defined]
        for pipe in map(transport.get_pipe_transport, (1, 2)):
            if pipe:
                pipe.close()
        await self._process.wait()
        transport.close()
        self._reader.cancel()
        await asyncio.gather(self._reader, return_exceptions=True)
