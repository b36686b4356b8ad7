"""Archives: one ZIP of many conversions, made while it is sent."""

from __future__ import annotations

import asyncio
import io
import zipfile
from pathlib import Path
from typing import Any

import pytest
from conftest import StartApi
from support.api import OTHER, SOON, Answer, Api, serving

from server import errors
from server.conversions import archives
from server.http.archive_download import MISSING

LED = ("led-one----", "led-two----")


async def batch(api: Api, *videos: str) -> Any:
    answer = await api.request("POST", "/batch-convert", {"urls": [f"https://youtu.be/{one}" for one in videos]})
    assert answer.status == 200, answer
    return answer.json


async def finished(api: Api, *videos: str) -> Any:
    """A batch, all of which has ended."""
    made = await batch(api, *videos)
    for job in made["jobs"]:
        await api.status(job["conversion_id"], wait=50)
    return made


def path(made: Any) -> str:
    link: str = made["archive_url"]
    return "/static" + link.partition("/static")[2]


def opened(answer: Answer) -> zipfile.ZipFile:
    file = zipfile.ZipFile(io.BytesIO(answer.body))
    assert file.testzip() is None
    return file


async def test_a_batch_is_one_archive_of_the_same_bytes(start_api: StartApi) -> None:
    api = await start_api()
    made = await finished(api, "aaaaaaaaaaa", "bbbbbbbbbbb", "aaaaaaaaaaa")
    answer = await api.request("GET", path(made), key=None)
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/zip")
    assert answer.headers["Content-Length"] == str(len(answer.body))
    assert 'filename="ytmp3d.zip"' in answer.headers["Content-Disposition"]
    file = opened(answer)
    assert [one[:2] for one in file.namelist()] == ["1 ", "2 ", "3 "] and len(set(file.namelist())) == 3
    for name, job in zip(file.namelist(), made["jobs"], strict=True):
        single = await api.request("GET", f"/static/downloads/{job['conversion_id']}.mp3", key=None)
        assert file.read(name) == single.body and file.getinfo(name).compress_type == zipfile.ZIP_STORED


async def test_it_can_be_resumed_anywhere(start_api: StartApi) -> None:
    api = await start_api()
    made = await batch(api, "aaaaaaaaaaa", "led-one----", "bbbbbbbbbbb")
    (await api.studio.take("led-one----")).fail(errors.VideoPrivate())
    for job in made["jobs"]:
        await api.status(job["conversion_id"], wait=50)
    link = path(made)
    whole = await api.request("GET", link, key=None)
    size, tag = len(whole.body), whole.headers["ETag"]
    for first, last in [(0, 0), (0, size - 1), (10, 20), (size - 1, size - 1), (size // 2, size - 1)]:
        part = await api.request("GET", link, key=None, headers={"Range": f"bytes={first}-{last}", "If-Range": tag})
        assert (part.status, part.body) == (206, whole.body[first : last + 1])
        assert part.headers["Content-Range"] == f"bytes {first}-{last}/{size}"
    tail = await api.request("GET", link, key=None, headers={"Range": "bytes=-7"})
    assert tail.body == whole.body[-7:]
    rest = await api.request("GET", link, key=None, headers={"Range": f"bytes={size - 5}-"})
    assert rest.body == whole.body[-5:]
    beyond = await api.request("GET", link, key=None, headers={"Range": f"bytes={size}-"})
    assert (beyond.status, beyond.headers["Content-Range"]) == (416, f"bytes */{size}")
    other = await api.request("GET", link, key=None, headers={"Range": "bytes=1-2", "If-Range": '"another"'})
    assert (other.status, other.body) == (200, whole.body)
    head = await api.request("HEAD", link, key=None)
    assert (head.status, head.headers["Content-Length"], head.headers["ETag"]) == (200, str(size), tag)


async def test_what_failed_is_named_in_a_text_file(start_api: StartApi) -> None:
    api = await start_api()
    made = await batch(api, "led-one----", "aaaaaaaaaaa")
    (await api.studio.take("led-one----")).fail(errors.VideoPrivate())
    for job in made["jobs"]:
        await api.status(job["conversion_id"], wait=50)
    file = opened(await api.request("GET", path(made), key=None))
    assert len(file.namelist()) == 2 and file.namelist()[1] == MISSING
    assert "VIDEO_PRIVATE" in file.read(MISSING).decode() and "led-one----" in file.read(MISSING).decode()


async def test_it_starts_at_once_and_takes_each_as_it_finishes(start_api: StartApi) -> None:
    api = await start_api()
    made = await batch(api, "aaaaaaaaaaa", *LED)
    await api.status(made["jobs"][0]["conversion_id"], wait=50)
    async with asyncio.timeout(SOON), api.session.get(api.address(path(made))) as stream:
        assert "Content-Length" not in stream.headers
        received = await stream.content.readany()
        assert received.startswith(b"PK\x03\x04")
        for video in LED:
            take = await api.studio.take(video)
            take.know()
            take.grow(b"sound" * 1000)
            take.finish()
        received += await stream.content.read()
    with zipfile.ZipFile(io.BytesIO(received)) as file:
        assert file.testzip() is None and len(file.namelist()) == 3
        assert file.read(file.namelist()[1]).endswith(b"sound")
    again = await api.request("GET", path(made), key=None)
    assert [opened(again).read(name) for name in opened(again).namelist()]
    assert "Content-Length" in again.headers


async def test_a_cancelled_member_is_missing_and_the_stream_goes_on(start_api: StartApi) -> None:
    api = await start_api()
    made = await batch(api, "led-one----", "aaaaaaaaaaa")
    async with asyncio.timeout(SOON), api.session.get(api.address(path(made))) as stream:
        await api.request("DELETE", f"/status/{made['jobs'][0]['conversion_id']}")
        received = await stream.content.read()
    with zipfile.ZipFile(io.BytesIO(received)) as file:
        assert MISSING in file.namelist() and len(file.namelist()) == 2


async def test_any_of_the_keys_conversions_make_an_archive_with_a_name(start_api: StartApi) -> None:
    api = await start_api()
    made = await finished(api, "aaaaaaaaaaa", "bbbbbbbbbbb")
    ids = [job["conversion_id"] for job in made["jobs"]]
    body = {"conversion_ids": [ids[1], ids[0], ids[1]], "name": "../Für/Anna"}
    answer = await api.request("POST", "/archives", body)
    assert answer.status == 200 and answer.json["count"] == 2
    assert answer.json["archive_url"].endswith(f"/static/downloads/{answer.json['archive_id']}.zip")
    again = await api.request("POST", "/archives", body)
    assert again.json == answer.json
    download = await api.request("GET", path(answer.json), key=None)
    assert "F%C3%BCr" in download.headers["Content-Disposition"] and "/" not in download.headers["Content-Disposition"]
    assert len(opened(download).namelist()) == 2


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"conversion_ids": None},
        {"conversion_ids": []},
        {"conversion_ids": "x"},
        {"conversion_ids": [1]},
        {"conversion_ids": ["x"] * 1001},
        {"conversion_ids": ["x"], "name": 1},
        {"conversion_ids": ["x"], "name": "x" * 201},
    ],
)
async def test_a_body_that_makes_no_sense_is_refused(start_api: StartApi, body: dict[str, Any]) -> None:
    api = await start_api()
    answer = await api.request("POST", "/archives", body)
    assert (answer.status, answer.code) == (400, "INVALID_REQUEST")


