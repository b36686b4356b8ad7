"""What each key has used by day, and its quota of conversions."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from conftest import StartApi
from support.api import KEYS, OTHER, Api, finish, link, serving, submit, watch

from server import errors
from server.access.keys import Key
from server.config import LimitsConfig
from server.conversions import seen, use
from server.conversions.use import Amount
from server.jobs import Order, Quality
from server.metrics import Metrics
from server.storage import snapshot
from server.storage.state import State


def with_quota(most: int) -> Mapping[str, Key]:
    return {**KEYS, "some": Key("some", LimitsConfig(1000, 1000, 1000, most))}


def amount(api: Api, name: str) -> Amount:
    return api.engine.use._days[api.engine.use._day()].get(name, Amount())


async def ask(api: Api, *video_ids: str) -> int:
    answer = await api.post("/batch-convert", {"urls": [watch(one) for one in video_ids]}, key="some")
    return answer.status


async def test_beyond_its_quota_a_key_is_refused_until_the_day_ends(start_api: StartApi) -> None:
    api = await start_api(keys=with_quota(2))
    for n in range(2):
        await api.convert(f"led-vide{n:03d}", key="some")
    refused = await api.post("/convert", {"url": watch("led-another")}, key="some")
    assert (refused.status, refused.code) == (429, "QUOTA_EXCEEDED")
    wait = int(refused.headers["Retry-After"])
    assert abs((time.time() + wait) % 86_400) <= 2 or abs((time.time() + wait) % 86_400 - 86_400) <= 2
    assert "2 conversions a day" in refused.message and "X-RateLimit-Remaining" in refused.headers
    assert (await api.get("/status", key="some")).status == 200, "only conversions are refused"
    assert (await api.post("/convert", {"url": watch("led-another")})).status == 200, "and only to this key"


async def test_a_batch_counts_each_and_is_taken_whole_or_not_at_all(start_api: StartApi) -> None:
    api = await start_api(keys=with_quota(5))
    assert await ask(api, *(f"led-a{n:06d}" for n in range(6))) == 429
    assert await ask(api, *(f"led-a{n:06d}" for n in range(4))) == 200
    assert await ask(api, "led-b000000", "led-b000001") == 429
    assert await ask(api, "led-b000000") == 200
    assert amount(api, "some").conversions == len(api.engine.table.older("some", None, 99)) == 5


async def test_what_is_shared_or_kept_counts_too(start_api: StartApi) -> None:
    api = await start_api(keys=with_quota(3))
    await api.made("some-video-")
    await api.convert("led-running")
    for video_id in ("some-video-", "led-running", "led-running"):
        assert await ask(api, video_id) == 200
    assert await ask(api, "some-video-") == 429


async def test_a_refused_or_failed_request_uses_none_of_it(
    start_api: StartApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = await start_api(keys=with_quota(1))
    assert (await api.post("/convert", {"url": "no"}, key="some")).status == 400

    async def refuse(*_: object) -> None:
        raise OSError(28, "full")

    with monkeypatch.context() as broken:
        broken.setattr(api.engine._state, "commit", refuse)
        assert (await api.post("/convert", {"url": watch("some-video-")}, key="some")).code == "DISK_FULL"
    assert amount(api, "some").conversions == 0
    assert await ask(api, "some-video-") == 200
    assert await ask(api, "some-video-") == 429


async def test_a_repeated_request_counts_once(start_api: StartApi) -> None:
    api = await start_api(keys=with_quota(1))
    for _ in range(3):
        answer = await api.post(
            "/convert", {"url": watch("some-video-")}, key="some", headers={"Idempotency-Key": "abc"}
        )
        assert answer.status == 200


async def test_many_at_once_get_no_more_than_the_quota(start_api: StartApi) -> None:
    api = await start_api(keys=with_quota(7))
    statuses = await asyncio.gather(*(ask(api, f"led-v{n:06d}") for n in range(20)))
    assert statuses.count(200) == 7 and statuses.count(429) == 13


async def test_the_quota_survives_a_restart(tmp_path: Path) -> None:
    async with serving(tmp_path, keys=with_quota(3)) as api:
        assert await ask(api, "some-video-", "other-video") == 200
        before = amount(api, "some")
    async with serving(tmp_path, keys=with_quota(3)) as api:
        assert amount(api, "some") == before
        assert await ask(api, "third-video") == 200
        assert await ask(api, "third-video") == 429


async def test_what_is_on_disk_when_a_request_is_answered_holds_its_conversions(tmp_path: Path) -> None:
    async with serving(tmp_path, keys=with_quota(9)) as api:
        for number in (1, 2, 3):
            assert await ask(api, f"led-v{number:06d}") == 200
            ((_, record),) = snapshot.rows(tmp_path / "state" / "ytmp3d.db", use.TABLE)  # as kill -9 would leave it
            assert record["conversions"] == number


async def test_a_conversion_that_was_removed_still_counts(start_api: StartApi) -> None:
    api = await start_api(keys=with_quota(1))
    assert await ask(api, "some-video-") == 200
    await api.request("DELETE", "/status?status=completed,queued", key="some")
    assert await ask(api, "some-video-") == 429


async def test_the_next_day_begins_with_nothing_used(start_api: StartApi, monkeypatch: pytest.MonkeyPatch) -> None:
    api = await start_api(keys=with_quota(1))
    monkeypatch.setattr(api.engine.use, "_clock", lambda: 1_795_000_000.0)
    assert await ask(api, "some-video-") == 200 and await ask(api, "some-video-") == 429
    monkeypatch.setattr(api.engine.use, "_clock", lambda: 1_795_000_000.0 + 86_400)
    assert await ask(api, "some-video-") == 200 and await ask(api, "some-video-") == 429


# ---- what is counted


async def test_requests_conversions_audio_and_bytes_are_counted_for_their_key(api: Api) -> None:
    made = await api.made("some-video-")
    await api.made("some-video-", key=OTHER)  # kept
    size = len((await api.get(link(made["conversion_id"]))).body)
    await api.get(link(made["conversion_id"]), headers={"Range": "bytes=0-99"})
    await api.get("/status", key="unknown")
    anna, ben = amount(api, "anna"), amount(api, "ben")
    assert (anna.conversions, anna.audio_seconds, anna.bytes) == (1, 12.5, size + 100)
    assert (anna.requests, ben.requests) == (2, 2)
    assert (ben.conversions, ben.audio_seconds, ben.bytes) == (1, 12.5, 0)


async def test_what_is_listened_to_live_is_counted(api: Api) -> None:
    conversion = await submit(api, "led-running")
    listening = asyncio.create_task(api.get(link(conversion.id)))
    (await api.studio.take("led-running")).grow(b"live " * 1000)
    await finish(api, "led-running")
    body = (await listening).body
    assert amount(api, "anna").bytes == len(body) > 5000


async def test_a_refused_request_is_not_counted(start_api: StartApi) -> None:
    api = await start_api(keys={"few": Key("few", LimitsConfig(2, 10, 10))})
    for _ in range(5):
        await api.get("/status", key="few")
    assert amount(api, "few").requests == 2


async def test_counting_makes_no_commit_of_its_own(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    noted: list[dict[str, Any]] = []
    note = api.engine._state.note

    def listened(table: str, changes: Mapping[str, Any]) -> None:
        if table == use.TABLE:
            noted.append(dict(changes))
        note(table, changes)

    api.engine.use.write()
    monkeypatch.setattr(api.engine._state, "note", listened)
    for _ in range(50):
        await api.get("/status")
    assert len(noted) <= 1, "written every few seconds at most"
    await api.engine.submit("anna", [Order("some-video-", Quality.HIGH)])
    (last,) = noted[-1].values()
    assert (last["requests"], last["conversions"]) == (50, 1)


async def test_when_a_key_was_last_used_is_written_seldom_and_survives_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = tmp_path / "state" / "ytmp3d.db"
    async with serving(tmp_path) as api:
        monkeypatch.setattr(api.engine.seen, "_clock", lambda: 1_795_000_000.0)
        await api.get("/status")
        api.engine.seen.write()
        monkeypatch.setattr(api.engine.seen, "_clock", lambda: 1_795_000_059.0)
        await api.get("/status")
        api.engine.seen.write()
        await api.convert("some-video-", key=OTHER)  # commits
        rows = snapshot.rows(database, seen.TABLE)
        assert ("anna", {"at": "2026-11-18T11:06:40+00:00"}) in rows and len(rows) == 1
    rows = snapshot.rows(database, seen.TABLE)
    assert dict(rows).keys() == {"anna", "ben"} and dict(rows)["anna"] == {"at": "2026-11-18T11:07:39+00:00"}
    assert seen.described(rows, "anna").startswith("last used 2026-11-1")
    assert seen.described(rows, "nobody") == seen.described([("x", {"at": 1})], "x") == ""
    async with serving(tmp_path) as api:
        assert api.engine.seen._moments["anna"] == 1_795_000_059.0


async def opened(folder: Path) -> tuple[State, use.Use]:
    state, rows = await State.open(folder)
    one = use.Use(state, Metrics())
    one.restore(rows[use.TABLE])
    return state, one


async def test_a_month_is_kept_and_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state, one = await opened(tmp_path)
    for day in range(40):
        monkeypatch.setattr(one, "_clock", lambda day=day: 1_795_000_000.0 + 86_400 * day)
        one.count("anna", requests=day + 1)
        one.write()
    await state.close()
    state, again = await opened(tmp_path)
    await state.close()
    assert again._days == one._days and len(again._days) == use.KEPT_DAYS
    assert min(found["anna"].requests for found in again._days.values()) == 10


@pytest.mark.parametrize(
    ("key", "record"),
    [
        ("anna", {"requests": 1, "conversions": 1, "audio_seconds": 1.0, "bytes": 1}),
        ("2026-13-01 anna", {"requests": 1, "conversions": 1, "audio_seconds": 1.0, "bytes": 1}),
        ("2026-11-26 ", {"requests": 1, "conversions": 1, "audio_seconds": 1.0, "bytes": 1}),
        ("2026-11-26 anna", {"requests": -1, "conversions": 1, "audio_seconds": 1.0, "bytes": 1}),
        ("2026-11-26 anna", {"requests": 1, "conversions": True, "audio_seconds": 1.0, "bytes": 1}),
        ("2026-11-26 anna", {"requests": 1, "conversions": 1, "audio_seconds": "x", "bytes": 1}),
        ("2026-11-26 anna", {"requests": 1}),
    ],
)
async def test_a_record_that_makes_no_sense_is_set_aside(tmp_path: Path, key: str, record: dict[str, object]) -> None:
    state, one = await opened(tmp_path)
    state.note(
        use.TABLE,
        {
            key: record,
            "2026-11-26 ben": {"requests": 7, **dict.fromkeys(("conversions", "bytes"), 0), "audio_seconds": 0},
        },
    )
    await state.close()
    state, one = await opened(tmp_path)
    await state.close()
    assert one._days == {"2026-11-26": {"ben": Amount(requests=7)}}
    state, rows = await State.open(tmp_path)
    await state.close()
    assert [row for row, _ in rows[use.TABLE]] == ["2026-11-26 ben"]


def test_the_quota_error_says_when_to_ask_again() -> None:
    error = errors.QuotaExceeded("x", retry_after=7)
    assert (error.status, error.headers) == (429, {"Retry-After": "7"})
