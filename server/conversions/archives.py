"""Archives: which conversions a ZIP holds, by its id. `http/archive_download.py` makes the ZIP while it sends it."""

from __future__ import annotations

import base64
import hashlib
import logging
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from .. import stored
from ..jobs import Conversion
from ..storage.state import Record, State
from .table import Table

log = logging.getLogger(__name__)

#: The state's table of archives.
TABLE = "archives"
#: Archives that a key may have, and conversions in all of them; beyond it the oldest are forgotten.
MAX_KEPT, MAX_KEPT_MEMBERS = 1000, 50_000


@dataclass(frozen=True)
class Archive:
    id: str
    owner: str
    name: str
    conversion_ids: tuple[str, ...]


class Archives:
    """Every archive is in the database before its link is given."""

    def __init__(self, table: Table, state: State) -> None:
        self._table = table
        self._state = state
        self._archives: dict[str, Archive] = {}
        self._by_owner: dict[str, deque[str]] = {}

    async def create(self, owner: str, conversions: Sequence[Conversion], name: str) -> Archive:
        """The archive of these conversions, which may be one that there is already.

        A database that refuses it now gets it later, as with what a key has used: the conversions are accepted, and
        their link must not depend on it.
        """
        ids = tuple(dict.fromkeys(one.id for one in conversions))
        archive = Archive(_id(name, ids), owner, name, ids)
        changes: dict[str, Record | None] = {archive.id: _record(archive)}
        if archive.id not in self._archives:
            changes |= dict.fromkeys(self._put(archive))
        try:  # one that is known, too: its first commit may still be under way
            await self._state.commit(TABLE, changes)
        except OSError:
            self._state.note(TABLE, changes)
        return archive

    def get(self, archive_id: str) -> tuple[Archive, list[Conversion | None]] | None:
        """An archive and its conversions, None for each that is gone. None if all are."""
        archive = self._archives.get(archive_id)
        if archive is None:
            return None
        members = [self._existing(one) for one in archive.conversion_ids]
        return (archive, members) if any(members) else None

    def restore(self, rows: Iterable[tuple[str, Record]]) -> None:
        """Take in what the database holds, after the conversions. What has none left is forgotten."""
        gone = []
        for archive in self._state.understood(TABLE, rows, _restored, "archives"):
            if any(self._existing(one) for one in archive.conversion_ids):
                gone += self._put(archive)
            else:
                gone.append(archive.id)
        if gone:
            self._state.note(TABLE, dict.fromkeys(gone))
        self._state.written_anew_from(TABLE, self._snapshots)

    def _put(self, archive: Archive) -> list[str]:
        """Keep it. Returns the ids of the archives that must go for it."""
        self._archives[archive.id] = archive
        own = self._by_owner.setdefault(archive.owner, deque())
        own.append(archive.id)
        members = sum(len(self._archives[one].conversion_ids) for one in own)
        gone = []
        while len(own) > 1 and (len(own) > MAX_KEPT or members > MAX_KEPT_MEMBERS):
            gone.append(own.popleft())
            members -= len(self._archives.pop(gone[-1]).conversion_ids)
        return gone

    def _existing(self, conversion_id: str) -> Conversion | None:
        conversion = self._table.get(conversion_id)
        return None if conversion is None or conversion.removed else conversion

    def _snapshots(self) -> Iterator[tuple[str, Record]]:
        for archive in list(self._archives.values()):
            yield archive.id, _record(archive)


def _id(name: str, conversion_ids: Sequence[str]) -> str:
    """Nobody can guess it who does not know the conversions' ids. The same archive has the same one."""
    digest = hashlib.sha256("\0".join(["archive", name, *conversion_ids]).encode()).digest()
    return base64.urlsafe_b64encode(digest[:18]).decode()


def _record(archive: Archive) -> Record:
    return {"owner": archive.owner, "name": archive.name, "conversion_ids": list(archive.conversion_ids)}


def _restored(archive_id: str, record: Record) -> Archive:
    ids = record["conversion_ids"]
    if not isinstance(ids, list):
        raise ValueError("no list")
    return Archive(
        archive_id, stored.text(record["owner"]), stored.text(record["name"]), tuple(stored.text(one) for one in ids)
    )
