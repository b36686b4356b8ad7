"""The journal's file on disk. Everything here blocks: it runs in a thread, one call at a time unless it says otherwise.

A line is a JSON object with the format's version in "v". A write happens whole or not at all: what a failed one left
behind is cut off again, at the latest before the next one.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from . import lock

Record = dict[str, Any]

log = logging.getLogger(__name__)

VERSION = 1
_PAGE = 4096

_sync_data: Callable[[int], None] = getattr(os, "fdatasync", os.fsync)  # macOS has no fdatasync


def encode(record: Record) -> bytes:
    return json.dumps({"v": VERSION, **record}, separators=(",", ":")).encode() + b"\n"


def decode(line: bytes) -> Record | None:
    """The record in `line`, or None where there is none that this version knows."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(record, dict) or record.pop("v", None) != VERSION or not isinstance(record.get("type"), str):
        return None
    return record


class JournalFile:
    """The locked `journal.jsonl` in `folder`. `size` is where its last whole line ends, in bytes."""

    def __init__(self, folder: Path) -> None:
        """Make `folder` (for its owner only) if need be and lock it. Raises Locked or OSError."""
        self.size = 0
        self.lines = 0
        self._folder = folder
        self._path = folder / "journal.jsonl"
        self._file = -1
        self._torn = False  # the file may go on beyond `size`
        #: Lines to be moved to `journal.unreadable` before the file is replaced.
        self.unreadable: list[bytes] = []
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = lock.take(folder, "lock", "state")

    def close(self) -> None:
        for descriptor in (self._file, self._lock):
            if descriptor >= 0:
                os.close(descriptor)
        self._file = self._lock = -1

    def read(self) -> list[Record]:
        """Every record, oldest first. An unfinished last line is cut, an unreadable one set aside."""
        self._path.with_suffix(".new").unlink(missing_ok=True)
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        _sync_folder(self._folder)
        records: list[Record] = []
        good: list[bytes] = []
        with self._path.open("rb") as lines:
            for line in lines:
                if not line.endswith(b"\n"):
                    log.warning("%s: cut a last record that was never finished (%d bytes)", self._path, len(line))
                    self._torn = True
                    break
                self.size += len(line)
                if (record := decode(line)) is None:
                    self.unreadable.append(line)
                else:
                    records.append(record)
                    good.append(line)
        self.lines = len(good)
        if self.unreadable:
            log.warning("%s: set aside %d records that cannot be read", self._path, len(self.unreadable))
            try:
                self.put_in_place(self.write_fresh(good), [])
            except OSError as error:
                log.warning("%s: the unreadable records stay for now: %s", self._path, error)
        return records

    def write(self, lines: list[bytes]) -> None:
        """Have `lines` on disk, or raise OSError and have none of them."""
        if self._torn:
            self._cut()
        try:
            self._torn = True
            written = _write_all(self._file, b"".join(lines), self.size)
            _sync_data(self._file)
        except OSError:
            with contextlib.suppress(OSError):  # then the next write begins with it
                self._cut()
            raise
        self._torn = False
        self.size += written
        self.lines += len(lines)

    def probe(self) -> None:
        """Raise OSError unless the disk takes a page more."""
        self._torn = True
        try:
            _write_all(self._file, b" " * _PAGE, self.size)
            _sync_data(self._file)
        finally:
            self._cut()

    def write_fresh(self, lines: Iterable[bytes]) -> Fresh:
        """A new file with `lines`, on disk under a name of its own. May run beside `write`."""
        self._set_aside()
        fresh = Fresh(self._path.with_suffix(".new"))
        try:
            fresh.write(lines)
        except BaseException:
            fresh.discard()
            raise
        return fresh

    def put_in_place(self, fresh: Fresh, since: list[bytes]) -> None:
        """Add the lines that came `since`, and replace the file by the fresh one. Raises OSError."""
        try:
            fresh.write(since)
            fresh.path.replace(self._path)
        except BaseException:
            fresh.discard()
            raise
        os.close(self._file)
        self._file, self.size, self.lines, self._torn = fresh.file, fresh.size, fresh.lines, False
        _sync_folder(self._folder)

    def _cut(self) -> None:
        os.ftruncate(self._file, self.size)
        self._torn = False

    def _set_aside(self) -> None:
        if not self.unreadable:
            return
        file = os.open(self._folder / "journal.unreadable", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            size = os.fstat(file).st_size
            try:
                _write_all(file, b"".join(self.unreadable), size)
                os.fsync(file)
            except OSError:
                os.ftruncate(file, size)
                raise
        finally:
            os.close(file)
        self.unreadable.clear()


class Fresh:
    """The file that is to replace the journal's. Closing it is the business of whoever holds it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = 0
        self.lines = 0
        self.file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)

    def write(self, lines: Iterable[bytes]) -> None:
        for line in lines:  # one by one: other threads get their turn in between
            self.size += _write_all(self.file, line, self.size)
            self.lines += 1
        _sync_data(self.file)

    def discard(self) -> None:
        os.close(self.file)
        self.path.unlink(missing_ok=True)


def _write_all(file: int, data: bytes, offset: int) -> int:
    rest = memoryview(data)
    while rest:
        written = os.pwrite(file, rest, offset)
        offset += written
        rest = rest[written:]
    return len(data)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
