"""`POST /playlist` at the door: who may look, how many at a time, and what is refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from support.api import KEY, OTHER, Answer, Api, serving
from support.description import SCHEMAS, validate

from server.access.keys import Key
from server.config import JobsConfig, LimitsConfig

LIST = "https://www.youtube.com/playlist?list=PL0123456789"
LED = "https://www.youtube.com/playlist?list=PLled01234567"


@pytest_asyncio.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with serving(tmp_path, jobs=JobsConfig(slots=1, max_playlist=60)) as api:
        yield api
        api.studio.looked.set()


async def ask(api: Api, url: Any = LIST, **more: Any) -> Answer:
    return await api.post("/playlist", {"url": url, **more})


async def test_it_lists_as_many_as_are_asked_for_and_no_more_than_the_setting(api: Api) -> None:
    for limit, count in ((1, 1), (5.0, 5), (60, 60), (None, 60)):
        answer = await ask(api, limit=limit)
        assert answer.status == 200, answer
        validate(answer.json, SCHEMAS["Playlist"])
        assert len(answer.json["videos"]) == count
        assert answer.json["videos"][0] == {
            "url": "https://www.youtube.com/watch?v=video-00000",
            "video_id": "video-00000",
            "title": "é",
            "channel": None,
            "duration": 5,
            "available": True,
        }
    assert answer.headers["Cache-Control"] == "no-store"
    assert {one.url for one in api.studio.looks} == {LIST}
    assert api.studio.takes == [], "it converts nothing"


@pytest.mark.parametrize(
    ("body", "code", "named"),
    [
        ({}, "INVALID_REQUEST", '"url" is missing'),
        ({"url": 5}, "INVALID_REQUEST", '"url" must be a string'),
        ({"url": "https://youtu.be/dQw4w9WgXcQ"}, "INVALID_URL", "no list of videos"),
        ({"url": "https://www.youtube.com/playlist?list=WL"}, "INVALID_URL", "signed in"),
        ({"url": LIST, "limit": 0}, "INVALID_REQUEST", '"limit" must be a whole number from 1 to 60'),
        ({"url": LIST, "limit": 61}, "INVALID_REQUEST", '"limit"'),
        ({"url": LIST, "limit": 1.5}, "INVALID_REQUEST", '"limit"'),
        ({"url": LIST, "limit": True}, "INVALID_REQUEST", '"limit"'),
        ({"url": LIST, "limit": "5"}, "INVALID_REQUEST", '"limit"'),
        (b"{", "INVALID_JSON", "JSON"),
    ],
)
async def test_what_cannot_be_looked_at_is_refused_with_the_reason(api: Api, body: Any, code: str, named: str) -> None:
    answer = await api.post("/playlist", body)
    assert (answer.status, answer.code) == (400, code)
    assert named in answer.message
    assert api.studio.looks == []


async def test_what_youtube_does_not_show_is_said_and_counted(api: Api) -> None:
    missing = await ask(api, "https://www.youtube.com/playlist?list=PLmissing012345")
    assert (missing.status, missing.code) == (404, "PLAYLIST_NOT_FOUND")
    refused = await ask(api, "https://www.youtube.com/playlist?list=PLrefused012345")
    assert (refused.status, refused.code) == (503, "SOURCE_UNAVAILABLE")
    assert refused.headers["Retry-After"] == "60" and "X-RateLimit-Limit" in refused.headers
    metrics = (await api.get("/metrics")).body.decode()
    for outcome in ("PLAYLIST_NOT_FOUND", "SOURCE_UNAVAILABLE"):
        assert f'ytmp3d_playlists_total{{outcome="{outcome}"}} 1.0' in metrics


async def test_it_needs_a_key_and_costs_one_request(tmp_path: Path) -> None:
    keys = {"a-key-with-two": Key("two", LimitsConfig(2, 100, 100))}
    async with serving(tmp_path, keys=keys) as api:
        assert (await api.post("/playlist", {"url": LIST}, key=None)).status == 401
        for left in ("1", "0"):
            answer = await api.post("/playlist", {"url": LIST}, key="a-key-with-two")
            assert (answer.status, answer.headers["X-RateLimit-Remaining"]) == (200, left)
        assert (await api.post("/playlist", {"url": LIST}, key="a-key-with-two")).code == "RATE_LIMITED"


async def test_one_look_of_each_key_at_a_time_and_more_wait(api: Api) -> None:
    asked = [asyncio.create_task(ask(api, LED, limit=1)) for _ in range(2)]
    await api.studio.looking(1)
    other = await api.post("/playlist", {"url": LIST, "limit": 1}, key=OTHER)
    assert other.status == 200, "another key's look does not wait for them"
    assert len(api.studio.looks) == 2
    api.studio.looked.set()
    assert [answer.status for answer in await asyncio.gather(*asked)] == [200, 200]
    assert len(api.studio.looks) == 3


async def test_no_more_wait_than_there_is_room_for(api: Api) -> None:
    asked = [asyncio.create_task(ask(api, LED, limit=1)) for _ in range(7)]
    first, _ = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
    (refused,) = [one.result() for one in first]
    assert (refused.status, refused.code) == (503, "QUEUE_FULL")
    assert int(refused.headers["Retry-After"]) > 0
    api.studio.looked.set()
    answers = await asyncio.gather(*asked)
    assert sorted(answer.status for answer in answers) == [200] * 6 + [503]


async def test_a_client_that_leaves_ends_its_look_and_its_place(api: Api) -> None:
    async with api.connected() as (_, writer):
        body = f'{{"url": "{LED}"}}'
        lines = ["POST /playlist HTTP/1.1", "Host: x", f"Authorization: Bearer {KEY}", f"Content-Length: {len(body)}"]
        writer.write("\r\n".join([*lines, "", body]).encode())
        await api.studio.looking(1)
    answer = await ask(api, LIST, limit=1)
    assert answer.status == 200
    metrics = await api.get("/metrics")
    assert 'ytmp3d_playlists_total{outcome="cancelled"} 1.0' in metrics.body.decode()


async def test_a_server_that_shuts_down_looks_no_more(api: Api) -> None:
    api.engine.draining = True
    answer = await ask(api)
    assert (answer.status, answer.code) == (503, "SHUTTING_DOWN")
