"""A real full disk, the disk budget, and files that go while somebody reads them."""

from __future__ import annotations

import http.client
import json
import signal
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from conftest import NewServer, SmallDisk
from support.disks import MEBIBYTE, fill
from support.serverprocess import Answer, ServerProcess, link, open_files, until

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="NOT TESTED: needs Linux's /proc"),
]

SLOW = "x-slow-----"


def post(server: ServerProcess, video: str) -> Answer:
    return server.request("POST", "/convert", {"url": f"https://youtu.be/{video}", "quality": "low"})


@pytest.fixture
def disk(small_disk: SmallDisk, tmp_path: Path) -> Path:
    """A small disk that holds the downloads and the state of `new_server`, but not the offline YouTube's clips."""
    disk = small_disk(32 * 1024)
    (tmp_path / "server").mkdir()
    for name in ("downloads", "state"):
        (disk / name).mkdir()
        (tmp_path / "server" / name).symlink_to(disk / name)
    return disk


@pytest.fixture
def full(disk: Path, new_server: NewServer) -> tuple[ServerProcess, Path, dict[str, bytes], str]:
    """A server with finished conversions whose disk was filled in the middle of another one, which failed."""
    server = new_server()
    server.start()
    done = [server.convert(video) for video in ("finished-01", "finished-02")]
    assert {server.finished(conversion)["status"] for conversion in done} == {"completed"}
    kept = {conversion: server.download(conversion) for conversion in done}
    struck = server.convert(SLOW)
    until(lambda: server.has_audio(struck))
    fill(disk)
    return server, disk, kept, struck


def test_a_full_disk_fails_what_it_must_refuses_new_and_recovers(
    full: tuple[ServerProcess, Path, dict[str, bytes], str],
) -> None:
    server, disk, kept, struck = full
    failed = server.finished(struck)
    assert (failed["status"], failed["error"]["code"], failed["error"]["retryable"]) == ("failed", "DISK_FULL", True)
    until(lambda: server.staged() == [])
    for _ in range(3):
        fill(disk)
        refused = post(server, "refused-001")
        assert (refused.status, refused.json["error"]["code"]) == (503, "DISK_FULL")
        assert int(refused.headers["Retry-After"]) > 0
    ready = server.request("GET", "/readyz")
    assert ready.status == 503
    for conversion, content in kept.items():
        assert server.status(conversion)["status"] == "completed"
        assert server.download(conversion) == content

    (disk / "filler").unlink()
    accepted: Any = until(lambda: (answer := post(server, "accepted-01")).status == 200 and answer, what="it recovers")
    assert server.finished(accepted.json["conversion_id"])["status"] == "completed"
    until(lambda: server.request("GET", "/readyz").status == 200, what="it is ready again")
    server.kill()
    server.start()
    for conversion, content in kept.items():
        assert server.download(conversion) == content
    again = server.status(struck)
    assert (again["status"], again["error"]["code"]) == ("failed", "DISK_FULL")
    assert server.status(accepted.json["conversion_id"])["status"] == "completed"


def test_a_restart_on_a_full_disk_keeps_everything_and_recovers(
    full: tuple[ServerProcess, Path, dict[str, bytes], str],
) -> None:
    server, disk, kept, struck = full
    server.finished(struck)
    for _ in range(2):
        fill(disk)
        server.kill()
        fill(disk)
        server.start()
        for conversion, content in kept.items():
            assert server.download(conversion) == content
        assert post(server, "refused-001").status == 503
    (disk / "filler").unlink()
    accepted: Any = until(lambda: (answer := post(server, "accepted-01")).status == 200 and answer, what="it recovers")
    assert server.finished(accepted.json["conversion_id"])["status"] == "completed"


def test_what_was_accepted_before_the_disk_filled_up_still_ends(disk: Path, new_server: NewServer) -> None:
    server = new_server("[limits]\nconcurrent = 1")
    server.start()
    running = server.convert(SLOW)
    waiting = [server.convert(f"waiting-{number:03}") for number in range(3)]
    until(lambda: server.has_audio(running))
    fill(disk)
    for conversion in [running, *waiting]:
        failed = server.finished(conversion)
        assert (failed["status"], failed["error"]["code"]) == ("failed", "DISK_FULL")
        fill(disk)
    assert server.artifacts() == []
    until(lambda: server.staged() == [])


