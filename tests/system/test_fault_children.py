"""yt-dlp and ffmpeg hang, are killed, or get rubbish: the right error, a free slot, nothing left behind."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import mutagen.mp3
import pytest
from conftest import NewServer
from support.serverprocess import Process, ServerProcess, until

from server.offline.catalogue import RESERVED

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="NOT TESTED: needs Linux's /proc"),
]

SLOW = "x-slow-----"
ONE_AT_A_TIME = "[limits]\nconcurrent = 1\n"
#: Seconds that a job has where the test waits for their end: enough to be heard of on a busy machine.
JOB_TIMEOUT = 10


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """One job at a time, so that a place that stays taken shows."""
    server = ServerProcess(tmp_path_factory.mktemp("children") / "server", ONE_AT_A_TIME)
    try:
        server.start()
        warm_up(server)
        yield server
    finally:
        server.end()


@pytest.fixture
def server(running: ServerProcess) -> Iterator[ServerProcess]:
    """The running server without a conversion, neither before the test nor after it."""
    yield running
    for conversion in running.request("GET", "/status").json["jobs"]:
        for _ in range(2):  # cancelled, then removed
            running.request("DELETE", f"/status/{conversion['conversion_id']}")
    until(lambda: not running.artifacts() and not running.staged() and not running.running_ytdlp())


@pytest.fixture
def hasty(new_server: NewServer) -> ServerProcess:
    """A server whose jobs have little time."""
    server = new_server(f"{ONE_AT_A_TIME}[jobs]\ntimeout = {JOB_TIMEOUT}\n")
    server.start()
    warm_up(server)
    return server


def warm_up(server: ServerProcess) -> None:
    """Convert once, so that all which stays alive between conversions is there."""
    assert server.finished(server.convert("warm-up-vid"))["status"] == "completed"
    until(lambda: not server.running_ytdlp())


def assert_all_is_as_before(server: ServerProcess, idle: set[int], next_one: str) -> None:
    """After a conversion's end: its processes gone, its slot free, its files too."""
    done = server.finished(next_one)
    assert done["status"] == "completed", done["error"]
    until(lambda: {process.pid for process in server.descendants()} <= idle, what="no child, no zombie")
    assert server.staged() == []


def processes(server: ServerProcess) -> set[int]:
    return {process.pid for process in server.descendants()}


def members(group: int, server: ServerProcess) -> list[Process]:
    return [process for process in server.processes() if process.group == group]


def made_of(server: ServerProcess, video: str) -> list[Path]:
    return list(server.downloads.glob(f"{video}-*.mp3"))


def length(mp3: Path) -> float:
    audio: Any = mutagen.mp3.MP3(mp3)
    return float(audio.info.length)


def a_victim(server: ServerProcess, tool: str, *, after: int = 0) -> Process:
    """The one that works for the one conversion there is, once both do, and another than `after`."""

    def found() -> Process | None:
        running = server.running_ytdlp() if tool == "yt-dlp" else server.running_ffmpeg()
        return next((one for one in running if server.running_ffmpeg() and one.pid != after), None)

    victim = until(found, what=f"{tool} runs")
    assert isinstance(victim, Process)
    return victim


@pytest.mark.parametrize(("tool", "code"), [("yt-dlp", "INTERNAL_ERROR"), ("ffmpeg", "ENCODE_FAILED")])
def test_killed_from_outside_it_is_tried_once_more_and_then_fails(server: ServerProcess, tool: str, code: str) -> None:
    idle = processes(server)
    conversion = server.convert(SLOW)
    first = a_victim(server, tool)
    os.kill(first.pid, signal.SIGKILL)
    second = a_victim(server, tool, after=first.pid)
    next_one = server.convert("next-video-")
    os.kill(second.pid, signal.SIGKILL)
    failed = server.finished(conversion)
    assert (failed["status"], failed["error"]["code"], failed["error"]["retryable"]) == ("failed", code, True)
    assert_all_is_as_before(server, idle, next_one)
    assert not members(first.group, server) + members(second.group, server)
    assert made_of(server, SLOW) == []


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV])
@pytest.mark.parametrize("options", [{}, {"loudness": -14}], ids=["encoding", "measuring"])
def test_an_encoder_that_is_ended_in_mid_work_is_no_fault_of_the_source(
    server: ServerProcess, number: signal.Signals, options: dict[str, Any]
) -> None:
    conversion, victim = server.convert(SLOW, **options), None
    for _ in range(2):
        victim = a_victim(server, "ffmpeg", after=victim.pid if victim else 0)
        if not options:
            until(lambda: any(part.stat().st_size > 50_000 for part in server.downloads.glob(".staging/*/audio.part")))
        os.kill(victim.pid, number)
    error = server.finished(conversion)["error"]
    assert error["code"] == "ENCODE_FAILED" and "The encoder was ended" in error["message"], error


