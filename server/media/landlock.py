"""Landlock: a process gives up files and connections for good, and so do the programs that it starts.

Linux only; see landlock(7) and the kernel's "Landlock: unprivileged access control". The numbers are those of
`linux/landlock.h` and hold on every architecture that Python runs on.
"""

from __future__ import annotations

import ctypes
import functools
import os
import stat
import struct
import sys
from collections.abc import Iterable
from contextlib import suppress

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION_FLAG = 1
_PATH_BENEATH = 1
_PR_SET_NO_NEW_PRIVS = 38

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_REFER, _TRUNCATE = 1 << 13, 1 << 14
#: What the first version knows: everything from executing a file to making a symbolic link.
_FIRST = (1 << 13) - 1
_CONNECT_AND_BIND = 0b11

_READ = _EXECUTE | _READ_FILE | _READ_DIR
#: Devices, sockets and pipes are not made: bits 6, 9, 10 and 11.
_WRITE = _READ | _WRITE_FILE | _TRUNCATE | _REFER | (1 << 4) | (1 << 5) | (1 << 7) | (1 << 8) | (1 << 12)
#: What there is to allow of something that is not a folder.
_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE

#: The first version that can forbid TCP connections.
NETWORK_VERSION = 4


@functools.cache
def version() -> int:
    """The version of Landlock that this kernel has switched on; 0 for none."""
    if sys.platform != "linux":
        return 0
    with suppress(OSError):
        return _syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _VERSION_FLAG)
    return 0


def no_new_privileges() -> None:
    """From here on no program that this thread starts gets more rights than it has, not even one that is setuid."""
    if sys.platform == "linux" and _libc().prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise _error()


def restrict(*, read: Iterable[str], write: Iterable[str], network: bool) -> None:
    """Leave this thread, and what it starts, only the files in `read` and `write`, with all that is in such a folder.

    What is in `read` can be executed, too. Paths that do not exist are passed over. Without `network` there are no TCP
    connections, if the kernel can forbid them. Call `no_new_privileges` first. Raises OSError.
    """
    known = version()
    handled = _FIRST | (_REFER if known >= 2 else 0) | (_TRUNCATE if known >= 3 else 0)
    no_network = _CONNECT_AND_BIND if not network and known >= NETWORK_VERSION else 0
    attributes = struct.pack("QQ", handled, no_network)
    size = 16 if known >= NETWORK_VERSION else 8
    ruleset = _syscall(_CREATE_RULESET, attributes, ctypes.c_size_t(size), 0)
    try:
        for paths, allowed in ((read, _READ), (write, _WRITE)):
            for path in paths:
                _allow(ruleset, path, allowed & handled)
        _syscall(_RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: str, allowed: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            allowed &= _OF_FILES
        _syscall(_ADD_RULE, ruleset, _PATH_BENEATH, struct.pack("=Qi", allowed, descriptor), 0)
    finally:
        os.close(descriptor)


def _syscall(number: int, *arguments: object) -> int:
    result: int = _libc().syscall(number, *arguments)
    if result < 0:
        raise _error()
    return result


def _error() -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number))


@functools.cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
