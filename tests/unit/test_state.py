"""The state: what it acknowledges is on disk, what it cannot read it keeps, what it cannot write it says."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import resource
import sqlite3
import subprocess
import sys
import textwrap
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from conftest import SmallDisk

from server.storage import database, lock, replacement, schema
from server.storage import state as state_module
from server.storage.database import Database
from server.storage.state import Record, Rows, State

DEADLINE = 20
TABLE, OTHER_TABLE = "conversions", "daily_use"
#: All but the first, which tests write to.
OTHER_TABLES = [table for table in schema.TABLES if table != TABLE]


def record(number: int) -> Record:
    return {"number": number}


async def read(folder: Path) -> Rows:
    state, rows = await State.open(folder)
    await state.close()
    return rows[TABLE]


async def numbers(folder: Path) -> dict[str, int]:
    return {key: row["number"] for key, row in await read(folder)}


async def write(folder: Path, count: int) -> None:
    async with opened(folder) as state:
        for number in range(count):
            await state.commit(TABLE, {str(number): record(number)})


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[State]:
    state, _ = await State.open(folder)
    for table in schema.TABLES:
        state.written_anew_from(table, dict[str, Record]().items)
    try:
        yield state
    finally:
        await state.close()


async def until_writable(state: State) -> None:
    async with asyncio.timeout(DEADLINE):
        while state.failing:  # it tells nobody
            await asyncio.sleep(0.01)


class Writes:
    """Stands between the state and its real writes: counts them and, while held, makes them wait."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        self.entered = threading.Event()
        self.free = threading.Event()
        self.free.set()
        write = Database.write

        def waiting(opened: Database, changes: database.Changes, *, probe: bool = False) -> None:
            if changes:
                self.count += 1
                self.entered.set()
                assert self.free.wait(DEADLINE)
            write(opened, changes, probe=probe)

        monkeypatch.setattr(Database, "write", waiting)

    @asynccontextmanager
    async def held(self, state: State) -> AsyncIterator[asyncio.Task[None]]:
        """Inside, one first commit hangs before the disk has it."""
        self.entered.clear()
        self.free.clear()
        first = asyncio.create_task(state.commit(TABLE, {"first": record(-1)}))
        try:
            assert await asyncio.to_thread(self.entered.wait, DEADLINE)
            yield first
        finally:
            self.free.set()
            await first


@pytest.fixture
def writes(monkeypatch: pytest.MonkeyPatch) -> Writes:
    return Writes(monkeypatch)


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that refused is tried again soon."""
    monkeypatch.setattr(state_module, "RETRY_SECONDS", 0.02)


@contextmanager
def files_limited_to(size: int) -> Iterator[None]:
    """The kernel cuts every write of this process at `size` bytes into a file, as a full disk would."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def fill(disk: Path) -> Path:
    filler = disk / "filler"
    with pytest.raises(OSError, match="No space left"), filler.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    return filler


# ---- what is kept


async def test_the_last_word_on_each_id_comes_back_in_the_order_of_their_coming(tmp_path: Path) -> None:
    async with opened(tmp_path) as state:
        await asyncio.gather(*(state.commit(TABLE, {str(number): record(number)}) for number in range(100)))
        state.note(TABLE, {"7": {"title": "\ud800 \N{SNOWMAN} \n\0"}, "50": record(50)})
        state.note(TABLE, {"50": None, "never heard of": None})
    expected: Rows = [(str(number), record(number)) for number in range(100) if number != 50]
    expected[7] = ("7", {"title": "\ud800 \N{SNOWMAN} \n\0"})
    assert await read(tmp_path) == expected


