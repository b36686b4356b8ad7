"""The journal: what it acknowledges is on disk, what it cannot read it keeps, what it cannot write it says."""

from __future__ import annotations

import asyncio
import json
import logging
import random
import resource
import subprocess
import sys
import textwrap
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest
from conftest import SmallDisk

from server.storage import journal as journal_module
from server.storage import journalfile
from server.storage.journal import Journal, Record
from server.storage.lock import Locked

DEADLINE = 20


def record(number: int) -> Record:
    return {"type": "accepted", "number": number}


async def read(folder: Path) -> list[Record]:
    journal, records = await Journal.open(folder)
    await journal.close()
    return records


async def write(folder: Path, count: int) -> None:
    journal, _ = await Journal.open(folder)
    for number in range(count):
        await journal.append(record(number))
    await journal.close()


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[Journal]:
    journal, _ = await Journal.open(folder)
    try:
        yield journal
    finally:
        await journal.close()


class Disk:
    """Stands between the journal and its real `fdatasync`: counts the calls and, while held, makes them wait."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.syncs = 0
        self.entered = threading.Event()
        self.free = threading.Event()
        self.free.set()
        self._sync = journalfile._sync_data
        monkeypatch.setattr(journalfile, "_sync_data", self._wait)

    def _wait(self, descriptor: int) -> None:
        self.syncs += 1
        self.entered.set()
        assert self.free.wait(DEADLINE)
        self._sync(descriptor)

    @asynccontextmanager
    async def held(self, journal: Journal) -> AsyncIterator[asyncio.Task[None]]:
        """Inside, one first append hangs in its sync."""
        self.entered.clear()
        self.free.clear()
        first = asyncio.create_task(journal.append({"type": "first"}))
        try:
            assert await asyncio.to_thread(self.entered.wait, DEADLINE)
            yield first
        finally:
            self.free.set()
            await first


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


@contextmanager
def files_limited_to(size: int) -> Iterator[None]:
    """The kernel cuts every write of this process at `size` bytes into a file, as a full disk would."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


async def test_records_come_back_in_order_and_without_the_version(tmp_path: Path) -> None:
    async with opened(tmp_path) as journal:
        await asyncio.gather(*(journal.append(record(number)) for number in range(100)))
        journal.note({"type": "started", "title": "\ud800 \N{SNOWMAN} \n"})
    assert await read(tmp_path) == [record(number) for number in range(100)] + [
        {"type": "started", "title": "\ud800 \N{SNOWMAN} \n"}
    ]
    lines = (tmp_path / "journal.jsonl").read_bytes().splitlines()
    assert {json.loads(line)["v"] for line in lines} == {1}


async def test_only_its_owner_can_read_it(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "state"
    await write(folder, 1)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}


async def test_a_second_server_is_told_in_one_line(tmp_path: Path) -> None:
    async with opened(tmp_path):
        with pytest.raises(Locked, match=f"^{tmp_path}: .*$"):
            await Journal.open(tmp_path)
    assert await read(tmp_path) == []


async def test_a_torn_tail_is_cut_wherever_it_was_torn(tmp_path: Path) -> None:
    await write(tmp_path, 3)
    path = tmp_path / "journal.jsonl"
    whole = path.read_bytes()
    last_line = whole.rindex(b"\n", 0, -1) + 1
    for end in range(last_line, len(whole)):
        path.write_bytes(whole[:end])
        async with opened(tmp_path) as journal:
            await journal.append(record(3))
        assert await read(tmp_path) == [record(0), record(1), record(3)]


