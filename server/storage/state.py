"""The data that survives a restart: rows in `state/ytmp3d.db`, acknowledged only once they are on disk.

The tables in memory answer all requests; a restart reads the database. One thread does all blocking work. One task
commits in groups: changes that arrive during a commit go into the next one.

The file is checked before and after each commit, and every second. If it, its write-ahead log or the folder was
removed, replaced or cut, it is written anew from memory before anything more is acknowledged.

Known limits: a disk may lose data although it was synced; see also `database.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import itertools
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from . import opening, replacement
from .database import SET_ASIDE, Changes, Database, Record, Rows, encode
from .schema import TABLES, Damaged

__all__ = ["Record", "Rows", "State"]

T = TypeVar("T")
#: Everything that is now in a table, by its owner in memory: all that was handed over, and not removed again.
Snapshots = Callable[[], Iterable[tuple[str, Record]]]

log = logging.getLogger(__name__)

NAME = "ytmp3d.db"
#: Seconds between two looks at the file; a disk that refused is tried again as often.
RETRY_SECONDS = 1.0
#: After a failed attempt to write all anew, how many times as long as it took until the next one.
_PAUSE = 10
#: Rows that are encoded at a time, so that others have their turn, when all is written anew.
_STEP = 50


@dataclass(eq=False)
class _Entry:
    changes: Changes
    waiter: asyncio.Future[None] | None  # None for a note


class State:
    """The open database. `open` makes one; `close` writes what is left and lets go of the file."""

    def __init__(self, path: Path, opened: Database | None, thread: ThreadPoolExecutor) -> None:
        self._path = path
        self._database = opened
        self._thread = thread
        self._snapshots: dict[str, Snapshots] = {}
        self._queue: list[_Entry] = []
        #: Whether the last write was refused. It is found out by itself when the disk takes writes again.
        self.failing = opened is None
        self._closing = False
        self._anew_error: OSError | None = None
        self._anew_after = 0.0  # by the loop's clock
        self._wake = asyncio.Event()
        self._writer = asyncio.create_task(self._write_groups(), name="state writer")

    @classmethod
    async def open(cls, folder: Path) -> tuple[State, dict[str, Rows]]:
        """Open the database in `folder` (both made if need be, for their owner only); its rows by table.

        One that cannot be read is set aside whole, an odd row alone, each with a warning. On a full disk it begins
        without one, `failing`. Raises Locked, or OSError when the folder cannot be used at all.
        """
        thread = ThreadPoolExecutor(1, "state")  # its own: a sync waits for nobody's name lookup
        try:
            path = folder / NAME
            opened, rows = await asyncio.get_running_loop().run_in_executor(thread, opening.read, path)
        except BaseException:
            thread.shutdown(wait=False)
            raise
        return cls(path, opened, thread), rows

    def written_anew_from(self, table: str, snapshots: Snapshots) -> None:
        """Say who knows all that is in `table`. Until that is known of every table, nothing can be written anew."""
        self._snapshots[table] = snapshots

    def understood(
        self, table: str, rows: Iterable[tuple[str, Record]], read: Callable[[str, Record], T], what: str
    ) -> Iterator[T]:
        """What `read` makes of each row. Those it cannot understand are set aside, with one warning for all.

        `read` raises KeyError, TypeError, ValueError or OverflowError then. `what` the records are of, for the warning.
        """
        odd = []
        for key, record in rows:
            try:
                yield read(key, record)
            except (KeyError, TypeError, ValueError, OverflowError):
                odd.append(key)
        if odd:
            log.warning("%d records of %s cannot be understood and are set aside", len(odd), what)
            self.set_aside(table, odd)

    async def commit(self, table: str, changes: Mapping[str, Record | None]) -> None:
        """Return once all `changes` are on disk: the new record of each id, or None to remove it.

        Raises OSError when they could not be written; then none of them is there. A caller that is cancelled does not
        know.
        """
        waiter = asyncio.get_running_loop().create_future()
        self._enter(_encoded(table, changes), waiter)
        await waiter

    def note(self, table: str, changes: Mapping[str, Record | None]) -> None:
        """Write `changes` with the next group, without waiting. While the disk refuses, the last word of each id is
        kept and tried again.
        """
        self._enter(_encoded(table, changes), None)

    def set_aside(self, table: str, ids: Iterable[str]) -> None:
        """Move rows that their reader cannot understand to the table `unreadable`, with the next group."""
        self._enter({(table, key): SET_ASIDE for key in ids}, None)

    async def close(self) -> None:
        """Write what is queued, then let go of the file. What cannot be written now is logged as lost."""
        self._closing = True
        self._wake.set()
        try:
            await asyncio.wait([self._writer])
            if self._database is not None:
                await self._in_thread(self._database.close)
                self._database = None
        finally:
            self._thread.shutdown()  # idle by now, unless this very call was cancelled

    def _enter(self, changes: Changes, waiter: asyncio.Future[None] | None) -> None:
        if self._closing:
            raise RuntimeError("the state is closed")
        self._queue.append(_Entry(changes, waiter))
        self._wake.set()

    async def _in_thread(self, work: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)

    async def _write_groups(self) -> None:
        while self._queue or not self._closing:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(RETRY_SECONDS):
                    await self._wake.wait()
            self._wake.clear()
            group, self._queue = self._queue, []
            is_last = self._closing  # a write that began before the end gets one more try
            try:
                await self._write(group)
            except OSError as error:
                self._refuse(group, error, is_last)
            except Exception as error:  # whatever it is, nobody may wait for ever
                log.exception("writing the state failed")
                self._refuse(group, OSError(errno.EIO, str(error)), is_last)
            else:
                self._acknowledge(group)

    async def _write(self, group: list[_Entry]) -> None:
        if self._database is not None:
            try:
                await self._in_thread(partial(self._database.write, _merged(group), probe=self.failing))
                return
            except Damaged as error:
                if not self.failing:
                    log.error("%s: it is written anew from memory", error)
        await self._write_anew(group)

    async def _write_anew(self, group: list[_Entry]) -> None:
        """Put a new database in place, with all there is in memory and `group`, to which everything that was handed
        over meanwhile is added.
        """
        if self._snapshots.keys() != set(TABLES):
            raise OSError(errno.EAGAIN, "the database cannot be written anew while the server starts", str(self._path))
        begun = asyncio.get_running_loop().time()
        if self._anew_error is not None and begun < self._anew_after and not self._closing:
            error = self._anew_error
            raise OSError(error.errno, error.strerror, error.filename)
        try:
            await self._put_anew(group)
            self._anew_error = None
            log.info("%s: it has been written anew", self._path)
        except OSError as error:
            now = asyncio.get_running_loop().time()
            self._anew_error, self._anew_after = error, now + _PAUSE * (now - begun)
            raise

    async def _put_anew(self, group: list[_Entry]) -> None:
        fresh = await self._in_thread(replacement.begin, self._path)
        try:
            for table, snapshots in self._snapshots.items():
                rows = iter(snapshots())
                while step := dict(itertools.islice(rows, _STEP)):
                    await self._in_thread(fresh.apply, _encoded(table, step))
            group += self._queue
            self._queue = []
            await self._in_thread(fresh.apply, _merged(group))
            await self._in_thread(fresh.finish)
            old, self._database = self._database, None
            self._database = await self._in_thread(replacement.put_in_place, fresh, old, self._path)
        finally:
            await self._in_thread(replacement.discard, fresh, self._path)

    def _acknowledge(self, group: list[_Entry]) -> None:
        if self.failing:
            log.info("the state can be written again")
        self.failing = False
        for entry in group:
            if entry.waiter is not None and not entry.waiter.done():
                entry.waiter.set_result(None)

    def _refuse(self, group: list[_Entry], error: OSError, is_last: bool) -> None:
        """Tell who waits, and keep what nobody waits for."""
        if not self.failing:
            log.error("the state cannot be written: %s", error)
        self.failing = True
        for entry in group:
            if entry.waiter is not None and not entry.waiter.done():
                entry.waiter.set_exception(error)
        held = _merged([entry for entry in group if entry.waiter is None])
        if held and is_last:
            log.error("the state lost %d changes that could not be written", len(held))
        elif held:
            self._queue.insert(0, _Entry(held, None))


def _encoded(table: str, changes: Mapping[str, Record | None]) -> Changes:
    for key in changes:
        key.encode()  # so that one that cannot be written raises here, not with others' changes
    return {(table, key): None if record is None else encode(record) for key, record in changes.items()}


def _merged(group: Iterable[_Entry]) -> Changes:
    """The last word on each id."""
    return {key: change for entry in group for key, change in entry.changes.items()}
