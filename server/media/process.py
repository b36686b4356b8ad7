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
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress

from .. import completion
from ..installation import CHECKOUT
from . import environment
from .forkserver import NICENESS as NICENESS

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
    stdin: int = asyncio.subprocess.DEVNULL,
    niceness: int = NICENESS,
    variables: Mapping[str, str] | None = None,
) -> AsyncIterator[Spawned]:
    """Start `argv` at low priority with pipes for stdout and stderr. Raises ChildFailed when it cannot be started.

    It leads a process group, all of which is killed when the block is left. Its environment is `variables`, or what any
    tool needs.
    """

    async def start() -> Spawned:
        return Spawned(
            await asyncio.create_subprocess_exec(
                *_nice(argv, niceness),
                stdin=stdin,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                process_group=0,
                env=environment.for_tools() if variables is None else variables,
                limit=LINE_BYTES,
            )
        )

    try:
        child = await completion.started(start(), Spawned.end)
    except OSError as error:
        raise ChildFailed(f"{argv[0]} could not be started: {error.strerror}") from error
    try:
        yield child
    finally:
        await completion.finished(child.end())


async def run(
    argv: Sequence[str],
    *,
    timeout: float,
    stdin: bytes = b"",
    niceness: int = NICENESS,
    variables: Mapping[str, str] | None = None,
) -> bytes:
    """The output of `argv` on stdout. Raises ChildFailed on a bad exit status or after `timeout` seconds."""
    read_end, write_end = os.pipe()
    try:
        async with spawn(argv, stdin=read_end, niceness=niceness, variables=variables) as child:
            os.close(read_end)
            read_end = -1
            feeder = asyncio.create_task(asyncio.to_thread(_feed, write_end, stdin), name=f"stdin of {child.pid}")
            write_end = -1
            try:
                async with asyncio.timeout(timeout):
                    output = await child.stdout.read()
                    status = await child.wait()
            except TimeoutError:
                raise ChildFailed(f"{argv[0]} took longer than {timeout:g} s", stderr=child.stderr) from None
            finally:
                await child.end()
                await feeder
            if status:
                raise ChildFailed(f"{argv[0]} ended with {status}", returncode=status, stderr=child.stderr)
            return output
    finally:
        for descriptor in (read_end, write_end):
            if descriptor >= 0:
                os.close(descriptor)


def _feed(descriptor: int, data: bytes) -> None:
    with suppress(BrokenPipeError), os.fdopen(descriptor, "wb") as pipe:
        pipe.write(data)


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


class Tail:
    """Reads a stream to its end and keeps the last of it."""

    def __init__(self, stream: asyncio.StreamReader) -> None:
        self._kept = bytearray()
        self._reading = asyncio.create_task(self._read(stream), name="stderr of a child")

    @property
    def text(self) -> str:
        return self._kept.decode(errors="replace").strip()

    async def whole(self) -> None:
        await self._reading

    async def close(self) -> None:
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)

    async def _read(self, stream: asyncio.StreamReader) -> None:
        while chunk := await stream.read(4096):
            self._kept += chunk
            del self._kept[:-TAIL_BYTES]


class Spawned:
    """A running child that the server started. Its stderr is read all along and its end kept."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        if process.stdout is None or process.stderr is None:
            raise AssertionError("spawned without pipes")
        self.pid = process.pid
        self.stdout = process.stdout
        self._process = process
        self._killed = False
        self._tail = Tail(process.stderr)

    async def wait(self) -> int:
        """The exit status, negative for a signal, once the child ended and all its stderr was read."""
        status = await self._process.wait()
        await self._tail.whole()
        return status

    @property
    def stderr(self) -> str:
        return self._tail.text

    async def end(self) -> None:
        with suppress(ProcessLookupError, PermissionError):  # the latter is macOS's word for a group of zombies
            if not self._killed:
                self._killed = True  # once it has ended, its number may become another's
                os.killpg(self.pid, signal.SIGKILL)
        # A grandchild could hold the pipes open, and in Python 3.11 `wait` would wait for that too: let go of them.
        # The whole transport may be closed only afterwards: it would take the exit status from asyncio's watcher.
        transport: asyncio.SubprocessTransport = self._process._transport  # type: ignore[attr-defined]
        for pipe in map(transport.get_pipe_transport, (1, 2)):
            if pipe:
                pipe.close()
        await self._process.wait()
        transport.close()
        await self._tail.close()
