"""Whole or failed: what the offline YouTube misdelivers never becomes an MP3 with a hole, or with something twice.

Whatever completes is compared with what the source has, from its start to its end.
"""

from __future__ import annotations

import asyncio
import http.client
import os
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from support.clips import FOLDER
from support.listening import FFMPEG, heard, likeness
from support.serverprocess import KEY, ServerProcess, link

from server.media import id3
from server.offline.clips import Studio
from server.offline.odd_sources import ODD_SOURCES
from server.offline.videos import video

pytestmark = pytest.mark.long

FAILURES = {one.video_id: one.outcome for one in ODD_SOURCES if one.outcome != "completed"}
SUCCESSES = [one.video_id for one in ODD_SOURCES if one.outcome == "completed"]
#: What is fetched of those that offer several formats, by its itag.
CHOSEN = {"x-dub------": "140", "x-drc------": "140", "x-surround-": "251", "x-ambisonic": "251", "x-hls-muxed": "91"}
#: What YouTube says before the MP3 is there.
SAID = {"x-no-length": None, "x-0-length-": None, "x-says-less": 6, "x-picture--": 12, "x-muxed-mp4": 12}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    process = ServerProcess(tmp_path_factory.mktemp("whole") / "server", '[log]\nlevel = "debug"')
    try:
        process.start()
        yield process
    finally:
        process.end()


@pytest.fixture(scope="module")
def ended(server: ServerProcess) -> dict[str, dict[str, Any]]:
    """Every odd source, converted, by its id."""
    ids = {one.video_id: server.convert(one.video_id, "low") for one in ODD_SOURCES}
    return {video_id: server.finished(conversion_id, 300) for video_id, conversion_id in ids.items()}


def original(video_id: str) -> Path:
    """What the source has."""

    async def make() -> Path:
        studio = Studio(Path(os.environ[FOLDER]), FFMPEG)
        described = video(video_id)
        stream = described.stream(CHOSEN.get(video_id, ""))
        return await studio.clip(stream.clip if stream else described.clip)

    return asyncio.run(make())


@pytest.mark.parametrize("video_id", FAILURES)
def test_what_is_not_whole_fails_and_says_so(
    server: ServerProcess, ended: dict[str, dict[str, Any]], video_id: str
) -> None:
    done = ended[video_id]
    assert done["error"] and done["error"]["code"] == FAILURES[video_id]
    assert done["download_url"] is None and done["progress"] < 100
    assert not list(server.downloads.glob(f"{video_id}-*")), "published"


@pytest.mark.parametrize("video_id", FAILURES)
def test_what_may_pass_is_tried_twice_and_what_cannot_is_not(
    server: ServerProcess, ended: dict[str, dict[str, Any]], video_id: str
) -> None:
    attempts = re.findall(rf"job {video_id} \d+ id=\S+ failed with [A-Z_]+:", server.log)
    assert ended[video_id]["error"]
    assert len(attempts) == (1 if FAILURES[video_id] in ("PAYMENT_REQUIRED", "DRM_PROTECTED") else 2)


@pytest.mark.parametrize("video_id", SUCCESSES)
def test_what_completes_is_all_that_the_source_has_and_nothing_else(
    server: ServerProcess, ended: dict[str, dict[str, Any]], video_id: str
) -> None:
    done = ended[video_id]
    assert done["status"] == "completed", done["error"]
    content = server.download(done["conversion_id"])
    made, has = heard(content), heard(original(video_id))
    assert abs(len(made) - len(has)) < 0.15 * 4_000
    assert likeness(made, has) > 0.8
    audio = len(content) - id3.tag_size(content)
    assert done["duration"] == pytest.approx(audio / 16_000, abs=0.001), "the MP3's own length"
    assert done["duration"] == pytest.approx(video(video_id).clip.seconds, abs=0.1)


def test_a_hole_or_a_doubling_would_be_heard() -> None:
    """Else the test above proves nothing."""
    sound = heard(original("x-hls------"))
    middle = len(sound) // 2
    assert likeness(sound, sound) > 0.99
    for samples in (100, 1_000):
        assert likeness(sound[:middle] + sound[middle + samples :], sound) < 0.5
        assert likeness(sound[:middle] + sound[middle - samples :], sound) < 0.5


