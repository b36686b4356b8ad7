"""Holds a process to what it may use, once and for all. Files and network are Landlock's work, the limits POSIX's.

It imports little, since each forkserver keeps all that it imports in memory. `confinement.py` says who may use what.
"""

from __future__ import annotations

import resource
from collections.abc import Sequence
from contextlib import suppress

from . import landlock

#: Processes and threads of the server's user in all, its own included. It ends a fork bomb and nothing else.
_PROCESSES = 8192


def enter(
    memory: int,
    file_size: int,
    descriptors: int,
    read: Sequence[str],
    write: Sequence[str],
    network: bool,
    sandbox: bool,
) -> None:
    """Hold this process to it. Call before it has other threads. Raises OSError.

    Sizes are in bytes. `read` and `write` are paths. `sandbox` is whether Landlock holds files and network to it, where
    the system has it.
    """
    for kind, limit in (
        (resource.RLIMIT_DATA, memory),
        (resource.RLIMIT_FSIZE, file_size),
        (resource.RLIMIT_NOFILE, descriptors),
        (resource.RLIMIT_NPROC, _PROCESSES),
        (resource.RLIMIT_CORE, 0),
    ):
        _limit(kind, limit)
    landlock.no_new_privileges()
    if sandbox and landlock.version():
        landlock.restrict(read=read, write=write, network=network)


def _limit(kind: int, limit: int) -> None:
    """Lower a limit; one that is lower already stays."""
    _, hard = resource.getrlimit(kind)
    if hard != resource.RLIM_INFINITY:
        limit = min(limit, hard)
    with suppress(ValueError, OSError):  # macOS has limits that cannot be set
        resource.setrlimit(kind, (limit, limit))
