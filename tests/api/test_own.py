"""What a key does with its own conversions: wait for them, list them, cancel and remove them, ask again safely."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from conftest import StartApi
from support.api import KEY, OTHER, SOON, Answer, Api, eventually, job_of, link, serving, waited_for, watch

from server import errors, jobs
from server.config import JobsConfig
from server.conversions import engine
from server.http import api as handlers
from server.http.context import ARTIFACTS

GOOD = {"url": watch("some-video-")}


def ids(answer: Answer) -> list[str]:
    assert answer.status == 200, answer
    return [job["conversion_id"] for job in answer.json["jobs"]]


# ---- waiting


@pytest.mark.parametrize(
    "wait", ["wait=50", "WAIT=50", 'wait="50"', "respond-async, wait=50", "wait=50; x=y", "wait = 50"]
)
async def test_who_prefers_to_wait_is_answered_at_the_end(api: Api, wait: str) -> None:
    answer = await api.post("/convert", {"url": watch("some-video-")}, headers={"Prefer": wait})
    assert (answer.json["status"], answer.json["progress"]) == ("completed", 100)
    assert answer.headers["Preference-Applied"] == "wait=50"


async def test_waiting_ends_with_the_conversion_however_it_ends(api: Api) -> None:
    conversion_id = (await api.convert("led-running"))["conversion_id"]
    take = await api.studio.take("led-running")
    waiting = [asyncio.create_task(api.status(conversion_id, wait=50)) for _ in range(3)]
    await waited_for(take.job, 3)
    assert not any(task.done() for task in waiting)
    take.fail(errors.VideoPrivate())
    assert {(await task)["status"] for task in waiting} == {"failed"}


async def test_waiting_ends_when_its_time_is_up(api: Api) -> None:
    await api.convert("led-running")
    (await api.studio.take("led-running")).grow(b"sound", 30)
    begun = time.monotonic()
    answer = await api.post("/convert", {"url": watch("led-running")}, headers={"Prefer": "wait=1"})
    assert (answer.status, answer.json["status"], answer.json["progress"]) == (200, "processing", 30)
    assert time.monotonic() - begun > 0.9


@pytest.mark.parametrize("wait", ["wait=0", "wait=", "wait=x", "wait=-1", "wait=1.5", "await=50", "return=minimal", ""])
async def test_no_sensible_time_is_no_waiting(api: Api, wait: str) -> None:
    await api.convert("led-running")
    answer = await api.post("/convert", {"url": watch("led-running")}, headers={"Prefer": wait})
    assert answer.status == 200
    assert answer.headers.get("Preference-Applied") == ("wait=0" if wait == "wait=0" else None)


async def test_nobody_waits_longer_than_a_minute(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    assert handlers.MAX_WAIT == 60
    monkeypatch.setattr(handlers, "MAX_WAIT", 1)
    conversion_id = (await api.convert("led-running"))["conversion_id"]
    answer = await api.get(f"/status/{conversion_id}", headers={"Prefer": "wait=100"})
    assert answer.headers["Preference-Applied"] == "wait=1"


async def test_waiting_ends_when_the_server_does(start_api: StartApi) -> None:
    api = await start_api(jobs=JobsConfig(slots=1))
    found = [(await api.convert(video_id))["conversion_id"] for video_id in ("led-running", "led-waiting")]
    await api.studio.take("led-running")
    waiting = [asyncio.create_task(api.status(one, wait=60)) for one in found]
    for one in found:
        await waited_for(job_of(api, one))
    await api.engine.drain(0)
    assert [(await task)["status"] for task in waiting] == ["queued", "queued"]


# ---- the list


async def test_the_list_is_the_keys_own_newest_first(api: Api) -> None:
    made = [(await api.made(f"video-{n:05d}"))["conversion_id"] for n in range(5)]
    await api.made("their-video", key=OTHER)
    answer = await api.get("/status")
    assert ids(answer) == made[::-1] and answer.json["next_cursor"] is None and answer.json["key"] == "anna"
    assert answer.json["jobs"][0] == await api.status(made[-1])
    assert ids(await api.get("/status", key=OTHER)) != []


async def test_pages_follow_each_other_without_a_gap_or_a_double(api: Api) -> None:
    made = [(await api.convert(f"video-{n:05d}"))["conversion_id"] for n in range(11)]
    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        answer = await api.get("/status?limit=3" + (f"&cursor={cursor}" if cursor else ""))
        seen += ids(answer)
        cursor = answer.json["next_cursor"]
        if len(seen) == 6:  # what is new or gone in between moves nothing
            await api.convert("video-fresh")
            await api.request("DELETE", f"/status/{seen[-1]}")
    assert seen == made[::-1]


@pytest.mark.parametrize("clock", ["stands still", "runs backwards"])
async def test_pages_are_whole_also_when_the_clock(api: Api, monkeypatch: pytest.MonkeyPatch, clock: str) -> None:
    moments = iter(range(1000, 0, -1))

    def now() -> datetime:
        return datetime.fromtimestamp(next(moments) if clock == "runs backwards" else 7, UTC)

    monkeypatch.setattr(engine, "utc_now", now)
    monkeypatch.setattr(jobs, "utc_now", now)
    made = {(await api.convert(f"led-video{n:02d}"))["conversion_id"] for n in range(10)}
    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        answer = await api.get("/status?limit=3" + (f"&cursor={cursor}" if cursor else ""))
        seen += ids(answer)
        cursor = answer.json["next_cursor"]
    assert sorted(seen) == sorted(made)


async def test_a_long_list_is_looked_through_with_others_getting_their_turn(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.http.api._STEP", 3)
    made = [(await api.made(f"video-{n:05d}"))["conversion_id"] for n in range(10)]
    for gone in (made[1], made[5]):
        await api.request("DELETE", f"/status/{gone}")
    waiting = (await api.convert("led-waiting"))["conversion_id"]
    kept = [one for one in made if one not in (made[1], made[5])]
    assert ids(await api.get("/status")) == [waiting, *kept[::-1]]
    assert ids(await api.get("/status?status=completed&limit=7")) == kept[:0:-1]
    assert ids(await api.get("/status?status=failed")) == []


async def test_the_list_can_be_narrowed_to_a_status(api: Api) -> None:
    done = (await api.made("some-video-"))["conversion_id"]
    failed, cancelled, running = [
        (await api.convert(f"led-{what}"))["conversion_id"] for what in ("failing", "cancell", "running")
    ]
    await api.request("DELETE", f"/status/{cancelled}")
    (await api.studio.take("led-failing")).fail(errors.VideoPrivate())
    await api.status(failed, wait=50)
    await api.studio.take("led-running")
    for status, expected in [
        ("completed", [done]), ("failed", [failed]), ("cancelled", [cancelled]), ("processing", [running]),
        ("queued", []),
    ]:  # fmt: skip
        assert ids(await api.get(f"/status?status={status}")) == expected


async def test_a_page_has_fifty_unless_told_otherwise_and_at_most_a_hundred(api: Api) -> None:
    for _ in range(3):
        await api.post("/batch-convert", {"urls": [watch(f"video-{n:05d}") for n in range(50)]})
    assert len(ids(await api.get("/status"))) == 50
    assert len(ids(await api.get("/status?limit=100"))) == 100
    assert len(ids(await api.get("/status?limit=1"))) == 1


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=101", "limit=-1", "limit=x", "limit=", "limit=1.0", "limit=%D9%A3", "limit=" + "9" * 50,
     "status=done", "status=", "status=QUEUED", "cursor=x", "cursor=", "cursor=%FF", "cursor=%C3%A4", "cursor=AAAA",
     "cursor=MDAwMS0wMS0wMVQwMDowMCsyMzowMCB4"],
)  # fmt: skip
async def test_a_parameter_that_will_not_do_is_named(api: Api, query: str) -> None:
    answer = await api.get(f"/status?{query}")
    assert (answer.status, answer.code) == (400, "INVALID_REQUEST")
    assert f'"{query.split("=")[0]}"' in answer.message


async def test_unknown_parameters_are_ignored(api: Api) -> None:
    assert (await api.get("/status?page=2&x=%00")).status == 200


# ---- cancel and remove


async def delete(api: Api, conversion_id: str, key: str = KEY) -> Any:
    answer = await api.request("DELETE", f"/status/{conversion_id}", key=key)
    assert answer.status == 200, answer
    return answer.json


async def test_a_cancelled_conversion_stops_at_once_and_stays_to_be_seen(api: Api) -> None:
    conversion_id = (await api.convert("led-running"))["conversion_id"]
    take = await api.studio.take("led-running")
    take.grow(b"half", 40)
    for answer in (await delete(api, conversion_id), await api.status(conversion_id)):
        assert (answer["status"], answer["progress"], answer["download_url"]) == ("cancelled", 40, None)
        assert answer["finished_at"] and answer["expires_at"] and answer["error"] is None
    assert take.end.cancelled()
    await delete(api, conversion_id)  # and a finished one is removed
    assert (await api.get(f"/status/{conversion_id}")).code == "CONVERSION_NOT_FOUND"


async def test_a_cancelled_one_frees_its_slot_or_its_place(start_api: StartApi) -> None:
    api = await start_api(jobs=JobsConfig(slots=1, backlog=2))
    running, waiting, last = [
        (await api.convert(f"led-{what}"))["conversion_id"] for what in ("running", "waiting", "lastone")
    ]
    assert (await api.status(last))["queue_position"] == 2
    await delete(api, waiting)
    assert (await api.status(last))["queue_position"] == 1
    await api.convert("led-another")
    await delete(api, running)
    await api.studio.take("led-lastone")
    assert api.studio.videos == ["led-running", "led-lastone"]


async def test_a_removed_ones_file_goes_with_the_last_who_has_it(api: Api) -> None:
    folder = api.app[ARTIFACTS]._folder
    mine, theirs = await api.made("some-video-"), await api.made("some-video-", key=OTHER)
    removed = await delete(api, mine["conversion_id"])
    assert (removed["status"], removed["download_url"]) == ("completed", None)
    for path in (f"/status/{mine['conversion_id']}", link(mine["conversion_id"])):
        assert (await api.get(path)).code == "CONVERSION_NOT_FOUND"
    assert ids(await api.get("/status")) == []
    assert (await api.get(link(theirs["conversion_id"]))).status == 200
    await delete(api, theirs["conversion_id"], OTHER)
    async with asyncio.timeout(SOON):
        while list(folder.glob("*.mp3")):
            await asyncio.sleep(0.01)
    again = await api.made("some-video-")
    assert again["status"] == "completed" and len(api.studio.takes) == 2, "it is made anew"


async def test_one_callers_cancel_never_hurts_another(api: Api) -> None:
    mine, theirs = await api.convert("led-running"), await api.convert("led-running", key=OTHER)
    take = await api.studio.take("led-running")
    await delete(api, mine["conversion_id"])
    take.grow(b"sound")
    take.finish()
    done = await api.status(theirs["conversion_id"], key=OTHER, wait=50)
    assert done["status"] == "completed"
    assert (await api.status(mine["conversion_id"]))["status"] == "cancelled"


async def test_cancelling_twice_at_once_is_once(api: Api) -> None:
    conversion_id = (await api.convert("led-running"))["conversion_id"]
    await api.studio.take("led-running")
    answers = await asyncio.gather(*(api.request("DELETE", f"/status/{conversion_id}") for _ in range(5)))
    assert {answer.status for answer in answers} <= {200, 404}


# ---- clear many


async def cleared(api: Api, statuses: str, key: str = KEY) -> int:
    answer = await api.request("DELETE", f"/status?status={statuses}", key=key)
    assert answer.status == 200, answer
    assert answer.json.keys() == {"removed"}
    return int(answer.json["removed"])


async def one_of_each(api: Api) -> dict[str, str]:
    """The id of one conversion of each status. There is one slot."""
    completed = (await api.made("some-video-"))["conversion_id"]
    failed = (await api.convert("led-failing"))["conversion_id"]
    (await api.studio.take("led-failing")).fail(errors.VideoPrivate())
    await api.status(failed, wait=50)
    processing = (await api.convert("led-running"))["conversion_id"]
    await api.studio.take("led-running")
    cancelled = (await api.convert("led-cancell"))["conversion_id"]
    await delete(api, cancelled)
    queued = (await api.convert("led-waiting"))["conversion_id"]
    return {
        "completed": completed, "failed": failed, "processing": processing, "cancelled": cancelled, "queued": queued,
    }  # fmt: skip


@pytest.mark.parametrize("statuses", ["completed", "failed", "cancelled", "completed,failed", "failed,failed"])
async def test_all_of_a_status_are_removed_in_one_request_and_nothing_else(start_api: StartApi, statuses: str) -> None:
    api = await start_api(jobs=JobsConfig(slots=1))
    made = await one_of_each(api)
    gone = set(statuses.split(","))
    assert await cleared(api, statuses) == len(gone)
    assert set(ids(await api.get("/status"))) == {made[one] for one in made if one not in gone}
    assert await cleared(api, statuses) == 0


async def test_what_waits_is_cancelled_and_stays_to_be_seen(start_api: StartApi) -> None:
    api = await start_api(jobs=JobsConfig(slots=1))
    made = await one_of_each(api)
    assert await cleared(api, "queued,cancelled") == 2
    assert (await api.status(made["queued"]))["status"] == "cancelled"
    assert (await api.get(f"/status/{made['cancelled']}")).code == "CONVERSION_NOT_FOUND"
    assert (await api.status(made["processing"]))["status"] == "processing"
    assert len(api.engine.queue) == 0


async def test_nobody_elses_are_cleared_and_shared_files_stay(api: Api) -> None:
    folder = api.app[ARTIFACTS]._folder
    await api.made("some-video-")
    theirs = await api.made("some-video-", key=OTHER)
    assert await cleared(api, "completed") == 1
    assert (await api.get(link(theirs["conversion_id"]))).status == 200
    assert await cleared(api, "completed", OTHER) == 1
    await eventually(lambda: not list(folder.glob("*.mp3")))


async def test_many_are_cleared_with_others_getting_their_turn(
    start_api: StartApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "_FILES", 3)
    api = await start_api(jobs=JobsConfig(slots=1, backlog=10_000, max_batch=1000))
    await api.post("/batch-convert", {"urls": [watch(f"video-{n:05d}") for n in range(40)]})
    await eventually(lambda: not api.engine.table.unfinished("anna"))
    await api.convert("led-running")
    await api.studio.take("led-running")
    await api.post("/batch-convert", {"urls": [watch(f"led-a{n:06d}") for n in range(1000)]})
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(others())
    assert await api.engine.clear("anna", {jobs.Status.COMPLETED, jobs.Status.QUEUED}) == 1040
    counting.cancel()
    assert turns >= 1040 / engine._FEW
    assert [one.status for one in api.engine.table.older("anna", None, 2000)].count(jobs.Status.CANCELLED) == 1000


async def test_what_is_cleared_stays_so_after_a_restart(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        kept = (await api.made("some-video-", key=OTHER))["conversion_id"]
        for n in range(25):
            await api.made(f"video-{n:05d}")
        assert await cleared(api, "completed") == 25
    async with serving(tmp_path) as api:
        assert ids(await api.get("/status")) == []
        assert ids(await api.get("/status", key=OTHER)) == [kept]


@pytest.mark.parametrize(
    "query", ["", "?status=", "?status=processing", "?status=completed,", "?status=done", "?status=completed,%20failed"]
)
async def test_what_to_clear_must_be_said(api: Api, query: str) -> None:
    await api.made("some-video-")
    answer = await api.request("DELETE", f"/status{query}")
    assert (answer.status, answer.code) == (400, "INVALID_REQUEST") and '"status"' in answer.message
    assert len(ids(await api.get("/status"))) == 1


async def test_just_these_are_removed_or_cancelled_and_nobody_elses(api: Api) -> None:
    mine = [(await api.made(f"video-{n:05d}"))["conversion_id"] for n in range(3)]
    waiting = (await api.convert("video-00009"))["conversion_id"]
    other = (await api.post("/convert", {"url": watch("video-00000")}, key=OTHER)).json["conversion_id"]
    query = ",".join([mine[0], mine[2], mine[0], waiting, other, "no-such-id"])
    answer = await api.request("DELETE", f"/status?ids={query}")
    assert (answer.status, answer.json) == (200, {"removed": 3})
    assert ids(await api.get("/status")) == [waiting, mine[1]]
    assert (await api.status(waiting))["status"] == "cancelled"
    assert ids(await api.get("/status", key=OTHER)) == [other]
    both = await api.request("DELETE", f"/status?ids={mine[1]}&status=completed")
    assert (both.status, both.code) == (400, "INVALID_REQUEST")


async def test_clearing_twice_at_once_removes_each_once(api: Api) -> None:
    for n in range(30):
        await api.made(f"video-{n:05d}")
    assert sum(await asyncio.gather(*(cleared(api, "completed") for _ in range(4)))) == 30


# ---- asking again safely


async def again(api: Api, body: Any, name: str = "abc", path: str = "/convert", key: str = KEY) -> Answer:
    return await api.post(path, body, key=key, headers={"Idempotency-Key": name})


async def test_the_same_key_and_body_is_the_first_result_again(api: Api) -> None:
    first, second = await again(api, GOOD), await again(api, GOOD)
    assert first.json["conversion_id"] == second.json["conversion_id"]
    batch = {"urls": [watch("some-video-"), watch("other-video")]}
    one, two = [await again(api, batch, "def", "/batch-convert") for _ in range(2)]
    assert ids(one) == ids(two)
    assert len(ids(await api.get("/status"))) == 3


async def test_the_result_again_is_as_it_is_now(api: Api) -> None:
    body = {"url": watch("led-running")}
    assert (await again(api, body)).json["status"] != "completed"
    take = await api.studio.take("led-running")
    take.grow(b"sound")
    take.finish()
    await api.status((await again(api, body)).json["conversion_id"], wait=50)
    assert (await again(api, body)).json["status"] == "completed"


async def test_another_body_under_the_same_key_is_refused(api: Api) -> None:
    assert (await again(api, GOOD)).status == 200
    others: list[tuple[Any, str]] = [
        ({**GOOD, "quality": "low"}, "/convert"),
        ({"urls": [watch("some-video-")]}, "/batch-convert"),
    ]
    for body, path in others:
        answer = await again(api, body, path=path)
        assert (answer.status, answer.code) == (400, "IDEMPOTENCY_MISMATCH")
    assert len(ids(await api.get("/status"))) == 1


async def test_a_key_of_another_caller_is_another(api: Api) -> None:
    first, second = await again(api, GOOD), await again(api, {"url": watch("other-video")}, key=OTHER)
    assert second.status == 200 and first.json["conversion_id"] != second.json["conversion_id"]


async def test_retries_that_come_at_once_are_one(api: Api) -> None:
    answers = await asyncio.gather(*(again(api, GOOD) for _ in range(10)))
    assert len({answer.json["conversion_id"] for answer in answers}) == 1


async def test_a_refused_request_may_be_mended_under_the_same_key(api: Api) -> None:
    assert (await again(api, {"url": "no"})).code == "INVALID_URL"
    assert (await again(api, GOOD)).status == 200


@pytest.mark.parametrize("name", ["", "x" * 256, "\xe4"])
async def test_a_malformed_key_is_refused(api: Api, name: str) -> None:
    answer = await again(api, GOOD, name)
    assert (answer.status, answer.code) == (400, "INVALID_REQUEST") and "Idempotency-Key" in answer.message
    assert (await again(api, GOOD, "x" * 255)).status == 200
