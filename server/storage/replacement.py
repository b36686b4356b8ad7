"""Replaces a database that is damaged or missing. Everything here blocks.

The new one is written under a temporary name, so that the old file stays until the new one is complete.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
from datetime import UTC, datetime
from pathlib import Path

from ..filesystems import can_lock_bytes, sync
from .database import Database
from .lock import Locked
from .schema import Damaged

log = logging.getLogger(__name__)

#: How many of the files found in the database's place are kept, the newest.
KEPT_ASIDE = 3
#: Suffixes of the files that SQLite may keep beside a database.
_SUFFIXES = ("", "-wal", "-shm", "-journal")
#: The bytes that every reader and writer of a database locks (the locking protocol in SQLite's os.h).
_SHARED_FIRST, _SHARED_BYTES = 0x40000002, 510


def begin(path: Path) -> Database:
    """An empty database beside `path`, in its one transaction. Raises OSError, or Damaged."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    remove_unfinished(path)
    try:
        fresh = Database(_beside(path, ".new"))
        fresh.begin()
    except BaseException:
        remove_unfinished(path)
        raise
    return fresh


def discard(fresh: Database, path: Path) -> None:
    """Remove all its files under the temporary name."""
    fresh.close()
    remove_unfinished(path)


def put_in_place(fresh: Database, old: Database | None, path: Path) -> Database:
    """Give the finished `fresh` the name `path` and open it there. `old` is closed; what lies there goes aside.

    Raises OSError, also when another server uses what lies there.
    """
    if old is not None:
        old.close()
    if is_locked(path):
        raise OSError(errno.EBUSY, "another server is using it", str(path))
    if (aside := set_aside(path, "replaced")) is not None:
        log.warning("%s: what was found there is now %s", path, aside)
        _remove_older(path, "replaced")
    fresh.path.replace(path)
    sync(path.parent)
    try:
        return Database(path)
    except (Locked, Damaged) as error:
        raise OSError(errno.EBUSY, str(error), str(path)) from error


def take_over_unfinished(path: Path) -> None:
    """Give a new database its name if a server was killed when nothing had it any more. It is whole, or empty."""
    if not path.exists():
        for suffix in ("-wal", ""):
            with contextlib.suppress(FileNotFoundError):
                _beside(path, ".new" + suffix).rename(_beside(path, suffix))


def remove_unfinished(path: Path) -> None:
    """Remove the temporary files of a killed server."""
    for suffix in _SUFFIXES:
        _beside(path, ".new" + suffix).unlink(missing_ok=True)


def set_aside(path: Path, why: str) -> Path | None:
    """Rename the database and all that belongs to it; the first new name, None if nothing is there. Raises OSError."""
    # With dots, since the log hides any longer word as a possible secret.
    aside = _beside(path, f".{why}.{datetime.now(UTC):%Y%m%dT%H%M%S.%f}")
    renamed = []
    for suffix in _SUFFIXES:
        with contextlib.suppress(FileNotFoundError):
            renamed.append(_beside(path, suffix).rename(_beside(aside, suffix)))
    return renamed[0] if renamed else None


def _remove_older(path: Path, why: str) -> None:
    """So that something that replaces the database again and again does not fill the disk."""
    length = len(_beside(path, f".{why}.20260131T235959.000000").name)
    for old in sorted({found.name[:length] for found in path.parent.glob(f"{path.name}.{why}.*")})[:-KEPT_ASIDE]:
        for suffix in _SUFFIXES:
            with contextlib.suppress(OSError):  # somebody may have put a folder there
                path.with_name(old + suffix).unlink(missing_ok=True)


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def is_locked(path: Path) -> bool:
    """Whether another process has the database open. SQLite itself is not asked: it would write into what it finds."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except (FileNotFoundError, IsADirectoryError):
        return False
    try:
        if can_lock_bytes(descriptor):
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, _SHARED_BYTES, _SHARED_FIRST)
    except (BlockingIOError, PermissionError):
        return True
    finally:
        os.close(descriptor)
    return False