@pytest.mark.parametrize(
    "line",
    [
        b"garbage",
        b"",
        b'{"v":1,"type":"acc',
        b'{"v":2,"type":"accepted"}',
        b'{"type":"accepted"}',
        b'{"v":1}',
        b'{"v":1,"type":7}',
        b"[]",
        b"\xff\xfe\x00",
        b"[" * 100_000,
    ],
)
async def test_an_unreadable_line_is_set_aside_once_with_a_warning(
    tmp_path: Path, line: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    await write(tmp_path, 2)
    path = tmp_path / "journal.jsonl"
    path.write_bytes(line + b"\n" + path.read_bytes() + line + b"\n")
    async with opened(tmp_path) as journal:
        assert journal.size_records == 2
        await journal.append(record(2))
    warnings = [entry for entry in caplog.records if entry.levelno == logging.WARNING]
    assert len(warnings) == 1
    assert "2 records" in warnings[0].getMessage()
    assert await read(tmp_path) == [record(0), record(1), record(2)]
    assert (tmp_path / "journal.unreadable").read_bytes() == (line + b"\n") * 2
    assert len([entry for entry in caplog.records if entry.levelno == logging.WARNING]) == 1


async def test_an_append_returns_only_when_it_is_on_disk(tmp_path: Path, disk: Disk) -> None:
    async with opened(tmp_path) as journal:
        async with disk.held(journal) as first:
            await asyncio.sleep(0.05)  # the loop runs on meanwhile
            assert not first.done()
        assert first.done()


async def test_what_is_queued_meanwhile_goes_out_under_one_sync(tmp_path: Path, disk: Disk) -> None:
    async with opened(tmp_path) as journal:
        async with disk.held(journal):
            before = disk.syncs
            others = [asyncio.create_task(journal.append(record(number))) for number in range(50)]
            await asyncio.sleep(0)
        await asyncio.gather(*others)
        assert disk.syncs == before + 1


async def test_a_cancelled_caller_does_not_harm_the_others(tmp_path: Path, disk: Disk) -> None:
    async with opened(tmp_path) as journal:
        async with disk.held(journal):
            others = [asyncio.create_task(journal.append(record(number))) for number in range(3)]
            await asyncio.sleep(0)
            others[1].cancel()
        await asyncio.gather(others[0], others[2])
        with pytest.raises(asyncio.CancelledError):
            await others[1]
    assert [record(0), record(2)] == [entry for entry in await read(tmp_path) if entry.get("number") in (0, 2)]


async def test_what_a_killed_process_acknowledged_is_there(tmp_path: Path) -> None:
    program = """
        import asyncio, itertools, sys
        from pathlib import Path
        from server.storage.journal import Journal

        async def main():
            journal, _ = await Journal.open(Path(sys.argv[1]))
            async def client(name):
                for number in itertools.count():
                    await journal.append({"type": "accepted", "client": name, "number": number})
                    print(name, number, flush=True)
                    if name == 0 and number % 20 == 0:
                        await journal.rewrite({"type": "accepted", "client": c, "number": n} for c, n in acknowledged())
            def acknowledged():
                return [(c, n) for c in range(4) for n in range(counts[c])]
            counts = [0] * 4
            real_append = journal.append
            async def counting(record):
                await real_append(record)
                counts[record["client"]] += 1
            journal.append = counting
            await asyncio.gather(*map(client, range(4)))

        asyncio.run(main())
    """
    for round_number in range(4):
        folder = tmp_path / str(round_number)
        child = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(program), str(folder)], stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        told = [child.stdout.readline() for _ in range(random.randint(1, 400))]
        child.kill()
        told += child.stdout.readlines()
        child.stdout.close()
        assert child.wait(DEADLINE) < 0
        acknowledged = {tuple(map(int, line.split())) for line in told if line.endswith("\n")}
        kept = {(entry["client"], entry["number"]) for entry in await read(folder)}
        assert acknowledged <= kept