def test_the_budget_takes_the_least_recently_used_and_its_reader_gets_the_rest(new_server: NewServer) -> None:
    server = new_server("[storage]\ndisk_budget_mb = 10")
    server.start()
    unused, read, used = (server.convert(f"budget-{n:04}", "high") for n in range(3))
    for conversion in (unused, read, used):
        assert server.finished(conversion)["status"] == "completed"
    make_large(server, "budget-0001", 6 * MEBIBYTE)
    more = map("budget-{:04}".format, range(3, 40))

    def convert_until_gone(conversion: str) -> None:
        while server.request("GET", f"/status/{conversion}").status == 200:
            assert server.finished(server.convert(next(more), "high"))["status"] == "completed"

    server.download(unused)
    with stalled_download(server, read) as response:
        server.download(used)
        convert_until_gone(unused)
        size = sum(path.stat().st_size for path in server.downloads.rglob("*") if path.is_file())
        assert 9 * MEBIBYTE < size <= 10 * MEBIBYTE
        convert_until_gone(read)
        assert [server.request("HEAD", link(gone)).status for gone in (unused, read)] == [404, 404]
        assert server.request("HEAD", link(used)).status == 200
        assert len(response.read()) == 6 * MEBIBYTE
    assert server.finished(server.convert("budget-0002", "high"))["status"] == "completed"  # made anew


def test_a_reader_in_mid_file_gets_it_whole_though_it_is_removed(new_server: NewServer) -> None:
    server = new_server()
    server.start()
    conversion = server.convert("large-video")
    assert server.finished(conversion)["status"] == "completed"
    make_large(server, "large-video", 16 * MEBIBYTE)
    content = server.download(conversion)
    assert len(content) == 16 * MEBIBYTE
    (path,) = server.artifacts()
    with stalled_download(server, conversion) as response:
        assert server.request("DELETE", f"/status/{conversion}").status == 200
        until(lambda: server.artifacts() == [])
        assert server.request("GET", link(conversion)).status == 404
        assert path.name.encode() in open_files(server.pid)
        assert response.read() == content
    until(lambda: path.name.encode() not in open_files(server.pid), what="the file is closed")
    assert {entry.name for entry in server.downloads.iterdir()} == {".staging", ".lock"}


def test_a_live_reader_of_a_cancelled_conversion_is_cut(new_server: NewServer) -> None:
    server = new_server()
    server.start()
    conversion = server.convert(SLOW)
    until(lambda: server.has_audio(conversion))
    with ThreadPoolExecutor(1) as pool:
        reader = pool.submit(server.download, conversion)
        until(lambda: b"audio.part" in open_files(server.pid))
        assert server.request("DELETE", f"/status/{conversion}").json["status"] == "cancelled"
        with pytest.raises((OSError, http.client.HTTPException)):
            reader.result(5)
    until(lambda: server.staged() == [])
    assert server.artifacts() == []
    server.signal(signal.SIGTERM)
    assert server.wait() == 0


def make_large(server: ServerProcess, video: str, size: int) -> None:
    """Restart the server with a finished file too large for the sockets' buffers, as an hour of music would be."""
    server.signal(signal.SIGTERM)
    assert server.wait() == 0
    (path,) = server.downloads.glob(f"{video}-*.mp3")
    content = path.read_bytes()
    path.write_bytes(content + bytes(size - len(content)))
    sidecar = path.with_suffix(".json")
    sidecar.write_text(json.dumps({**json.loads(sidecar.read_text()), "size": size}))
    server.start()


@contextmanager
def stalled_download(server: ServerProcess, conversion: str) -> Iterator[http.client.HTTPResponse]:
    """A GET of which only the head was read, through so small a window that the server cannot have sent the rest."""
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(30)
        connection.connect(("127.0.0.1", server.port))
        connection.sendall(f"GET {link(conversion)} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        with closing(http.client.HTTPResponse(connection)) as response:
            response.begin()
            assert response.status == 200
            yield response
