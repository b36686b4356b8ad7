"""The server itself is killed or stopped, at any moment: nothing acknowledged is lost, nothing is left behind."""

from __future__ import annotations

import http.client
import io
import random
import signal
import threading
import time
import zipfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from conftest import NewServer
from support.serverprocess import Answer, ServerProcess, open_files, until

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="NOT TESTED: needs Linux's /proc"),
]

SLOW = "x-slow-----"
BROKEN = (OSError, http.client.HTTPException)
ROUNDS = 6
#: Newest archives that are looked into. A key has a thousand at most, and the last ones may have come in any order.
ARCHIVES = 900
BITRATES = {"high": 320, "medium": 192, "low": 128}


def artifact_key(path: Path) -> tuple[str, int]:
    return path.name[:11], int(path.name[12:].split("-")[0])


class Load:
    """Clients that convert, in singles and batches, and download, until the server is gone."""

    def __init__(self, server: ServerProcess, random_numbers: random.Random) -> None:
        self.server = server
        self.random = random_numbers
        self.videos = [f"video-{number:05d}" for number in range(12)]
        self.acknowledged: dict[str, tuple[str, int]] = {}
        self.received: dict[str, bytes] = {}
        self.archives: dict[str, list[str]] = {}
        """The conversions of each archive whose link was given."""

    def client(self, gone: threading.Event) -> None:
        while not gone.is_set():
            try:
                self.one_visit()
                gone.wait(self.random.uniform(0, 0.03))  # at full speed, all is looked into for a minute afterwards
            except BROKEN:
                time.sleep(0.01)  # killed, or about to be

    def one_visit(self) -> None:
        quality = self.random.choice(list(BITRATES))
        videos = self.random.sample(self.videos, self.random.choice([1, 1, 3]))
        urls = [f"https://youtu.be/{video}" for video in videos]
        if len(urls) == 1:
            answer = self.server.request("POST", "/convert", {"url": urls[0], "quality": quality})
            jobs = [answer.json]
        else:
            answer = self.server.request("POST", "/batch-convert", {"urls": urls, "quality": quality})
            jobs = answer.json["jobs"]
            self.archives[answer.json["archive_url"]] = [job["conversion_id"] for job in jobs]
        assert answer.status == 200, answer.body
        for job, video in zip(jobs, videos, strict=True):
            self.acknowledged[job["conversion_id"]] = (video, BITRATES[quality])
        if self.random.random() < 0.5:
            conversion_id = jobs[0]["conversion_id"]
            self.received[conversion_id] = self.server.download(conversion_id)


def test_nothing_acknowledged_is_lost_to_kills_at_random_moments(new_server: NewServer) -> None:
    seed = random.randrange(1 << 32)
    print("seed", seed)
    numbers = random.Random(seed)
    server = new_server()
    load = Load(server, numbers)
    for round_number in range(ROUNDS):
        if round_number and numbers.random() < 0.4:
            server.launch()
            time.sleep(numbers.uniform(0, 1.5))  # a kill in the middle of a start, perhaps of the replay
            server.kill()
        server.start()
        gone = threading.Event()
        with ThreadPoolExecutor(5) as pool:
            clients = [pool.submit(load.client, gone) for _ in range(5)]
            time.sleep(numbers.uniform(0.2, 2.5))
            server.kill()
            gone.set()
            for client in clients:
                client.result(90)
        until(lambda: not server.processes(), what="no child outlives the server")
    server.start()
    assert load.acknowledged
    ends = Counter(server.finished(conversion_id)["status"] for conversion_id in load.acknowledged)
    assert ends == {"completed": len(load.acknowledged)}
    published = [artifact_key(path) for path in server.artifacts()]
    assert max(Counter(published).values()) == 1
    assert set(load.acknowledged.values()) <= set(published)
    assert server.staged() == []
    for link, members in list(load.archives.items())[-ARCHIVES:]:
        answer = server.request("GET", link[link.index("/static") :])
        assert answer.status == 200, answer.body
        with zipfile.ZipFile(io.BytesIO(answer.body)) as archive:
            assert [archive.read(name) for name in archive.namelist()] == [server.download(one) for one in members]
    for conversion_id, content in load.received.items():
        assert server.download(conversion_id) == content
        part = server.request("GET", f"/static/downloads/{conversion_id}.mp3", Range="bytes=1000-1999")
        assert (part.status, part.body) == (206, content[1000:2000])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_an_attempt_cut_by_the_servers_own_end_is_no_failed_attempt(
    new_server: NewServer, number: signal.Signals
) -> None:
    server = new_server("[server]\nshutdown_grace = 0\n[limits]\nconcurrent = 1")
    server.start()
    running, queued = server.convert(SLOW), server.convert("plain-video")
    for _ in range(3):
        until(lambda: server.has_audio(running))
        assert server.status(queued)["status"] == "queued"
        with ThreadPoolExecutor(1) as pool:
            reader = pool.submit(server.download, running)
            until(lambda: b"audio.part" in open_files(server.pid), what="the reader has the growing file open")
            server.signal(number)
            assert server.wait() == (0 if number is signal.SIGTERM else -number)
            with pytest.raises(BROKEN):
                reader.result(5)
        until(lambda: not server.processes(), what="no child outlives the server")
        if number is signal.SIGTERM:
            assert server.staged() == []
        server.start()
    assert server.finished(running)["status"] == "completed"
    assert server.finished(queued)["status"] == "completed"
    assert server.staged() == []


