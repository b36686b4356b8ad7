"""Warm children, which run yt-dlp: a forkserver (see `forkserver.py`) has their module imported and forks them.

Each is an `async with` block, as in `process.py`, and leads a process group of its own, which children of `process.py`
may join.

When the server itself dies, even by SIGKILL, no child outlives it: each forked child holds the read end of a pipe whose
only write end is in the server, and kills its own group when that pipe ends. A group whose watching thread is stopped
(SIGSTOP) becomes an orphaned process group once the forkserver is gone, and gets SIGHUP and SIGCONT from the kernel
(POSIX.1-2017, _exit, "Consequences of Process Termination"); therefore the children stay in the server's session.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import pickle
import socket
import subprocess
import sys
import threading
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from multiprocessing import connection

from .. import completion
from . import environment
from .forked import Forked as Forked
from .forked import Pipes
from .forkserver import READY, WORD
from .process import LINE_BYTES, ChildFailed, safe_import_path

#: Seconds that a forkserver which was let go may take to end.
_EXIT_TIMEOUT = 10.0


class ForkServer:
    """A process that imports `module` and then forks warm children. Its start returns at once, blocking only shortly.

    `variables` are set in its environment beside what yt-dlp needs.
    """

    def __init__(self, module: str, variables: Mapping[str, str]) -> None:
        self.module = module
        self.variables = dict(variables)
        self._children = 0
        self._retired = False
        self._control, theirs = socket.socketpair()
        with theirs:
            number = theirs.fileno()
            self._process = subprocess.Popen(
                [sys.executable, "-c", f"from {__package__}.forkserver import main; main({number}, {module!r})"],
                stdin=subprocess.DEVNULL,
                env={**environment.for_ytdlp(), **safe_import_path(), **self.variables},
                pass_fds=[number],
                process_group=0,  # a terminal sends its Ctrl-C to a whole group
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    async def fork(self, module: str, function: str, args: tuple[object, ...]) -> Forked:
        """A child that runs `module.function(events, *args)`. Raises ForkServerEnded."""
        watched, control = connection.Pipe(duplex=False)
        received, events = connection.Pipe(duplex=False)
        output, stdout = connection.Pipe(duplex=False)
        status, told = connection.Pipe(duplex=False)
        pipes, handed = Pipes(control, status, received, output), (told, watched, events, stdout)
        self._children += 1
        try:
            pid = await asyncio.to_thread(self._request, pickle.dumps((module, function, args)), handed, status)
        except BaseException:
            self._child_ended()
            pipes.close()
            raise
        finally:
            for end in handed:
                end.close()
        reader = asyncio.StreamReader(limit=LINE_BYTES)
        link, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), received
        )
        return Forked(pid, pipes, reader, link, self._child_ended)

    def _child_ended(self) -> None:
        self._children -= 1
        self._let_go()

    def _request(self, work: bytes, handed: Sequence[connection.Connection], status: connection.Connection) -> int:
        """The process id of a new child. Blocking. Raises OSError when there can be none now."""
        reading, writing = os.pipe()
        try:
            with os.fdopen(writing, "wb") as pipe:
                try:
                    socket.send_fds(self._control, [b"f"], [reading, *(end.fileno() for end in handed)])
                finally:
                    os.close(reading)
                pipe.write(work)
            for end in handed:  # so that the end of the forkserver is the end of the pipe
                end.close()
            word = os.read(status.fileno(), WORD.size)
        except (BrokenPipeError, ConnectionResetError):
            word = b""
        if not word:
            raise ForkServerEnded(self._last_words())
        (pid,) = WORD.unpack(word)
        if pid < 0:
            raise OSError(-pid, os.strerror(-pid))
        return int(pid)

    def _last_words(self) -> str:
        with suppress(OSError):
            said = self._control.recv(8192, socket.MSG_DONTWAIT | socket.MSG_PEEK)
            return said.removeprefix(READY)[1:].decode(errors="replace").strip()
        return ""

    def retire(self) -> None:
        """End the process once its last child has ended."""
        self._retired = True
        self._let_go()

    def kill(self) -> None:
        """End the process at once. Blocks for a moment."""
        self._control.close()
        self._process.kill()
        self._process.wait()

    def _let_go(self) -> None:
        if self._retired and not self._children:
            self._control.close()
            threading.Thread(target=self._reap, name=f"end of forkserver {self.pid}", daemon=True).start()

    def _reap(self) -> None:
        try:
            self._process.wait(_EXIT_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class ForkServerEnded(ChildFailed):
    """The forkserver has ended; `reason` and, whole, `stderr` say why, where its module could not be imported."""

    def __init__(self, why: str) -> None:
        self.reason = why.splitlines()[-1] if why else "it was killed"
        super().__init__(f"the process that starts yt-dlp has ended: {self.reason}", stderr=why)


class _Current:
    """The forkserver that new children come from."""

    def __init__(self) -> None:
        self.server: ForkServer | None = None
        self._lock = threading.Lock()

    def take(self, server: ForkServer) -> None:
        with self._lock:
            old, self.server = self.server, server
        if old:
            old.retire()

    def healed(self, ended: ForkServer) -> ForkServer:
        """Another in place of one that has ended, if nobody else has started it yet. Blocks for a moment."""
        with self._lock:
            if self.server is ended or self.server is None:
                self.server = ForkServer(ended.module, ended.variables)
            return self.server

    def end(self) -> None:
        with self._lock:
            if self.server:
                self.server.kill()


_current = _Current()
atexit.register(_current.end)


def preload(module: str, variables: Mapping[str, str] | None = None) -> None:
    """Start the forkserver, which imports `module` before it forks. Call in the main thread's loop, before a child.

    `variables` are set in its environment beside what yt-dlp needs.
    """
    if sys.version_info < (3, 12) and hasattr(os, "pidfd_open"):
        # The default of 3.11 takes a thread for every child; 3.12 does this by itself.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            watcher = asyncio.PidfdChildWatcher()
            watcher.attach_loop(asyncio.get_running_loop())
            asyncio.set_child_watcher(watcher)
    before, wanted = _current.server, dict(variables or {})
    if before is None or (before.module, before.variables) != (module, wanted):
        _current.take(ForkServer(module, wanted))


async def renew(prove: Callable[[ForkServer], Awaitable[None]]) -> None:
    """Start a fresh forkserver beside the current one, to take its place once `prove` has returned.

    What `prove` raises is raised, and then the current one stays. Children of the old one run to their own end.
    """
    old = _started()
    fresh = await asyncio.to_thread(ForkServer, old.module, old.variables)
    try:
        await prove(fresh)
    except BaseException:
        fresh.retire()
        raise
    _current.take(fresh)


@asynccontextmanager
async def fork(module: str, function: str, *args: object, source: ForkServer | None = None) -> AsyncIterator[Forked]:
    """Run `module.function(events, *args)` in a warm child, of `source` or else of the current forkserver.

    `events` is a `Connection`: whole lines written to its descriptor arrive at `Forked.events`. The child's stdin and
    stderr are the null device. The whole process group has ended when the block is left. A current forkserver that has
    ended is replaced; ForkServerEnded is raised when its successor ends at once, too.
    """
    forked = await completion.started(_fork(source, module, function, args), Forked.end)
    try:
        yield forked
    finally:
        await completion.finished(forked.end())


async def _fork(source: ForkServer | None, module: str, function: str, args: tuple[object, ...]) -> Forked:
    server = source or _started()
    try:
        return await server.fork(module, function, args)
    except ForkServerEnded:
        if source:
            raise
    healed = await asyncio.to_thread(_current.healed, server)
    server.retire()
    return await healed.fork(module, function, args)


def _started() -> ForkServer:
    if _current.server is None:
        raise RuntimeError("no child can be forked before `preload`")
    return _current.server
