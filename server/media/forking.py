"""Children of a forkserver (see `forkserver.py`). The warm ones run yt-dlp: the forkserver has imported their module.

Each is an `async with` block, as in `process.py`, and leads a process group of its own, which programs of `tools.py`
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
from typing import TypeVar

from .. import completion
from . import environment
from .confinement import Confinement
from .forked import Forked as Forked
from .forked import Pipes, Status, reading
from .forkserver import READY, WORD
from .process import ChildFailed, safe_import_path

T = TypeVar("T")

#: Seconds that a forkserver which was let go may take to end.
_EXIT_TIMEOUT = 10.0


class ForkServer:
    """A process that imports `module` and then forks. Its start returns at once, blocking only shortly.

    `variables` are its environment. `child` is the module that says what a child does with its work and descriptors.
    """

    def __init__(self, module: str, variables: Mapping[str, str], child: str = f"{__package__}.warm_child") -> None:
        self.module = module
        self.variables = dict(variables)
        self.child = child
        self._children = 0
        self._retired = False
        self._control, theirs = socket.socketpair()
        with theirs:
            number = theirs.fileno()
            work = f"main({number}, {module!r}, {child!r})"
            self._process = subprocess.Popen(
                [sys.executable, "-c", f"from {__package__}.forkserver import main; {work}"],
                stdin=subprocess.DEVNULL,
                env=self.variables,
                pass_fds=[number],
                process_group=0,  # a terminal sends its Ctrl-C to a whole group
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def again(self) -> ForkServer:
        """Another of the same kind."""
        return ForkServer(self.module, self.variables, self.child)

    async def start(
        self, work: object, given: Sequence[connection.Connection], lent: Sequence[int] = ()
    ) -> tuple[int, Status]:
        """Fork a child that gets `work` and these descriptors. Its process id, and how it ends.

        `given` are closed here. Call `child_ended` afterwards. Raises ForkServerEnded and OSError.
        """
        status, told = connection.Pipe(duplex=False)
        self._children += 1
        try:
            pid = await asyncio.to_thread(self._request, pickle.dumps(work), (told, *given), lent, status)
        except BaseException:
            self.child_ended()
            status.close()
            raise
        finally:
            for end in (told, *given):
                end.close()
        return pid, Status(status)

    def child_ended(self) -> None:
        self._children -= 1
        self._let_go()

    def _request(
        self,
        work: bytes,
        given: Sequence[connection.Connection],
        lent: Sequence[int],
        status: connection.Connection,
    ) -> int:
        """The process id of a new child. Blocking. Raises OSError when there can be none now."""
        reading, writing = os.pipe()
        try:
            with os.fdopen(writing, "wb") as pipe:
                try:
                    descriptors = [reading, *(end.fileno() for end in given), *lent]
                    socket.send_fds(self._control, [b"f"], descriptors)
                finally:
                    os.close(reading)
                pipe.write(work)
            for end in given:  # so that the end of the forkserver is the end of the pipe
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
        super().__init__(f"the process that starts others has ended: {self.reason}", stderr=why)


class Current:
    """The forkserver that new children come from, while there is one."""

    def __init__(self) -> None:
        self.server: ForkServer | None = None
        self._lock = threading.Lock()
        atexit.register(self._end)

    def take(self, server: ForkServer) -> None:
        with self._lock:
            old, self.server = self.server, server
        if old:
            old.retire()

    async def start(
        self, make: Callable[[ForkServer], Awaitable[T]], first: Callable[[], ForkServer] | None = None
    ) -> T:
        """Return what `make` does with the forkserver. One that has ended is replaced, once.

        `first` makes the first one; without it, there must be one.
        """
        if self.server is None and first:
            await asyncio.to_thread(self._begin, first)
        server = self.started()
        try:
            return await make(server)
        except ForkServerEnded:
            healed = await asyncio.to_thread(self._healed, server)
        server.retire()
        return await make(healed)

    def started(self) -> ForkServer:
        if self.server is None:
            raise RuntimeError("no child can be forked before `preload`")
        return self.server

    def _begin(self, first: Callable[[], ForkServer]) -> None:
        """Blocks for a moment."""
        with self._lock:
            if self.server is None:
                self.server = first()

    def _healed(self, ended: ForkServer) -> ForkServer:
        """Another in place of one that has ended, if nobody else has started it yet. Blocks for a moment."""
        with self._lock:
            if self.server is ended or self.server is None:
                self.server = ended.again()
            return self.server

    def _end(self) -> None:
        with self._lock:
            if self.server:
                self.server.kill()


_current = Current()


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
    before, wanted = _current.server, {**environment.for_ytdlp(), **safe_import_path(), **(variables or {})}
    if before is None or (before.module, before.variables) != (module, wanted):
        _current.take(ForkServer(module, wanted))


async def renew(prove: Callable[[ForkServer], Awaitable[None]]) -> None:
    """Start a fresh forkserver beside the current one, to take its place once `prove` has returned.

    What `prove` raises is raised, and then the current one stays. Children of the old one run to their own end.
    """
    fresh = await asyncio.to_thread(_current.started().again)
    try:
        await prove(fresh)
    except BaseException:
        fresh.retire()
        raise
    _current.take(fresh)


@asynccontextmanager
async def fork(
    module: str,
    function: str,
    *args: object,
    confinement: Confinement | None = None,
    source: ForkServer | None = None,
) -> AsyncIterator[Forked]:
    """Run `module.function(events, *args)` in a warm child, of `source` or else of the current forkserver.

    `events` is a `Connection`: whole lines written to its descriptor arrive at `Forked.events`. The child's stdin and
    stderr are the null device. The whole process group has ended when the block is left. A current forkserver that has
    ended is replaced; ForkServerEnded is raised when its successor ends at once, too.
    """

    async def make(server: ForkServer) -> Forked:
        return await _fork(server, (confinement and confinement.rules, module, function, args))

    forked = await completion.started(make(source) if source else _current.start(make), Forked.end)
    try:
        yield forked
    finally:
        await completion.finished(forked.end())


async def _fork(server: ForkServer, work: object) -> Forked:
    watched, control = connection.Pipe(duplex=False)
    received, events = connection.Pipe(duplex=False)
    output, stdout = connection.Pipe(duplex=False)
    pipes = Pipes(control, received, output)
    try:
        pid, status = await server.start(work, (watched, events, stdout))
    except BaseException:
        pipes.close()
        raise
    return Forked(pid, status, pipes, *await reading(received), server.child_ended)
