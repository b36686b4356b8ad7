"""Child processes; the only file that starts one.

Two kinds. A *forked* child (yt-dlp) comes warm out of a `multiprocessing` forkserver that has its module imported, and
leads a process group of its own. A *spawned* child (ffmpeg) is started by the server and may join that group. Each is
an `async with` block: when the block is left, however it is left, the child has ended and was reaped.

Nothing in these groups has state worth a goodbye (a run works in a folder that is thrown away), so the end is SIGKILL
at once: that is also what a child that ignores SIGTERM or is stopped needs.

When the server itself dies, even by SIGKILL, no child outlives it: each forked child holds the read end of a pipe whose
only write end is in the server, and kills its own group when that pipe ends. A group whose watching thread is stopped
(SIGSTOP) becomes an orphaned process group once the forkserver is gone, and gets SIGHUP and SIGCONT from the kernel
(POSIX.1-2017, _exit, "Consequences of Process Termination"); therefore the children stay in the server's session.
"""

from __future__ import annotations

import asyncio
import importlib
import multiprocessing
import os
import signal
import sys
import threading
import warnings
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from multiprocessing import connection, forkserver
from typing import Any

from .. import completion
from ..installation import CHECKOUT

#: Stderr kept of a child, in bytes: its end, where the reason stands.
TAIL_BYTES = 8192
#: A child's event is one line of JSON no longer than this, in bytes.
LINE_BYTES = 1 << 20
#: How much lower than the API's the priority of children is, so that it answers while every core encodes.
NICENESS = 10

_KILL_WAIT = 5.0
_context = multiprocessing.get_context("forkserver")


class ChildFailed(Exception):
    """A child that ended badly, was too slow or could not be started. `stderr` is the end of what it said."""

    def __init__(self, message: str, *, returncode: int | None = None, stderr: str = "") -> None:
        super().__init__(message)
        self.returncode = returncode
        self.stderr = stderr


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

    async def _end(self) -> None:
        with suppress(ProcessLookupError, PermissionError):  # the latter is macOS's word for a group of zombies
            if self._leads_group:
                self._leads_group = False  # once it has ended, its number may become another's
                os.killpg(self.pid, signal.SIGKILL)
            elif self._process.returncode is None:
                self._process.kill()
        # A grandchild could hold the pipes open, and in Python 3.11 `wait` would wait for that too: let go of them.
        self._process._transport.close()  # type: ignore[attr-defined]  # there is no public way
        await self._process.wait()
        self._reader.cancel()
        await asyncio.gather(self._reader, return_exceptions=True)


@asynccontextmanager
async def spawn(
    argv: Sequence[str],
    *,
    stdin: int = asyncio.subprocess.DEVNULL,
    group: int | None = None,
    cwd: str | None = None,
    pass_fds: Sequence[int] = (),
) -> AsyncIterator[Spawned]:
    """Start `argv` at low priority with pipes for stdout and stderr. Raises ChildFailed when it cannot be started.

    `group` is the process group to join; it must be alive. Without one the child leads its own, all of which is killed
    when the block is left. `pass_fds` are open in the child, too, under the same numbers.
    """

    async def start() -> Spawned:
        process = await asyncio.create_subprocess_exec(
            *_nice(argv),
            stdin=stdin,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            process_group=0 if group is None else group,
            cwd=cwd,
            pass_fds=pass_fds,
            limit=LINE_BYTES,
        )
        return Spawned(process, leads_group=group is None)

    try:
        child = await completion.started(start(), Spawned._end)
    except OSError as error:
        raise ChildFailed(f"{argv[0]} could not be started: {error.strerror}") from error
    try:
        yield child
    finally:
        await completion.finished(child._end())


