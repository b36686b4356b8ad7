"""Opens the state folder at start. Everything here blocks."""

from __future__ import annotations

import errno
import logging
from pathlib import Path

from . import journal_import, replacement
from .database import Database, Rows
from .schema import TABLES, Damaged

log = logging.getLogger(__name__)


def read(path: Path) -> tuple[Database | None, dict[str, Rows]]:
    """The open database and its rows by table; no database if the disk is too full for a new one.

    Raises Locked or OSError.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    replacement.take_over_unfinished(path)
    opened: Database | None
    try:
        opened, rows = _read_or_set_aside(path)
    except OSError as error:
        if not (_is_full(error) and _is_new(path)):
            raise
        log.error("%s: there is no room to make it", path)
        opened, rows = None, {table: [] for table in TABLES}
    else:
        replacement.remove_unfinished(path)
    if (journal := path.with_name(journal_import.NAME)).exists():
        if opened is None:
            raise OSError(errno.ENOSPC, "there is no room to import it", str(journal))
        try:
            rows[journal_import.TABLE] += journal_import.move(journal, opened, dict(rows[journal_import.TABLE]))
        except BaseException:
            opened.close()
            raise
    return opened, rows


def _read_or_set_aside(path: Path) -> tuple[Database, dict[str, Rows]]:
    try:
        return _read(path)
    except (Damaged, OSError) as error:
        if isinstance(error, OSError) and error.errno not in (errno.EIO, errno.EISDIR):
            raise
        aside = replacement.set_aside(path, "unreadable")
        log.warning("%s cannot be read, and is now %s: %s", path, aside, error)
        return _read(path)


def _read(path: Path) -> tuple[Database, dict[str, Rows]]:
    opened = Database(path)
    try:
        return opened, {table: opened.read(table) for table in TABLES}
    except BaseException:
        opened.close()
        raise


def _is_full(error: OSError) -> bool:
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


def _is_new(path: Path) -> bool:
    return not path.exists() or not path.stat().st_size