async def test_a_half_written_record_is_taken_back(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "journal.jsonl"
    async with opened(tmp_path) as journal:
        await journal.append(record(0))
        before = path.read_bytes()
        with files_limited_to(len(before) + 10):
            for _ in range(3):
                with pytest.raises(OSError, match="File too large"):
                    await journal.append(record(1))
                assert path.read_bytes() == before
        await journal.append(record(2))
    assert await read(tmp_path) == [record(0), record(2)]
    assert [entry.levelname for entry in caplog.records if "cannot be written" in entry.getMessage()] == ["ERROR"]


async def test_a_full_disk_refuses_and_recovers(small_disk: SmallDisk) -> None:
    disk = small_disk(256)
    folder = disk / "state"
    filler = disk / "filler"
    async with opened(folder) as journal:
        await journal.append(record(0))
        with pytest.raises(OSError, match="No space left"), filler.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        kept = 0
        with pytest.raises(OSError, match="No space left"):
            for number in range(1, 10_000):
                await journal.append(record(number))
                kept = number
        assert kept < 1000
        with pytest.raises(OSError, match="No space left"):
            await journal.rewrite([record(0)] * 10_000)
        journal.note({"type": "note", "number": 1, "padding": "x" * 5000})
        journal.note({"type": "note", "number": 2})
        await asyncio.sleep(0)
        filler.unlink()
        await journal.append(record(-1))
    records = await read(folder)
    assert records[: kept + 1] == [record(number) for number in range(kept + 1)]
    assert [(entry["type"], entry["number"]) for entry in records[kept + 1 :]] == [
        ("note", 1),
        ("note", 2),
        ("accepted", -1),
    ]
    assert {path.name for path in folder.iterdir()} == {"lock", "journal.jsonl"}


async def test_held_notes_are_tried_again_by_themselves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "RETRY_SECONDS", 0.02)
    async with opened(tmp_path) as journal:
        with files_limited_to(10):
            journal.note(record(0))
            journal.note(record(1))
            with pytest.raises(OSError, match="File too large"):
                await journal.append(record(2))
        async with asyncio.timeout(DEADLINE):
            while journal.size_records < 2:  # a note tells nobody
                await asyncio.sleep(0.01)
    assert await read(tmp_path) == [record(0), record(1)]


async def test_it_finds_out_by_itself_that_the_disk_takes_writes_again(
    small_disk: SmallDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "RETRY_SECONDS", 0.02)
    disk = small_disk(64)
    async with opened(disk / "state") as journal:
        await journal.append(record(0))
        with pytest.raises(OSError, match="No space left"):
            (disk / "filler").write_bytes(bytes(1 << 20))
        with pytest.raises(OSError, match="No space left"):
            await journal.append({"type": "accepted", "padding": "x" * 5000})
        await asyncio.sleep(0.1)
        assert [journal.failing] == [True]
        (disk / "filler").unlink()
        async with asyncio.timeout(DEADLINE):
            while journal.failing:  # it tells nobody
                await asyncio.sleep(0.01)
    assert await read(disk / "state") == [record(0)]


async def test_held_notes_are_bounded_and_the_newest_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "MAX_HELD_NOTES", 5)
    async with opened(tmp_path) as journal:
        with files_limited_to(10):
            for number in range(20):
                journal.note(record(number))
            with pytest.raises(OSError, match="File too large"):
                await journal.append(record(20))
        await journal.append(record(21))
    assert [entry["number"] for entry in await read(tmp_path)] == [15, 16, 17, 18, 19, 21]


async def test_a_rewrite_replaces_what_was_and_keeps_what_comes_meanwhile(tmp_path: Path) -> None:
    async with opened(tmp_path) as journal:
        for number in range(50):
            await journal.append(record(number))
        assert journal.grown_bytes == (tmp_path / "journal.jsonl").stat().st_size
        rewriting = asyncio.create_task(journal.rewrite({"type": "kept", "number": n} for n in range(20_000)))
        meanwhile = 0
        while not rewriting.done():
            await journal.append(record(1000 + meanwhile))
            meanwhile += 1
        await rewriting
        await journal.append({"type": "last"})
        assert journal.size_records == 20_000 + meanwhile + 1
        assert 0 < journal.grown_bytes < 200
    records = await read(tmp_path)
    assert records[:20_000] == [{"type": "kept", "number": number} for number in range(20_000)]
    assert records[20_000:] == [record(1000 + number) for number in range(meanwhile)] + [{"type": "last"}]
    assert {path.name for path in tmp_path.iterdir()} == {"lock", "journal.jsonl"}


