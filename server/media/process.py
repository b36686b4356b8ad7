"""Child processes that the server itself starts. `forking.py` has those that run yt-dlp, `tools.py` those for a video.

Each is an `async with` block: when the block is left, however it is left, the child has ended and was reaped. No child
has state to save (a run works in a temporary folder), so they are ended by SIGKILL at once. That also ends a child that
ignores SIGTERM or is stopped.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

from .. import completion
from ..installation import CHECKOUT
from . import environment
from .forkserver import NICENESS as NICENESS

C = TypeVar("C", bound="Child")

#: A child's event is one line of JSON no longer than this, in bytes.
LINE_BYTES = 1 << 20
#: Stderr kept of a child, in bytes: its end, where the reason stands.
TAIL_BYTES = 8192


class ChildFailed(Exception):
    """A child failed, was too slow or could not be started. `stderr` is the end of its output there."""

    def __init__(self, message: str, *, returncode: int | None = None, stderr: str = "") -> None:
        super().__init__(message)
        self.returncode = returncode
        self.stderr = stderr


@asynccontextmanager
async def spawn(
    argv: Sequence[str],
    *,
    niceness: int = NICENESS,
    variables: Mapping[str, str] | None = None,
    passed: Sequence[int] = (),
) -> AsyncIterator[Child]:
    """Start `argv` at low priority without input. Raises ChildFailed when it cannot be started.

    It leads a process group, all of which is killed when the block is left. Its environment is `variables`, or what any
    tool needs. It inherits the descriptors `passed`, with their locks.
    """

    async def start() -> Spawned:
        return Spawned(
            await asyncio.create_subprocess_exec(
                *_nice(argv, niceness),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                process_group=0,
                env=environment.for_tools() if variables is None else variables,
                pass_fds=passed,
                limit=LINE_BYTES,
            )
        )

    async with running(argv, start()) as child:
        yield child


async def run(
    argv: Sequence[str],
    *,
    timeout: float,
    niceness: int = NICENESS,
    variables: Mapping[str, str] | None = None,
    passed: Sequence[int] = (),
) -> bytes:
    """The output of `argv` on stdout. Raises ChildFailed on a bad exit status or after `timeout` seconds."""
    async with spawn(argv, niceness=niceness, variables=variables, passed=passed) as child:
        return await output_of(argv, child, timeout)


@asynccontextmanager
async def running(argv: Sequence[str], start: Coroutine[Any, Any, C]) -> AsyncIterator[C]:
    """The child that `start` starts, which has ended when the block is left. Raises ChildFailed if it cannot start."""
    try:
        child = await completion.started(start, lambda child: child.end())
    except OSError as error:
        raise ChildFailed(f"{argv[0]} could not be started: {error.strerror}") from error
    try:
        yield child
    finally:
        await completion.finished(child.end())


async def output_of(argv: Sequence[str], child: Child, timeout: float) -> bytes:
    """What it prints until it ends. Raises ChildFailed on a bad exit status or after `timeout` seconds."""
    try:
        async with asyncio.timeout(timeout):
            output = await child.stdout.read()
            status = await child.wait()
    except TimeoutError:
        raise ChildFailed(f"{argv[0]} took longer than {timeout:g} s", stderr=child.stderr) from None
    if status:
        raise ChildFailed(f"{argv[0]} ended with {status}", returncode=status, stderr=child.stderr)
    return output


def _nice(argv: Sequence[str], niceness: int) -> list[str]:
    """The command with POSIX `nice`: a preexec_fn would not be safe beside the server's threads."""
    return ["nice", "-n", str(niceness), *argv] if niceness else [*argv]


def python(*arguments: str) -> list[str]:
    """The command line of a fresh Python that imports ytmp3d, but nothing from the working folder."""
    variables = [f"{name}={value}" for name, value in safe_import_path().items()]
    return ["env", *variables, sys.executable, *arguments]


def safe_import_path() -> dict[str, str]:
    """Variables for a Python without the working directory, where `python -c` would look for modules first.

    A file `yt_dlp.py` in the folder where the command is typed must not run. A checkout is found by its own path.
    """
    variables = {"PYTHONSAFEPATH": "1"}
    if CHECKOUT:
        variables["PYTHONPATH"] = os.pathsep.join(filter(None, [str(CHECKOUT), os.environ.get("PYTHONPATH")]))
    return variables


class Child(ABC):
    """A running program. Its stderr is read all along and its end kept."""

    def __init__(self, pid: int, stdout: asyncio.StreamReader, stderr: asyncio.StreamReader) -> None:
        self.pid = pid
        self.stdout = stdout
        self._tail = bytearray()
        self._reading = asyncio.create_task(self._read(stderr), name=f"stderr of {pid}")

    @property
    def stderr(self) -> str:
        return self._tail.decode(errors="replace").strip()

    async def wait(self) -> int:
        """The exit status, negative for a signal, once the program ended and all its stderr was read."""
        status = await self._ended()
        await self._reading
        return status

    async def end(self) -> None:
        """Kill it, and its group if it leads one. Returns once it has ended."""
        try:
            await self._kill()
        finally:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)

    @abstractmethod
    async def _ended(self) -> int:
        """The exit status."""

    @abstractmethod
    async def _kill(self) -> None:
        """Kill it and let go of its pipes. Called again after the end, it does nothing."""

    async def _read(self, stream: asyncio.StreamReader) -> None:
        while chunk := await stream.read(4096):
            self._tail += chunk
            del self._tail[:-TAIL_BYTES]


class Spawned(Child):
    """A child that the server itself started."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        if process.stdout is None or process.stderr is None:
            raise AssertionError("spawned without pipes")
        super().__init__(process.pid, process.stdout, process.stderr)
        self._process = process
        self._killed = False

    async def _ended(self) -> int:
        return await self._process.wait()

    async def _kill(self) -> None:
        if self._killed:
            return
        self._killed = True  # once it has ended, its number may become another's
        with suppress(ProcessLookupError, PermissionError):  # the latter is macOS's word for a group of zombies
            os.killpg(self.pid, signal.SIGKILL)
        # A grandchild could hold the pipes open, and in Python 3.11 `wait` would wait for that too: let go of them.
        # The whole transport may be closed only afterwards: it would take the exit status from asyncio's watcher.
        transport: asyncio.SubprocessTransport = self._process._transport  # type: ignore[attr-defined]
        for pipe in map(transport.get_pipe_transport, (1, 2)):
            if pipe:
                pipe.close()
        await self._process.wait()
        transport.close()
