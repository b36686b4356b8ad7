"""Notices when a file that SQLite has open is replaced or cut. Everything here blocks."""

from __future__ import annotations

import os
from pathlib import Path


class WatchedFile:
    """Compares the file under a name with the one at the last call of `remember`."""

    def __init__(self, path: Path, header: int) -> None:
        self._path = path
        self.descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._header_bytes = header
        self.forget()

    def __enter__(self) -> WatchedFile:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.descriptor)

    def forget(self) -> None:
        """Take whatever stands in it from now on."""
        self._size, self._header = 0, b""

    def remember(self) -> None:
        """It may grow from now on, but its beginning must stay."""
        self._size = os.fstat(self.descriptor).st_size
        self._header = os.pread(self.descriptor, self._header_bytes, 0)

    def is_intact(self) -> bool:
        try:
            found, own = self._path.stat(), os.fstat(self.descriptor)
            header = os.pread(self.descriptor, self._header_bytes, 0)
        except OSError:
            return False
        same = (found.st_dev, found.st_ino) == (own.st_dev, own.st_ino)
        return same and own.st_size >= self._size and header.startswith(self._header)
