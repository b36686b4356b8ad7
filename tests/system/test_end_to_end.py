"""The main job on real input: the real yt-dlp and the real ffmpeg, over HTTP, as published clients do it."""

from __future__ import annotations

import asyncio
import hashlib
import io
import re
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import unquote

import imageio_ffmpeg
import pytest
import requests
from mutagen.id3 import ID3
from mutagen.mp3 import MP3, BitrateMode
from support.serverprocess import KEY, ServerProcess

from server.offline.adorned import HOSTILE_TITLE, LONG_TITLE, SCRIPTS_TITLE
from server.offline.catalogue import RESERVED
from server.offline.clips import Studio
from server.offline.odd_sources import ODD_SOURCES
from server.offline.videos import video

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
HEADERS = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
#: Without the hour, which has test_one_hour.py, and the odd sources, which have test_whole.py.
CONVERTED = [one for one in RESERVED.values() if one not in ODD_SOURCES and one.video_id != "x-one-hour-"]
FAILURES = sorted(one.video_id for one in CONVERTED if one.outcome != "completed")
SUCCESSES = sorted(one.video_id for one in CONVERTED if one.outcome == "completed")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    process = ServerProcess(tmp_path_factory.mktemp("end-to-end") / "server", "[jobs]\nslots = 6")
    try:
        process.start()
        yield process
    finally:
        process.end()


@pytest.fixture(scope="module")
def url(server: ServerProcess) -> str:
    return f"http://127.0.0.1:{server.port}"


@pytest.fixture(scope="module")
def ended(server: ServerProcess) -> dict[str, dict[str, Any]]:
    """Each of these reserved videos, all converted at once, by its id."""
    ids = {video_id: server.convert(video_id, "high") for video_id in [*SUCCESSES, *FAILURES]}
    return {video_id: server.finished(conversion_id, 150) for video_id, conversion_id in ids.items()}


def decoded(content: bytes) -> str:
    """What ffmpeg says of an MP3 that it decodes to its end, without a warning on the way."""
    done = subprocess.run(
        [FFMPEG, "-hide_banner", "-xerror", "-i", "pipe:0", "-map", "0:a", "-af", "volumedetect", "-f", "null", "-"],
        input=content,
        capture_output=True,
        timeout=120,
        check=False,
    )
    text = done.stderr.decode()
    assert done.returncode == 0, text
    return text


# ---- what published client examples do


def test_a_published_client_converts_and_downloads_at_once(url: str) -> None:
    response = requests.post(
        f"{url}/convert", headers=HEADERS, json={"url": "https://www.youtube.com/watch?v=first-video"}, timeout=60
    )
    assert response.status_code == 200
    result = response.json()
    content = requests.get(result["download_url"], timeout=60).content
    status = requests.get(f"{url}/status/{result['conversion_id']}", headers=HEADERS, timeout=60).json()
    assert (status["status"], f"{status['progress']}%") == ("completed", "100%")
    assert len(content) == status["file_size"]
    finished = requests.get(result["download_url"], timeout=60)
    assert hashlib.sha256(finished.content).digest() == hashlib.sha256(content).digest()
    assert finished.headers["Content-Length"] == str(len(content))


def test_a_published_client_converts_a_batch(url: str, server: ServerProcess) -> None:
    urls = [f"https://www.youtube.com/watch?v=batch-{n:05d}" for n in range(3)]
    response = requests.post(
        f"{url}/batch-convert", headers=HEADERS, json={"urls": urls, "quality": "medium"}, timeout=60
    )
    assert response.status_code == 200
    jobs = response.json()["jobs"]
    assert [job["url"] for job in jobs] == urls
    for job in jobs:
        done = server.finished(job["conversion_id"])
        assert (done["status"], done["bitrate_kbps"]) == ("completed", 192)


def test_every_way_to_write_a_video_is_the_same_work(url: str, server: ServerProcess) -> None:
    forms = [
        "https://www.youtube.com/watch?v=same-video1",
        "http://youtube.com/watch?list=PL1&v=same-video1&t=9",
        "youtu.be/same-video1?si=x",
        "https://m.youtube.com/shorts/same-video1",
        "https://www.youtube.com/live/same-video1",
        "https://www.youtube-nocookie.com/embed/same-video1",
        "https://www.youtube.com/v/same-video1",
        "  HTTPS://MUSIC.YOUTUBE.COM/watch?v=same-video1 ",
    ]
    jobs = requests.post(f"{url}/batch-convert", headers=HEADERS, json={"urls": forms}, timeout=60).json()["jobs"]
    assert {server.finished(job["conversion_id"])["status"] for job in jobs} == {"completed"}
    assert len(list(server.downloads.glob("same-video1-*.mp3"))) == 1