@pytest.mark.parametrize("video_id", ["x-hls------", "x-muxed-mp4", "x-dash-----", "x-only-5-1-"])
def test_what_it_is_made_from_is_found_out_where_youtube_does_not_say(
    ended: dict[str, dict[str, Any]], video_id: str
) -> None:
    codec, least = ("eac3", 384) if video_id == "x-only-5-1-" else ("aac", 100)
    assert ended[video_id]["source"]["codec"] == codec
    assert least <= ended[video_id]["source"]["bitrate_kbps"] <= 400


@pytest.mark.parametrize("video_id", SAID)
def test_before_the_mp3_is_there_its_length_is_what_youtube_says_or_null(
    server: ServerProcess, ended: dict[str, dict[str, Any]], video_id: str
) -> None:
    assert ended[video_id]["duration"] == pytest.approx(video(video_id).clip.seconds, abs=0.1)
    conversion_id = server.convert(video_id, "medium")
    with server.connected() as connection:
        connection.request("GET", f"/status/{conversion_id}/events", headers={"Authorization": f"Bearer {KEY}"})
        events = connection.getresponse()
        while True:
            line = events.readline().decode()
            if line.startswith("data:") and '"title":null' not in line:
                break
    said = re.search(r'"duration":([\d.]+|null)', line)
    assert said and SAID[video_id] == (None if said[1] == "null" else float(said[1]))


@pytest.mark.parametrize("video_id", ["x-endless--", "x-silence--", "x-twice----"])
def test_a_source_without_end_ends_at_once_and_hardly_more_is_written_than_it_said(
    server: ServerProcess, video_id: str
) -> None:
    said = video(video_id).seconds
    conversion_id = server.convert(video_id, "high")
    received = whatever_comes(server, conversion_id)
    done = server.finished(conversion_id)
    assert done["error"]["code"] == "TOO_LONG"
    audio = len(received) - id3.tag_size(received)
    assert audio <= (said + 1.2) * 40_000
    assert not server.staged()


def whatever_comes(server: ServerProcess, conversion_id: str) -> bytes:
    """What a reader gets until it is cut off; fails the test if that looks whole."""
    with server.connected() as connection:
        connection.request("GET", link(conversion_id))
        answer = connection.getresponse()
        if answer.status == 404:
            return b""
        received = b""
        with pytest.raises((http.client.IncompleteRead, ConnectionError)):
            while piece := answer.read1(65536):
                received += piece
            assert not received, "it looks whole"
    return received


@pytest.mark.parametrize("video_id", ["x-hole-webm", "x-hls-hole-", "x-dash-last", "x-resume-no", "x-endless--"])
def test_who_listens_to_what_turns_out_broken_is_cut_off(server: ServerProcess, video_id: str) -> None:
    conversion_id = server.convert(video_id, "medium")
    with ThreadPoolExecutor(3) as pool:
        for one in [pool.submit(whatever_comes, server, conversion_id) for _ in range(3)]:
            one.result(60)
    assert server.finished(conversion_id)["error"]["code"] == FAILURES[video_id]


def test_nothing_is_left_in_the_staging_folder(server: ServerProcess, ended: dict[str, dict[str, Any]]) -> None:
    assert ended and not server.staged()


def test_ytdlp_starts_no_ffmpeg_of_its_own(tmp_path: Path) -> None:
    """The one on PATH would be found; the server itself asks it for its version, and takes another."""
    asked = tmp_path / "asked"
    program = tmp_path / "bin" / "ffmpeg"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho "$@" >>{asked}\nexit 1\n')
    program.chmod(0o755)
    server = ServerProcess(tmp_path / "server", PATH=f"{program.parent}:{os.environ['PATH']}")
    try:
        server.start()
        ids = ["x-sampleaes", "x-hls------", "x-dash-----"]
        outcomes = [server.finished(server.convert(video_id, "low")) for video_id in ids]
        assert [done["status"] for done in outcomes] == ["failed", "completed", "completed"]
        assert set(asked.read_text().splitlines()) <= {"-hide_banner -encoders", "-version"}
    finally:
        server.end()
