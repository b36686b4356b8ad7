"""The download link of a finished file: plain HTTP with all that a client may ask of a file."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from conftest import StartApi
from support.api import KEY, MEDIA, OTHER, SOON, Api, content_of, link, read_answer, read_head, serving

from server import errors
from server.config import AudioConfig, JobsConfig
from server.http.context import ARTIFACTS

VIDEO, TWIN = "some-video-", "other-video"
CONTENT = content_of(VIDEO)
PAST = "Thu, 01 Jan 1970 00:00:01 GMT"
TITLES = [
    "Plain",
    "🌙 Мой 音楽 ✨",
    'a/b\\c:d*e?f"g<h>i|j',
    "con",
    "..",
    "",
    "x" * 400,
    "é" * 300,
    "\r\nX-Evil: 1",
    "a;b,c%d",
]


@pytest.fixture
async def path(api: Api) -> str:
    return link((await api.made(VIDEO))["conversion_id"])


async def test_the_whole_file_comes_without_a_key(api: Api, path: str) -> None:
    answer = await api.get(path, key=None)
    assert (answer.status, answer.body) == (200, CONTENT)
    assert answer.headers["Content-Type"] == "audio/mpeg"
    assert answer.headers["Content-Length"] == str(len(CONTENT))
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert answer.headers["ETag"] and answer.headers["Last-Modified"]
    assert not [name for name in answer.headers if name.startswith("X-RateLimit")]


@pytest.mark.parametrize("key", [None, KEY, OTHER, "wrong"])
async def test_the_id_is_the_secret_whatever_key_comes_along(api: Api, path: str, key: str | None) -> None:
    assert (await api.get(path, key=key)).body == CONTENT


async def test_head_is_get_without_the_file(api: Api, path: str) -> None:
    full, head = await api.get(path), await api.request("HEAD", path)
    assert (head.status, head.body) == (200, b"")
    for name in ("Content-Length", "Content-Type", "Content-Disposition", "ETag", "Last-Modified", "Accept-Ranges"):
        assert head.headers[name] == full.headers[name]


@pytest.mark.parametrize(
    ("wanted", "first", "end"),
    [("bytes=0-0", 0, 1), ("bytes=100-199", 100, 200), ("bytes=5000-", 5000, None), ("bytes=-7", -7, None),
     ("bytes=0-99999999", 0, None), ("bytes=-99999999", 0, None)],
)  # fmt: skip
async def test_a_part_comes_when_a_part_is_asked_for(
    api: Api, path: str, wanted: str, first: int, end: int | None
) -> None:
    answer = await api.get(path, headers={"Range": wanted})
    assert (answer.status, answer.body) == (206, CONTENT[first:end])
    begin = first % len(CONTENT)
    last = begin + len(answer.body) - 1
    assert answer.headers["Content-Range"] == f"bytes {begin}-{last}/{len(CONTENT)}"
    assert answer.headers["Content-Length"] == str(len(answer.body))


@pytest.mark.parametrize("wanted", [f"bytes={len(CONTENT)}-", "bytes=9999999-", "bytes=2-1"])
async def test_a_part_that_is_not_there_is_416_in_the_envelope(api: Api, path: str, wanted: str) -> None:
    for method in ("GET", "HEAD"):
        answer = await api.request(method, path, headers={"Range": wanted})
        assert answer.status == 416
        assert answer.headers["Content-Range"] == f"bytes */{len(CONTENT)}"
        assert "Content-Disposition" not in answer.headers
    assert (await api.get(path, headers={"Range": wanted})).code == "RANGE_NOT_SATISFIABLE"


@pytest.mark.parametrize("wanted", ["bytes=abc", "bytes=-", "bytes=0-1,4-5", "lines=1-2", "", "bytes=0-1-2"])
async def test_a_range_that_is_not_one_part_in_bytes_is_ignored(api: Api, path: str, wanted: str) -> None:
    answer = await api.get(path, headers={"Range": wanted})
    assert (answer.status, answer.body) == (200, CONTENT)
    assert answer.headers["X-Request-ID"]


async def test_what_a_client_has_is_not_sent_again(api: Api, path: str) -> None:
    first = await api.get(path)
    for headers in (
        {"If-None-Match": first.headers["ETag"]},
        {"If-None-Match": f'"other", W/{first.headers["ETag"]}'},
        {"If-Modified-Since": first.headers["Last-Modified"]},
    ):
        answer = await api.get(path, headers=headers)
        assert (answer.status, answer.body) == (304, b"")
        assert answer.headers["ETag"] == first.headers["ETag"]
    assert (await api.get(path, headers={"If-None-Match": '"other"'})).status == 200


@pytest.mark.parametrize("headers", [{"If-Match": '"other"'}, {"If-Unmodified-Since": PAST}])
async def test_a_condition_that_does_not_hold_is_412_in_the_envelope(
    api: Api, path: str, headers: dict[str, str]
) -> None:
    answer = await api.get(path, headers=headers)
    assert (answer.status, answer.code) == (412, "PRECONDITION_FAILED")
    assert "Content-Disposition" not in answer.headers
    assert (await api.request("HEAD", path, headers=headers)).status == 412
    good = await api.get(path)
    assert (await api.get(path, headers={"If-Match": good.headers["ETag"]})).body == CONTENT


@pytest.mark.parametrize(
    "headers", ["Range: bytes=99999999-", 'If-Match: "other"', "If-None-Match: *", "Range: bytes=1-2"]
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_the_connection_is_in_step_after_any_of_them(api: Api, path: str, method: str, headers: str) -> None:
    async with api.connected() as (reader, writer):
        writer.write(f"{method} {path} HTTP/1.1\r\nHost: x\r\n{headers}\r\n\r\n".encode())
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await read_answer(reader, method)).status in (206, 304, 412, 416)
        assert (await read_answer(reader)).json == {"status": "ok"}


@pytest.mark.parametrize(
    "headers", [{"Range": "bytes=99999999-"}, {"If-Match": '"other"'}, {"If-Unmodified-Since": PAST}]
)
@pytest.mark.parametrize("place", ["/", "/static/app.js"])
async def test_files_of_the_page_refuse_in_the_envelope_too(api: Api, place: str, headers: dict[str, str]) -> None:
    assert (await api.get(place, headers=headers)).code in ("RANGE_NOT_SATISFIABLE", "PRECONDITION_FAILED")


async def name_of(api: Api, conversion: Any) -> str:
    """What a browser saves the download as."""
    answer = await api.request("HEAD", link(conversion["conversion_id"]))
    return unquote(answer.headers["Content-Disposition"].rpartition("UTF-8''")[2])


async def test_a_song_is_named_after_artist_and_track(api: Api) -> None:
    api.studio.media = dataclasses.replace(MEDIA, track="A Song", title="An Artist - A Song (Official Video)")
    assert await name_of(api, await api.made(VIDEO)) == "An Artist – A Song.mp3"


async def test_the_owner_says_what_downloads_are_called(start_api: StartApi) -> None:
    api = await start_api(audio=AudioConfig(file_name="{artist}/{year} {album} {title}"))
    assert await name_of(api, await api.made(VIDEO)) == "An Artist_2026 A Title.mp3"


async def test_two_videos_never_share_a_name_and_each_keeps_its_own(api: Api) -> None:
    first, second, others = [await api.made(VIDEO), await api.made(TWIN), await api.made(TWIN, key=OTHER)]
    names = ["A Title.mp3", "A Title [other-video].mp3", "A Title.mp3"]
    assert [await name_of(api, one) for one in (second, first, others)] == [names[1], names[0], names[2]]
    assert await name_of(api, await api.made(TWIN, "low")) == names[1]
    await api.request("DELETE", f"/status/{first['conversion_id']}")
    assert await name_of(api, second) == names[1]


async def test_a_name_outlives_a_restart(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        first, second = await api.made(VIDEO), await api.made(TWIN)
        await api.request("DELETE", f"/status/{first['conversion_id']}")
    async with serving(tmp_path, audio=AudioConfig(file_name="{artist}")) as api:
        assert await name_of(api, second) == "A Title [other-video].mp3"
        assert await name_of(api, await api.made("third-video")) == "An Artist.mp3"


async def test_a_live_download_has_the_name_it_will_keep(api: Api) -> None:
    await api.made(VIDEO)
    conversion = await api.convert("led-twin---")
    assert await name_of(api, conversion) == "led-twin---.mp3"
    take = await api.studio.take("led-twin---")
    take.know()
    assert await name_of(api, conversion) == "A Title [led-twin---].mp3"
    take.grow(b"sound")
    take.finish()
    await api.status(conversion["conversion_id"], wait=5)
    assert await name_of(api, conversion) == "A Title [led-twin---].mp3"


@pytest.mark.parametrize("title", TITLES)
async def test_the_file_has_the_videos_name(api: Api, title: str) -> None:
    api.studio.media = dataclasses.replace(MEDIA, title=title)
    conversion = await api.made(VIDEO)
    answer = await api.get(link(conversion["conversion_id"]))
    found = re.fullmatch(
        r"attachment; filename=\"([ !#-\[\]-~]+)\"; filename\*=UTF-8''([A-Za-z0-9%._~-]+)",
        answer.headers["Content-Disposition"],
    )
    assert found, answer.headers["Content-Disposition"]
    name = unquote(found[2])
    assert name.endswith(".mp3") and found[1].endswith(".mp3") and len(name.encode()) <= 255
    assert "X-Evil" not in answer.headers


@pytest.mark.parametrize("name", ["no-such-id.mp3", "..%2f..%2fetc%2fpasswd.mp3", ".mp3", "%00.mp3", "x.jpg", "é.mp3"])
async def test_what_is_no_known_conversion_is_404_never_a_file(api: Api, name: str) -> None:
    answer = await api.get(f"/static/downloads/{name.replace('é', '%C3%A9')}", key=None)
    assert answer.status == 404


async def test_a_files_own_name_leads_nowhere(api: Api, path: str) -> None:
    for file in api.app[ARTIFACTS]._folder.iterdir():
        assert (await api.get(f"/static/downloads/{file.name}")).status == 404
        assert (await api.get(f"/static/{file.name}")).status == 404


async def test_a_removed_or_cancelled_one_is_gone(api: Api) -> None:
    made = (await api.made(VIDEO))["conversion_id"]
    running = (await api.convert("led-running"))["conversion_id"]
    for conversion_id in (made, running):
        await api.request("DELETE", f"/status/{conversion_id}")
        answer = await api.get(link(conversion_id), key=None)
        assert (answer.status, answer.code) == (404, "CONVERSION_NOT_FOUND")
        assert (await api.request("HEAD", link(conversion_id))).status == 404


@pytest.mark.parametrize("damage", [Path.unlink, lambda file: os.truncate(file, 10)], ids=["removed", "cut"])
async def test_a_file_that_somebody_removed_or_cut_is_404_and_made_anew(
    api: Api, path: str, damage: Callable[[Path], None]
) -> None:
    def damage_it() -> None:
        for file in api.app[ARTIFACTS]._folder.glob("*.mp3"):
            damage(file)

    damage_it()
    answer = await api.get(path)
    assert (answer.status, answer.code) == (404, "CONVERSION_NOT_FOUND")
    assert (await api.get(path.replace("/static/downloads/", "/status/").removesuffix(".mp3"))).status == 404
    again = await api.made(VIDEO)
    damage_it()  # and now nobody reads it before it is asked for again
    once_more = await api.made(VIDEO)
    assert (await api.get(link(once_more["conversion_id"]))).body == CONTENT
    assert (await api.get(link(again["conversion_id"]))).status == 404
    assert len(api.studio.takes) == 3
    assert len(list(api.app[ARTIFACTS]._folder.glob("*.mp3"))) == 1


async def test_the_cover_is_shown_from_here(api: Api) -> None:
    conversion_id = (await api.convert("led-covered"))["conversion_id"]
    cover = f"/static/downloads/{conversion_id}.jpg"
    assert (await api.get(cover)).code == "NOT_FOUND"
    take = await api.studio.take("led-covered")
    take.know(cover=b"\xff\xd8 a jpeg")
    early = await api.get(cover, key=None)
    assert (early.status, early.body, early.headers["Content-Type"]) == (200, b"\xff\xd8 a jpeg", "image/jpeg")
    take.grow(b"sound")
    take.finish()
    done = await api.status(conversion_id, wait=50)
    assert (await api.get(cover, key=None)).body == b"\xff\xd8 a jpeg"
    assert done["thumbnail_url"].endswith(cover)
    await api.request("DELETE", f"/status/{conversion_id}")
    assert (await api.get(cover)).code == "CONVERSION_NOT_FOUND"


async def test_between_two_attempts_there_is_no_cover(start_api: StartApi) -> None:
    api = await start_api(jobs=JobsConfig(slots=1, retry_pause=60))
    conversion_id = (await api.convert("led-failing"))["conversion_id"]
    take = await api.studio.take("led-failing")
    take.know(cover=b"picture")
    assert (await api.status(conversion_id))["thumbnail_url"]
    take.fail(errors.NetworkError())
    async with asyncio.timeout(SOON):
        while (shown := await api.status(conversion_id))["status"] != "queued":
            await asyncio.sleep(0.01)
    assert shown["thumbnail_url"] is None


async def test_a_conversion_without_a_cover_has_no_address_for_it(api: Api) -> None:
    done = await api.made(VIDEO)
    assert done["thumbnail_url"] is None
    assert (await api.get(f"/static/downloads/{done['conversion_id']}.jpg")).code == "NOT_FOUND"


@pytest.mark.parametrize("end", ["removed", "expired", "over the budget"])
async def test_a_reader_in_the_middle_gets_it_whole_when_the_file_goes(
    api: Api, end: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    conversion_id = (await api.convert("led-large--"))["conversion_id"]
    take = await api.studio.take("led-large--")
    content = bytes(range(256)) * (40 << 10)  # 10 MiB, more than the sockets hold
    take.grow(content)
    take.finish()
    await api.status(conversion_id, wait=50)
    async with api.connected() as (reader, writer):
        writer.write(f"GET {link(conversion_id)} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        status, headers = await read_head(reader)
        assert (status, headers["Content-Length"]) == (200, str(len(content)))
        conversion = api.engine.table.get(conversion_id)
        assert conversion
        if end == "removed":
            await api.request("DELETE", f"/status/{conversion_id}")
        elif end == "expired":
            api.engine._expire([conversion])
        else:
            monkeypatch.setattr(api.app[ARTIFACTS], "_budget_bytes", 0)
            await api.engine.tidy()
        while list(api.app[ARTIFACTS]._folder.glob("*.mp3")):
            await asyncio.sleep(0.01)
        assert api.app[ARTIFACTS].used_bytes == len(content), "its room is taken as long as it is read"
        assert await reader.read(-1) == content
    assert api.app[ARTIFACTS].used_bytes == 0
    assert (await api.get(link(conversion_id))).status == 404


async def test_what_the_budget_removes_early_is_answered_as_expired(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api.app[ARTIFACTS], "_budget_bytes", len(CONTENT) * 2 + 2000)
    ids = [(await api.made(f"video-{n:05d}"))["conversion_id"] for n in range(2)]
    await api.get(link(ids[0]))  # used more recently than the second
    ids.append((await api.made("video-00002"))["conversion_id"])
    assert [(await api.get(link(one))).status for one in ids] == [200, 404, 200]
    assert (await api.get(f"/status/{ids[1]}")).code == "CONVERSION_NOT_FOUND"
