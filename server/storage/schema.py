"""The database's settings and tables, and the migrations from older versions."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

#: The tables with (id, record) rows.
TABLES = ("conversions", "daily_use", "archives", "webhooks", "last_seen")
#: Bytes of the write-ahead log that outlive a checkpoint; rewriting them is faster than letting the file grow again.
_WAL_KEPT = 16 << 20


class Damaged(Exception):
    """The file is no database of this version, or no longer the one that was written."""


def _create(connection: sqlite3.Connection) -> None:
    connection.execute("CREATE TABLE conversions (id TEXT PRIMARY KEY NOT NULL, record TEXT NOT NULL)")
    connection.execute("CREATE TABLE unreadable (origin, id, record, set_aside_at)")


def _add_use(connection: sqlite3.Connection) -> None:
    connection.execute("CREATE TABLE daily_use (id TEXT PRIMARY KEY NOT NULL, record TEXT NOT NULL)")


def _add_archives(connection: sqlite3.Connection) -> None:
    connection.execute("CREATE TABLE archives (id TEXT PRIMARY KEY NOT NULL, record TEXT NOT NULL)")


def _add_webhooks(connection: sqlite3.Connection) -> None:
    connection.execute("CREATE TABLE webhooks (id TEXT PRIMARY KEY NOT NULL, record TEXT NOT NULL)")


def _add_last_seen(connection: sqlite3.Connection) -> None:
    connection.execute("CREATE TABLE last_seen (id TEXT PRIMARY KEY NOT NULL, record TEXT NOT NULL)")


#: The function at index N migrates version N to N + 1.
MIGRATIONS: tuple[Callable[[sqlite3.Connection], None], ...] = (
    _create,
    _add_use,
    _add_archives,
    _add_webhooks,
    _add_last_seen,
)


def configure(connection: sqlite3.Connection, *, syncs: bool = True) -> None:
    """`syncs` says whether the file system can sync to disk: where it cannot, each commit would fail."""
    connection.text_factory = bytes  # one row that is no UTF-8 must not end the reading of all
    for setting in (
        "locking_mode = EXCLUSIVE",  # for good, and without a shared-memory file
        f"synchronous = {'FULL' if syncs else 'OFF'}",
        "journal_mode = WAL",
        "temp_store = MEMORY",
        "wal_autocheckpoint = 0",
        f"journal_size_limit = {_WAL_KEPT}",
    ):
        connection.execute(f"PRAGMA {setting}").fetchall()


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the schema to this version. Raises Damaged for one that is of a later version, or of somebody else."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version == len(MIGRATIONS):
        return
    if version > len(MIGRATIONS):
        raise Damaged(f"its schema is of version {version}, this server's is {len(MIGRATIONS)}")
    if not version and connection.execute("SELECT 1 FROM sqlite_master").fetchone():
        raise Damaged("it is a database of something else")
    connection.execute("BEGIN IMMEDIATE")
    for step in MIGRATIONS[version:]:
        step(connection)
    connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
    connection.execute("COMMIT")
