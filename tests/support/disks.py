"""Filling up a disk."""

from __future__ import annotations

import errno
from pathlib import Path

MEBIBYTE = 1 << 20


def fill(disk: Path) -> None:
    """To the last byte, also where something is being removed meanwhile."""
    with (disk / "filler").open("ab", buffering=0) as filler:
        for size in (MEBIBYTE, 4096, 1):
            try:
                while True:
                    filler.write(bytes(size))
            except OSError as error:
                assert error.errno == errno.ENOSPC
