"""Syncs a file or folder to disk. Blocks."""

from __future__ import annotations

import errno
import os
from pathlib import Path

#: Errors of file systems that cannot sync a folder.
_CANNOT_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS)


def sync(path: Path) -> None:
    """Raises OSError, but not for a folder that cannot be synced as such: SMB and many FUSE file systems cannot."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _CANNOT_SYNC or not path.is_dir():
            raise
    finally:
        os.close(descriptor)
