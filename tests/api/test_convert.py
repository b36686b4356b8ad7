"""The published endpoints: what an accepted conversion looks like, and what becomes of it."""

from __future__ import annotations

import asyncio
import dataclasses
import re
from datetime import datetime
from typing import Any

import pytest
from conftest import StartApi
from support.api import KEY, MEDIA, OTHER, Api, content_of, link, watch

from server import errors
from server.config import JobsConfig, ServerConfig
from server.jobs import Chapter

FIELDS = {
    "conversion_id", "status", "progress", "download_url", "url", "video_id", "quality", "bitrate_kbps", "title",
    "artist", "album", "duration", "clip", "loudness", "chapters", "thumbnail_url", "source", "file_size", "created_at",
    "started_at", "finished_at", "expires_at", "queue_position", "notice", "error",
}  # fmt: skip


def moment(text: str) -> datetime:
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", text)
    return datetime.fromisoformat(text)


async def test_a_conversion_shows_what_is_known_of_it_at_each_stage(api: Api) -> None:
    first = await api.convert("led-stages-")
    conversion_id = first["conversion_id"]
    assert first.keys() == FIELDS
    assert first["status"] in ("queued", "processing") and first["progress"] == 0
    assert first["download_url"] == f"{api.url}/static/downloads/{conversion_id}.mp3"
    assert (first["url"], first["video_id"]) == (watch("led-stages-"), "led-stages-")
    assert (first["quality"], first["bitrate_kbps"]) == ("high", 320)
    unknown = ("title", "artist", "album", "duration", "thumbnail_url", "source", "file_size", "finished_at")
    assert [first[name] for name in (*unknown, "expires_at", "error")] == [None] * 10
    assert (first["clip"], first["loudness"], first["chapters"]) == (None, None, [])

    take = await api.studio.take("led-stages-")
    take.know(cover=b"a jpeg")
    take.grow(b"sound", 41.7)
    second = await api.status(conversion_id)
    assert (second["status"], second["progress"], second["queue_position"]) == ("processing", 41, None)
    assert (second["title"], second["artist"], second["duration"]) == (MEDIA.title, MEDIA.artist, MEDIA.duration)
    assert (second["album"], second["chapters"]) == (None, [])
    assert second["source"] == {"codec": "opus", "bitrate_kbps": 141}
    assert second["thumbnail_url"] == f"{api.url}/static/downloads/{conversion_id}.jpg"
    assert second["file_size"] is None

    take.grow(b"", 30)
    assert (await api.status(conversion_id))["progress"] == 41, "never goes down"
    take.grow(b"", 100)
    assert (await api.status(conversion_id))["progress"] == 99, "100 is for what is completed"
    take.finish()
    last = await api.status(conversion_id, wait=50)
    assert (last["status"], last["progress"], last["file_size"]) == ("completed", 100, 5)
    assert moment(last["created_at"]) <= moment(last["started_at"]) <= moment(last["finished_at"])
    assert (moment(last["expires_at"]) - moment(last["finished_at"])).total_seconds() == pytest.approx(86_400, abs=1)
    assert last["download_url"] == first["download_url"]


async def test_a_song_shows_its_album_and_its_chapters(api: Api) -> None:
    chapters = (Chapter("Intro", 0.0, 4.5), Chapter("The rest", 4.5, 12.5))
    api.studio.media = dataclasses.replace(MEDIA, album="An Album", chapters=chapters)
    done = await api.made("song-video-")
    assert done["album"] == "An Album"
    assert done["chapters"] == [
        {"title": "Intro", "start": 0.0, "end": 4.5},
        {"title": "The rest", "start": 4.5, "end": 12.5},
    ]


async def test_a_clip_shows_which_part_it_is_and_shares_its_work_with_the_same_part_only(api: Api) -> None:
    body = {"url": watch("led-clip---"), "start": 65, "end": "2:30.5"}
    first = (await api.post("/convert", body)).json
    assert first["clip"] == {"start": 65.0, "end": 150.5}
    take = await api.studio.take("led-clip---")
    same = (await api.post("/convert", {**body, "start": "1:05", "end": 150.5})).json
    whole = (await api.post("/convert", {"url": body["url"], "start": 0, "end": None})).json
    assert whole["clip"] is None
    take.grow(b"sound")
    take.finish()
    assert {(await api.status(one["conversion_id"], wait=50))["status"] for one in (first, same)} == {"completed"}
    (again,) = (await api.post("/batch-convert", {"urls": [body["url"]], "start": 65, "end": 150.5})).json["jobs"]
    assert again["status"] == "completed", "kept"
    await api.studio.take("led-clip---", 2)
    assert [take.job.recipe.clip is None for take in api.studio.takes] == [False, True]


