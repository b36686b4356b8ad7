"""More connections than there are descriptors, and none of them asks anything."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from conftest import NewServer
from support import attacks
from support.serverprocess import ServerProcess, until

COUNT = 1100
#: What the log may hold of all that, in bytes; without bounds it was 60 MB in five seconds.
LOG_BYTES = 20_000

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="NOT TESTED: needs Linux's /proc"),
    pytest.mark.skipif(not attacks.own_descriptors(COUNT + 500), reason="NOT TESTED: too few descriptors for a test"),
]


@pytest.fixture
def server(new_server: NewServer) -> ServerProcess:
    server = attacks.limit(new_server(), attacks.USUAL_LIMIT)
    server.start()
    return server


@pytest.mark.parametrize(
    "sent",
    [b"", b"GET /healthz HT", b"POST /convert HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n"],
    ids=["silent", "half a line", "half a head"],
)
def test_a_good_client_does_not_notice_them(server: ServerProcess, sent: bytes) -> None:
    accepted = server.convert("accepted-01")
    logged, memory = len(server.log), attacks.memory(server.pid)
    with attacks.watched(server) as seen, attacks.connections(server, COUNT, sent) as opened:
        took, conversion = attacks.converted(server, "good-client")
        until(lambda: sum(map(attacks.ended, opened)) >= COUNT - attacks.USUAL_LIMIT, 10, "those beyond are closed")
        enough = len(seen.seconds) + 10
        until(lambda: len(seen.seconds) >= enough, 30, "it is asked ten times more")
        grown = attacks.memory(server.pid) - memory
    print(f"good client {took:.2f} s, /healthz {seen}, memory +{grown >> 20} MiB, log {len(server.log) - logged} bytes")
    assert conversion["status"] == "completed", conversion
    assert server.finished(accepted)["status"] == "completed"
    assert seen.failures == []
    assert len(server.log) - logged < LOG_BYTES, server.log[:2000]
    assert grown < 40 << 20
    assert "Traceback" not in server.log


def test_they_come_back_again_and_again(server: ServerProcess) -> None:
    """As quickly as they are closed."""
    logged = len(server.log)
    with attacks.watched(server) as seen:
        ends = time.monotonic() + 3
        while time.monotonic() < ends:
            with attacks.connections(server, COUNT):
                pass
        took, conversion = attacks.converted(server, "good-client")
    print(f"good client {took:.2f} s, /healthz {seen}, log {len(server.log) - logged} bytes")
    assert conversion["status"] == "completed" and seen.failures == []
    assert len(server.log) - logged < LOG_BYTES


def test_a_request_that_never_comes_is_not_waited_for(new_server: NewServer) -> None:
    server = attacks.limit(new_server(), attacks.USUAL_LIMIT, **{"server.http.connections.FIRST_REQUEST_TIMEOUT": 1.0})
    server.start()
    with attacks.connections(server, 300, b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-A") as opened:
        until(lambda: all(map(attacks.ended, opened)), 30, "all are closed")
    assert server.request("GET", "/healthz").status == 200
