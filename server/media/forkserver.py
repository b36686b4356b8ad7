"""Runs in a forkserver: a process that has imported a module, and forks a child for each request.

`forking.py` starts it and holds the other end of its socket. A request is a byte with descriptors: a pipe with the
pickled work, a pipe for the child's status, and the child's own. What a child does is in `warm_child.py` and
`tool_child.py`. The socket has no name in the file system that anybody could remove. The forkserver ends when the
server closes its end or dies.
"""

from __future__ import annotations

import importlib
import os
import select
import signal
import socket
import struct
import sys
from collections.abc import Callable
from contextlib import suppress

from . import landlock

#: How much lower the children's priority is than the server's, so that it answers while every core encodes.
NICENESS = 10
#: The first byte in the socket once the module is imported; otherwise an error text follows.
READY, FAILED = b"+", b"-"
#: What is written of a child: its process id or a negative errno, later its exit status, negative for a signal.
WORD = struct.Struct("q")
#: Descriptors that come with a request at most: work, status, and the child's own.
_DESCRIPTORS = 8


def main(descriptor: int, module: str, child: str) -> None:
    """Import `module`, then fork until the other end of the socket `descriptor` is closed.

    A child calls `become(work, *own)` of the module `child`.
    """
    control = socket.socket(fileno=descriptor)
    control.set_inheritable(False)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        importlib.import_module(module)
        become = importlib.import_module(child).become
        landlock.version()  # asked once, before the children need it
    except BaseException:  # also SystemExit: the server must learn of every failure
        with suppress(OSError):
            control.sendall(FAILED + _traceback()[-4000:].encode(errors="replace"))
        return
    with suppress(ConnectionError):  # the server died
        control.sendall(READY)
        _Forking(control, become).serve()


class _Forking:
    def __init__(self, control: socket.socket, become: Callable[..., None]) -> None:
        self._control = control
        self._become = become
        self._statuses: dict[int, int] = {}
        # A signal between two calls must wake the next one.
        self._woken, self._wake = socket.socketpair()
        self._woken.setblocking(False)
        self._wake.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wake.fileno(), warn_on_full_buffer=False)

    def serve(self) -> None:
        while True:
            readable, _, _ = select.select([self._control, self._woken], [], [])
            with suppress(BlockingIOError):
                self._woken.recv(4096)
            self._reap()
            if self._control in readable:
                asked, descriptors, _, _ = socket.recv_fds(self._control, 1, _DESCRIPTORS)
                if not asked:
                    return
                self._fork(descriptors)

    def _fork(self, descriptors: list[int]) -> None:
        for descriptor in descriptors:
            os.set_inheritable(descriptor, False)
        work, status, *own = descriptors
        try:
            pid = os.fork()
        except OSError as error:
            pid = -(error.errno or 1)
        if pid == 0:
            self._become_child(work, status, own)
        _tell(status, pid)
        if pid > 0:
            self._statuses[pid] = status
        else:
            os.close(status)
        for descriptor in (work, *own):
            os.close(descriptor)

    def _become_child(self, work: int, status: int, own: list[int]) -> None:
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            for end in (self._control, self._woken, self._wake):
                end.close()
            for descriptor in (status, *self._statuses.values()):
                os.close(descriptor)
            self._become(work, *own)
        except BaseException:
            sys.stderr.write(_traceback())
        finally:
            os._exit(1)

    def _reap(self) -> None:
        while self._statuses:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            descriptor = self._statuses.pop(pid)
            _tell(descriptor, os.waitstatus_to_exitcode(status))
            os.close(descriptor)


def _tell(descriptor: int, number: int) -> None:
    with suppress(BrokenPipeError):  # the server no longer waits for it
        os.write(descriptor, WORD.pack(number))


def _traceback() -> str:
    import traceback  # here, since whatever a forkserver imports takes memory for as long as the server runs

    return traceback.format_exc()
