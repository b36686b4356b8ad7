"""Five hundred clients ask for a file and take nothing of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from conftest import NewServer
from support import attacks
from support.serverprocess import ServerProcess, link, open_files, until

COUNT = 500
#: What a client of the test takes before it stops, in bytes: so that no file fits in what the systems hold for it.
RECEIVE_BUFFER = 4096
STALL_TIMEOUT = 4.0
#: Bytes of the server's own memory for each reader. One of an archive has a piece of a file that is not yet sent.
MEMORY_EACH = {"finished": 100_000, "live": 100_000, "archive": 200_000}

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="NOT TESTED: needs Linux's /proc"),
    pytest.mark.skipif(not attacks.own_descriptors(COUNT + 500), reason="NOT TESTED: too few descriptors for a test"),
]


def started(new_server: NewServer, descriptors: int, **constants: float) -> ServerProcess:
    constants = {"server.http.connections.STALL_TIMEOUT": STALL_TIMEOUT, **constants}
    server = attacks.limit(new_server(), descriptors, **constants)
    server.start()
    return server


def asking(address: str) -> bytes:
    return f"GET {address[address.index('/static') :]} HTTP/1.1\r\nHost: x\r\n\r\n".encode()


def readers_of(server: ServerProcess, name: bytes) -> int:
    return open_files(server.pid).count(name)


@pytest.mark.parametrize("what", ["finished", "live", "archive"])
def test_they_cost_little_and_are_cut(new_server: NewServer, what: str) -> None:
    server = started(new_server, 4096)
    live = what == "live"
    body = {"urls": [f"https://youtu.be/{'x-slow-----' if live else 'some-video-'}"], "quality": "high"}
    batch = server.request("POST", "/batch-convert", body).json
    conversion_id = batch["jobs"][0]["conversion_id"]
    if live:
        until(lambda: server.has_audio(conversion_id), 60, "there is audio")
    else:
        server.finished(conversion_id)
    wanted = batch["archive_url"] if what == "archive" else batch["jobs"][0]["download_url"]
    name, memory_each = b"audio.part" if live else b".mp3", MEMORY_EACH[what]
    logged, memory = len(server.log), attacks.memory(server.pid)
    with (
        attacks.watched(server) as seen,
        attacks.connections(server, COUNT, asking(wanted), receive_buffer=RECEIVE_BUFFER) as opened,
    ):
        until(lambda: readers_of(server, name) >= COUNT / 2, 30, "they are served")
        grown = attacks.memory(server.pid) - memory
        took, conversion = attacks.converted(server, "good-client")
        until(lambda: all(map(attacks.ended, opened)), 60, "all are cut")
    print(f"good client {took:.2f} s, /healthz {seen}, memory +{grown >> 20} MiB, log {len(server.log) - logged} bytes")
    assert conversion["status"] == "completed" and seen.failures == []
    assert grown < COUNT * memory_each
    assert "Traceback" not in server.log
    assert server.finished(conversion_id)["status"] == "completed"
    until(lambda: readers_of(server, name) == 0 or live, 10, "their files are closed")


def test_where_descriptors_are_few_they_make_room(new_server: NewServer) -> None:
    server = started(
        new_server,
        attacks.USUAL_LIMIT,
        **{"server.http.connections.STALL_TIMEOUT": 600.0, "server.http.connections.STALL_TIMEOUT_WHEN_FULL": 1.0},
    )
    conversion_id = server.convert("some-video-", "high")
    server.finished(conversion_id)
    with (
        attacks.watched(server) as seen,
        attacks.connections(server, COUNT, asking(link(conversion_id)), receive_buffer=RECEIVE_BUFFER),
    ):
        took, conversion = attacks.converted(server, "good-client")
    print(f"good client {took:.2f} s, /healthz {seen}")
    assert conversion["status"] == "completed" and seen.failures == []


def test_they_pin_no_disk_budget(new_server: NewServer) -> None:
    """Old files that somebody holds go first, and no fresh one goes for them."""
    server = attacks.limit(
        new_server("[storage]\ndisk_budget_mb = 10"), 4096, **{"server.http.connections.STALL_TIMEOUT": 600.0}
    )
    server.start()
    old = server.finished(server.convert("some-video-", "high"))
    asked = asking(link(old["conversion_id"]))
    with attacks.connections(server, 20, asked, receive_buffer=RECEIVE_BUFFER):
        until(lambda: readers_of(server, b".mp3") >= 20, 20, "they are served")
        fresh: list[Any] = []
        while readers_of(server, b".mp3 (deleted)") == 0:
            assert len(fresh) < 40, "the old one is never removed"
            fresh.append(server.finished(server.convert(f"fresh-{len(fresh):05d}", "high")))
        newest = fresh[-1]
        assert server.request("GET", link(newest["conversion_id"])).status == 200
        assert server.request("GET", link(old["conversion_id"])).status == 404
    until(lambda: readers_of(server, b".mp3 (deleted)") == 0, 20, "its room is free")
