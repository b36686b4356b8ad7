"""The control API of offline mode: what a rule of a key does to its requests, and to nobody else's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from support.api import KEY, KEYS, OTHER, SOON, Answer, Api, bearer, link, read_head, serving
from support.description import SPEC as DESCRIPTION
from support.description import documented_codes, resolved

from server import errors
from server.access.keys import Key
from server.app import ROUTES
from server.config import LimitsConfig
from server.offline.control import MOST_KEYS, Control, operations
from server.offline.rules import MOST_RULES

BODY = {"url": "https://youtu.be/led-x------"}
TINY = "the-key-of-tiny"


@asynccontextmanager
async def controlled(folder: Path) -> AsyncIterator[Api]:
    control = Control({}, operations())
    keys = KEYS | {TINY: Key("tiny", LimitsConfig(2, 100, 100, conversions_per_day=2))}
    async with serving(folder, keys=keys, middlewares=[control.middleware()], routes=control.routes) as api:
        yield api


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with controlled(tmp_path) as started:
        yield started


async def rule(api: Api, *, key: str = KEY, **fields: Any) -> Any:
    answer = await api.post("/_offline/rules", fields, key=key)
    assert answer.status == 200, answer
    return answer.json


async def statuses(api: Api, count: int, method: str = "GET", path: str = "/status", **more: Any) -> list[int]:
    return [(await api.request(method, path, BODY if method == "POST" else None, **more)).status for _ in range(count)]


# ---- when a rule fires


async def test_the_third_post_is_refused_as_the_server_itself_would(api: Api) -> None:
    await rule(api, operation="POST /convert", nth=3, code="QUEUE_FULL", retry_after=7)
    answers = [await api.post("/convert", BODY) for _ in range(4)]
    assert [answer.status for answer in answers] == [200, 200, 503, 200]
    assert (answers[2].code, answers[2].headers["Retry-After"]) == ("QUEUE_FULL", "7")
    left = [int(answer.headers["X-RateLimit-Remaining"]) for answer in answers]
    assert left == list(range(left[0], left[0] - 4, -1)), "a refusal for want of room is charged, as online"
    assert len((await api.get("/status")).json["jobs"]) == 3, "what was refused has left nothing behind"


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ({}, [500, 200, 200, 200, 200]),
        ({"next": 2}, [500, 500, 200, 200, 200]),
        ({"nth": 2}, [200, 500, 200, 200, 200]),
        ({"every": 2}, [200, 500, 200, 500, 200]),
    ],
)
async def test_a_rule_fires_when_it_says(api: Api, when: dict[str, Any], expected: list[int]) -> None:
    await rule(api, operation="GET /status", code="INTERNAL_ERROR", **when)
    assert await statuses(api, 5) == expected


async def test_a_star_is_every_operation_that_needs_a_key(api: Api) -> None:
    await rule(api, code="INTERNAL_ERROR", next=2)
    made = await api.post("/convert", BODY)
    assert made.status == 500 and await statuses(api, 2, path="/healthz") == [200, 200]
    assert await statuses(api, 2) == [500, 200]


async def test_of_two_rules_the_older_decides_and_both_count(api: Api) -> None:
    await rule(api, operation="GET /status", next=2, code="INTERNAL_ERROR")
    await rule(api, nth=2, code="SHUTTING_DOWN")
    await rule(api, nth=3, code="SHUTTING_DOWN")
    assert await statuses(api, 4) == [500, 500, 503, 200]
    shown = (await api.get("/_offline/rules")).json["rules"]
    assert [(one["seen"], one["fired"]) for one in shown] == [(4, 2), (4, 0), (4, 1)]


async def test_a_rule_concerns_one_key_alone(api: Api) -> None:
    await rule(api, every=1, code="INTERNAL_ERROR")
    assert await statuses(api, 3, key=OTHER) == [200] * 3
    assert (await api.get("/_offline/rules", key=OTHER)).json == {"rules": []}
    assert await statuses(api, 1) == [500]


# ---- what a rule does


@pytest.mark.parametrize("code", sorted(errors.REQUEST_ERRORS.keys() - {"METHOD_NOT_ALLOWED", "RANGE_NOT_SATISFIABLE"}))
async def test_every_code_comes_with_its_status_and_headers(api: Api, code: str) -> None:
    await rule(api, operation="POST /convert", code=code)
    answer = await api.post("/convert", BODY)
    assert (answer.status, answer.code) == (errors.REQUEST_ERRORS[code].status, code)
    assert ("Retry-After" in answer.headers) == (answer.status in (429, 503))
    assert ("WWW-Authenticate" in answer.headers) == (answer.status == 401)
    assert ("X-RateLimit-Limit" in answer.headers) == (code not in ("UNAUTHORIZED", "KEY_DISABLED"))
    if code == "RATE_LIMITED":
        assert (answer.headers["X-RateLimit-Remaining"], answer.headers["Retry-After"]) == ("0", "1")


async def test_a_delayed_request_waits_and_others_do_not(api: Api) -> None:
    await rule(api, operation="POST /convert", delay=60)
    late = asyncio.create_task(api.post("/convert", BODY))
    async with asyncio.timeout(SOON):
        while (await api.get("/_offline/requests")).json["requests"] != {"POST /convert": 1}:
            await asyncio.sleep(0.01)
    assert await statuses(api, 1, "POST", "/convert") == [200] and not late.done()
    late.cancel()


async def cut(api: Api, path: str, method: str = "GET", body: str = "", **headers: str) -> tuple[dict[str, str], bytes]:
    """The headers and the body of an answer that breaks off; both are empty if nothing comes."""
    async with api.connected() as (reader, writer):
        lines = {"Host": "localhost", "Content-Length": str(len(body)), **bearer(KEY), **headers}
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        writer.write(f"{method} {path} HTTP/1.1\r\n{head}\r\n{body}".encode())
        try:
            _, answered = await read_head(reader)
        except asyncio.IncompleteReadError as error:
            assert error.partial == b""
            return {}, b""
        return dict(answered), await reader.read()


async def test_an_answer_is_cut_after_so_many_bytes(api: Api) -> None:
    await rule(api, operation="GET /status", cut_after=7, rate=1000)
    headers, body = await cut(api, "/status")
    assert body == b'{"key":' and int(headers["Content-Length"]) > 7
    assert await statuses(api, 1) == [200]


async def test_a_lost_answer_leaves_its_conversion_and_a_safe_retry_finds_it(api: Api) -> None:
    await rule(api, operation="POST /convert", cut_after=0)
    body = '{"url": "https://youtu.be/led-x------"}'
    assert await cut(api, "/convert", "POST", body, **{"Idempotency-Key": "once"}) == ({}, b"")
    again = await api.request("POST", "/convert", body.encode(), headers={"Idempotency-Key": "once"})
    (kept,) = (await api.get("/status")).json["jobs"]
    assert again.json["conversion_id"] == kept["conversion_id"]


async def test_a_download_obeys_the_rules_of_the_key_that_made_it(api: Api) -> None:
    made = await api.made("whole-video")
    others = await api.made("whole-video", key=OTHER)
    operation = "GET /static/downloads/{conversion_id}.mp3"
    await rule(api, operation=operation, code="NOT_READY", retry_after=3)
    await rule(api, operation=operation, nth=2, cut_after=1000, rate=100_000)
    path, other = link(made["conversion_id"]), link(others["conversion_id"])
    refused = await api.get(path, key=None)
    assert (refused.status, refused.code, refused.headers["Retry-After"]) == (503, "NOT_READY", "3")
    assert "X-RateLimit-Limit" not in refused.headers
    assert len((await cut(api, path))[1]) == 1000
    whole = await api.get(other, key=None)
    assert len(whole.body) > 1000 and (await api.get(path, key=None)).body == whole.body


async def test_a_slow_download_is_whole(api: Api) -> None:
    made = await api.made("whole-video")
    await rule(api, operation="GET /static/downloads/{conversion_id}.mp3", every=1, rate=100_000)
    answer = await api.get(link(made["conversion_id"]), key=None)
    assert len(answer.body) == made["file_size"]
    part = await api.get(link(made["conversion_id"]), key=None, headers={"Range": "bytes=5-14"})
    assert (part.status, part.body) == (206, answer.body[5:15])


# ---- a fresh start


async def test_a_reset_key_is_as_new(api: Api) -> None:
    assert await statuses(api, 3, "POST", "/convert", key=TINY) == [200, 200, 429]
    await rule(api, key=TINY, every=1, code="INTERNAL_ERROR")
    assert (await api.post("/_offline/reset", None, key=TINY)).status == 200
    assert (await api.get("/_offline/rules", key=TINY)).json == {"rules": []}
    assert (await api.get("/_offline/requests", key=TINY)).json == {"requests": {}}
    listed = await api.get("/status", key=TINY)
    assert (listed.json["jobs"], listed.headers["X-RateLimit-Remaining"]) == ([], "1")
    assert (await api.post("/convert", BODY, key=TINY)).status == 200, "the quota of the day is whole again"


async def test_only_what_is_named_is_reset(api: Api) -> None:
    await rule(api, operation="POST /archives", code="INTERNAL_ERROR")
    made = await api.made("whole-video")
    await api.post("/_offline/reset", {"only": ["limits"]})
    assert len((await api.get("/_offline/rules")).json["rules"]) == 1
    assert (await api.get(f"/status/{made['conversion_id']}")).status == 200
    await api.post("/_offline/reset", {"only": ["conversions"]})
    assert (await api.get(link(made["conversion_id"]), key=None)).status == 404
    assert len((await api.get("/_offline/rules")).json["rules"]) == 1
    assert (await api.request("DELETE", "/_offline/rules")).json == {"removed": 1}


async def test_a_reset_leaves_other_keys_alone(api: Api) -> None:
    mine, others = await api.made("whole-video"), await api.made("whole-video", key=OTHER)
    await api.post("/_offline/reset", None)
    assert (await api.get(link(mine["conversion_id"]), key=None)).status == 404
    assert (await api.get(link(others["conversion_id"]), key=None)).status == 200


# ---- keys


async def test_a_new_key_has_the_limits_that_were_asked_for(api: Api) -> None:
    free = (await api.post("/_offline/keys", None)).json["key"]
    tight = (await api.post("/_offline/keys", {"per_minute": 1})).json["key"]
    assert await statuses(api, 3, key=free) == [200] * 3
    assert await statuses(api, 2, key=tight) == [200, 429]


async def test_the_oldest_new_key_makes_room(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.offline.control.MOST_KEYS", 2)
    made = [(await api.post("/_offline/keys", None)).json["key"] for _ in range(2)]
    await api.get("/status", key=made[0])
    assert made[0] in dict(api.engine.seen._snapshots())
    made.append((await api.post("/_offline/keys", None)).json["key"])
    assert made[0] not in dict(api.engine.seen._snapshots()), "nothing of it is left"
    assert [(await statuses(api, 1, key=one))[0] for one in made] == [401, 200, 200]
    assert MOST_KEYS == 1000


# ---- what is refused


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({}, "something to do"),
        ({"code": "QUEUE_FULL", "operation": "POST /conver"}, "POST /convert"),
        ({"code": "QUEUE_FULL", "operation": ["POST /convert"]}, '"operation"'),
        ({"code": "VIDEO_PRIVATE"}, "reserved video id"),
        ({"code": "QUEUEFULL"}, "QUEUE_FULL"),
        ({"code": "METHOD_NOT_ALLOWED"}, '"code"'),
        ({"code": ["QUEUE_FULL"]}, '"code"'),
        ({"code": "QUEUE_FULL", "nth": 1, "every": 2}, '"nth", "next" and "every"'),
        ({"code": "QUEUE_FULL", "nth": 0}, '"nth"'),
        ({"code": "QUEUE_FULL", "every": True}, '"every"'),
        ({"code": "QUEUE_FULL", "retry_after": 1.5}, '"retry_after"'),
        ({"code": "INTERNAL_ERROR", "retry_after": 1}, '"retry_after"'),
        ({"code": "INTERNAL_ERROR", "message": ""}, '"message"'),
        ({"code": "RATE_LIMITED", "operation": "GET /static/downloads/{conversion_id}.mp3"}, "needs no key"),
        ({"delay": 61}, '"delay"'),
        ({"rate": 0}, '"rate"'),
        ({"cut_after": -1}, '"cut_after"'),
        ({"delay": 1, "times": 3}, '"times"'),
    ],
)
async def test_a_wrong_rule_is_refused_and_the_message_names_the_field(
    api: Api, fields: dict[str, Any], named: str
) -> None:
    answer = await api.post("/_offline/rules", fields)
    assert (answer.status, answer.code) == (400, "INVALID_REQUEST") and named in answer.message


async def test_everything_that_is_sent_is_bounded_and_needs_a_key(api: Api) -> None:
    for method, path, _ in Control({}, {}).routes:
        assert (await api.request(method, path, key=None)).code == "UNAUTHORIZED"
    for _ in range(MOST_RULES):
        await rule(api, delay=1)
    assert "100 rules" in (await api.post("/_offline/rules", {"delay": 1})).message
    assert '"only"' in (await api.post("/_offline/reset", {"only": ["all"]})).message
    assert '"per_minute"' in (await api.post("/_offline/keys", {"per_minute": 0})).message
    assert '"limit"' in (await api.post("/_offline/keys", {"limit": 1})).message


async def test_the_control_api_is_offline_only_and_its_operations_are_routes(tmp_path: Path) -> None:
    async with serving(tmp_path) as online:
        for method, path, _ in Control({}, {}).routes:
            answer: Answer = await online.request(method, path)
            assert (answer.status, answer.code) == (404, "NOT_FOUND")
    routes = {(method, path) for method, path, _ in ROUTES}
    assert {tuple(one.split(" ")) for one in operations() if not one.startswith("HEAD")} <= routes
    assert not any(path.startswith("/_offline") for path in DESCRIPTION["paths"])
    assert documented_codes(resolved(DESCRIPTION["paths"]["/convert"]["post"]["responses"]["503"])) >= {"QUEUE_FULL"}
