"""yt-dlp and ffmpeg hang, are killed, or get rubbish: the right error, a free slot, nothing left behind."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import mutagen.mp3
import pytest
from conftest import NewServer
from support.serverprocess import Process, ServerProcess, until

from server.offline.catalogue import RESERVED

pytestmark = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="NOT TESTED: needs Linux's /proc")

SLOW = "x-slow-----"
#: Seconds that a job has: short, to wait for, and enough for one that is done on a busy machine.
JOB_TIMEOUT = 10
#: With one slot, so that a slot that stays taken shows.
SETTINGS = f"[jobs]\nslots = 1\ntimeout = {JOB_TIMEOUT}"


@pytest.fixture
def server(new_server: NewServer) -> Iterator[ServerProcess]:
    """One that has converted before, so that all which stays alive between conversions is there."""
    server = new_server(SETTINGS)
    server.start()
    assert server.finished(server.convert("warm-up-vid"))["status"] == "completed"
    until(lambda: not server.running_ytdlp(), 5)
    yield server


def assert_all_is_as_before(server: ServerProcess, idle: set[int], next_one: str) -> None:
    """Within 2 s of a conversion's end: its processes gone, its slot free, its files too."""
    until(lambda: server.status(next_one)["status"] != "queued", 2, "the slot is free")
    done = server.finished(next_one)
    assert done["status"] == "completed", done["error"]
    until(lambda: {process.pid for process in server.descendants()} <= idle, 2, "no child, no zombie")
    assert server.staged() == []


def processes(server: ServerProcess) -> set[int]:
    return {process.pid for process in server.descendants()}


def members(group: int, server: ServerProcess) -> list[Process]:
    return [process for process in server.processes() if process.group == group]


def length(mp3: Path) -> float:
    audio: Any = mutagen.mp3.MP3(mp3)
    return float(audio.info.length)


def a_victim(server: ServerProcess, tool: str, *, after: int = 0) -> Process:
    """The one that works for the one conversion there is, once both do, and another than `after`."""

    def found() -> Process | None:
        running = server.running_ytdlp() if tool == "yt-dlp" else server.running_ffmpeg()
        return next((one for one in running if server.running_ffmpeg() and one.pid != after), None)

    victim = until(found, 5, f"{tool} runs")
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
    failed = server.finished(conversion, 2)
    assert (failed["status"], failed["error"]["code"], failed["error"]["retryable"]) == ("failed", code, True)
    assert_all_is_as_before(server, idle, next_one)
    assert not members(first.group, server) + members(second.group, server)
    assert len(server.artifacts()) == 2


@pytest.mark.parametrize("tool", ["yt-dlp", "ffmpeg"])
def test_killed_once_the_second_attempt_is_whole(new_server: NewServer, tool: str) -> None:
    server = new_server("[jobs]\nslots = 1")
    server.start()
    conversion = server.convert(SLOW)
    until(lambda: server.has_audio(conversion), 10)
    victim = a_victim(server, tool)
    os.kill(victim.pid, signal.SIGKILL)
    assert server.finished(conversion)["status"] == "completed"
    assert len(server.artifacts()) == 1
    assert length(server.artifacts()[0]) == pytest.approx(20, abs=0.5)


@pytest.mark.parametrize("tool", ["yt-dlp", "ffmpeg"])
def test_hung_it_ends_with_the_jobs_time(server: ServerProcess, tool: str) -> None:
    idle = processes(server)
    asked = time.monotonic()
    conversion, next_one = server.convert(SLOW), server.convert("next-video-")
    until(lambda: server.has_audio(conversion), 5)
    victim = a_victim(server, tool)
    os.kill(victim.pid, signal.SIGSTOP)
    failed = server.finished(conversion, JOB_TIMEOUT + 4)
    assert (failed["status"], failed["error"]["code"]) == ("failed", "TIMEOUT")
    assert time.monotonic() - asked < JOB_TIMEOUT + 2
    assert_all_is_as_before(server, idle, next_one)
    assert not members(victim.group, server)


@pytest.mark.parametrize("tool", ["yt-dlp", "ffmpeg"])
def test_hung_it_can_be_cancelled(server: ServerProcess, tool: str) -> None:
    idle = processes(server)
    conversion, next_one = server.convert(SLOW), server.convert("next-video-")
    until(lambda: server.has_audio(conversion), 5)
    victim = a_victim(server, tool)
    os.kill(victim.pid, signal.SIGSTOP)
    answer = server.request("DELETE", f"/status/{conversion}")
    assert (answer.status, answer.json["status"]) == (200, "cancelled")
    until(lambda: not members(victim.group, server), 2)
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
    server = new_server(SETTINGS + f'\n[ffmpeg]\npath = "{stubborn}"')
    server.start()
    idle = processes(server)
    conversion = server.convert("stubborn-01")
    until(lambda: any("sleep 1000" in process.command for process in server.processes()), 5)
    assert server.finished(conversion, JOB_TIMEOUT + 4)["error"]["code"] == "TIMEOUT"
    until(lambda: {process.pid for process in server.processes()} <= idle | {server.pid}, 2)
    cancelled = server.convert("stubborn-02")
    until(lambda: any("sleep 1000" in process.command for process in server.processes()), 5)
    server.request("DELETE", f"/status/{cancelled}")
    until(lambda: {process.pid for process in server.processes()} <= idle | {server.pid}, 2)
    until(lambda: server.staged() == [], 2, "its folder is removed once it has ended")
    server.convert("stubborn-03")
    until(lambda: any("sleep 1000" in process.command for process in server.processes()), 5)
    server.kill()
    until(lambda: not server.processes(), 5, "no child outlives the server")


@pytest.mark.parametrize(
    "video",
    ["x-garbage--", "x-cut-short", "x-truncated", "x-forbidden", "x-stalled--", "x-reset----", "x-bot------"],
)
def test_a_failing_source_is_told_and_leaves_nothing(new_server: NewServer, video: str) -> None:
    server = new_server("[jobs]\nslots = 1\ntimeout = 15")
    server.start()
    assert server.finished(server.convert("warm-up-vid"))["status"] == "completed"
    until(lambda: not server.running_ytdlp(), 5)
    idle = processes(server)
    conversion, next_one = server.convert(video), server.convert("next-video-")
    failed = server.finished(conversion, 30)
    code = RESERVED[video].outcome
    assert (failed["status"], failed["error"]["code"], failed["error"]["retryable"]) == ("failed", code, True)
    assert failed["download_url"] is None
    assert_all_is_as_before(server, idle, next_one)
    assert len(server.artifacts()) == 2


@pytest.mark.parametrize("video", ["x-drop-----", "x-2nd-try--"])
def test_a_source_that_fails_once_is_converted_whole(new_server: NewServer, video: str) -> None:
    server = new_server()
    server.start()
    done = server.finished(server.convert(video))
    assert done["status"] == "completed"
    (path,) = server.artifacts()
    assert length(path) == pytest.approx(done["duration"], abs=0.5)
    assert server.staged() == []