# ---- the audio


@pytest.mark.parametrize(("quality", "kbps"), [("high", 320), ("medium", 192), ("low", 128)])
def test_the_mp3_is_what_its_quality_says(server: ServerProcess, quality: str, kbps: int) -> None:
    done = server.finished(server.convert("audio-check", quality))
    content = server.download(done["conversion_id"])
    audio = MP3(io.BytesIO(content))
    assert (audio.info.bitrate, audio.info.sample_rate, audio.info.channels) == (kbps * 1000, 48_000, 2)
    assert abs(audio.info.length - done["duration"]) < 0.2
    assert audio.info.bitrate_mode in (BitrateMode.CBR, BitrateMode.UNKNOWN)
    assert b"Xing" not in content and b"Info" not in content[-(len(content) // 2) :]
    assert "Audio: mp3" in decoded(content)
    assert done["source"]["codec"] in ("opus", "aac")


def test_the_tags_are_id3v23_with_a_square_front_cover(server: ServerProcess) -> None:
    done = server.finished_with_cover("cover-check", "high")
    tags = ID3(io.BytesIO(server.download(done["conversion_id"])), translate=False)
    assert tags.version == (2, 3, 0)
    assert str(tags["TIT2"]) == done["title"] and str(tags["TPE1"]) == done["artist"]
    assert re.fullmatch(r"\d{4}", str(tags["TYER"]))
    (comment,) = tags.getall("COMM")
    assert (
        (comment.desc, str(comment)) == ("", "https://www.youtube.com/watch?v=cover-check") == ("", str(tags["WOAS"]))
    )
    assert not tags.getall("TXXX")
    (picture,) = tags.getall("APIC")
    assert (picture.type, picture.mime) == (3, "image/jpeg")
    shown = subprocess.run(
        [FFMPEG, "-hide_banner", "-i", "pipe:0"], input=picture.data, capture_output=True, timeout=60
    )
    assert re.search(rb"Video: mjpeg.* 720x720", shown.stderr)
    thumbnail = requests.get(done["thumbnail_url"], timeout=60)
    assert thumbnail.content == picture.data and thumbnail.headers["Content-Type"] == "image/jpeg"


@pytest.mark.long
def test_low_mono_sources_become_full_stereo_at_their_loudness(
    server: ServerProcess, ended: dict[str, dict[str, Any]]
) -> None:
    studio = Studio(server.folder / "youtube" / "clips", FFMPEG)
    for video_id, made_from in (("x-22k-mono-", "22050 Hz, mono"), ("x-44k-mono-", "44100 Hz, mono")):
        content = server.download(ended[video_id]["conversion_id"])
        info = MP3(io.BytesIO(content)).info
        assert (info.bitrate, info.sample_rate, info.channels) == (320_000, 44_100, 2)
        source = decoded(asyncio.run(studio.clip(video(video_id).clip)).read_bytes())
        assert made_from in source
        assert abs(loudness(decoded(content)) - loudness(source)) < 0.5


def loudness(said: str) -> float:
    """Mean volume in dB."""
    found = re.search(r"mean_volume: (-?[\d.]+) dB", said)
    assert found, said
    return float(found[1])


# ---- every reserved video


@pytest.mark.long
@pytest.mark.parametrize("video_id", FAILURES)
def test_a_failure_of_the_source_gets_its_code(ended: dict[str, dict[str, Any]], url: str, video_id: str) -> None:
    done = ended[video_id]
    assert done["error"] and done["error"]["code"] == RESERVED[video_id].outcome
    assert done["download_url"] is None and done["progress"] < 100
    assert not re.search(r"/\w+/|Traceback|\.py|yt-dlp --", done["error"]["message"])
    link = requests.get(f"{url}/static/downloads/{done['conversion_id']}.mp3", timeout=60)
    assert (link.status_code, link.json()["error"]["code"]) == (404, RESERVED[video_id].outcome)


@pytest.mark.long
@pytest.mark.parametrize("video_id", SUCCESSES)
def test_a_success_of_note_is_whole(ended: dict[str, dict[str, Any]], server: ServerProcess, video_id: str) -> None:
    done = ended[video_id]
    assert done["status"] == "completed", done["error"]
    content = server.download(done["conversion_id"])
    assert len(content) == done["file_size"]
    assert abs(MP3(io.BytesIO(content)).info.length - done["duration"]) < 0.3
    decoded(content)


@pytest.mark.long
def test_a_failing_thumbnail_fails_nothing(ended: dict[str, dict[str, Any]]) -> None:
    for video_id in ("x-no-thumb-", "x-thumbhang", "x-thumbjunk"):
        assert (ended[video_id]["status"], ended[video_id]["thumbnail_url"]) == ("completed", None)


@pytest.mark.long
@pytest.mark.parametrize(
    ("video_id", "title"),
    [("x-scripts--", SCRIPTS_TITLE), ("x-longtitle", LONG_TITLE), ("x-badtitle-", HOSTILE_TITLE)],
)
def test_a_file_name_is_right_in_every_script_and_safe(
    ended: dict[str, dict[str, Any]], video_id: str, title: str
) -> None:
    answer = requests.get(ended[video_id]["download_url"], timeout=60)
    encoded = re.search(r"filename\*=UTF-8''([^;]+)$", answer.headers["Content-Disposition"])
    assert encoded
    name = unquote(encoded[1])
    assert name.endswith(".mp3") and len(name.encode()) <= 255
    assert not re.search(r'[<>:"/\\|?*\x00-\x1f\u202a-\u202e]', name)
    words = [word for word in re.findall(r"\w{3,}", title)[:3] if word in name]
    assert words, name


# ---- live readers


def test_ten_readers_hear_one_conversion_while_it_is_made(server: ServerProcess, url: str) -> None:
    conversion_id = server.convert("x-slow-----", "medium")

    def read() -> bytes:
        with requests.get(f"{url}/static/downloads/{conversion_id}.mp3", stream=True, timeout=60) as answer:
            assert answer.status_code == 200 and "Content-Length" not in answer.headers
            chunks = answer.iter_content(4096)
            first: bytes = next(chunks)
            assert server.status(conversion_id)["status"] == "processing", "heard before it was finished"
            return first + b"".join(chunks)

    with ThreadPoolExecutor(10) as pool:
        reads = [future.result() for future in [pool.submit(read) for _ in range(10)]]
    finished = server.download(conversion_id)
    assert {hashlib.sha256(content).digest() for content in reads} == {hashlib.sha256(finished).digest()}


@pytest.mark.long
def test_a_reader_that_leaves_harms_nobody(server: ServerProcess, url: str) -> None:
    conversion_id = server.convert("x-slow-----", "low")
    with requests.get(f"{url}/static/downloads/{conversion_id}.mp3", stream=True, timeout=60) as answer:
        next(answer.iter_content(1024))
    done = server.finished(conversion_id)
    assert done["status"] == "completed"
    assert len(server.download(conversion_id)) == done["file_size"]


@pytest.mark.long
def test_a_failure_in_the_middle_cuts_the_readers_off(server: ServerProcess, url: str) -> None:
    conversion_id = server.convert("x-stalled--", "low")
    received = b""
    with (
        pytest.raises((requests.exceptions.ChunkedEncodingError, requests.exceptions.ConnectionError)),
        requests.get(f"{url}/static/downloads/{conversion_id}.mp3", stream=True, timeout=60) as answer,
    ):
        for chunk in answer.iter_content(4096):
            received += chunk
    assert received
    assert server.finished(conversion_id)["error"]["code"] == "TIMEOUT"


def test_twenty_requests_for_one_video_are_one_piece_of_work(server: ServerProcess, url: str) -> None:
    def convert() -> Any:
        body = {"url": "https://youtu.be/twenty-same"}
        return requests.post(f"{url}/convert", headers=HEADERS, json=body, timeout=60).json()["conversion_id"]

    with ThreadPoolExecutor(20) as pool:
        ids = {future.result() for future in [pool.submit(convert) for _ in range(20)]}
    assert len(ids) == 20
    assert {server.finished(one)["status"] for one in ids} == {"completed"}
    assert len({hashlib.sha256(server.download(one)).digest() for one in ids}) == 1
    assert len(list(server.downloads.glob("twenty-same-*.mp3"))) == 1


@pytest.mark.long
def test_a_title_in_every_script_is_whole_in_the_tags(ended: dict[str, dict[str, Any]], server: ServerProcess) -> None:
    done = ended["x-scripts--"]
    assert done["title"] == SCRIPTS_TITLE
    assert str(ID3(io.BytesIO(server.download(done["conversion_id"])))["TIT2"]) == SCRIPTS_TITLE
    hostile = ended["x-badtitle-"]["title"]
    assert hostile.isprintable() and "CON" in hostile
