"""Loudness: measured in what comes out, by another run of ffmpeg than the server's own."""

from __future__ import annotations

import asyncio
import io
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import NewServer
from mutagen.id3 import ID3
from support.listening import FFMPEG, heard, likeness
from support.serverprocess import ServerProcess, link, until
from support.workshop import known, workshop

from server.jobs import Job, Recipe
from server.media import loudness
from server.offline.behaviours import Reserved

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    process = ServerProcess(tmp_path_factory.mktemp("loudness") / "server", '[log]\nlevel = "debug"')
    try:
        process.start()
        yield process
    finally:
        process.end()


def made(server: ServerProcess, video_id: str, quality: str = "low", **options: Any) -> tuple[dict[str, Any], bytes]:
    done = server.finished(server.convert(video_id, quality, **options), 120)
    assert done["status"] == "completed", done["error"]
    return done, server.download(done["conversion_id"])


def measured(content: bytes) -> tuple[float, float]:
    """Integrated loudness in LUFS, and true peak in dBTP."""
    command = [FFMPEG, "-hide_banner", "-nostats", "-i", "pipe:0", "-map", "0:a:0"]
    command += ["-af", "ebur128=peak=true:framelog=quiet", "-f", "null", "-"]
    said = subprocess.run(command, input=content, capture_output=True, check=True, timeout=120).stderr.decode()
    return float(re.findall(r"I: +(\S+) LUFS", said)[-1]), float(re.findall(r"Peak: +(\S+) dBFS", said)[-1])


def replaygain(content: bytes) -> dict[str, str]:
    return {frame.desc: frame.text[0] for frame in ID3(io.BytesIO(content), translate=False).getall("TXXX")}


@pytest.mark.parametrize(
    ("video_id", "quality", "target"),
    [
        ("x-aac------", "high", -14),
        ("x-surround-", "low", -23.5),
        ("x-44k-mono-", "medium", -18),
        ("x-hls------", "low", -30),
    ],
)
def test_an_mp3_is_as_loud_as_asked_and_otherwise_the_same(
    server: ServerProcess, video_id: str, quality: str, target: float
) -> None:
    _, plain = made(server, video_id, quality)
    done, content = made(server, video_id, quality, loudness=target)
    integrated, peak = measured(content)
    assert integrated == pytest.approx(target, abs=0.15) and peak <= -1
    assert done["loudness"] == target
    assert likeness(heard(content), heard(plain)) > 0.98, "one gain for the whole"
    tags = replaygain(content)
    assert re.fullmatch(rf"{target:.1f} LUFS; changed by [+-]\d+\.\d dB from -\d+\.\d LUFS", tags["LOUDNESS"])
    assert float(tags["REPLAYGAIN_TRACK_GAIN"].removesuffix(" dB")) == pytest.approx(-18 - integrated, abs=0.15)
    assert float(tags["REPLAYGAIN_TRACK_PEAK"]) == pytest.approx(10 ** (peak / 20), rel=0.06)
    assert replaygain(plain) == {}


@pytest.mark.parametrize("quality", ["low", "high"])
def test_no_peak_exceeds_1_dbtp_below_full_scale(server: ServerProcess, quality: str) -> None:
    _, content = made(server, "x-only-5-1-", quality, loudness=-5)
    integrated, peak = measured(content)
    assert -2.5 <= peak <= -1 and integrated < -5.5
    assert float(replaygain(content)["LOUDNESS"].split()[0]) == pytest.approx(integrated, abs=0.15)


def test_a_clip_is_measured_by_itself(server: ServerProcess) -> None:
    done, content = made(server, "x-4-minutes", start=60, end=90, loudness=-20)
    assert measured(content)[0] == pytest.approx(-20, abs=0.15)
    assert done["clip"] == {"start": 60.0, "end": 90.0} and 30 <= done["duration"] <= 30.1


async def test_silence_stays_silent(tmp_path: Path) -> None:
    entry = Reserved("silent-one-", "completed", "Silence.", seconds=5, silent=True)
    async with workshop(tmp_path) as here:
        job = Job(Recipe(entry.video_id, 128, loudness=-14.0))
        with known(entry):
            async with asyncio.timeout(120):
                artifact = await here.pipeline.run(job)
        content = artifact.path.read_bytes()
    assert measured(content)[1] < -60 and replaygain(content) == {}


@pytest.mark.parametrize(
    ("video_id", "code"),
    [
        ("x-cut-short", "TRUNCATED"),
        ("x-endless--", "TOO_LONG"),
        ("x-garbage--", "ENCODE_FAILED"),
        ("x-hole-webm", "TRUNCATED"),
    ],
)
def test_what_is_not_whole_fails_as_ever(server: ServerProcess, video_id: str, code: str) -> None:
    failed = server.finished(server.convert(video_id, "low", loudness=-14))
    assert failed["error"]["code"] == code
    assert not list(server.downloads.glob(f"{video_id}-*")) and server.staged() == []


def test_measuring_is_progress_and_the_link_starts_when_it_is_done(new_server: NewServer) -> None:
    server = new_server("[offline]\nrate_kbps = 1500")
    server.start()
    conversion = server.convert("x-4-minutes", "low", loudness=-14)
    seen: list[dict[str, Any]] = []
    while not seen or seen[-1]["status"] not in ("completed", "failed"):
        seen.append(server.status(conversion))
        time.sleep(0.05)
    assert seen[-1]["status"] == "completed"
    progress = [one["progress"] for one in seen if one["status"] == "processing"]
    assert progress == sorted(progress)
    share = loudness.MEASURING_PERCENT
    assert len({one for one in progress if 0 < one < share}) > 10 and len({one for one in progress if one > share}) > 5
    assert server.request("GET", link(conversion)).status == 200
    until(lambda: not server.staged(), 10, "the kept source is gone")


def test_a_loudness_survives_a_kill_while_it_is_measured(new_server: NewServer) -> None:
    server = new_server("[offline]\nrate_kbps = 1000")
    server.start()
    conversion = server.convert("x-4-minutes", "low", loudness=-14, start=10, end=200)
    until(lambda: 0 < server.status(conversion)["progress"] < loudness.MEASURING_PERCENT, 60, "it is measured")
    server.kill()
    until(lambda: not server.processes(), 5, "nothing outlives the server")
    server.start()
    done = server.finished(conversion)
    assert (done["status"], done["loudness"]) == ("completed", -14.0)
    assert measured(server.download(conversion))[0] == pytest.approx(-14, abs=0.15)