async def test_only_its_owner_can_read_it(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "state"
    async with opened(folder) as state:
        await state.commit(TABLE, {"0": record(0)})
        assert folder.stat().st_mode & 0o777 == 0o700
        assert {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()} == {
            "ytmp3d.db": 0o600,
            "ytmp3d.db-wal": 0o600,
        }
    assert [path.name for path in folder.iterdir()] == ["ytmp3d.db"]


async def test_a_second_server_is_told_in_one_line(tmp_path: Path) -> None:
    program = "import asyncio, sys; from server.storage.state import *; asyncio.run(State.open(Path(sys.argv[1])))"
    program = program.replace("import asyncio,", "from pathlib import Path; import asyncio,")
    async with opened(tmp_path) as state:
        for number in range(2):
            second = await asyncio.to_thread(
                subprocess.run,
                [sys.executable, "-c", program, str(tmp_path)],
                capture_output=True,
                text=True,
                timeout=60,
            )
            last = second.stderr.splitlines()[-1]
            assert last.endswith(f"Locked: {tmp_path}: another server is using this state folder"), second.stderr
            await state.commit(TABLE, {str(number): record(number)})
    assert len(await read(tmp_path)) == 2


async def test_a_commit_returns_only_when_it_is_on_disk(tmp_path: Path, writes: Writes) -> None:
    async with opened(tmp_path) as state:
        async with writes.held(state) as first:
            await asyncio.sleep(0.05)  # the loop runs on meanwhile
            assert not first.done()
        assert first.done()


async def test_every_commit_is_synced(tmp_path: Path) -> None:
    opened = Database(tmp_path / "some.db")
    for setting, value in (("synchronous", 2), ("journal_mode", b"wal"), ("locking_mode", b"exclusive")):
        assert opened._connection.execute(f"PRAGMA {setting}").fetchone() == (value,)
    opened.close()


async def test_what_is_queued_meanwhile_goes_out_with_one_write(tmp_path: Path, writes: Writes) -> None:
    async with opened(tmp_path) as state:
        async with writes.held(state):
            before = writes.count
            others = [asyncio.create_task(state.commit(TABLE, {str(n): record(n)})) for n in range(50)]
            await asyncio.sleep(0)
        await asyncio.gather(*others)
        assert writes.count == before + 1


async def test_a_cancelled_caller_does_not_harm_the_others(tmp_path: Path, writes: Writes) -> None:
    async with opened(tmp_path) as state:
        async with writes.held(state):
            others = [asyncio.create_task(state.commit(TABLE, {str(n): record(n)})) for n in range(3)]
            await asyncio.sleep(0)
            others[1].cancel()
        await asyncio.gather(others[0], others[2])
        with pytest.raises(asyncio.CancelledError):
            await others[1]
    assert {"first", "0", "2"} <= (await numbers(tmp_path)).keys()


async def test_closing_writes_what_is_queued_and_then_refuses(tmp_path: Path) -> None:
    state, _ = await State.open(tmp_path)
    pending = asyncio.create_task(state.commit(TABLE, {"0": record(0)}))
    await asyncio.sleep(0)
    state.note(TABLE, {"1": record(1)})
    await state.close()
    await state.close()
    assert pending.done()
    with pytest.raises(RuntimeError):
        state.note(TABLE, {"2": record(2)})
    assert await numbers(tmp_path) == {"0": 0, "1": 1}


async def test_what_cannot_be_kept_is_refused_at_once(tmp_path: Path) -> None:
    """It would be set aside at the next start."""
    async with opened(tmp_path) as state:
        for unkeepable in ({"0": {"title": "x" * database.MAX_RECORD}}, {"\ud800": record(0)}):
            with pytest.raises(ValueError):
                await state.commit(TABLE, unkeepable)
            with pytest.raises(ValueError):
                state.note(TABLE, unkeepable)
        await state.commit(TABLE, {"0": record(0)})
    assert await numbers(tmp_path) == {"0": 0}


async def test_the_write_ahead_log_stays_small(tmp_path: Path) -> None:
    async with opened(tmp_path) as state:
        largest = 0
        for step in range(100):
            await asyncio.gather(
                *(state.commit(TABLE, {str(number % 97): {"number": step, "text": "x" * 400}}) for number in range(100))
            )
            largest = max(largest, (tmp_path / "ytmp3d.db-wal").stat().st_size)
        assert largest < 8 << 20
        assert (tmp_path / "ytmp3d.db").stat().st_size < 1 << 20


async def test_what_a_killed_process_acknowledged_is_there(tmp_path: Path) -> None:
    program = """
        import asyncio, itertools, sys
        from pathlib import Path
        from server.storage.schema import TABLES
        from server.storage.state import State

        async def main():
            state, _ = await State.open(Path(sys.argv[1]))
            rows = {}
            state.written_anew_from("conversions", lambda: list(rows.items()))
            for table in TABLES[1:]:
                state.written_anew_from(table, list)
            async def client(name):
                for number in itertools.count():
                    change = {f"{name} {number}": {"number": number}}
                    rows.update(change)
                    await state.commit("conversions", change)
                    print(name, number, flush=True)
                    if name == 0 and number % 20 == 0:
                        Path(sys.argv[1], "ytmp3d.db-wal").unlink(missing_ok=True)
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
        if (folder / "ytmp3d.db-wal").exists():  # else it was removed a moment ago, which the server had no time to see
            assert {line.strip() for line in told if line.endswith("\n")} <= (await numbers(folder)).keys()


# ---- a disk that refuses


async def test_what_was_refused_is_not_there(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with opened(tmp_path) as state:
        await state.commit(TABLE, {"0": record(0)})
        with files_limited_to((tmp_path / "ytmp3d.db-wal").stat().st_size + 10):
            for number in range(3):
                with pytest.raises(OSError):
                    await state.commit(TABLE, {"1": {"number": number, "text": "x" * 50_000}})
                assert state.failing
        await state.commit(TABLE, {"2": record(2)})
        assert not state.failing
    assert await numbers(tmp_path) == {"0": 0, "2": 2}
    assert [entry.levelname for entry in caplog.records if "cannot be written" in entry.getMessage()] == ["ERROR"]


async def test_a_full_disk_refuses_and_recovers(small_disk: SmallDisk) -> None:
    disk = small_disk(256)
    folder = disk / "state"
    async with opened(folder) as state:
        await state.commit(TABLE, {"0": record(0)})
        filler = fill(disk)
        kept = 0
        with pytest.raises(OSError, match="No space left"):
            for number in range(1, 10_000):
                await state.commit(TABLE, {str(number): {"number": number, "text": "x" * 1000}})
                kept = number
        assert kept < 1000
        state.note(TABLE, {"note": {"number": 1, "padding": "x" * 50_000}})
        state.note(TABLE, {"0": record(7)})
        with pytest.raises(OSError, match="No space left"):
            await state.commit(TABLE, {"refused": record(0)})
        filler.unlink()
        await state.commit(TABLE, {"last": record(-1)})
    found = await numbers(folder)
    assert found == {"0": 7, **{str(n): n for n in range(1, kept + 1)}, "note": 1, "last": -1}
    assert {path.name for path in folder.iterdir()} == {"ytmp3d.db"}


async def test_a_checkpoint_that_the_disk_refuses_loses_nothing(
    small_disk: SmallDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "CHECKPOINT_ROWS", 20)
    disk = small_disk(512)
    folder = disk / "state"
    kept: dict[str, int] = {}
    async with opened(folder) as state:
        for number in range(15):
            await state.commit(TABLE, {str(number): {"number": number, "text": "x" * 4000}})
            kept[str(number)] = number
        filler = fill(disk)
        with filler.open("r+b") as file:
            file.truncate(filler.stat().st_size - (48 << 10))
        with pytest.raises(OSError, match="No space left"):
            for number in range(15, 10_000):
                await state.commit(TABLE, {str(number): {"number": number, "text": "x" * 4000}})
                kept[str(number)] = number
        subprocess.run(["cp", "-r", folder, disk.parent / "seen by a restart"], check=True)
        filler.unlink()
        await state.commit(TABLE, {"last": record(-1)})
    assert await numbers(disk.parent / "seen by a restart") == kept
    assert await numbers(folder) == {**kept, "last": -1}
    assert {path.name for path in folder.iterdir()} == {"ytmp3d.db"}, "it was never taken for damaged"


async def test_a_start_on_a_full_disk_reads_everything_or_begins_with_nothing(
    small_disk: SmallDisk, soon: None
) -> None:
    disk = small_disk(256)
    await write(disk / "state", 3)
    filler = fill(disk)
    async with opened(disk / "state") as state:
        with pytest.raises(OSError, match="No space left"):
            await state.commit(TABLE, {"3": {"number": 3, "text": "x" * 10_000}})
    async with opened(disk / "new") as state:
        assert state.failing
        with pytest.raises(OSError, match="No space left"):
            await state.commit(TABLE, {"0": record(0)})
        filler.unlink()
        await until_writable(state)
        await state.commit(TABLE, {"1": record(1)})
    assert await numbers(disk / "state") == {"0": 0, "1": 1, "2": 2}
    assert await numbers(disk / "new") == {"1": 1}


async def test_held_notes_are_tried_again_by_themselves(tmp_path: Path, soon: None) -> None:
    async with opened(tmp_path) as state:
        with files_limited_to(10):
            state.note(TABLE, {"0": record(0)})
            state.note(TABLE, {"1": record(1)})
            with pytest.raises(OSError):
                await state.commit(TABLE, {"2": record(2)})
        await until_writable(state)
        subprocess.run(["cp", "-r", tmp_path, tmp_path.with_name("seen by a restart")], check=True)
    assert await numbers(tmp_path.with_name("seen by a restart")) == {"0": 0, "1": 1}


async def test_it_finds_out_by_itself_that_the_disk_takes_writes_again(small_disk: SmallDisk, soon: None) -> None:
    disk = small_disk(128)
    async with opened(disk / "state") as state:
        await state.commit(TABLE, {"0": record(0)})
        filler = fill(disk)
        with pytest.raises(OSError, match="No space left"):
            await state.commit(TABLE, {"1": {"number": 1, "text": "x" * 50_000}})
        assert state.failing
        filler.unlink()
        await until_writable(state)
    assert await numbers(disk / "state") == {"0": 0}


async def test_of_held_notes_only_the_last_word_on_each_id_is_kept(tmp_path: Path) -> None:
    async with opened(tmp_path) as state:
        with files_limited_to(10):
            for number in range(1000):
                state.note(TABLE, {str(number % 5): record(number)})
                if not number % 100:
                    with pytest.raises(OSError):
                        await state.commit(TABLE, {f"refused {number}": record(number)})
                    assert sum(len(entry.changes) for entry in state._queue) <= 5
            state.note(TABLE, {"3": None})
        await state.commit(TABLE, {"last": record(0)})
    assert await numbers(tmp_path) == {"0": 995, "1": 996, "2": 997, "4": 999, "last": 0}


async def test_closing_on_a_disk_that_refuses_says_what_is_lost(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(tmp_path) as state:
        with files_limited_to(10):
            state.note(TABLE, {"0": record(0), "1": record(1)})
            await state.close()
    assert "the state lost 2 changes" in caplog.text
    assert await read(tmp_path) == []


# ---- what cannot be read


def make_garbage(path: Path) -> None:
    path.write_bytes(random.Random(1).randbytes(20_000))


def make_cut(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 4096 * 3)


async def test_a_database_of_the_first_version_is_brought_to_this_one(tmp_path: Path) -> None:
    await write(tmp_path, 3)
    with closing(sqlite3.connect(db(tmp_path))) as connection:
        for table in OTHER_TABLES:
            connection.execute(f"DROP TABLE {table}")
        connection.execute("PRAGMA user_version = 1")
        connection.commit()
    async with opened(tmp_path) as state:
        await state.commit(OTHER_TABLE, {"2026-11-26 anna": {"requests": 1}})
    assert await numbers(tmp_path) == {"0": 0, "1": 1, "2": 2}


def make_later(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")
        connection.commit()


def make_foreign(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE notes (text)")
        connection.commit()


def make_strange(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("ALTER TABLE conversions RENAME TO something_else")
        connection.commit()


def make_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "file").write_bytes(b"x")


@pytest.mark.parametrize(
    "spoil", [make_garbage, make_cut, make_later, make_foreign, make_strange, make_folder], ids=lambda f: f.__name__
)
async def test_a_database_that_cannot_be_read_is_set_aside_whole(
    tmp_path: Path, spoil: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(tmp_path) as state:
        await state.commit(TABLE, {str(n): {"number": n, "text": "x" * 1000} for n in range(100)})
    path = tmp_path / "ytmp3d.db"
    spoil(path)
    (tmp_path / "ytmp3d.db-wal").write_bytes(b"whatever lies beside it")
    before = path.read_bytes() if path.is_file() else b""
    async with opened(tmp_path) as state:
        await state.commit(TABLE, {"0": record(0)})
    (warning,) = [entry.getMessage() for entry in caplog.records if entry.levelno == logging.WARNING]
    (aside,) = [one for one in tmp_path.iterdir() if "unreadable" in one.name and not one.name.endswith("-wal")]
    assert str(aside) in warning and str(path) in warning
    if before:
        assert aside.read_bytes() == before
    assert await numbers(tmp_path) == {"0": 0}


ODD: list[tuple[Any, Any]] = [
    ("x", "garbage"), ("x", ""), ("x", '{"number":'), ("x", "[]"), ("x", "7"), ("x", "null"), ("x", "[" * 100_000),
    ("x", '{"a":' + "9" * 10_000 + "}"), ("x", b"\xff\xfe\x00"), ("x", b'{"number": 1}'), ("x", 7), ("x", 1e300),
    ("x", '{"a":"' + "x" * (1 << 20) + '"}'), (b"\xff", "{}"), (b"x", "{}"), ("x" * 5000, "{}"), ("x", '{}\0'),
    ("x", "\0"),
]  # fmt: skip


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: repr(odd)[:40])
async def test_an_odd_row_is_set_aside_alone_with_a_warning(
    tmp_path: Path, odd: tuple[Any, Any], caplog: pytest.LogCaptureFixture
) -> None:
    await write(tmp_path, 2)
    with closing(sqlite3.connect(tmp_path / "ytmp3d.db")) as connection:
        connection.execute("INSERT INTO conversions VALUES (?, ?)", odd)
        kept = connection.execute("SELECT id, record FROM conversions WHERE id NOT IN ('0', '1')").fetchone()
        connection.commit()
    async with opened(tmp_path) as state:
        await state.commit(TABLE, {"2": record(2)})
    assert await numbers(tmp_path) == {"0": 0, "1": 1, "2": 2}
    (warning,) = [entry.getMessage() for entry in caplog.records if entry.levelno == logging.WARNING]
    assert "1 rows of conversions" in warning
    with closing(sqlite3.connect(tmp_path / "ytmp3d.db")) as connection:
        ((origin, *row),) = connection.execute("SELECT origin, id, record FROM unreadable").fetchall()
    assert origin == "conversions" and tuple(row) == kept


async def test_an_odd_row_survives_a_full_disk(small_disk: SmallDisk) -> None:
    disk = small_disk(512)
    await write(disk / "state", 2)
    with closing(sqlite3.connect(disk / "state" / "ytmp3d.db")) as connection:
        connection.execute("INSERT INTO conversions VALUES ('odd', ?)", ("x" * 50_000,))
        connection.commit()
    filler = fill(disk)
    assert await numbers(disk / "state") == {"0": 0, "1": 1}
    filler.unlink()
    assert await numbers(disk / "state") == {"0": 0, "1": 1}
    with closing(sqlite3.connect(disk / "state" / "ytmp3d.db")) as connection:
        assert connection.execute("SELECT length(record) FROM unreadable").fetchall() == [(50_000,)]


async def test_a_row_its_reader_cannot_understand_can_be_set_aside(tmp_path: Path) -> None:
    await write(tmp_path, 3)
    async with opened(tmp_path) as state:
        state.set_aside(TABLE, ["1"])
    assert await numbers(tmp_path) == {"0": 0, "2": 2}
    with closing(sqlite3.connect(tmp_path / "ytmp3d.db")) as connection:
        assert connection.execute("SELECT origin, id, record FROM unreadable").fetchall() == [
            ("conversions", "1", '{"number":1}')
        ]


async def test_what_a_killed_rewriting_left_is_removed(tmp_path: Path) -> None:
    await write(tmp_path, 1)
    for name in ("ytmp3d.db.new", "ytmp3d.db.new-wal"):
        (tmp_path / name).write_bytes(b"half")
    assert await numbers(tmp_path) == {"0": 0}
    assert [path.name for path in tmp_path.iterdir()] == ["ytmp3d.db"]


# ---- the journal of release 0.0

JOURNAL = """\
{"v":1,"type":"put","conversions":[{"id":"a","number":1},{"id":"b","number":2}]}
{"v":1,"type":"put","conversions":[{"id":"a","number":3},{"id":"known","number":9}]}
garbage
{"v":1,"type":"put","conversions":[{"id":7}]}
{"v":1,"type":"drop","ids":["b","never heard of"]}
{"v":1,"type":"put","conversions":[{"id":"torn","""


async def test_the_journal_of_release_0_0_is_imported_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with opened(tmp_path) as state:
        await state.commit(TABLE, {"known": record(1)})
    (tmp_path / "journal.jsonl").write_text(JOURNAL)
    for _ in range(2):
        assert await numbers(tmp_path) == {"a": 3, "known": 1}
    assert not (tmp_path / "journal.jsonl").exists()
    assert (tmp_path / "journal.jsonl.imported").read_text() == JOURNAL
    assert "3 lines cannot be read" in caplog.text


async def test_a_journal_whose_server_still_runs_is_not_imported(tmp_path: Path) -> None:
    (tmp_path / "journal.jsonl").write_text(JOURNAL)
    descriptor = lock.take(tmp_path, "lock", "state")
    try:
        with pytest.raises(lock.Locked):
            await State.open(tmp_path)
    finally:
        os.close(descriptor)
    assert await numbers(tmp_path) == {"a": 3, "known": 9}


async def test_a_full_disk_imports_no_half_of_a_journal(small_disk: SmallDisk) -> None:
    disk = small_disk(128)
    folder = disk / "state"
    folder.mkdir()
    (folder / "journal.jsonl").write_text(JOURNAL)
    filler = fill(disk)
    with pytest.raises(OSError, match="no room"):
        await State.open(folder)
    filler.unlink()
    assert await numbers(folder) == {"a": 3, "known": 9}


# ---- files that go away or change under it


def db(folder: Path) -> Path:
    return folder / "ytmp3d.db"


def wal(folder: Path) -> Path:
    return folder / "ytmp3d.db-wal"


def run(*command: str | Path) -> None:
    subprocess.run(command, check=True, timeout=60)


def copy_over(source: Path, target: Path) -> None:
    run("cp", source, target)  # as another process does it, into the same inode


def replace_folder(folder: Path) -> None:
    run("mv", folder, f"{folder}.old")
    folder.mkdir()


def replace_folder_by_a_link(folder: Path) -> None:
    run("mv", folder, f"{folder}.old")
    run("mkdir", f"{folder}.new")
    folder.symlink_to(f"{folder}.new")


def make_database_a_folder(folder: Path) -> None:
    db(folder).unlink()
    db(folder).mkdir()


ATTACKS: dict[str, Callable[[Path], object]] = {
    "the database is removed": lambda folder: run("rm", db(folder)),
    "its log is removed": lambda folder: run("rm", wal(folder)),
    "both are removed": lambda folder: run("rm", db(folder), wal(folder)),
    "the folder is removed": lambda folder: run("rm", "-r", folder),
    "the folder is renamed": lambda folder: run("mv", folder, folder.with_name("elsewhere")),
    "the folder is replaced by an empty one": replace_folder,
    "the folder is replaced by a link": replace_folder_by_a_link,
    "the database is replaced by an older one": lambda folder: run("mv", folder.with_name("older.db"), db(folder)),
    "the database is overwritten with an older one": lambda folder: copy_over(folder.with_name("older.db"), db(folder)),
    "the database is overwritten with garbage": lambda folder: db(folder).write_bytes(b"garbage" * 5000),
    "the database is emptied": lambda folder: run("truncate", "-s", "0", db(folder)),
    "the database is cut": lambda folder: run("truncate", "-s", "-4096", db(folder)),
    "its log is emptied": lambda folder: run("truncate", "-s", "0", wal(folder)),
    "its log is overwritten": lambda folder: wal(folder).write_bytes(b"garbage" * 50_000),
    "the database becomes a folder": make_database_a_folder,
}


@asynccontextmanager
async def with_table(folder: Path) -> AsyncIterator[tuple[State, dict[str, Record]]]:
    """A state with the table in memory that it is written anew from: 601 rows, all but one of them checkpointed."""
    table: dict[str, Record] = {}
    state, _ = await State.open(folder)
    state.written_anew_from(TABLE, lambda: list(table.items()))
    for other in OTHER_TABLES:
        state.written_anew_from(other, list)
    try:
        for step in range(3):
            table.update({f"{step} {n}": {"number": n, "text": "x" * 300} for n in range(200)})
            await state.commit(TABLE, table)
            if not step:
                run("cp", db(folder), folder.with_name("older.db"))
        table["not checkpointed"] = record(1)
        await state.commit(TABLE, {"not checkpointed": record(1)})
        yield state, table
    finally:
        await state.close()


async def seen_by_a_restart(folder: Path) -> dict[str, Record]:
    """What is on disk now, as after a kill -9."""
    copy = folder.with_name("copy")
    run("rm", "-rf", copy)
    await asyncio.to_thread(run, "cp", "-rL", folder, copy)
    return dict(await read(copy))


@pytest.mark.parametrize("attack", ATTACKS)
async def test_nothing_is_acknowledged_into_files_that_a_restart_does_not_find(tmp_path: Path, attack: str) -> None:
    folder = tmp_path / "state"
    async with with_table(folder) as (state, table):
        ATTACKS[attack](folder)
        table["after"] = record(1)
        await state.commit(TABLE, {"after": record(1)})
        assert await seen_by_a_restart(folder) == table
        assert not state.failing
        await state.commit(TABLE, {"after": None})
        del table["after"]
        assert await seen_by_a_restart(folder) == table


@pytest.mark.parametrize("attack", ATTACKS)
async def test_it_is_noticed_without_anything_to_write(tmp_path: Path, attack: str, soon: None) -> None:
    folder = tmp_path / "state"
    async with with_table(folder) as (state, table):
        before = state._database
        ATTACKS[attack](folder)
        async with asyncio.timeout(DEADLINE):
            while state._database in (before, None):  # it tells nobody
                await asyncio.sleep(0.01)
        assert await seen_by_a_restart(folder) == table


@pytest.mark.parametrize("attack", ATTACKS)
async def test_a_commit_during_which_it_happens_is_acknowledged_only_once_it_is_found(
    tmp_path: Path, attack: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "state"
    async with with_table(folder) as (state, table):
        apply = Database.apply

        def attacked(opened: Database, changes: database.Changes) -> None:
            apply(opened, changes)
            if opened is before:
                ATTACKS[attack](folder)

        before = state._database
        monkeypatch.setattr(Database, "apply", attacked)
        table["after"] = record(1)
        await state.commit(TABLE, {"after": record(1)})
        assert await seen_by_a_restart(folder) == table


async def test_what_was_found_in_its_place_is_kept_and_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "state"
    async with with_table(folder) as (state, _):
        content = folder.with_name("older.db").read_bytes()
        run("mv", folder.with_name("older.db"), db(folder))
        await state.commit(TABLE, {"after": record(1)})
    (aside,) = [path for path in folder.iterdir() if "replaced" in path.name and not path.name.endswith("-wal")]
    assert str(aside) in caplog.text
    assert aside.read_bytes() == content


async def test_something_that_replaces_it_again_and_again_does_not_fill_the_disk(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    async with with_table(folder) as (state, _):
        for number in range(replacement.KEPT_ASIDE + 3):
            run("cp", folder.with_name("older.db"), folder.with_name("again.db"))
            run("mv", folder.with_name("again.db"), db(folder))
            await state.commit(TABLE, {"after": record(number)})
        kept = {path.name.removesuffix("-wal") for path in folder.iterdir() if "replaced" in path.name}
        assert len(kept) == replacement.KEPT_ASIDE


async def test_attempts_in_vain_leave_time_for_other_things(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "state"
    attempts = []

    def refuse(*arguments: Any) -> Database:
        attempts.append(arguments)
        raise OSError(28, "No space left on device")

    async with with_table(folder) as (state, table):
        with monkeypatch.context() as full:
            full.setattr(replacement, "put_in_place", refuse)
            full.setattr(state_module, "_PAUSE", 10_000)
            db(folder).unlink()
            for _ in range(20):
                with pytest.raises(OSError, match="No space left"):
                    await state.commit(TABLE, {"refused": record(0)})
        assert len(attempts) == 1
        state._anew_after = 0
        await state.commit(TABLE, {"last": record(1)})
        assert await seen_by_a_restart(folder) == {**table, "last": record(1)}


async def test_where_it_cannot_be_written_anew_nothing_is_acknowledged(tmp_path: Path, soon: None) -> None:
    folder = tmp_path / "state"
    async with with_table(folder) as (state, table):
        run("mv", folder, folder.with_name("elsewhere"))
        folder.write_text("no folder")
        for _ in range(3):
            with pytest.raises(OSError):
                await state.commit(TABLE, {"refused": record(0)})
            assert state.failing
        state.note(TABLE, {"0 7": None})
        del table["0 7"]
        folder.unlink()
        await until_writable(state)
        assert await seen_by_a_restart(folder) == table


async def test_a_full_disk_leaves_what_is_there_until_it_can_be_written_anew(small_disk: SmallDisk, soon: None) -> None:
    disk = small_disk(2048)
    folder = disk / "state"
    async with with_table(folder) as (state, table):
        wal(folder).unlink()
        filler = fill(disk)
        with pytest.raises(OSError, match="No space left"):
            await state.commit(TABLE, {"refused": record(0)})
        assert {path.name for path in folder.iterdir()} == {"ytmp3d.db"}
        filler.unlink()
        await until_writable(state)
        (disk / "older.db").unlink()
    assert dict(await read(folder)) == table


async def test_another_servers_database_in_its_place_is_left_alone(tmp_path: Path, soon: None) -> None:
    folder, other = tmp_path / "state", tmp_path / "other"
    program = """
        import sqlite3, sys
        connection = sqlite3.connect(sys.argv[1], isolation_level=None)
        connection.execute("PRAGMA locking_mode = EXCLUSIVE").fetchall()
        connection.execute("PRAGMA journal_mode = WAL").fetchall()
        connection.execute("CREATE TABLE IF NOT EXISTS conversions (id, record)")
        print("locked", flush=True)
        sys.stdin.read()
    """
    other.mkdir()
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program), db(other)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout and child.stdout.readline() == b"locked\n"
        async with with_table(folder) as (state, table):
            run("mv", folder, folder.with_name("elsewhere"))
            run("mv", other, folder)
            for _ in range(3):
                with pytest.raises(OSError, match="another server"):
                    await state.commit(TABLE, {"refused": record(0)})
            assert state.failing and not [path for path in folder.iterdir() if "replaced" in path.name]
            child.communicate(timeout=60)
            await until_writable(state)
            assert await seen_by_a_restart(folder) == table


async def test_what_changes_while_it_is_written_anew_is_not_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "state"
    changed = threading.Event()
    put_in_place = replacement.put_in_place

    def held(*arguments: Any) -> Database:
        assert changed.wait(DEADLINE)
        return put_in_place(*arguments)

    monkeypatch.setattr(replacement, "put_in_place", held)
    async with with_table(folder) as (state, table):
        table.update({f"many {number}": record(number) for number in range(5000)})
        await state.commit(TABLE, table)
        db(folder).unlink()
        writing = asyncio.create_task(state.commit(TABLE, {"waits": record(0)}))
        for number in range(0, 5000, 2):
            change: dict[str, Record | None] = {f"many {number}": None, f"many {number + 1}": record(-number)}
            table.update({key: row for key, row in change.items() if row})
            del table[f"many {number}"]
            state.note(TABLE, change)
            if not number % 100:
                await asyncio.sleep(0.001)
        assert not writing.done()
        changed.set()
        await state.commit(TABLE, {})
        assert await seen_by_a_restart(folder) == {**table, "waits": record(0)}


@pytest.mark.parametrize("step", ["begin", "set_aside", "sync"])
async def test_a_kill_while_it_is_written_anew_loses_no_more_than_was_lost(
    tmp_path: Path, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Right before the new one is begun, when it is whole but nothing lies in its place, and when it is in place."""
    folder, copy = tmp_path / "state", tmp_path / "killed"

    def kill(*arguments: Any) -> Any:
        found = original(*arguments)
        if not copy.exists():
            run("cp", "-r", folder, copy)
        return found

    original = getattr(replacement, step)
    async with with_table(folder) as (state, table):
        monkeypatch.setattr(replacement, step, kill)
        wal(folder).rename(folder / "moved-wal")
        await state.commit(TABLE, {"after": record(1)})
    found = dict(await read(copy))
    if step == "begin":
        table.pop("not checkpointed")  # it was in the log
        assert found == table
    else:
        assert found == {**table, "after": record(1)}
    assert not [path for path in copy.iterdir() if ".new" in path.name]


async def test_before_the_table_is_known_nothing_is_written_anew(tmp_path: Path) -> None:
    """It would be written empty."""
    await write(tmp_path, 3)
    state, _ = await State.open(tmp_path)
    db(tmp_path).rename(tmp_path / "moved.db")
    with pytest.raises(OSError, match="starts"):
        await state.commit(TABLE, {"3": record(3)})
    assert state.failing
    table = {str(n): record(n) for n in range(3)}
    state.written_anew_from(TABLE, table.items)
    with pytest.raises(OSError, match="starts"):  # not of one table alone
        await state.commit(TABLE, {"4": record(4)})
    for other in OTHER_TABLES:
        state.written_anew_from(other, list)
    await state.commit(TABLE, {"3": record(3)})
    await state.close()
    assert await numbers(tmp_path) == {"0": 0, "1": 1, "2": 2, "3": 3}