def test_what_ends_the_server_ten_times_is_given_up_and_nothing_that_ran_beside_it(new_server: NewServer) -> None:
    server = new_server("[jobs]\nslots = 1")
    server.start()
    running, queued = server.convert(SLOW), server.convert("plain-video")
    for _ in range(10):
        until(lambda: server.status(running)["status"] == "processing")
        until(server.running_ffmpeg)
        server.kill()
        server.start()
    failed = server.status(running)
    assert failed["status"] == "failed"
    assert failed["error"]["code"] == "INTERNAL_ERROR"
    assert server.finished(queued)["status"] == "completed"


def test_sigterm_lets_what_runs_finish_and_keeps_what_waits(new_server: NewServer) -> None:
    server = new_server("[limits]\nconcurrent = 1")
    server.start()
    running = server.convert(SLOW)
    until(lambda: server.has_audio(running))
    queued = server.convert("plain-video")
    with ThreadPoolExecutor(1) as pool:
        reader = pool.submit(server.download, running)
        until(lambda: b"audio.part" in open_files(server.pid), what="the reader has the growing file open")
        server.signal(signal.SIGTERM)
        refused = until(lambda: refusal(server), what="new conversions are refused")
        assert refused.json["error"]["code"] == "SHUTTING_DOWN"
        assert int(refused.headers["Retry-After"]) > 0
        content = reader.result(25)
    assert server.wait() == 0
    until(lambda: not server.processes())
    server.start()
    assert server.status(running)["status"] == "completed"
    assert server.download(running) == content
    assert server.finished(queued)["status"] == "completed"


def test_sigterm_ends_in_time_when_the_grace_is_over(new_server: NewServer) -> None:
    server = new_server("[server]\nshutdown_grace = 2")
    server.start()
    running = server.convert(SLOW)
    until(lambda: server.has_audio(running))
    asked = time.monotonic()
    server.signal(signal.SIGTERM)
    assert server.wait() == 0
    assert time.monotonic() - asked >= 1.9
    until(lambda: not server.processes())
    assert server.staged() == []


def test_a_second_signal_ends_now(new_server: NewServer) -> None:
    server = new_server()
    server.start()
    running = server.convert(SLOW)
    until(lambda: server.has_audio(running))
    server.signal(signal.SIGTERM)
    until(lambda: refusal(server), what="the first signal was seen")
    server.signal(signal.SIGTERM)
    assert server.wait() != 0
    until(lambda: not server.processes(), what="no child outlives the server")
    server.start()
    assert server.status(running)["status"] in ("queued", "processing")


def test_a_second_server_on_the_same_state_says_so_and_exits(new_server: NewServer) -> None:
    first = new_server()
    first.start()
    conversion = first.convert("plain-video")
    second = new_server(folder=first.folder)
    second.launch()
    assert second.wait() == 2
    assert "another server is using this state folder" in second.log
    assert first.finished(conversion)["status"] == "completed"
    assert first.finished(first.convert("other-video"))["status"] == "completed"


def refusal(server: ServerProcess) -> Answer | None:
    answer = server.request("POST", "/convert", {"url": "https://youtu.be/plain-video", "quality": "low"})
    return answer if answer.status == 503 else None
