"""Live answers are as the description (static/openapi.json) says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.api import KEY, Answer, Api, serving, watch
from support.description import SCHEMAS, SPEC, documented_codes, resolved, validate

from server import errors
from server.access.keys import Key
from server.config import JobsConfig, LimitsConfig
from server.http import request_body


def held_to_the_description(method: str, path: str, answer: Answer) -> Answer:
    """`answer`, whose status, type, body, error code and headers the description has for this operation."""
    operation = SPEC["paths"][path][method.lower()]
    assert str(answer.status) in operation["responses"], (method, path, answer)
    described = resolved(operation["responses"][str(answer.status)])
    for name, part in described["headers"].items():
        if name in answer.headers:
            schema = resolved(part)["schema"]
            value = answer.headers[name]
            validate(int(value) if schema["type"] == "integer" else value, schema)
    for name in answer.headers:
        if name.startswith("X-RateLimit") or name in ("Retry-After", "Preference-Applied", "WWW-Authenticate"):
            assert name in described["headers"], (method, path, name)
    content = described.get("content", {})
    if not content:
        assert not answer.body
        return answer
    kind = answer.headers["Content-Type"].partition(";")[0]
    assert kind in content or "*/*" in content, (method, path, kind)
    if kind == "application/json" and answer.status != 206:
        validate(answer.json, content[kind]["schema"])
    if answer.status >= 400:
        code = answer.code
        of_a_job = answer.status == 404 and code in errors.JOB_ERRORS
        assert code in documented_codes(described) or of_a_job, (method, path, code)
    return answer


class Described:
    """A client whose every answer is held to the description."""

    def __init__(self, api: Api) -> None:
        self.api = api

    async def __call__(
        self, method: str, path: str, content: Any = None, *, status: int, query: str = "", **more: Any
    ) -> Answer:
        values = more.pop("values", {})
        answer = await self.api.request(method, path.format(**values) + query, content, **more)
        assert answer.status == status, answer
        return held_to_the_description(method, path, answer)


async def test_live_answers_are_as_described(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        ask = Described(api)
        made = (await ask("POST", "/convert", {"url": watch("made-------")}, status=200)).json
        one = {"conversion_id": made["conversion_id"]}
        await ask("GET", "/status/{conversion_id}", values=one, headers={"Prefer": "wait=50"}, status=200)
        await ask("POST", "/convert", {"url": watch("led--------")}, headers={"Prefer": "wait=0"}, status=200)
        await ask("POST", "/batch-convert", {"urls": [watch("made-------"), watch("led--------")]}, status=200)
        await ask("GET", "/status", status=200)
        await ask("GET", "/status", query="?status=completed&limit=1", status=200)
        await ask("DELETE", "/status", query="?status=failed,cancelled", status=200)
        for query in ("", "?status=processing"):
            await ask("DELETE", "/status", query=query, status=400)
        mp3, jpg = "/static/downloads/{conversion_id}.mp3", "/static/downloads/{conversion_id}.jpg"
        whole = await ask("GET", mp3, values=one, key=None, status=200)
        await ask("HEAD", mp3, values=one, key=None, status=200)
        await ask("GET", mp3, values=one, key=None, headers={"Range": "bytes=5-9"}, status=206)
        await ask("GET", mp3, values=one, key=None, headers={"Range": "bytes=99999999-"}, status=416)
        await ask("GET", mp3, values=one, key=None, headers={"If-None-Match": whole.headers["ETag"]}, status=304)
        await ask("GET", mp3, values=one, key=None, headers={"If-Match": '"other"'}, status=412)
        await ask("GET", jpg, values=one, key=None, status=404)
        await ask("GET", "/status/{conversion_id}/events", values=one, status=200)
        for status in (200, 404):
            await ask("DELETE", "/status/{conversion_id}", values=one, status=status)
        await ask("GET", mp3, values=one, key=None, status=404)
        await ask("GET", "/status/{conversion_id}", values=one, status=404)
        for path in ("/healthz", "/openapi.json", "/docs", "/", "/metrics"):
            answer = await ask("GET", path, key=None, status=200)
            if tag := answer.headers.get("ETag"):
                await ask("GET", path, key=None, headers={"If-None-Match": tag}, status=304)
                await ask("GET", path, key=None, headers={"If-Match": '"other"'}, status=412)
                await ask("GET", path, key=None, headers={"Range": "bytes=0-3"}, status=206)
                await ask("GET", path, key=None, headers={"Range": "bytes=99999999-"}, status=416)
        await ask("GET", "/static/{name}", values={"name": "docs.css"}, key=None, status=200)
        await ask("GET", "/static/{name}", values={"name": "other"}, key=None, status=404)


async def test_a_failed_conversion_is_as_described(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        ask = Described(api)
        conversion = await api.convert("led--------")
        one = {"conversion_id": conversion["conversion_id"]}
        (await api.studio.take("led--------")).fail(errors.VideoPrivate())
        answer = await ask("GET", "/status/{conversion_id}", values=one, headers={"Prefer": "wait=50"}, status=200)
        assert answer.json["error"]["code"] == "VIDEO_PRIVATE"
        answer = await ask("GET", "/static/downloads/{conversion_id}.mp3", values=one, key=None, status=404)
        assert answer.code == "VIDEO_PRIVATE"


@pytest.mark.parametrize("path", ["/convert", "/batch-convert"])
async def test_live_refusals_are_as_described(tmp_path: Path, path: str) -> None:
    keys = {KEY: Key("a", LimitsConfig(100, 1000, 10_000)), "off": Key("b", LimitsConfig(1, 1, 1), disabled=True)}
    keys["one"] = Key("c", LimitsConfig(1, 1, 1))
    keys["quota"] = Key("d", LimitsConfig(10, 10, 10, conversions_per_day=1))
    video = watch("made-------")
    good: dict[str, Any] = {"url": video, "urls": [video]}
    broken: list[Any] = [b"", b"{", b"[]", {}, {"url": 1, "urls": 1}, {"url": "x", "urls": ["x"]}, {"urls": []}]
    async with serving(tmp_path, keys=keys) as api:
        ask = Described(api)
        for content in broken:
            await ask("POST", path, content, status=400)
        for wrong in ("best", 320):
            await ask("POST", path, {**good, "quality": wrong}, status=400)
        await ask("POST", path, good, headers={"Content-Encoding": "gzip"}, status=400)
        await ask("POST", path, {"urls": [video] * 51}, status=400)
        await ask("POST", path, good, headers={"Idempotency-Key": "k"}, status=200)
        await ask("POST", path, {**good, "quality": "low"}, headers={"Idempotency-Key": "k"}, status=400)
        await ask("POST", path, b" " * (request_body.MAX_BYTES + 1), status=413)
        await ask("POST", path, good, headers={"Expect": "200-ok"}, status=417)
        for key in (None, "wrong"):
            await ask("POST", path, good, key=key, status=401)
        await ask("POST", path, good, key="off", status=403)
        await ask("POST", path, good, key="one", status=200)
        await ask("POST", path, good, key="one", status=429)
        await ask("POST", path, good, key="quota", status=200)
        assert (await ask("POST", path, good, key="quota", status=429)).code == "QUOTA_EXCEEDED"


async def test_a_full_queue_is_as_described(tmp_path: Path) -> None:
    async with serving(tmp_path, jobs=JobsConfig(slots=1, backlog=1)) as api:
        ask = Described(api)
        await api.convert("led-running")
        await api.studio.take("led-running")
        await api.convert("led-waiting")
        answer = await ask("POST", "/convert", {"url": watch("led-toomany")}, status=503)
        assert answer.code == "QUEUE_FULL"


async def test_a_live_conversion_has_exactly_the_described_fields(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        assert list(await api.convert("made-------")) == SCHEMAS["Conversion"]["required"]
