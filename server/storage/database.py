"""The database's file: SQLite in WAL mode, locked by this process. Everything here blocks and belongs to one thread.

Each table keeps rows of (id, JSON object). The code checks the file itself: SQLite would go on writing into a file that
was removed or replaced, and a restart would lose those rows.

Known limits: an overwritten page in the middle of the file is noticed only when SQLite reads it; a file system that
ignores POSIX locks, or has none, lets two servers in. One that cannot sync may lose rows when the power fails.
"""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import secrets
import sqlite3
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..filesystems import can_lock_bytes, sync, sync_open
from .lock import Locked
from .schema import TABLES, Damaged, configure, migrate
from .watched_file import WatchedFile

Record = dict[str, Any]
#: As (id, record).
Rows = list[tuple[str, Record]]
#: By table and id: the record as JSON, None to remove it, or `SET_ASIDE`.
Changes = Mapping[tuple[str, str], str | None]

log = logging.getLogger(__name__)

#: Moves a row to the table `unreadable`. No record looks like this: each is a JSON object.
SET_ASIDE = "set aside"
#: Rows written until the write-ahead log is copied into the database, so that it stays at a few megabytes.
CHECKPOINT_ROWS = 500
#: Bytes of a record; a longer one is refused, or set aside instead of loaded.
MAX_RECORD = 1 << 20
_HEADER, _WAL_HEADER = 100, 32  # bytes (sqlite.org/fileformat2.html)

_ERRNO = {
    sqlite3.SQLITE_FULL: errno.ENOSPC,
    sqlite3.SQLITE_READONLY: errno.EROFS,
    sqlite3.SQLITE_PERM: errno.EACCES,
    sqlite3.SQLITE_CANTOPEN: errno.EACCES,
    sqlite3.SQLITE_NOMEM: errno.ENOMEM,
}
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_SCHEMA)