async def test_nobody_archives_what_is_not_theirs(start_api: StartApi) -> None:
    api = await start_api()
    made = await finished(api, "aaaaaaaaaaa")
    body = {"conversion_ids": [made["jobs"][0]["conversion_id"]]}
    answer = await api.request("POST", "/archives", body, key=OTHER)
    assert (answer.status, answer.code) == (404, "CONVERSION_NOT_FOUND")
    assert (await api.request("POST", "/archives", body, key=None)).status == 401
    unknown = await api.request("GET", "/static/downloads/aaaaaaaaaaaaaaaaaaaaaaaa.zip", key=None)
    assert (unknown.status, unknown.code) == (404, "ARCHIVE_NOT_FOUND")


async def test_with_its_last_file_an_archive_is_gone(start_api: StartApi) -> None:
    api = await start_api()
    made = await finished(api, "aaaaaaaaaaa", "bbbbbbbbbbb")
    ids = [job["conversion_id"] for job in made["jobs"]]
    await api.request("DELETE", f"/status/{ids[0]}")
    answer = await api.request("GET", path(made), key=None)
    assert opened(answer).namelist()[1] == MISSING
    await api.request("DELETE", f"/status/{ids[1]}")
    answer = await api.request("GET", path(made), key=None)
    assert (answer.status, answer.code) == (404, "ARCHIVE_NOT_FOUND")


async def test_a_key_has_so_many_at_most(start_api: StartApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MAX_KEPT", 2)
    api = await start_api()
    made = [await finished(api, video) for video in ("aaaaaaaaaaa", "bbbbbbbbbbb", "ccccccccccc")]
    statuses = [(await api.request("GET", path(one), key=None)).status for one in made]
    assert statuses == [404, 200, 200]


async def test_a_keys_archives_hold_so_many_conversions_at_most(
    start_api: StartApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "MAX_KEPT_MEMBERS", 3)
    api = await start_api()
    made = [await finished(api, video, "aaaaaaaaaaa") for video in ("bbbbbbbbbbb", "ccccccccccc")]
    statuses = [(await api.request("GET", path(one), key=None)).status for one in made]
    assert statuses == [404, 200]
    large = await finished(api, *(f"video-{number:05d}" for number in range(5)))
    assert (await api.request("GET", path(large), key=None)).status == 200, "the newest stays, whatever its size"


async def test_an_archive_outlives_a_restart(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        made = await finished(api, "aaaaaaaaaaa", "bbbbbbbbbbb")
        before = await api.request("GET", path(made), key=None)
    async with serving(tmp_path) as api:
        after = await api.request("GET", path(made), key=None)
        assert after.body == before.body and after.headers["ETag"] == before.headers["ETag"]