async def test_a_loudness_is_another_work_than_the_sound_as_it_is(api: Api) -> None:
    body = {"url": watch("some-video-")}
    asked = [None, -14, -14.04, -16]
    answers = [(await api.post("/convert", {**body, "loudness": loudness})).json for loudness in asked]
    (last,) = (await api.post("/batch-convert", {"urls": [body["url"]], "loudness": -16.0})).json["jobs"]
    assert [one["loudness"] for one in (*answers, last)] == [None, -14.0, -14.0, -16.0, -16.0]
    for one in (*answers, last):
        await api.status(one["conversion_id"], wait=50)
    assert [take.job.recipe.loudness for take in api.studio.takes] == [None, -14.0, -16.0]


async def test_a_conversions_id_is_a_url_safe_secret_that_tells_nothing_of_the_video(api: Api) -> None:
    ids = [(await api.convert("same-video-"))["conversion_id"] for _ in range(20)]
    assert len(set(ids)) == 20
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{22,}", one) for one in ids)


@pytest.mark.parametrize(
    ("quality", "kbps"), [("high", 320), ("medium", 192), ("low", 128), (None, 320), ("absent", 320)]
)
async def test_a_quality_is_a_bitrate_and_high_is_the_default(api: Api, quality: str | None, kbps: int) -> None:
    body = {"url": watch("some-video-")} | ({} if quality == "absent" else {"quality": quality})
    answer = await api.post("/convert", body)
    assert (answer.status, answer.json["bitrate_kbps"]) == (200, kbps)


async def test_unknown_fields_are_ignored(api: Api) -> None:
    body = {"url": watch("some-video-"), "format": "mp3", "urls": 7, "nested": {"url": [None]}}
    assert (await api.post("/convert", body)).status == 200


async def test_only_the_canonical_link_goes_on(api: Api) -> None:
    answer = await api.post("/convert", {"url": "  youtu.be/plain-video?si=x&list=PL1#t=7 "})
    assert answer.json["url"] == watch("plain-video")
    await api.studio.take("plain-video")


async def test_an_answer_is_plain_json_that_no_cache_keeps(api: Api) -> None:
    answer = await api.post("/convert", {"url": watch("some-video-")})
    assert answer.headers["Content-Type"].startswith("application/json")
    assert answer.headers["Cache-Control"] == "no-store"


async def test_a_batch_answers_in_the_order_of_its_urls(api: Api) -> None:
    urls = [watch(f"batch-{n:05d}") for n in (3, 1, 2, 1)]
    answer = await api.post("/batch-convert", {"urls": urls, "quality": "low"})
    jobs = answer.json["jobs"]
    assert answer.status == 200 and [job["url"] for job in jobs] == urls
    assert all(job.keys() == FIELDS and job["bitrate_kbps"] == 128 for job in jobs)
    assert len({job["conversion_id"] for job in jobs}) == 4
    done = [await api.status(job["conversion_id"], wait=50) for job in jobs]
    assert [job["status"] for job in done] == ["completed"] * 4


async def test_a_batch_fails_only_where_the_source_says_so(api: Api) -> None:
    urls = [watch("led-private"), watch("good-video-")]
    jobs = (await api.post("/batch-convert", {"urls": urls})).json["jobs"]
    (await api.studio.take("led-private")).fail(errors.VideoPrivate())
    failed, made = [await api.status(job["conversion_id"], wait=50) for job in jobs]
    assert (failed["status"], made["status"]) == ("failed", "completed")
    assert failed["error"] == {"code": "VIDEO_PRIVATE", "message": errors.VideoPrivate.text, "retryable": False}
    assert failed["download_url"] is None and failed["finished_at"] and failed["expires_at"]


@pytest.mark.parametrize("code", sorted(errors.JOB_ERRORS))
async def test_a_job_error_is_told_on_the_status_and_on_the_link(api: Api, code: str) -> None:
    error = errors.JOB_ERRORS[code]
    conversion_id = (await api.convert("led-failing"))["conversion_id"]
    for attempt in range(2 if error.retried else 1):
        (await api.studio.take("led-failing", attempt + 1)).fail(error())
    failed = await api.status(conversion_id, wait=50)
    assert failed["error"] == {"code": code, "message": error().message, "retryable": error.retryable}
    download = await api.get(link(conversion_id), key=None)
    assert (download.status, download.code, download.message) == (404, code, error().message)
    assert (await api.request("HEAD", link(conversion_id), key=None)).status == 404


