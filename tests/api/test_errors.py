"""Every error a request can be refused with, raised for real, and the order in which they are looked for."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import os
import re
import threading
from pathlib import Path
from typing import Any

import pytest
from conftest import StartApi
from support.api import KEY, KEYS, OTHER, UNLIMITED, Answer, Api, bearer, watch

from server import errors
from server.access.keys import Key
from server.app import ROUTES
from server.config import JobsConfig, LimitsConfig
from server.conversions import backlog
from server.http import request_body

API = [
    ("POST", "/convert"),
    ("POST", "/batch-convert"),
    ("POST", "/archives"),
    ("POST", "/retry"),
    ("GET", "/status"),
    ("GET", "/status/some-id"),
    ("DELETE", "/status/some-id"),
    ("GET", "/status/some-id/events"),
    ("GET", "/events"),
]
GOOD = {"url": watch("some-video-")}


def refused(answer: Answer, status: int, code: str, *said: str) -> None:
    assert (answer.status, answer.code) == (status, code), answer
    for piece in said:
        assert piece in answer.message, answer.message


# ---- route


@pytest.mark.parametrize(
    "path", ["/nothing", "/convert/", "/status/", "/status/a/b", "/static/", "/static/downloads/", "/static/nothing.js"]
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
async def test_an_address_without_anything_is_not_found(api: Api, method: str, path: str) -> None:
    answer = await api.request(method, path, key=None)
    if path == "/static/nothing.js" and method != "GET":
        refused(answer, 405, "METHOD_NOT_ALLOWED")
    else:
        refused(answer, 404, "NOT_FOUND")


@pytest.mark.parametrize("path", sorted({path for _, path, _ in ROUTES}))
async def test_a_method_that_is_not_for_an_address_is_told_which_are(api: Api, path: str) -> None:
    real = re.sub(r"{\w+_id}", "some-id", path).replace("{name}", "app.js")
    taken = {method for method, route, _ in ROUTES if route == path}
    for method in ("PUT", "PATCH", "DELETE", "POST", "GET", "OPTIONS", "TRACE", "PROPFIND"):
        if method in taken:
            continue
        answer = await api.request(method, real, b"ignored" if method == "PUT" else None, key=None)
        refused(answer, 405, "METHOD_NOT_ALLOWED", method)
        assert {one.strip() for one in answer.headers["Allow"].split(",")} >= taken
    wrong = await api.request("HEAD", real, key=None)
    assert (wrong.status == 405) == ("GET" not in taken or "events" in path) and wrong.body == b""


# ---- authentication


@pytest.mark.parametrize(("method", "path"), API)
@pytest.mark.parametrize("sent", [None, "", "Bearer", "Bearer wrong", "Basic YTpi", KEY, "Bearer a b", f"Token {KEY}"])
async def test_without_a_known_key_nothing_is_answered(api: Api, method: str, path: str, sent: str | None) -> None:
    headers = {} if sent is None else {"Authorization": sent}
    answer = await api.request(method, path, key=None, headers=headers)
    refused(answer, 401, "UNAUTHORIZED", "Authorization: Bearer")
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert not any(name.startswith("X-RateLimit") for name in answer.headers)


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "bEaReR"])
async def test_the_scheme_may_be_in_any_case(api: Api, scheme: str) -> None:
    answer = await api.get("/status", key=None, headers={"Authorization": f"{scheme} {KEY}"})
    assert answer.status == 200


async def test_a_disabled_key_is_understood_but_refused(start_api: StartApi) -> None:
    api = await start_api(keys={"off": Key("off", UNLIMITED, disabled=True)})
    for method, path in API:
        refused(await api.request(method, path, key="off"), 403, "KEY_DISABLED")


# ---- the body


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "empty"),
        (b"  \n", "empty"),
        (b"{", "line 1"),
        (b"url=https://youtu.be/some-video-", "not valid JSON"),
        (b'{"url": "a",}', "not valid JSON"),
        (b'{"url": NaN}', "NaN"),
        (b'{"url": [1, -Infinity]}', "Infinity"),
        (b'{"url": "a", "url": "b"}', "twice"),
        (b'{"x": {"a": 1, "\\u0061": 2}}', "twice"),
        (b'{"url": "\xff\xfe"}', "not UTF-8"),
        ("\ufeff{}".encode(), "not valid JSON"),
        ('{"url": "a"}'.encode("utf-16"), "not UTF-8"),
        (b'{"url": "\\ud800"}', "surrogate"),
        (b'{"\\udc00x": [{"y": "z"}]}', "surrogate"),
        (b'{"x": ["\\ud83d\\u0041"]}', "surrogate"),
        (b'{"url": "https://youtu.be/some-video-\\u0000"}', "NUL"),
        (b'{"x": [{"a\\u0000": 1}]}', "NUL"),
        (b'["x", ["\\u0000"]]', "NUL"),
        (b"[" * 100_000, "deep"),
        (b'{"a":' * 20_000 + b"1" + b"}" * 20_000, "deep"),
        (b'{"url": ' + b"9" * 5000 + b"}", "a number with too many digits."),
        (b'{"url": "line\nbreak"}', "not valid JSON"),
        (b"{} {}", "not valid JSON"),
    ],
)
@pytest.mark.parametrize("path", ["/convert", "/batch-convert"])
async def test_what_is_no_strict_json_is_invalid(api: Api, path: str, body: bytes, said: str) -> None:
    refused(await api.post(path, body), 400, "INVALID_JSON", said)


async def test_a_backslash_before_an_escape_makes_it_plain_text(api: Api) -> None:
    body = b'{"url": "https://youtu.be/some-video-", "note": "\\\\ud800 \\\\u0000"}'
    assert (await api.post("/convert", body)).status == 200


async def test_a_whole_surrogate_pair_is_a_character(api: Api) -> None:
    body = b'{"url": "https://youtu.be/some-video-", "note": "\\ud83c\\udf19"}'
    assert (await api.post("/convert", body)).status == 200


@pytest.mark.parametrize("value", [[], [GOOD], "https://youtu.be/some-video-", 7, 1.5, True, None])
@pytest.mark.parametrize("path", ["/convert", "/batch-convert"])
async def test_a_body_that_is_no_object_is_refused(api: Api, path: str, value: Any) -> None:
    refused(await api.post(path, json.dumps(value).encode()), 400, "INVALID_REQUEST", "JSON object")


@pytest.mark.parametrize(
    ("body", "code", "said"),
    [
        ({}, "INVALID_REQUEST", '"url" is missing'),
        ({"url": None}, "INVALID_REQUEST", '"url"'),
        ({"urls": ["x"]}, "INVALID_REQUEST", '"url"'),
        ({"url": 7}, "INVALID_REQUEST", '"url" must be a string'),
        ({"url": [watch("some-video-")]}, "INVALID_REQUEST", '"url" must be a string'),
        ({"url": ""}, "INVALID_URL", "empty"),
        ({"url": "https://example.com/watch?v=some-video-"}, "INVALID_URL", "example.com"),
        ({"url": watch("some-video-") + "\x01"}, "INVALID_URL", "U+0001"),
        ({"url": "https://www.youtube.com/playlist?list=PL1"}, "INVALID_URL", "playlist"),
        ({"url": "x" * 100_000}, "INVALID_URL", "longer"),
        ({**GOOD, "quality": "best"}, "INVALID_QUALITY", '"high", "medium" and "low"'),
        ({**GOOD, "quality": "HIGH"}, "INVALID_QUALITY", "quality"),
        ({**GOOD, "quality": ""}, "INVALID_QUALITY", "quality"),
        ({**GOOD, "quality": 320}, "INVALID_REQUEST", '"quality" must be a string'),
        ({**GOOD, "quality": False}, "INVALID_REQUEST", '"quality" must be a string'),
        ({**GOOD, "loudness": -4.9}, "INVALID_OPTION", '"loudness" must be from -30 to -5 LUFS'),
        ({**GOOD, "loudness": -31}, "INVALID_OPTION", '"loudness"'),
        ({**GOOD, "loudness": "-14"}, "INVALID_REQUEST", '"loudness" must be a number, not a string'),
        ({**GOOD, "loudness": False}, "INVALID_REQUEST", '"loudness" must be a number'),
        ({**GOOD, "start": "soon"}, "INVALID_OPTION", '"start" must be a time'),
        ({**GOOD, "start": -1}, "INVALID_OPTION", '"start"'),
        ({**GOOD, "start": 1_000_000}, "INVALID_OPTION", '"start"'),
        ({**GOOD, "end": "1:60"}, "INVALID_OPTION", '"end"'),
        ({**GOOD, "end": 0.9}, "INVALID_OPTION", '"end" (0:00.9) must be at least 1 second after "start" (0:00)'),
        ({**GOOD, "start": "1:05", "end": 65.999}, "INVALID_OPTION", '"start" (1:05)'),
        ({**GOOD, "start": True}, "INVALID_REQUEST", '"start" must be a number of seconds or a string'),
        ({**GOOD, "end": [7]}, "INVALID_REQUEST", '"end" must be a number of seconds or a string'),
    ],
)
async def test_a_field_that_will_not_do_is_named(api: Api, body: Any, code: str, said: str) -> None:
    refused(await api.post("/convert", body), 400, code, said)
    assert api.studio.takes == []


@pytest.mark.parametrize(
    ("body", "code", "said"),
    [
        ({}, "INVALID_REQUEST", ['"urls" is missing']),
        ({"urls": "x"}, "INVALID_REQUEST", ['"urls" must be an array']),
        ({"urls": {"0": "x"}}, "INVALID_REQUEST", ['"urls" must be an array']),
        ({"urls": []}, "BATCH_EMPTY", ['"urls"']),
        ({"urls": [watch("some-video-")] * 51}, "BATCH_TOO_LARGE", ["51", "50"]),
        ({"urls": ["no", watch("some-video-"), "", "x.y"]}, "INVALID_URL", ["urls[0]", "urls[2]", "urls[3]"]),
        ({"urls": [watch("some-video-"), None, 7]}, "INVALID_REQUEST", ["urls[1]", "urls[2]"]),
        ({"urls": ["no", 7]}, "INVALID_REQUEST", ["urls[0]", "urls[1]"]),
        ({"urls": [watch("some-video-")], "quality": "x"}, "INVALID_QUALITY", ["quality"]),
        ({"urls": [watch("some-video-")], "start": "x"}, "INVALID_OPTION", ["start"]),
    ],
)
async def test_a_batch_that_will_not_do_names_every_offender_and_queues_nothing(
    api: Api, body: Any, code: str, said: list[str]
) -> None:
    answer = await api.post("/batch-convert", body)
    refused(answer, 400, code, *said)
    assert "urls[1]" not in answer.message or "urls[1]" in said
    assert (await api.get("/status")).json["jobs"] == [] and api.studio.takes == []


async def test_fifty_urls_are_a_batch(api: Api) -> None:
    answer = await api.post("/batch-convert", {"urls": [watch(f"video-{n:05d}") for n in range(50)]})
    assert len(answer.json["jobs"]) == 50


@pytest.mark.parametrize("encoding", ["gzip", "br", "identity", ""])
async def test_an_encoded_body_is_refused_unread(api: Api, encoding: str) -> None:
    answer = await api.post("/convert", b"\x1f\x8b", headers={"Content-Encoding": encoding})
    refused(answer, 400, "UNSUPPORTED_ENCODING", "Content-Encoding")


async def test_a_body_of_the_largest_size_is_read_and_a_larger_is_not(api: Api) -> None:
    pad = request_body.MAX_BYTES - len(json.dumps({**GOOD, "x": ""}))
    assert (await api.post("/convert", {**GOOD, "x": "x" * pad})).status == 200
    answer = await api.post("/convert", {**GOOD, "x": "x" * (pad + 1)})
    refused(answer, 413, "PAYLOAD_TOO_LARGE", str(request_body.MAX_BYTES))


async def test_a_large_body_is_not_worked_on_in_the_loop() -> None:
    async def worked_on_in(body: bytes) -> int:
        return await request_body.understood(body, lambda _: threading.get_ident())

    assert await worked_on_in(b'{"url": "x"}') == threading.get_ident()
    assert await worked_on_in(b'{"x": [' + b"[]," * 5000 + b"[]]}") != threading.get_ident()


# ---- room


async def test_a_full_queue_refuses_fresh_work_whole_and_says_when_to_come_back(start_api: StartApi) -> None:
    api = await start_api(jobs=JobsConfig(slots=1, backlog=3))
    await api.made("kept-video-")
    await api.convert("led-running")
    await api.studio.take("led-running")
    await api.convert("led-wait--1")
    batch = {"urls": [watch(f"led-batch-{n}") for n in range(3)]}
    answer = await api.post("/batch-convert", batch)
    refused(answer, 503, "QUEUE_FULL", "3 places")
    assert int(answer.headers["Retry-After"]) > 0 and "X-RateLimit-Limit" in answer.headers
    assert len((await api.get("/status")).json["jobs"]) == 3, "a refused batch leaves nothing"
    assert (await api.post("/batch-convert", {"urls": batch["urls"][:2]})).status == 200
    refused(await api.post("/convert", {"url": watch("led-one-too")}), 503, "QUEUE_FULL")
    assert (await api.convert("kept-video-"))["status"] == "completed", "kept work needs no place"
    for _ in range(2):
        assert (await api.convert("led-running"))["status"] == "processing", "nor does work that runs"
    refused(await api.post("/convert", {"url": watch("led-running")}), 503, "QUEUE_FULL")  # as many may share it


async def test_simultaneous_requests_do_not_slip_past_the_backlog_together(start_api: StartApi) -> None:
    api = await start_api(jobs=JobsConfig(slots=1, backlog=5))
    await api.convert("led-running")
    await api.studio.take("led-running")
    bodies = [{"url": watch(f"led-rush-{n:02d}")} for n in range(30)]
    keys = (KEY, OTHER)
    answers = await asyncio.gather(*(api.post("/convert", body, key=keys[n % 2]) for n, body in enumerate(bodies)))
    assert sum(answer.status == 200 for answer in answers) == 5
    assert {answer.code for answer in answers if answer.status != 200} == {"QUEUE_FULL"}


async def test_one_key_cannot_fill_the_queue_so_that_another_finds_no_place(start_api: StartApi) -> None:
    api = await start_api(jobs=JobsConfig(slots=1, backlog=20))
    await api.convert("led-running")
    await api.studio.take("led-running")
    for key, share in ((KEY, 16), (OTHER, 4)):  # four fifths of 20, then of the 4 that are left, rounded up
        answers = [await api.post("/convert", {"url": watch(f"led-{key[-4:]}-{n:02d}")}, key=key) for n in range(20)]
        assert [answer.status for answer in answers] == [200] * share + [503] * (20 - share)
        refused(answers[-1], 503, "QUEUE_FULL")
        assert int(answers[-1].headers["Retry-After"]) > 0


@pytest.mark.parametrize(
    ("others", "own", "new", "fits"),
    [(0, 0, 80, True), (0, 0, 81, False), (0, 80, 0, True), (50, 39, 1, True), (50, 40, 1, False), (99, 0, 1, True)],
)
def test_the_share_of_a_key_shrinks_as_others_fill_the_queue(others: int, own: int, new: int, fits: bool) -> None:
    with contextlib.nullcontext() if fits else pytest.raises(errors.QueueFull):
        backlog.check_share(100, others=others, own=own, new=new)


async def test_a_full_disk_refuses_fresh_work_only(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    await api.made("kept-video-")
    monkeypatch.setattr(api.engine, "_room", False)
    answer = await api.post("/convert", GOOD)
    refused(answer, 503, "DISK_FULL")
    assert int(answer.headers["Retry-After"]) > 0
    assert (await api.convert("kept-video-"))["status"] == "completed"


@pytest.mark.parametrize(("number", "words"), [(errno.ENOSPC, "disk is full"), (errno.EIO, "tell its owner")])
async def test_a_state_that_cannot_be_written_refuses_and_leaves_nothing(
    api: Api, monkeypatch: pytest.MonkeyPatch, number: int, words: str
) -> None:
    async def refuse(table: str, changes: Any) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as full:
        full.setattr(api.engine._state, "commit", refuse)
        answer = await api.post("/convert", GOOD)
        refused(answer, 503, "DISK_FULL")
        assert words in answer.message and int(answer.headers["Retry-After"]) > 0
    assert (await api.get("/status")).json["jobs"] == [] and api.studio.takes == []
    assert (await api.post("/convert", GOOD)).status == 200


async def test_a_server_that_shuts_down_says_so(api: Api) -> None:
    conversion_id = (await api.made("some-video-"))["conversion_id"]
    await api.engine.drain(0)
    answer = await api.post("/convert", GOOD)
    refused(answer, 503, "SHUTTING_DOWN")
    assert int(answer.headers["Retry-After"]) > 0
    assert (await api.status(conversion_id))["status"] == "completed"


async def test_our_own_fault_is_said_without_its_insides(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def break_down(*arguments: object) -> None:
        raise RuntimeError("a secret of /the/host")

    monkeypatch.setattr(api.engine.table, "older", break_down)
    answer = await api.get("/status")
    refused(answer, 500, "INTERNAL_ERROR")
    assert "secret" not in answer.message


# ---- the order


async def test_what_is_looked_at_first_is_answered_first(start_api: StartApi) -> None:
    keys = {**KEYS, "tired": Key("tired", LimitsConfig(1, 1, 1)), "off": Key("off", UNLIMITED, disabled=True)}
    api = await start_api(jobs=JobsConfig(slots=1, backlog=1), keys=keys)
    await api.convert("led-running")
    await api.studio.take("led-running")
    await api.convert("led-waiting")
    await api.get("/status", key="tired")
    large = b"x" * (request_body.MAX_BYTES + 1)
    bad = {"headers": {"Content-Encoding": "gzip"}}
    refused(await api.request("PUT", "/convert", large, key="wrong"), 405, "METHOD_NOT_ALLOWED")
    refused(await api.post("/nothing", large, key="wrong"), 404, "NOT_FOUND")
    refused(await api.post("/convert", large, key="wrong", **bad), 401, "UNAUTHORIZED")
    refused(await api.post("/convert", large, key="off", **bad), 403, "KEY_DISABLED")
    refused(await api.post("/convert", large, key="tired", **bad), 429, "RATE_LIMITED")
    refused(await api.post("/convert", large, **bad), 400, "UNSUPPORTED_ENCODING")
    refused(await api.post("/convert", large), 413, "PAYLOAD_TOO_LARGE")
    refused(await api.post("/convert", {"url": "no", "quality": "no"}), 400, "INVALID_URL")
    refused(await api.post("/convert", {**GOOD, "quality": "no"}), 400, "INVALID_QUALITY")
    refused(await api.post("/convert", GOOD), 503, "QUEUE_FULL")


def test_every_code_of_the_catalogue_is_raised_in_these_tests() -> None:
    tests = "".join(file.read_text() for file in Path(__file__).parent.glob("test_*.py"))
    missing = [code for code in errors.REQUEST_ERRORS if f'"{code}"' not in tests]
    assert missing == []


async def test_a_key_goes_in_the_header_only(api: Api) -> None:
    assert (await api.get(f"/status?api_key={KEY}", key=None)).status == 401
    assert (await api.get("/status", key=None, headers=bearer(KEY))).status == 200
