"""The reserved keys of offline mode: each does over HTTP what its line in the table says, and none exists online."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests
from support.commandline import started
from support.serverprocess import KEY, Answer, ServerProcess

from server.offline.keys import FAIL_EVERY, LATENCY, TABLE, reserved

BODY = {"url": "https://youtu.be/x-1-second-"}
PUBLISHED = "[limits]\nper_minute = 100\nper_hour = 1000\nper_day = 10000"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    process = ServerProcess(tmp_path_factory.mktemp("keys") / "server", PUBLISHED)
    try:
        process.start()
        yield process
    finally:
        process.end()


def ask(server: ServerProcess, key: str, method: str = "GET", path: str = "/status") -> Answer:
    body = BODY if method == "POST" else None
    return server.request(method, path, body, Authorization=f"Bearer {key}")


def code(answer: Answer) -> str:
    """Of an error in its envelope and nothing else."""
    assert answer.headers["Content-Type"].startswith("application/json")
    assert answer.json.keys() == {"error"} and answer.json["error"].keys() == {"code", "message"}
    assert answer.json["error"]["message"]
    return str(answer.json["error"]["code"])


def test_every_reserved_key_is_tested_here() -> None:
    tested = {"test-unlimited", "test-tiny-limits", "test-tiny-quota", "test-disabled", "test-failing", "test-slow"}
    assert {one.key for one in TABLE} == tested


def test_tiny_limits_meet_429_after_three_requests_with_true_headers(server: ServerProcess) -> None:
    before = time.time()
    accepted = [ask(server, "test-tiny-limits", "POST", "/convert") for _ in range(3)]
    after = time.time()
    assert [answer.status for answer in accepted] == [200, 200, 200]
    assert [answer.headers["X-RateLimit-Remaining"] for answer in accepted] == ["2", "1", "0"]
    refused = []
    for _ in range(2):
        asked = time.time()
        answer = ask(server, "test-tiny-limits", "POST", "/convert")
        answered = time.time()
        refused.append(answer)
        assert (answer.status, code(answer)) == (429, "RATE_LIMITED")
        assert answer.headers["X-RateLimit-Remaining"] == "0"
        # A client that waits for as long as it is told may go on then, and not later than it must.
        seconds, reset = int(answer.headers["Retry-After"]), int(answer.headers["X-RateLimit-Reset"])
        assert asked + seconds - 2 <= reset <= answered + seconds + 2
        assert answer.headers["Retry-After"] in answer.json["error"]["message"]
    for answer in accepted + refused:
        assert answer.headers["X-RateLimit-Limit"] == "3"
        assert before + 60 <= int(answer.headers["X-RateLimit-Reset"]) <= after + 62, "a minute after the first request"


def test_the_tiny_quota_is_used_up_by_three_conversions_until_midnight(server: ServerProcess) -> None:
    key = "test-tiny-quota"
    four = {"urls": [BODY["url"]] * 4}
    assert code(server.request("POST", "/batch-convert", four, Authorization=f"Bearer {key}")) == "QUOTA_EXCEEDED"
    assert [ask(server, key, "POST", "/convert").status for _ in range(3)] == [200, 200, 200]
    answer = ask(server, key, "POST", "/convert")
    assert (answer.status, code(answer)) == (429, "QUOTA_EXCEEDED")
    midnight = time.time() + int(answer.headers["Retry-After"])
    assert min(midnight % 86_400, -midnight % 86_400) < 10
    assert ask(server, key).status == 200, "it may still ask how far they are"


def test_the_disabled_key_is_refused(server: ServerProcess) -> None:
    for method, path in (("POST", "/convert"), ("POST", "/batch-convert"), ("GET", "/status"), ("GET", "/events")):
        answer = ask(server, "test-disabled", method, path)
        assert (answer.status, code(answer)) == (403, "KEY_DISABLED")


def test_every_third_request_of_the_failing_key_is_500_and_unserved(server: ServerProcess) -> None:
    answers = [ask(server, "test-failing", "POST", "/convert") for _ in range(3 * FAIL_EVERY)]
    failed = [number % FAIL_EVERY == 0 for number in range(1, len(answers) + 1)]
    assert [answer.status for answer in answers] == [500 if fails else 200 for fails in failed]
    for answer in answers:
        assert int(answer.headers["X-RateLimit-Limit"]) > int(answer.headers["X-RateLimit-Remaining"]) > 10_000
        assert int(answer.headers["X-RateLimit-Reset"]) > time.time()
        assert answer.headers["X-Request-ID"] and answer.headers["X-Content-Type-Options"] == "nosniff"
    assert {code(answer) for answer, fails in zip(answers, failed, strict=True) if fails} == {"INTERNAL_ERROR"}
    listed = ask(server, "test-failing")
    assert len(listed.json["jobs"]) == failed.count(False), "a request that failed has left nothing behind"


def test_a_route_that_is_none_comes_before_every_fault(server: ServerProcess) -> None:
    for _ in range(FAIL_EVERY):
        assert code(ask(server, "test-failing", path="/nowhere")) == "NOT_FOUND"
    assert code(ask(server, "test-failing", "POST", "/openapi.json")) == "METHOD_NOT_ALLOWED"


def test_the_slow_key_is_late_and_nobody_else_is(server: ServerProcess) -> None:
    def timed() -> tuple[int, float]:
        began = time.monotonic()
        return ask(server, "test-slow").status, time.monotonic() - began

    with ThreadPoolExecutor(1) as pool:
        slow, meanwhile = pool.submit(timed), 0
        while not slow.done():
            assert ask(server, "test-unlimited").status == 200
            meanwhile += 1
            time.sleep(0.05)
    assert slow.result()[0] == 200 and slow.result()[1] >= LATENCY
    assert meanwhile > 1, "the other key was answered before the slow one"


def test_the_unlimited_key_outlasts_the_published_limits(server: ServerProcess) -> None:
    assert {ask(server, "test-unlimited").status for _ in range(120)} == {200}


def test_the_example_key_has_the_published_limits(server: ServerProcess) -> None:
    answer = ask(server, KEY)
    assert (answer.status, answer.headers["X-RateLimit-Limit"]) == (200, "100")


def test_keys_see_their_own_conversions_only(server: ServerProcess) -> None:
    made = ask(server, "test-unlimited", "POST", "/convert").json["conversion_id"]
    assert code(ask(server, KEY, path=f"/status/{made}")) == "CONVERSION_NOT_FOUND"


def test_the_description_lists_every_reserved_key_and_video(server: ServerProcess) -> None:
    described = server.request("GET", "/openapi.json")
    assert described.headers["Content-Type"].startswith("application/json")
    assert described.json["x-reserved"] == reserved()
    assert {one["key"] for one in described.json["x-reserved"]["keys"]} == {one.key for one in TABLE}


def test_the_description_comes_whole_as_it_says(server: ServerProcess) -> None:
    answer = server.request("GET", "/openapi.json", Range="bytes=0-3")
    assert answer.status == 200 and "Last-Modified" not in answer.headers
    known: dict[str, Any] = {"If-None-Match": answer.headers["ETag"]}
    again = server.request("GET", "/openapi.json", **known)
    assert (again.status, again.body) == (304, b"")
    assert "whole, without Last-Modified" in answer.json["paths"]["/openapi.json"]["get"]["description"]


def test_online_there_is_none_of_it(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text('[storage]\ndownloads = "downloads"\nstate = "state"\n')
    with started(tmp_path / "online", "--config", config, YTMP3D_KEY="of-my-own-choice") as online:

        def answered(key: str) -> requests.Response:
            return requests.get(f"{online.url}/status", headers={"Authorization": f"Bearer {key}"}, timeout=60)

        for key in (KEY, *(one.key for one in TABLE)):
            refused = answered(key)
            assert (refused.status_code, refused.json()["error"]["code"]) == (401, "UNAUTHORIZED"), key
            assert "X-RateLimit-Limit" not in refused.headers
        assert answered("of-my-own-choice").status_code == 200
        description = requests.get(f"{online.url}/openapi.json", timeout=60).json()
        assert description["openapi"].startswith("3.1") and "x-reserved" not in description
