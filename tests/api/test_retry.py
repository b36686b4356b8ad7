"""`POST /retry`: what failed or was cancelled is asked for again, in place of the old conversions."""

from __future__ import annotations

from typing import Any

import pytest
from conftest import StartApi
from support.api import OTHER, Api, watch

from server import errors
from server.config import JobsConfig


async def failed(api: Api, video_id: str, **options: Any) -> str:
    """The id of a conversion that has failed for good."""
    answer = await api.post("/convert", {"url": watch(video_id), **options})
    assert answer.status == 200, answer
    (await api.studio.take(video_id)).fail(errors.VideoPrivate())
    conversion_id: str = answer.json["conversion_id"]
    assert (await api.status(conversion_id, wait=50))["status"] == "failed"
    return conversion_id


async def gone(api: Api, conversion_id: str) -> bool:
    return (await api.get(f"/status/{conversion_id}")).status == 404


async def test_new_conversions_with_the_old_options_take_the_place_of_the_failed(api: Api) -> None:
    first = await failed(api, "led-failing", quality="low")
    second = await failed(api, "led-part---", start=2, end="0:05", loudness=-14)
    answer = await api.post("/retry", {"conversion_ids": [second, first]})
    assert answer.status == 200, answer
    part, low = answer.json["jobs"]
    assert not {part["conversion_id"], low["conversion_id"]} & {first, second}
    assert (part["video_id"], part["clip"], part["loudness"]) == ("led-part---", {"start": 2.0, "end": 5.0}, -14)
    assert (low["video_id"], low["quality"], low["clip"]) == ("led-failing", "low", None)
    assert await gone(api, first) and await gone(api, second)
    listed = (await api.get("/status")).json["jobs"]
    assert {one["conversion_id"] for one in listed} == {part["conversion_id"], low["conversion_id"]}
    take = await api.studio.take("led-failing", attempt=2)
    take.grow(b"sound")
    take.finish()
    assert (await api.status(low["conversion_id"], wait=50))["status"] == "completed"


async def test_what_was_cancelled_begins_again_and_what_did_not_fail_stays(api: Api) -> None:
    ready = (await api.made("some-video-"))["conversion_id"]
    cancelled, running = [(await api.convert(one))["conversion_id"] for one in ("led-stopped", "led-running")]
    await api.studio.take("led-stopped")
    await api.request("DELETE", f"/status/{cancelled}")
    answer = await api.post("/retry", {"conversion_ids": [ready, cancelled, running, cancelled]})
    again = [one["conversion_id"] for one in answer.json["jobs"]]
    assert (again[0], again[2]) == (ready, running) and again[1] == again[3] != cancelled
    assert await gone(api, cancelled)
    assert (await api.status(ready))["status"] == "completed"


async def test_a_refusal_leaves_everything_as_it_was(start_api: StartApi) -> None:
    api = await start_api(jobs=JobsConfig(slots=1, fetchers=1, backlog=1))
    old = await failed(api, "led-failing")
    await api.convert("led-running")
    await api.studio.take("led-running")
    await api.convert("led-waiting")
    answer = await api.post("/retry", {"conversion_ids": [old]})
    assert (answer.status, answer.code) == (503, "QUEUE_FULL")
    assert (await api.status(old))["error"]["code"] == "VIDEO_PRIVATE"


async def test_an_id_that_is_not_ones_own_is_refused_with_all_the_others(api: Api) -> None:
    own = await failed(api, "led-failing")
    for ids, key in [([own, "no-such-conversion------"], None), ([own], OTHER)]:
        answer = await api.post("/retry", {"conversion_ids": ids}, **({"key": key} if key else {}))
        assert (answer.status, answer.code) == (404, "CONVERSION_NOT_FOUND")
        assert ids[-1] in answer.message
    assert (await api.status(own))["status"] == "failed"


async def test_a_lost_answer_can_be_asked_for_again(api: Api) -> None:
    old = await failed(api, "led-failing")
    first, second = [
        await api.post("/retry", {"conversion_ids": [old]}, headers={"Idempotency-Key": "once"}) for _ in range(2)
    ]
    assert first.json["jobs"][0]["conversion_id"] == second.json["jobs"][0]["conversion_id"]
    assert len((await api.get("/status")).json["jobs"]) == 1
    answer = await api.post("/convert", {"url": watch("some-video-")}, headers={"Idempotency-Key": "once"})
    assert answer.code == "IDEMPOTENCY_MISMATCH"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"conversion_ids": []},
        {"conversion_ids": "x"},
        {"conversion_ids": [1]},
        {"conversion_ids": ["x"] * 101},
        {"conversion_ids": ["x"], "webhook_url": 1},
        [],
    ],
)
async def test_what_is_no_list_of_ids_is_refused(api: Api, body: Any) -> None:
    answer = await api.post("/retry", body)
    assert (answer.status, answer.code) == (400, "INVALID_REQUEST")


async def test_a_webhook_must_be_one_that_can_be_signed(api: Api) -> None:
    old = await failed(api, "led-failing")
    answer = await api.post("/retry", {"conversion_ids": [old], "webhook_url": "https://example.org/hook"})
    assert (answer.status, answer.code) == (400, "INVALID_OPTION")
    assert (await api.status(old))["status"] == "failed"
