"""The state is removed, replaced or spoiled: nothing acknowledged is lost, and no start is stopped."""

from __future__ import annotations

import json
import re
import shutil
import signal
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from conftest import NewServer
from support.serverprocess import Answer, ServerProcess, until

SLOW = "x-slow-----"

pytestmark = pytest.mark.long


def state(server: ServerProcess) -> Path:
    return server.folder / "state"


def database(server: ServerProcess) -> Path:
    return state(server) / "ytmp3d.db"


def remove_database(server: ServerProcess) -> None:
    database(server).unlink()
    database(server).with_name("ytmp3d.db-wal").unlink()


def remove_folder(server: ServerProcess) -> None:
    shutil.rmtree(state(server))


def move_folder(server: ServerProcess) -> None:
    state(server).rename(server.folder / "elsewhere")


def restore_backup(server: ServerProcess) -> None:
    """One from before anything was converted, in place of the database in use."""
    (server.folder / "backup.db").rename(database(server))


def empty_log(server: ServerProcess) -> None:
    database(server).with_name("ytmp3d.db-wal").write_bytes(b"")


ATTACKS = [remove_database, remove_folder, move_folder, restore_backup, empty_log]


@pytest.fixture
def server(new_server: NewServer) -> ServerProcess:
    """One with a backup of its empty state."""
    server = new_server("[limits]\nconcurrent = 1")
    server.start()
    stop(server)
    shutil.copyfile(database(server), server.folder / "backup.db")
    server.start()
    return server


def stop(server: ServerProcess) -> None:
    server.signal(signal.SIGTERM)
    assert server.wait() == 0


def post(server: ServerProcess, video: str) -> Answer:
    return server.request("POST", "/convert", {"url": f"https://youtu.be/{video}", "quality": "low"})


@pytest.mark.parametrize("attack", ATTACKS)
def test_what_is_accepted_after_it_was_removed_or_replaced_survives_a_kill(
    server: ServerProcess, attack: Callable[[ServerProcess], None]
) -> None:
    done = server.convert("finished-01")
    assert server.finished(done)["status"] == "completed"
    content = server.download(done)
    running = server.convert(SLOW)
    until(lambda: server.has_audio(running))
    attack(server)
    waiting = server.convert("waiting-001")
    server.kill()
    server.start()
    assert server.status(waiting)["status"] == "queued"
    assert server.download(done) == content
    for conversion in (running, waiting):
        assert server.finished(conversion)["status"] == "completed"


@pytest.mark.parametrize("attack", ATTACKS)
def test_it_is_noticed_within_seconds_though_nothing_happens(
    server: ServerProcess, attack: Callable[[ServerProcess], None]
) -> None:
    done = server.convert("finished-01")
    assert server.finished(done)["status"] == "completed"
    attack(server)
    until(lambda: "it has been written anew" in server.log)
    server.kill()
    server.start()
    assert server.status(done)["status"] == "completed"
    assert server.download(done)


def test_where_it_cannot_be_written_anew_new_work_is_refused_and_readyz_says_so(server: ServerProcess) -> None:
    done = server.convert("finished-01")
    assert server.finished(done)["status"] == "completed"
    move_folder(server)
    state(server).write_text("no folder")
    for _ in range(3):
        refused = post(server, "refused-001")
        assert (refused.status, refused.json["error"]["code"]) == (503, "DISK_FULL")
        assert int(refused.headers["Retry-After"]) > 0
    ready = server.request("GET", "/readyz")
    assert ready.status == 503 and any("state" in problem for problem in ready.json["problems"])
    assert server.status(done)["status"] == "completed", "what is there is still served"
    assert server.request("DELETE", f"/status/{done}").status == 200, "and can be removed"
    state(server).unlink()
    shutil.copytree(
        server.folder / "elsewhere", state(server), ignore=shutil.ignore_patterns("ytmp3d.db*"), dirs_exist_ok=True
    )  # the server may have made it again already
    accepted: Any = until(lambda: (answer := post(server, "accepted-01")).status == 200 and answer, what="it recovers")
    until(lambda: server.request("GET", "/readyz").status == 200, what="it is ready again")
    server.kill()
    server.start()
    assert server.finished(accepted.json["conversion_id"])["status"] == "completed"
    assert server.request("GET", f"/status/{done}").status == 404


@pytest.mark.parametrize("content", [b"garbage" * 1000, b"SQLite format 3\0" + bytes(4080)], ids=["garbage", "zeros"])
def test_a_database_that_cannot_be_read_stops_no_start(server: ServerProcess, content: bytes) -> None:
    stop(server)
    database(server).write_bytes(content)
    server.start()
    (aside,) = state(server).glob("ytmp3d.db.unreadable.*")
    assert aside.read_bytes() == content
    until(lambda: aside.name in server.log, 5)
    assert server.finished(server.convert("plain-video"))["status"] == "completed"


def test_one_odd_record_stops_no_start(server: ServerProcess) -> None:
    done = server.convert("finished-01")
    assert server.finished(done)["status"] == "completed"
    stop(server)
    with closing(sqlite3.connect(database(server))) as connection:
        ((record,),) = connection.execute("SELECT record FROM conversions").fetchall()
        odd = {"infinite": re.sub(r'"attempt":\d+', '"attempt":1e400', record), "nested": "[" * 100_000, "none": "null"}
        assert odd["infinite"] != record
        connection.executemany("INSERT INTO conversions VALUES (?, ?)", odd.items())
        connection.commit()
    server.start()
    assert server.download(done)
    assert server.request("GET", "/status").json["jobs"] == [server.status(done)]
    assert "set aside" in server.log
    stop(server)
    with closing(sqlite3.connect(database(server))) as connection:
        assert {key for (key,) in connection.execute("SELECT id FROM unreadable")} == odd.keys()
        assert [key for (key,) in connection.execute("SELECT id FROM conversions")] == [done]


def test_an_upgrade_from_release_0_0_loses_nothing(server: ServerProcess) -> None:
    done = server.convert("finished-01")
    assert server.finished(done)["status"] == "completed"
    content = server.download(done)
    running, waiting = server.convert(SLOW), server.convert("waiting-001")
    until(lambda: server.has_audio(running))
    server.kill()
    with closing(sqlite3.connect(database(server))) as connection:
        rows = {key: json.loads(record) for key, record in connection.execute("SELECT id, record FROM conversions")}
    remove_folder(server)
    state(server).mkdir()
    lines = [
        {"v": 1, "type": "put", "conversions": [{"id": key, **record} for key, record in rows.items()]},
        {"v": 1, "type": "put", "conversions": [{"id": "gone", **rows[done]}]},
        {"v": 1, "type": "drop", "ids": ["gone"]},
    ]
    (state(server) / "journal.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    for _ in range(2):
        server.start()
        assert server.download(done) == content
        assert server.request("GET", "/status/gone").status == 404
        server.kill()
    server.start()
    for conversion in (running, waiting):
        assert server.finished(conversion)["status"] == "completed"
    assert [path.name for path in state(server).glob("journal*")] == ["journal.jsonl.imported"]
