"""Imports the journal of release 0.0, a log of JSON lines, once. Everything here blocks.

A line has conversions as they were then, or the ids of removed ones. The last line about an id counts.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Container
from pathlib import Path

from . import lock
from .database import Database, Record, Rows, decode, encode

log = logging.getLogger(__name__)

NAME = "journal.jsonl"
TABLE = "conversions"


def move(journal: Path, into: Database, known: Container[str]) -> Rows:
    """Write what `journal` holds and is not `known` `into` the database, and rename it; the new rows.

    Lines that cannot be read are left out with a warning. Raises Locked while a server of that release runs, OSError,
    and as `Database.write` does.
    """
    descriptor = lock.take(journal.parent, "lock", "state")
    try:
        rows = [(key, record) for key, record in _read(journal).items() if key not in known]
        into.write({(TABLE, key): encode(record) for key, record in rows})
        imported = journal.with_name(journal.name + ".imported")
        journal.replace(imported)
    finally:
        os.close(descriptor)
    log.info("%s: %d conversions imported; it is now %s", journal, len(rows), imported)
    return rows


def _read(journal: Path) -> dict[str, Record]:
    found: dict[str, Record] = {}
    unreadable = 0
    with journal.open("rb") as lines:
        for line in lines:
            try:
                _apply(decode(line), found)
            except (AttributeError, KeyError, TypeError, ValueError, RecursionError):
                unreadable += 1
    if unreadable:
        log.warning("%s: %d lines cannot be read", journal, unreadable)
    return found


def _apply(line: Record, found: dict[str, Record]) -> None:
    if line["type"] == "put":
        for conversion in line["conversions"]:
            key = conversion.pop("id")
            key.encode()
            found[key] = conversion
    elif line["type"] == "drop":
        for key in line["ids"]:
            found.pop(key, None)
    else:
        raise ValueError(line["type"])