class Database:
    """The open file at `path`, made if need be, for its owner only.

    Raises Locked, Damaged or OSError, as every method may (Locked only here). After Damaged, write it anew.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.damaged = False
        self._rows_since_checkpoint = 0
        with contextlib.ExitStack() as stack:
            # Closed last: closing any descriptor of a file lets go of all locks that the process has on it.
            self._file = stack.enter_context(WatchedFile(path, _HEADER))
            with _translated(path):
                self._connection = sqlite3.connect(self._address(), timeout=0, isolation_level=None, uri=True)
                stack.callback(self._connection.close)
                configure(self._connection, syncs=sync_open(self._file.descriptor))
                migrate(self._connection)
            self._wal = stack.enter_context(WatchedFile(path.with_name(path.name + "-wal"), _WAL_HEADER))
            sync(path.parent)
            self._file.remember()
            self._wal.remember()
            self._opened = stack.pop_all()

    def _address(self) -> str:
        """For SQLite, which opens nothing in a file system without locks unless it is told to do without."""
        address = self.path.absolute().as_uri()
        return address if can_lock_bytes(self._file.descriptor) else f"{address}?vfs=unix-none"

    def close(self) -> None:
        """SQLite copies the write-ahead log into the database and removes it, unless the disk refuses."""
        self._opened.close()

    def read(self, table: str) -> Rows:
        """The rows of `table` in order of insertion. Damaged rows are set aside, with one warning for all."""
        rows, odd = [], []
        query = f"""
            SELECT rowid, typeof(id) = 'text' AND typeof(record) = 'text' AND length(CAST(id AS BLOB)) < 1000
                AND length(CAST(record AS BLOB)) <= {MAX_RECORD} AS fits, id, record FROM {table} ORDER BY rowid
        """  # noqa: S608  # the names of our own tables
        with _translated(self.path):
            cursor = self._connection.execute(
                f"SELECT rowid, iif(fits, id, NULL), iif(fits, record, NULL) FROM ({query})"  # noqa: S608  # as above
            )
            for rowid, key, record in cursor:
                try:
                    rows.append((key.decode(), decode(record)))
                except (AttributeError, ValueError, RecursionError):
                    odd.append(rowid)
        if odd:
            log.warning("%s: set aside %d rows of %s that cannot be read", self.path, len(odd), table)
            try:
                self._set_aside_rows(table, odd)
            except OSError as error:
                log.warning("%s: they stay where they are for now: %s", self.path, error)
        return rows

    def write(self, changes: Changes, *, probe: bool = False) -> None:
        """Write all `changes` to disk, or raise and write none of them.

        Without changes it only checks the file; with `probe` it also writes. After Damaged the content is undefined.
        """
        self._look()
        if changes or probe:
            with self._transaction():
                self.apply(changes)
                if probe:
                    _renew_mark(self._connection)
            self._look()
            self._wal.remember()
            self._rows_since_checkpoint += len(changes)
        if self._rows_since_checkpoint >= CHECKPOINT_ROWS:
            with contextlib.suppress(OSError):  # tried again after the next write, which has something to say itself
                self._checkpoint()

    def begin(self) -> None:
        """For a new file, which is only `finish`ed or closed: what is applied from now on is one transaction."""
        with _translated(self.path):
            self._connection.execute("BEGIN IMMEDIATE")

    def apply(self, changes: Changes) -> None:
        with _translated(self.path):
            for table in TABLES:
                own = [(key, record) for (name, key), record in changes.items() if name == table]
                self._connection.executemany(
                    f"INSERT INTO {table} VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET record = excluded.record",  # noqa: S608
                    [(key, record) for key, record in own if record not in (None, SET_ASIDE)],
                )
                for key in [key for key, record in own if record == SET_ASIDE]:
                    self._copy_to_unreadable(table, "id", key)
                self._connection.executemany(
                    f"DELETE FROM {table} WHERE id = ?",  # noqa: S608
                    [(key,) for key, record in own if record in (None, SET_ASIDE)],
                )

    def finish(self) -> None:
        """Write everything applied since `begin` into the one file, and close it."""
        with _translated(self.path):
            self._connection.execute("COMMIT")
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self.close()

    def _look(self) -> None:
        """Raise Damaged unless both files are under their names, as they were left."""
        if self.damaged or not (self._file.is_intact() and self._wal.is_intact()):
            self.damaged = True
            raise Damaged(f"{self.path} was removed, replaced or cut by somebody else")

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        try:
            with _translated(self.path):
                self._connection.execute("BEGIN IMMEDIATE")
                yield
                self._connection.execute("COMMIT")
        except BaseException as error:
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")
            self.damaged = self.damaged or isinstance(error, Damaged)
            self._wal.remember()  # it may have begun anew
            raise

    def _checkpoint(self) -> None:
        """Copy the write-ahead log into the database, under a new mark; the next write begins the log anew."""
        try:
            with _translated(self.path):
                _renew_mark(self._connection)
                self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
            self._rows_since_checkpoint = 0
        finally:
            self._file.remember()
            self._wal.forget()

    def _set_aside_rows(self, table: str, rowids: list[int]) -> None:
        with self._transaction():
            for rowid in rowids:
                self._copy_to_unreadable(table, "rowid", rowid)
                self._connection.execute(f"DELETE FROM {table} WHERE rowid = ?", (rowid,))  # noqa: S608
        self._wal.remember()

    def _copy_to_unreadable(self, table: str, column: str, value: object) -> None:
        self._connection.execute(
            f"INSERT INTO unreadable SELECT ?, id, record, ? FROM {table} WHERE {column} = ?",  # noqa: S608
            (table, datetime.now(UTC).isoformat(), value),
        )


def encode(record: Record) -> str:
    """Raises ValueError for one that is too long."""
    text = json.dumps(record, separators=(",", ":"))
    if len(text) > MAX_RECORD:
        raise ValueError(f"a record of {len(text)} bytes")
    return text


def decode(text: bytes) -> Record:
    """Raises ValueError or RecursionError."""
    record = json.loads(text.decode())
    if not isinstance(record, dict):
        raise ValueError("no object")
    return record


def _renew_mark(connection: sqlite3.Connection) -> None:
    """Write a random application id, which is in the header, so that no older copy of the file looks like this one."""
    connection.execute(f"PRAGMA application_id = {secrets.randbits(31)}")


@contextlib.contextmanager
def _translated(path: Path) -> Iterator[None]:
    """SQLite's errors as Locked, Damaged or OSError."""
    try:
        yield
    except sqlite3.Error as error:
        code = _code(error)
        if code == sqlite3.SQLITE_BUSY:
            raise Locked(f"{path.parent}: another server is using this state folder") from error
        if code in _DAMAGED:
            raise Damaged(f"{path}: {error}") from error
        number = _ERRNO.get(code, errno.EIO)
        raise OSError(number, os.strerror(number), str(path)) from error


def _code(error: sqlite3.Error) -> int:
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF
