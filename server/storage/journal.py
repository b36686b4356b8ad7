"""What must survive a restart: records in one append-only file, on disk before anybody is told so.

The journal knows nothing of conversions: a record is a dict with a "type"; the format's version is added when it is
written and taken off when it is read. One writer task commits in groups: whatever was queued while the last
`fdatasync` ran goes out under the next one.

Known limits: what `fdatasync` promises is what the disk keeps; the folder must be on a file system with working
`flock` (not every network one has it).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from .journalfile import JournalFile, Record, encode

__all__ = ["Journal", "Record"]

T = TypeVar("T")

log = logging.getLogger(__name__)

#: Notes that wait for a disk that refuses them; beyond this the oldest are dropped.
MAX_HELD_NOTES = 10_000
#: Seconds until a disk that refused is tried again when nothing is appended meanwhile.
RETRY_SECONDS = 1.0


@dataclass(eq=False)
class _Entry:
    line: bytes
    waiter: asyncio.Future[None] | None  # None for a note
    written: bool = False
    returned: bool = False  # nobody is, or is any longer, inside `append` for it


class Journal:
    """The open journal. `open` makes one; `close` flushes it and lets go of the folder.

    What is queued is bounded by its callers: one line per `append` that somebody awaits, and the notes since the last
    group, of which at most `MAX_HELD_NOTES` outlive a failed write.
    """

    def __init__(self, file: JournalFile, threads: ThreadPoolExecutor) -> None:
        self._file = file
        self._threads = threads
        self._rewritten_size = file.size
        self._queue: list[_Entry] = []
        self._recent: deque[_Entry] = deque()  # from the oldest append that has not returned on
        self._during_rewrite: list[bytes] | None = None
        #: Whether the last write was refused; it is found out by itself when the disk takes writes again.
        self.failing = False
        self._closing = False
        self._wake = asyncio.Event()
        self._turn = asyncio.Lock()  # one group, or the end of a rewrite, at a time
        self._rewriting: asyncio.Task[None] | None = None
        self._writer = asyncio.create_task(self._write_groups(), name="journal writer")

    @classmethod
    async def open(cls, folder: Path) -> tuple[Journal, list[Record]]:
        """Lock `folder` (made if need be, for its owner only) and read every record in it, oldest first.

        A last line without its end was never acknowledged and is cut. Other lines that cannot be read, or are of an
        unknown version, are moved to `journal.unreadable` with one warning. Raises Locked, or OSError when the folder
        cannot be used at all.
        """
        file = await asyncio.to_thread(JournalFile, folder)
        try:
            records = await asyncio.to_thread(file.read)
        except BaseException:
            file.close()
            raise
        # Threads of its own: an fdatasync waits for nobody's name lookup.
        return cls(file, ThreadPoolExecutor(2, "journal")), records

    @property
    def size_records(self) -> int:
        """How many records the file holds."""
        return self._file.lines

    @property
    def grown_bytes(self) -> int:
        """By how much the file has grown since the last `rewrite`, or since it was opened."""
        return self._file.size - self._rewritten_size

    async def append(self, record: Record) -> None:
        """Return once `record` is on disk.

        Raises OSError when it could not be written; then it is not in the file. A caller that is cancelled does not
        know whether it is.
        """
        waiter = asyncio.get_running_loop().create_future()
        entry = self._enter(record, waiter)
        try:
            await waiter
        finally:
            entry.returned = True
            while self._recent and self._recent[0].returned:
                self._recent.popleft()

    def note(self, record: Record) -> None:
        """Write `record` with the next group, without waiting for it.

        While the disk refuses, notes are kept in order and tried again; see `MAX_HELD_NOTES`.
        """
        self._enter(record, None)

    def set_aside(self, record: Record) -> None:
        """Put a record that its reader cannot understand into `journal.unreadable`, with the next `rewrite`."""
        self._file.unreadable.append(encode(record))

    async def rewrite(self, records: Iterable[Record]) -> None:
        """Put `records`, which say all that is worth keeping, in place of the file's content.

        They are read one by one in a thread, so that a long table does not hold up the loop: what changes meanwhile
        must be appended as well. That follows them, and so does every append that has not returned yet: its effect may
        be applied before it or right after it, and whoever replays must bear a record that comes twice or speaks of
        what is gone. A caller that is cancelled does not stop it. Raises OSError
        (the old file stays), and RuntimeError while another rewrite is running.
        """
        if self._rewriting is not None or self._closing:
            raise RuntimeError("the journal is being rewritten already, or closed")
        self._during_rewrite = [entry.line for entry in self._recent if entry.written]
        self._rewriting = asyncio.create_task(self._rewrite(records), name="journal rewrite")
        await asyncio.shield(self._rewriting)

    async def close(self) -> None:
        """Write what is queued, then let go of the folder. What cannot be written now is logged as lost."""
        self._closing = True
        self._wake.set()
        try:
            if self._rewriting is not None:
                await asyncio.wait([self._rewriting])
            await asyncio.wait([self._writer])
        finally:
            self._threads.shutdown()  # idle by now, unless this very call was cancelled
            self._file.close()

    def _enter(self, record: Record, waiter: asyncio.Future[None] | None) -> _Entry:
        if self._closing:
            raise RuntimeError("the journal is closed")
        entry = _Entry(encode(record), waiter, returned=waiter is None)
        self._queue.append(entry)
        if waiter is not None or self._recent:
            self._recent.append(entry)
        self._wake.set()
        return entry

    async def _in_thread(self, work: Callable[..., T], *args: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *args)

    async def _write_groups(self) -> None:
        while self._queue or not self._closing:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(RETRY_SECONDS if self._queue or self.failing else None):
                    await self._wake.wait()
            self._wake.clear()
            async with self._turn:
                group, self._queue = self._queue, []
                if group or self.failing:
                    await self._write_group(group)

    async def _write_group(self, group: list[_Entry]) -> None:
        try:
            if group:
                await self._in_thread(self._file.write, [entry.line for entry in group])
            else:
                await self._in_thread(self._file.probe)
        except Exception as error:
            for entry in group:
                if entry.waiter is not None and not entry.waiter.done():
                    entry.waiter.set_exception(error)
            self._hold([entry for entry in group if entry.waiter is None], error)
            return
        if self.failing:
            log.info("the journal can be written again")
        self.failing = False
        if self._during_rewrite is not None:
            self._during_rewrite += [entry.line for entry in group]
        for entry in group:
            entry.written = True
            if entry.waiter is not None and not entry.waiter.done():
                entry.waiter.set_result(None)

    def _hold(self, notes: list[_Entry], error: Exception) -> None:
        if not self.failing:
            log.error("the journal cannot be written: %s", error)
        self.failing = True
        lost = len(notes) if self._closing else max(0, len(notes) - MAX_HELD_NOTES)
        if lost:
            log.error("the journal lost %d notes that could not be written", lost)
        self._queue[:0] = notes[lost:]

    async def _rewrite(self, records: Iterable[Record]) -> None:
        try:
            fresh = await self._in_thread(self._file.write_fresh, map(encode, records))
            async with self._turn:
                await self._in_thread(self._file.put_in_place, fresh, self._during_rewrite)
                self._rewritten_size = self._file.size
        finally:
            self._during_rewrite = None
            self._rewriting = None
