"""Clips: exact, live, with tags of their own, and with as little fetched as is needed."""

from __future__ import annotations

import asyncio
import io
import math
import operator
import re
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from conftest import NewServer
from mutagen.id3 import ID3
from support.listening import heard, likeness
from support.serverprocess import ServerProcess, link, until
from support.workshop import workshop

from server.clip import Clip
from server.jobs import Job, Recipe
from server.media import kept_source

pytestmark = pytest.mark.long

#: Samples a second at which sounds are compared, and of a frame of MP3 and a window at that rate.
RATE, FRAME, WINDOW = 8_000, 192, 8_000
SONG = "x-4-minutes"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    process = ServerProcess(tmp_path_factory.mktemp("clips") / "server", '[log]\nlevel = "debug"')
    try:
        process.start()
        yield process
    finally:
        process.end()


def made(server: ServerProcess, video_id: str, **options: Any) -> tuple[dict[str, Any], bytes]:
    done = server.finished(server.convert(video_id, "low", **options), 120)
    assert done["status"] == "completed", done["error"]
    return done, server.download(done["conversion_id"])


def metric(server: ServerProcess, name: str) -> float:
    text = server.request("GET", "/metrics").body.decode()
    found = re.search(rf"^ytmp3d_{name} (\S+)$", text, re.MULTILINE)
    assert found, name
    return float(found[1])


def shift(part: bytes, whole: bytes, start: float, at: float) -> int:
    """Samples by which the sound at `at` in `part` is later than at `start + at` in `whole`: the best correlation."""
    ours, theirs = heard(part, RATE), heard(whole, RATE)
    here, there = round(at * RATE), round((start + at) * RATE)
    window = theirs[there : there + WINDOW]

    def likeness_at(lag: int) -> float:
        shifted = ours[here + lag : here + lag + WINDOW]
        power = math.sqrt(sum(map(operator.mul, shifted, shifted)))
        return sum(map(operator.mul, window, shifted)) / power if power else -1.0

    return max(range(-2 * FRAME, 2 * FRAME + 1), key=likeness_at)


@pytest.mark.parametrize(
    ("video_id", "asked", "seconds"),
    [
        (SONG, {"start": 65, "end": "1:35.517"}, 30.517),
        ("x-aac------", {"start": 1.003, "end": "0:04"}, 2.997),
        ("x-chapters-", {"end": 7.25}, 7.25),
        ("x-chapters-", {"start": 17.5}, 6.5),
        ("x-muxed-mp4", {"start": 3.5, "end": 7}, 3.5),
    ],
)
def test_a_clip_is_that_part_of_the_whole_exact_to_less_than_a_frame(
    server: ServerProcess, video_id: str, asked: dict[str, Any], seconds: float
) -> None:
    _, of_whole = made(server, video_id)
    done, of_clip = made(server, video_id, **asked)
    first = done["clip"]["start"]
    assert seconds <= done["duration"] <= seconds + 0.1
    shifts = [shift(of_clip, of_whole, first, at) for at in (0.1, seconds / 2 - 0.5, seconds - 1.1)]
    assert max(map(abs, shifts)) < FRAME / 2, shifts
    rate = 4_000
    assert likeness(heard(of_clip, rate), heard(of_whole, rate)[round(first * rate) :]) > 0.95


def test_tags_name_and_chapters_are_the_clips(server: ServerProcess) -> None:
    done, content = made(server, "x-chapters-", start=6, end="0:15.5")
    tags = ID3(io.BytesIO(content), translate=False)
    assert str(tags["TIT2"]) == f"{done['title']} (0:06–0:15.5)"
    chapters = [("夜の散歩 🌙", 0, 6), ("Part two: the return", 6, 9.5)]
    assert [(one["title"], one["start"], one["end"]) for one in done["chapters"]] == chapters
    (table,) = tags.getall("CTOC")
    frames = [tags[f"CHAP:{name}"] for name in table.child_element_ids]
    assert [(str(one.sub_frames["TIT2"]), one.start_time / 1000, one.end_time / 1000) for one in frames] == chapters
    head = server.request("HEAD", link(done["conversion_id"])).headers["Content-Disposition"]
    assert unquote(head.rpartition("''")[2]) == f"{done['title']} (0.06–0.15.5).mp3"
    assert [path.name.rpartition("-")[0] for path in server.downloads.glob("x-chapters--128-6*.mp3")] == [
        "x-chapters--128-6000_15500"
    ]


def test_an_end_behind_the_videos_is_the_videos_and_a_start_there_is_out_of_range(server: ServerProcess) -> None:
    done, content = made(server, "x-chapters-", start=20, end=500)
    assert done["clip"] == {"start": 20.0, "end": pytest.approx(24, abs=0.1)}
    assert "(0:20–0:24)" in str(ID3(io.BytesIO(content), translate=False)["TIT2"])
    for start in (24.1, 500):
        failed = server.finished(server.convert("x-chapters-", "low", start=start))
        assert (failed["error"]["code"], failed["error"]["retryable"]) == ("CLIP_OUT_OF_RANGE", False)
    unknown = server.finished(server.convert("x-no-length", "low", start=3000))
    assert unknown["error"]["code"] == "CLIP_OUT_OF_RANGE", "nobody knew before"


