"""The three windows of a key, as its answers show them."""

from __future__ import annotations

import time
from typing import Any

import pytest
from conftest import StartApi
from support.api import KEY, KEYS, Answer, Api, link, watch

from server.access.keys import Key
from server.config import Config, LimitsConfig
from server.http import request_body
from server.http.context import LIMITER

GOOD = {"url": watch("some-video-")}
HEADERS = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")


def shown(answer: Answer) -> tuple[int, int, int]:
    limit, remaining, reset = (int(answer.headers[name]) for name in HEADERS)
    return limit, remaining, reset


def limited(per_minute: int, per_hour: int = 1000, per_day: int = 10_000) -> dict[str, Key]:
    return {**KEYS, "few": Key("few", LimitsConfig(per_minute, per_hour, per_day))}


def test_the_published_numbers_are_the_defaults() -> None:
    assert Config().limits == LimitsConfig(100, 1000, 10_000)


async def test_the_hundred_and_first_request_in_a_minute_is_refused(start_api: StartApi) -> None:
    api = await start_api(keys={"usual": Key("usual", Config().limits)})
    for number in range(100):
        answer = await api.get("/status", key="usual")
        assert answer.status == 200 and shown(answer)[:2] == (100, 99 - number)
    refused = await api.get("/status", key="usual")
    assert (refused.status, refused.code) == (429, "RATE_LIMITED")
    limit, remaining, reset = shown(refused)
    assert (limit, remaining) == (100, 0)
    assert 0 < reset - time.time() <= 61
    assert 0 < int(refused.headers["Retry-After"]) <= 61
    assert "100 requests a minute" in refused.message


@pytest.mark.parametrize(
    ("limits", "seconds"), [((9, 2, 9), 3600), ((9, 9, 2), 86_400), ((2, 2, 2), 86_400), ((2, 9, 9), 60)]
)
async def test_each_window_holds_and_the_last_to_reset_is_reported(
    start_api: StartApi, limits: tuple[int, int, int], seconds: int
) -> None:
    api = await start_api(keys=limited(*limits))
    for _ in range(2):
        assert (await api.get("/status", key="few")).status == 200
    refused = await api.get("/status", key="few")
    assert refused.status == 429 and shown(refused)[:2] == (2, 0)
    assert seconds - 5 < shown(refused)[2] - time.time() <= seconds + 1
    assert seconds - 5 < int(refused.headers["Retry-After"]) <= seconds + 1


async def test_configured_numbers_are_the_keys_unless_it_has_its_own(start_api: StartApi) -> None:
    config = Config(limits=LimitsConfig(per_minute=7, per_hour=8, per_day=9))
    assert config.limits == LimitsConfig(7, 8, 9)
    api = await start_api(keys={**limited(5), "more": Key("more", LimitsConfig(50, 60, 70))})
    assert shown(await api.get("/status", key="few"))[:2] == (5, 4)
    assert shown(await api.get("/status", key="more"))[:2] == (50, 49)


async def test_the_headers_are_on_every_authenticated_answer(api: Api) -> None:
    conversion_id = (await api.made("some-video-"))["conversion_id"]
    requests: list[tuple[str, str, Any, int]] = [
        ("POST", "/convert", GOOD, 200),
        ("POST", "/convert", b"{", 400),
        ("POST", "/convert", b"x" * (request_body.MAX_BYTES + 1), 413),
        ("POST", "/batch-convert", {"urls": [watch("some-video-")]}, 200),
        ("POST", "/batch-convert", {}, 400),
        ("GET", "/status", None, 200),
        ("GET", "/status?limit=x", None, 400),
        ("GET", f"/status/{conversion_id}", None, 200),
        ("GET", "/status/unknown", None, 404),
        ("GET", f"/status/{conversion_id}/events", None, 200),
        ("DELETE", f"/status/{conversion_id}", None, 200),
    ]
    left = None
    for method, path, body, status in requests:
        answer = await api.request(method, path, body)
        assert answer.status == status, answer
        _, remaining, _ = shown(answer)
        assert left is None or remaining == left - 1, "each took exactly one"
        left = remaining


async def test_a_batch_is_one_request(start_api: StartApi) -> None:
    api = await start_api(keys=limited(10))
    answer = await api.post("/batch-convert", {"urls": [watch(f"video-{n:05d}") for n in range(50)]}, key="few")
    assert shown(answer)[:2] == (10, 9)


async def test_what_needs_no_key_does_not_count(start_api: StartApi) -> None:
    api = await start_api(keys=limited(2))
    conversion = (await api.post("/convert", GOOD, key="few")).json
    for path in ("/", "/healthz", "/metrics", "/static/app.js", link(conversion["conversion_id"]), "/nothing"):
        answer = await api.get(path, key="few")
        assert not any(name in answer.headers for name in HEADERS)
    assert (await api.request("PUT", "/convert", key="few")).status == 405
    assert shown(await api.get("/status", key="few"))[:2] == (2, 0)


async def test_a_refused_request_consumes_nothing_and_does_nothing(start_api: StartApi) -> None:
    api = await start_api(keys=limited(1, 100, 200))
    assert (await api.get("/status", key="few")).status == 200
    for _ in range(5):
        assert (await api.post("/convert", GOOD, key="few")).status == 429
    assert api.studio.takes == []
    # The same hour, seen by the key of that name once its minute is wide.
    verdict = api.app[LIMITER].charge("few", LimitsConfig(1000, 100, 200))
    assert (verdict.limit, verdict.remaining) == (100, 98)


async def test_one_keys_requests_are_not_anothers(start_api: StartApi) -> None:
    api = await start_api(keys=limited(1))
    for _ in range(2):
        last = await api.get("/status", key="few")
    assert last.status == 429
    assert (await api.get("/status", key=KEY)).status == 200


async def test_a_limited_key_is_refused_before_its_body_is_looked_at(start_api: StartApi) -> None:
    api = await start_api(keys=limited(1))
    await api.get("/status", key="few")
    assert (await api.post("/convert", b"{", key="few")).code == "RATE_LIMITED"
