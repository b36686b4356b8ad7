"""One server per folder: an advisory lock (flock(2)) that ends with the process."""

from __future__ import annotations

import os
from pathlib import Path

from .. import filesystems


class Locked(Exception):
    """Another server uses the folder."""


def take(folder: Path, name: str, what: str) -> int:
    """Lock the file `name` in `folder`, which messages call the `what` folder; the lock lasts until it is closed.

    Blocking. Where the file system has no locks, nothing is locked. Raises Locked or OSError.
    """
    descriptor = os.open(folder / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        filesystems.lock(descriptor)
    except BlockingIOError:
        os.close(descriptor)
        raise Locked(f"{folder}: another server is using this {what} folder") from None
    except OSError:
        os.close(descriptor)
        raise
    return descriptor