@pytest.mark.parametrize("tool", ["yt-dlp", "ffmpeg"])
def test_killed_once_the_second_attempt_is_whole(server: ServerProcess, tool: str) -> None:
    conversion = server.convert(SLOW)
    until(lambda: server.has_audio(conversion))
    victim = a_victim(server, tool)
    os.kill(victim.pid, signal.SIGKILL)
    assert server.finished(conversion)["status"] == "completed"
    (made,) = made_of(server, SLOW)
    assert length(made) == pytest.approx(20, abs=0.5)


@pytest.mark.parametrize("tool", ["yt-dlp", "ffmpeg"])
def test_hung_it_ends_with_the_jobs_time(hasty: ServerProcess, tool: str) -> None:
    idle = processes(hasty)
    conversion, next_one = hasty.convert(SLOW), hasty.convert("next-video-")
    until(lambda: hasty.has_audio(conversion))
    victim = a_victim(hasty, tool)
    os.kill(victim.pid, signal.SIGSTOP)
    failed = hasty.finished(conversion)
    assert (failed["status"], failed["error"]["code"]) == ("failed", "TIMEOUT")
    assert_all_is_as_before(hasty, idle, next_one)
    assert not members(victim.group, hasty)


@pytest.mark.parametrize("tool", ["yt-dlp", "ffmpeg"])
def test_hung_it_can_be_cancelled(server: ServerProcess, tool: str) -> None:
    idle = processes(server)
    conversion, next_one = server.convert(SLOW), server.convert("next-video-")
    until(lambda: server.has_audio(conversion))
    victim = a_victim(server, tool)
    os.kill(victim.pid, signal.SIGSTOP)
    answer = server.request("DELETE", f"/status/{conversion}")
    assert (answer.status, answer.json["status"]) == (200, "cancelled")
    until(lambda: not members(victim.group, server))
    assert_all_is_as_before(server, idle, next_one)


STUBBORN = """#!/bin/sh
case "$*" in *libmp3lame*)
    trap '' TERM INT HUP
    sleep 1000 &
    while :; do sleep 1; done
esac
exec '{ffmpeg}' "$@"
"""


def test_one_that_ignores_sigterm_goes_with_all_its_children(new_server: NewServer, tmp_path: Path) -> None:
    stubborn = tmp_path / "stubborn-ffmpeg"
    stubborn.write_text(STUBBORN.format(ffmpeg=imageio_ffmpeg.get_ffmpeg_exe()))
    stubborn.chmod(0o755)
    server = new_server(f'[jobs]\nslots = 1\ntimeout = {JOB_TIMEOUT}\n[ffmpeg]\npath = "{stubborn}"')
    server.start()
    idle = processes(server)
    conversion = server.convert("stubborn-01")
    until(lambda: any("sleep 1000" in process.command for process in server.processes()))
    assert server.finished(conversion)["error"]["code"] == "TIMEOUT"
    until(lambda: {process.pid for process in server.processes()} <= idle | {server.pid})
    cancelled = server.convert("stubborn-02")
    until(lambda: any("sleep 1000" in process.command for process in server.processes()))
    server.request("DELETE", f"/status/{cancelled}")
    until(lambda: {process.pid for process in server.processes()} <= idle | {server.pid})
    until(lambda: server.staged() == [], what="its folder is removed once it has ended")
    server.convert("stubborn-03")
    until(lambda: any("sleep 1000" in process.command for process in server.processes()))
    server.kill()
    until(lambda: not server.processes(), what="no child outlives the server")


@pytest.mark.parametrize(
    "video",
    ["x-garbage--", "x-cut-short", "x-truncated", "x-forbidden", "x-stalled--", "x-reset----", "x-bot------"],
)
def test_a_failing_source_is_told_and_leaves_nothing(server: ServerProcess, video: str) -> None:
    idle = processes(server)
    conversion, next_one = server.convert(video), server.convert("next-video-")
    failed = server.finished(conversion)
    code = RESERVED[video].outcome
    assert (failed["status"], failed["error"]["code"], failed["error"]["retryable"]) == ("failed", code, True)
    assert failed["download_url"] is None
    assert_all_is_as_before(server, idle, next_one)
    assert made_of(server, video) == []


@pytest.mark.parametrize("video", ["x-drop-----", "x-2nd-try--"])
def test_a_source_that_fails_once_is_converted_whole(server: ServerProcess, video: str) -> None:
    done = server.finished(server.convert(video))
    assert done["status"] == "completed"
    (path,) = server.artifacts()
    assert length(path) == pytest.approx(done["duration"], abs=0.5)
    assert server.staged() == []