async def test_a_failure_nobody_foresaw_shows_nothing_of_the_host(api: Api) -> None:
    conversion_id = (await api.convert("led-failing"))["conversion_id"]
    for attempt in (1, 2):
        (await api.studio.take("led-failing", attempt)).fail(RuntimeError("/home/secret/path"))
    failed = await api.status(conversion_id, wait=50)
    assert failed["error"]["code"] == "INTERNAL_ERROR" and "secret" not in failed["error"]["message"]


async def test_twenty_simultaneous_requests_are_one_piece_of_work(api: Api) -> None:
    answers = await asyncio.gather(*(api.convert("led-twenty-", key=(KEY, OTHER)[n % 2]) for n in range(20)))
    ids = [answer["conversion_id"] for answer in answers]
    assert len(set(ids)) == 20
    take = await api.studio.take("led-twenty-")
    take.grow(b"the same sound")
    take.finish()
    done = await asyncio.gather(*(api.status(one, key=(KEY, OTHER)[n % 2], wait=50) for n, one in enumerate(ids)))
    assert {job["status"] for job in done} == {"completed"}
    assert {(await api.get(link(one), key=None)).body for one in ids} == {b"the same sound"}
    assert api.studio.videos == ["led-twenty-"]


async def test_kept_work_is_answered_at_once_with_times_of_its_own(api: Api) -> None:
    first = await api.made("kept-video-")
    await asyncio.sleep(0.002)  # times are shown in milliseconds
    second = await api.convert("kept-video-")
    assert (second["status"], second["progress"], second["started_at"]) == ("completed", 100, None)
    assert second["conversion_id"] != first["conversion_id"]
    assert second["created_at"] > first["finished_at"] and second["expires_at"] > first["expires_at"]
    assert (await api.get(link(second["conversion_id"]))).body == content_of("kept-video-")
    assert api.studio.videos == ["kept-video-"]


async def test_another_quality_is_other_work(api: Api) -> None:
    await api.made("some-video-", "high")
    await api.made("some-video-", "low")
    assert len(api.studio.takes) == 2


async def test_failed_work_is_not_shared_with_who_asks_later(api: Api) -> None:
    conversion_id = (await api.convert("led-once---"))["conversion_id"]
    (await api.studio.take("led-once---")).fail(errors.VideoPrivate())
    await api.status(conversion_id, wait=50)
    again = await api.convert("led-once---")
    (await api.studio.take("led-once---", 2)).grow(b"public now")
    (await api.studio.take("led-once---", 2)).finish()
    assert (await api.status(again["conversion_id"], wait=50))["status"] == "completed"
    assert (await api.status(conversion_id))["status"] == "failed"


async def test_waiting_conversions_know_their_place(start_api: StartApi) -> None:
    api = await start_api(jobs=JobsConfig(slots=1))
    await api.convert("led-running")
    await api.studio.take("led-running")
    places = [(await api.convert(f"led-wait{n:03d}"))["queue_position"] for n in range(3)]
    assert places == [1, 2, 3]


async def test_another_keys_conversion_is_as_one_that_is_not_there(api: Api) -> None:
    conversion_id = (await api.made("anna-video-"))["conversion_id"]
    for method, path in [("GET", ""), ("DELETE", ""), ("GET", "/events")]:
        foreign = await api.request(method, f"/status/{conversion_id}{path}", key=OTHER)
        unknown = await api.request(method, f"/status/no-such-conversion{path}", key=OTHER)
        assert (foreign.status, foreign.code) == (404, "CONVERSION_NOT_FOUND")
        assert foreign.body == unknown.body
    assert (await api.status(conversion_id))["status"] == "completed"


async def test_links_begin_with_the_public_address(start_api: StartApi) -> None:
    api = await start_api(server=ServerConfig(public_url="https://mp3.example.org/music"))
    answer = await api.post("/convert", {"url": watch("some-video-")}, headers={"Host": "elsewhere.example"})
    found: Any = answer.json
    assert found["download_url"] == f"https://mp3.example.org/music/static/downloads/{found['conversion_id']}.mp3"
