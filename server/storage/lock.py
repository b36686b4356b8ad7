"""One server per folder: an advisory lock (flock(2)) that ends with the process."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


class Locked(Exception):
    """Another server uses the folder."""


def take(folder: Path, name: str, what: str) -> int:
    """Lock the file `name` in `folder`, which messages call the `what` folder; the lock lasts until it is closed.

    Blocking. Raises Locked or OSError.
    """
    descriptor = os.open(folder / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise Locked(f"{folder}: another server is using this {what} folder") from None
    except OSError:
        os.close(descriptor)
        raise
    return descriptor