async def run(argv: Sequence[str], *, timeout: float, stdin: bytes = b"", memory: int | None = None) -> bytes:
    """What `argv` prints to stdout. Raises ChildFailed on a bad exit status or after `timeout` seconds.

    `memory` is how many bytes of addresses it may use, where the system can hold it to that (Linux can).
    """
    if memory is not None:
        argv = ["sh", "-c", 'ulimit -d "$0" 2>/dev/null; exec "$@"', str(memory // 1024), *argv]
    read_end, write_end = os.pipe()
    try:
        async with spawn(argv, stdin=read_end) as child:
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
                await child._end()
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


def _nice(argv: Sequence[str]) -> list[str]:
    """POSIX `nice`: a preexec_fn would not be safe beside the server's threads."""
    return ["nice", "-n", str(NICENESS), *argv]


class Forked:
    """A running child of the forkserver, leader of the process group `pid`.

    `events` carries its lines; `output` is the read end of the pipe that is its stdout, to hand on to another child and
    then `close()`.
    """

    def __init__(self, process: Any, control: Any, events: asyncio.StreamReader, output: Any, link: Any) -> None:
        self.pid: int = process.pid
        self.events = events
        self.output = output
        self._process = process
        self._control = control
        self._link = link
        self._ended = asyncio.Event()
        asyncio.get_running_loop().add_reader(process.sentinel, self._note_end)

    def _note_end(self) -> None:
        asyncio.get_running_loop().remove_reader(self._process.sentinel)
        self._ended.set()

    async def wait(self) -> int:
        """The exit status, negative for a signal, once the child ended."""
        await self._ended.wait()
        self._process.join()
        return int(self._process.exitcode)

    async def _end(self) -> None:
        self.output.close()
        self._link.close()
        self._control.close()
        # Whatever else is in the group goes too. As long as one member lives its number belongs to no other group;
        # the leader's parent is the forkserver, which may have reaped it a moment ago.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        try:
            async with asyncio.timeout(_KILL_WAIT):
                await self.wait()
        finally:
            asyncio.get_running_loop().remove_reader(self._process.sentinel)
            with suppress(ValueError):
                self._process.close()


def preload(module: str, environment: Mapping[str, str] | None = None) -> None:
    """Start the forkserver, which imports `module` before it forks. Call in the main thread's loop, before a child.

    `environment` is set beside the server's own.
    """
    os.environ.update(environment or {})
    if sys.version_info < (3, 12) and hasattr(os, "pidfd_open"):
        # The default of 3.11 takes a thread for every child; 3.12 does this by itself.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            watcher = asyncio.PidfdChildWatcher()
            watcher.attach_loop(asyncio.get_running_loop())
            asyncio.set_child_watcher(watcher)
    _context.set_forkserver_preload([module])
    # A terminal sends its Ctrl-C to the forkserver, too, which ignores it by itself only once it has imported.
    heard = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with _safe_import_path():
            forkserver.ensure_running()
    finally:
        signal.signal(signal.SIGINT, heard)


@contextmanager
def _safe_import_path() -> Iterator[None]:
    """Start Python without the working directory, where `python -c` would look for modules first.

    A file `yt_dlp.py` in the folder where the command is typed must not run. A checkout is found by its own path.
    """
    changed = {"PYTHONSAFEPATH": "1"}
    if CHECKOUT:
        changed["PYTHONPATH"] = os.pathsep.join(filter(None, [str(CHECKOUT), os.environ.get("PYTHONPATH")]))
    before = {name: os.environ.get(name) for name in changed}
    os.environ.update(changed)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


@asynccontextmanager
async def fork(module: str, function: str, *args: object) -> AsyncIterator[Forked]:
    """Run `module.function(events, *args)` in a warm child.

    `events` is a `Connection`: whole lines written to its descriptor arrive at `Forked.events`. The child's stdin and
    stderr are the null device. The whole process group has ended when the block is left.
    """
    forked = await completion.started(_fork((module, function), args), Forked._end)
    try:
        yield forked
    finally:
        await completion.finished(forked._end())


async def _fork(target: tuple[str, str], args: tuple[object, ...]) -> Forked:
    watched, control = _context.Pipe(duplex=False)
    received, events = _context.Pipe(duplex=False)
    output, stdout = _context.Pipe(duplex=False)
    process = _context.Process(target=_child, args=(target, watched, events, stdout, args), daemon=True)
    try:
        await asyncio.to_thread(process.start)
    except BaseException:
        for end in (control, received, output):
            end.close()
        raise
    finally:
        for end in (watched, events, stdout):
            end.close()
    reader = asyncio.StreamReader(limit=LINE_BYTES)
    link, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), received)
    return Forked(process, control, reader, output, link)


def _child(
    target: tuple[str, str],
    watched: connection.Connection,
    events: connection.Connection,
    stdout: connection.Connection,
    args: tuple[object, ...],
) -> None:
    """In the child: become a group that dies with the server, then do the work, then wait to be ended."""
    os.setpgid(0, 0)
    threading.Thread(target=_die_with_the_server, args=(watched,), name="watch the server", daemon=True).start()
    # The forkserver ends when the last holder of this descriptor does. Only the server shall be one.
    if (alive := getattr(forkserver._forkserver, "_forkserver_alive_fd", None)) is not None:
        os.close(alive)
    os.nice(NICENESS)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(stdout.fileno(), 1)
    os.dup2(null, 2)
    os.close(null)
    stdout.close()
    module, function = target
    getattr(importlib.import_module(module), function)(events, *args)
    sys.stdout.flush()
    os.dup2(0, 1)
    events.close()
    # The watching thread ends this process, and with it the group, when the server lets go.
    threading.Event().wait()


def _die_with_the_server(watched: connection.Connection) -> None:
    with suppress(EOFError, OSError):
        watched.recv_bytes()
    os.killpg(0, signal.SIGKILL)