@pytest.mark.parametrize("moment", ["queued", "in its sync", "written, not returned"])
async def test_a_rewrite_keeps_an_append_that_has_not_returned(tmp_path: Path, disk: Disk, moment: str) -> None:
    """Its caller has had no chance to put it among the records that the rewrite is given."""
    async with opened(tmp_path) as journal:
        rewriting = None
        async with disk.held(journal):
            second = asyncio.create_task(journal.append(record(2)))
            await asyncio.sleep(0)
            if moment == "queued":
                rewriting = asyncio.create_task(journal.rewrite([record(0)]))
                await asyncio.sleep(0)
        if rewriting is not None:
            await rewriting
        elif moment == "in its sync":
            await journal.rewrite([record(0)])
        else:
            while not journal._recent[0].written:  # the very moment between two callbacks
                await asyncio.sleep(0)
            assert not second.done()
            await journal.rewrite([record(0)])
        await second
    assert record(2) in await read(tmp_path)


async def test_one_rewrite_at_a_time(tmp_path: Path) -> None:
    async with opened(tmp_path) as journal:
        first = asyncio.create_task(journal.rewrite([record(0)] * 1000))
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError):
            await journal.rewrite([])
        await first
        await journal.rewrite([record(1)])
    assert await read(tmp_path) == [record(1)]


async def test_a_cancelled_rewrite_goes_through(tmp_path: Path) -> None:
    async with opened(tmp_path) as journal:
        await journal.append(record(0))
        rewriting = asyncio.create_task(journal.rewrite([record(1)] * 1000))
        await asyncio.sleep(0)
        rewriting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await rewriting
        await journal.append(record(2))
    assert await read(tmp_path) == [record(1)] * 1000 + [record(2)]


async def test_a_rewrite_that_was_cut_short_leaves_nothing(tmp_path: Path) -> None:
    await write(tmp_path, 1)
    (tmp_path / "journal.new").write_bytes(b"half")
    assert await read(tmp_path) == [record(0)]
    assert not (tmp_path / "journal.new").exists()


async def test_unreadable_lines_survive_a_full_disk(small_disk: SmallDisk) -> None:
    disk = small_disk(64)
    folder = disk / "state"
    await write(folder, 2)
    path = folder / "journal.jsonl"
    path.write_bytes(b"x" * 6000 + b"\n" + path.read_bytes())
    with pytest.raises(OSError, match="No space left"), (disk / "filler").open("wb", buffering=0) as filler:
        while True:
            filler.write(bytes(4096))
    journal, records = await Journal.open(folder)
    assert records == [record(0), record(1)]
    with pytest.raises(OSError, match="No space left"):
        await journal.rewrite(records)
    (disk / "filler").unlink()
    await journal.rewrite(records)
    await journal.close()
    assert (folder / "journal.unreadable").read_bytes() == b"x" * 6000 + b"\n"
    assert await read(folder) == [record(0), record(1)]


async def test_a_record_its_reader_cannot_understand_can_be_set_aside(tmp_path: Path) -> None:
    async with opened(tmp_path) as journal:
        await journal.append(record(0))
        journal.set_aside(record(0))
        await journal.rewrite([record(1)])
        await journal.rewrite([record(2)])
    assert await read(tmp_path) == [record(2)]
    assert (tmp_path / "journal.unreadable").read_bytes() == b'{"v":1,"type":"accepted","number":0}\n'


async def test_closing_writes_what_is_queued_and_then_refuses(tmp_path: Path) -> None:
    journal, _ = await Journal.open(tmp_path)
    pending = asyncio.create_task(journal.append(record(0)))
    await asyncio.sleep(0)
    journal.note(record(1))
    await journal.close()
    await journal.close()
    assert pending.done()
    with pytest.raises(RuntimeError):
        journal.note(record(2))
    assert await read(tmp_path) == [record(0), record(1)]