def test_a_source_that_breaks_off_is_no_shorter_clip(server: ServerProcess) -> None:
    for video_id, code in (("x-cut-short", "TRUNCATED"), ("x-forbidden", "SOURCE_FORBIDDEN")):
        failed = server.finished(server.convert(video_id, "low", start=1, end=3600))
        assert failed["error"]["code"] == code
    assert server.staged() == [] and server.running_ytdlp() == []


def test_twenty_people_who_cut_one_video_fetch_it_once(server: ServerProcess) -> None:
    fetched, accepted = metric(server, "sources_kept_total"), metric(server, "clips_accepted_total")
    with ThreadPoolExecutor(20) as pool:
        parts = [(10 * number, 10 * number + 15) for number in range(20)]
        asked = list(pool.map(lambda part: server.convert(SONG, "low", start=part[0], end=part[1]), parts))
        live = list(pool.map(server.download, asked))
    done = [server.finished(one) for one in asked]
    assert [one["status"] for one in done] == ["completed"] * 20
    assert metric(server, "sources_kept_total") == fetched + 1
    assert metric(server, "clips_accepted_total") == accepted + 20
    assert live == [server.download(one) for one in asked], "what was heard live is what is kept"
    _, whole = made(server, SONG)
    sound = heard(whole)
    for (start, _), content in zip(parts, live, strict=True):
        assert likeness(heard(content), sound[4_000 * start :]) > 0.99
    until(lambda: not server.staged(), 10, "the kept source is gone")
    assert server.running_ytdlp() == []


def test_a_kept_source_counts_as_used_and_goes_with_the_last_who_wants_it(new_server: NewServer) -> None:
    server = new_server("[offline]\nrate_kbps = 2000")
    server.start()
    first = server.convert(SONG, "low", start=100, end=230)
    until(lambda: metric(server, "disk_used_bytes") > 100_000, 30, "the source comes")
    second = server.convert(SONG, "low", start=120, end=235)
    server.request("DELETE", f"/status/{first}")
    assert server.finished(second)["status"] == "completed"
    assert metric(server, "sources_kept_total") == 1
    until(lambda: not server.staged(), 10, "the kept source is gone")
    assert metric(server, "disk_used_bytes") == sum(
        path.stat().st_size for path in server.downloads.iterdir() if path.suffix in (".mp3", ".json", ".jpg")
    )


def test_clips_survive_a_kill_while_they_are_made_and_after(new_server: NewServer) -> None:
    server = new_server("[offline]\nrate_kbps = 1000")
    server.start()
    kept = server.finished(server.convert("x-chapters-", "low", start=2, end=9))
    half = server.convert(SONG, "low", start=30, end=200)
    until(lambda: server.status(half)["progress"] >= 5, 60, "it is under way")
    server.kill()
    until(lambda: not server.processes(), 5, "nothing outlives the server")
    server.start()
    again = server.status(kept["conversion_id"])
    changed = {name for name in kept if kept[name] != again[name]}
    assert changed == {"download_url", "thumbnail_url"}, "which have another port"
    done = server.finished(half)
    assert (done["status"], done["clip"]) == ("completed", {"start": 30.0, "end": 200.0})
    assert 170 <= done["duration"] <= 170.1


def test_a_stop_ends_the_fetch_and_the_next_start_makes_the_clip(new_server: NewServer) -> None:
    server = new_server("[offline]\nrate_kbps = 1000\n[server]\nshutdown_grace = 0")
    server.start()
    clips = [server.convert(SONG, "low", start=30 * number, end=200 + number) for number in range(4)]
    until(lambda: server.status(clips[0])["progress"] >= 5, 60, "one is under way, others wait")
    server.signal(signal.SIGTERM)
    assert server.wait() == 0 and not server.processes() and server.staged() == []
    server.start()
    assert {server.finished(one)["status"] for one in clips} == {"completed"}
    assert metric(server, "sources_kept_total") == 1


async def test_a_source_is_read_no_further_than_its_clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One hour at 48 kbit/s is 21 MB; ten seconds from its beginning are a small part of it."""
    sizes: list[int] = []
    count = kept_source.KeptSource._may_fetch

    def counted(source: kept_source.KeptSource) -> bool:
        sizes.append(source._size)
        return count(source)

    monkeypatch.setattr(kept_source.KeptSource, "_may_fetch", counted)
    async with workshop(tmp_path) as here:
        job = Job(Recipe("x-one-hour-", 128, Clip(10.0, 20.0)))
        async with asyncio.timeout(120):
            artifact = await here.pipeline.run(job)
    assert 10 <= artifact.media.duration <= 10.1
    assert max(sizes) < 20 * 48_000 // 8 + 2 * kept_source.AHEAD_BYTES + 3 * 65_536
