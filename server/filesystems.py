"""What some file systems cannot do, and how ytmp3d goes on without: sync, lock, and replace a file by renaming.

Network disks (SMB, NFS), FUSE and files that a container mounts one by one each refuse something. Everything here
blocks.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

_UNSUPPORTED = (errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)
_NO_LOCKS = (*_UNSUPPORTED, errno.ENOLCK)
#: What renaming over a file says where the file is mounted by itself, is held open, or lies on another disk.
_NOT_REPLACED = (errno.EBUSY, errno.EPERM, errno.EXDEV, errno.EACCES)

NO_SYNC = "its file system cannot sync to disk, so a power failure may take what has just been written"
NO_LOCKS = "its file system has no locks, so nothing stops a second program there: run one server on it only"


def sync(path: Path) -> None:
    """Sync a file or folder to disk, if its file system can; see `lacks`. Raises OSError for any other reason."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        sync_open(descriptor)
    finally:
        os.close(descriptor)


def sync_open(descriptor: int) -> bool:
    """As `sync`, for an open file; whether its file system can."""
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
        return False
    return True


def lock(descriptor: int, *, wait: bool = False) -> bool:
    """Lock an open file by flock(2) until it is closed; whether its file system can.

    Raises BlockingIOError when somebody else has locked it, unless it is to `wait`, or OSError.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        return False
    return True


def can_lock_bytes(descriptor: int) -> bool:
    """Whether the first byte of an open file can be locked by fcntl(2), as SQLite does with others. Raises OSError."""
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1)
        fcntl.lockf(descriptor, fcntl.LOCK_UN, 1)
    except (BlockingIOError, PermissionError):
        return True  # somebody else has locked it
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        return False
    return True


def replace(part: Path, path: Path) -> None:
    """Give the finished file `part` the name `path`. Raises OSError.

    Where the file there cannot be replaced, its content is written over; then a reader may see half of it for a moment.
    """
    try:
        part.replace(path)
    except OSError as error:
        if error.errno not in _NOT_REPLACED or not path.is_file():
            raise
        with part.open("rb") as source, path.open("r+b") as target:
            target.truncate()
            shutil.copyfileobj(source, target)
            target.flush()
            sync_open(target.fileno())
        part.unlink()


def move(file: Path, path: Path) -> None:
    """Give the complete, synced `file` the new name `path`, on another disk if need be. Raises OSError."""
    try:
        file.replace(path)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        part = path.with_suffix(".part")
        try:
            shutil.copyfile(file, part)
            sync(part)
            part.replace(path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise


def lacks(folder: Path) -> list[str]:
    """What the file system of `folder` cannot do, each in a sentence with what may be lost by it."""
    found = []
    with suppress(OSError), tempfile.TemporaryFile(dir=folder) as probe:
        whole = os.open(folder, os.O_RDONLY)
        try:
            if not (sync_open(probe.fileno()) and sync_open(whole)):
                found.append(NO_SYNC)
        finally:
            os.close(whole)
        if not (lock(probe.fileno()) and can_lock_bytes(probe.fileno())):
            found.append(NO_LOCKS)
    return found
