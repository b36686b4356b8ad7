"""Reads tables of a database that a running server may have open. Everything here blocks.

A server keeps its database locked, so a copy is read. It holds everything that was committed, unless a checkpoint came
between the copying of the file and of its write-ahead log. A checkpoint changes the beginning of one of them, so this
compares both beginnings, and copies once more.

Not for the process that has the database open: closing a file lets go of all locks that a process has on it.

Known limits: the copy takes as much room in the temporary folder as the database.
"""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import tempfile
from contextlib import closing, suppress
from pathlib import Path

from .database import Rows, decode

#: Copies that are tried until one is whole.
_TRIES = 20
#: Bytes of the headers of the database and of its write-ahead log (sqlite.org/fileformat2.html).
_HEADERS = (("", 100), ("-wal", 32))


def rows(path: Path, table: str) -> Rows:
    """The rows of `table`. See `tables`."""
    return tables(path, table)[table]


def tables(path: Path, *names: str) -> dict[str, Rows]:
    """The rows of each table as of one moment; none if the database has no such table.

    Raises OSError, also when there is no database. Rows that cannot be read are left out.
    """
    with tempfile.TemporaryDirectory(prefix="ytmp3d-") as folder:
        copied = copy(path, Path(folder))
        try:
            with closing(opened(copied)) as connection:
                return {name: _read(connection, name) for name in names}
        except sqlite3.Error as error:
            raise OSError(errno.EIO, f"the database cannot be read ({error})", str(copied)) from error


def copy(path: Path, folder: Path) -> Path:
    """A copy of the database in the empty `folder`, with its write-ahead log beside it. Raises OSError."""
    copied = folder / path.name
    for _ in range(_TRIES):
        before = _beginnings(path)
        shutil.copyfile(path, copied)
        _beside(copied, "-wal").unlink(missing_ok=True)
        with suppress(FileNotFoundError):
            shutil.copyfile(_beside(path, "-wal"), _beside(copied, "-wal"))
        if before == _beginnings(path):
            return copied
    raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), str(path))


def opened(copied: Path) -> sqlite3.Connection:
    """A connection to a copy, with all that its write-ahead log holds. Raises sqlite3.Error."""
    connection = sqlite3.connect(copied, isolation_level=None)
    connection.text_factory = bytes
    connection.execute("PRAGMA locking_mode = EXCLUSIVE").fetchall()
    return connection


def _read(connection: sqlite3.Connection, table: str) -> Rows:
    found: Rows = []
    known = connection.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?", (table,))
    if not known.fetchone():
        return []
    for key, record in connection.execute(f"SELECT id, record FROM {table}"):  # noqa: S608  # our own name
        with suppress(AttributeError, ValueError, RecursionError):
            found.append((key.decode(), decode(record)))
    return found


def _beginnings(path: Path) -> list[bytes]:
    return [_beginning(_beside(path, suffix), length) for suffix, length in _HEADERS]


def _beginning(path: Path, length: int) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(length)
    except FileNotFoundError:
        return b""


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)
