"""A database that a server has open is read whole, and is not disturbed by it."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from server.storage import snapshot
from server.storage.database import Database

ROOT = Path(__file__).parents[2]
#: Reads again and again, in a process of its own as a command does: 0 when every copy was whole.
READER = textwrap.dedent("""
    import sys
    from pathlib import Path
    from server.storage import snapshot
    path, seen = Path(sys.argv[1]), 0
    while seen < 40:
        numbers = {record["n"] for _, record in snapshot.rows(path, "daily_use")}
        assert len(numbers) == 1, numbers
        seen += 1
    print("whole")
""")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ytmp3d.db"


def many(number: int) -> dict[tuple[str, str], str | None]:
    """Rows over many pages, all with the same number."""
    return {("daily_use", f"row {row}"): f'{{"n":{number},"x":"{"x" * 400}"}}' for row in range(150)}


def test_what_was_committed_is_read_while_the_server_has_it_open(path: Path) -> None:
    database = Database(path)
    database.write({("daily_use", "a"): '{"n":1}', ("conversions", "b"): '{"n":2}'})
    assert snapshot.rows(path, "daily_use") == [("a", {"n": 1})]
    database.write({("daily_use", "a"): '{"n":3}'})
    assert snapshot.rows(path, "daily_use") == [("a", {"n": 3})]
    database.close()
    assert snapshot.rows(path, "daily_use") == [("a", {"n": 3})]


def test_a_copy_is_whole_whatever_is_written_meanwhile(path: Path) -> None:
    database = Database(path)
    database.write(many(0))
    reader = subprocess.Popen(
        [sys.executable, "-c", READER, str(path)], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    number = 0
    while reader.poll() is None:
        number += 1
        database.write(many(number))  # a checkpoint follows every 500 rows; raises if it was disturbed
    said, errors = reader.communicate()
    assert said == "whole\n", errors
    assert number > 10
    database.close()


def test_a_copy_that_is_never_whole_is_an_error(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    database = Database(path)
    looks = iter(range(250))
    monkeypatch.setattr(snapshot, "_beginnings", lambda path: [bytes([next(looks)])])
    with pytest.raises(OSError, match="busy"):
        snapshot.rows(path, "daily_use")
    database.close()


def test_without_a_database_or_without_the_table(path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        snapshot.rows(path, "daily_use")
    assert not path.exists()
    sqlite3.connect(path).execute("CREATE TABLE conversions (id, record)").connection.close()
    assert snapshot.rows(path, "daily_use") == []
    path.write_bytes(b"no database at all" * 100)
    with pytest.raises(OSError, match="cannot be read"):
        snapshot.rows(path, "daily_use")


def test_odd_rows_are_left_out(path: Path) -> None:
    database = Database(path)
    for row in (("a", "[]"), ("b", "{"), ("c", '{"n":1}')):
        database._connection.execute("INSERT INTO daily_use VALUES (?, ?)", row)
    database.close()
    assert snapshot.rows(path, "daily_use") == [("c", {"n": 1})]
