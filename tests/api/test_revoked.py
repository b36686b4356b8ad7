"""A key that is disabled or deleted ends everywhere within two seconds; what it had accepted goes on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from support.api import SOON, Api, Take, checked, link, read_answer, read_chunks, read_head, watch

from server.access import key_file
from server.access.keys import Keys
from server.http.context import KEYS, LONG_ANSWERS

WITHIN = 2.0
#: What this machine may need beside: it is shared.
SLACK = 1.0

Revoke = Callable[[], None]


@pytest.fixture
async def key(api: Api, tmp_path: Path) -> str:
    plain = key_file.create(tmp_path / "api" / "keys.toml", "carl", {})
    await accepted(api, plain, True)
    return plain


@pytest.fixture(params=["disabled", "deleted", "replaced"])
def revoke(request: pytest.FixtureRequest, tmp_path: Path) -> Revoke:
    path = tmp_path / "api" / "keys.toml"

    def now() -> None:
        if request.param == "disabled":
            key_file.set_disabled(path, "carl", True)
            return
        key_file.delete(path, "carl")
        if request.param == "replaced":
            key_file.create(path, "carl", {})

    return now


async def accepted(api: Api, key: str, wanted: bool) -> None:
    async with asyncio.timeout(SOON):
        while ((await api.get("/status", key=key)).status == 200) is not wanted:
            await asyncio.sleep(0.02)


async def begun(api: Api, key: str) -> tuple[str, Take]:
    conversion_id = (await api.convert("led-running", key=key))["conversion_id"]
    take = await api.studio.take("led-running")
    take.grow(b"sound ")
    return conversion_id, take


def request(method: str, path: str, key: str, extra: str = "", body: str = "") -> bytes:
    head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n{extra}"
    return f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode()


async def test_streams_end_and_can_be_told_from_those_that_broke(api: Api, key: str, revoke: Revoke) -> None:
    conversion_id, take = await begun(api, key)
    async with AsyncExitStack() as stack:
        streams = []
        for path in ("/events", f"/status/{conversion_id}/events"):
            reader, writer = await stack.enter_async_context(api.connected())
            writer.write(request("GET", path, key))
            assert (await read_head(reader))[0] == 200
            streams.append(read_chunks(reader))
            await anext(streams[-1])
        revoke()
        began = time.monotonic()
        for chunks in streams:
            async for _ in chunks:
                pass  # to the end of the chunked coding, not to a connection that breaks
        assert time.monotonic() - began < WITHIN + SLACK
    answer = await api.get("/events", key=key)
    assert answer.status in (401, 403)
    take.finish()


async def test_waits_end_with_the_refusal_and_nothing_of_the_conversion(api: Api, key: str, revoke: Revoke) -> None:
    conversion_id, take = await begun(api, key)
    body = '{"url": "https://youtu.be/led-second-"}'
    waits = [
        request("GET", f"/status/{conversion_id}", key, "Prefer: wait=60\r\n"),
        request("POST", "/convert", key, "Prefer: wait=60\r\n", body),
    ]
    async with AsyncExitStack() as stack:
        readers = []
        for sent in waits:
            reader, writer = await stack.enter_async_context(api.connected())
            writer.write(sent)
            readers.append(reader)
        second = await api.studio.take("led-second-")
        async with asyncio.timeout(SOON):
            while len(api.app[LONG_ANSWERS]._under_way) < 2:
                await asyncio.sleep(0.01)
        revoke()
        began = time.monotonic()
        for reader in readers:
            answer = checked(await read_answer(reader))
            assert (answer.status, answer.code) in ((401, "UNAUTHORIZED"), (403, "KEY_DISABLED"))
            assert not [name for name in answer.headers if name.startswith("X-RateLimit")]
        assert time.monotonic() - began < WITHIN + SLACK
    for one in (take, second):
        one.grow(b"and more")
        one.finish()
    async with asyncio.timeout(SOON):
        while not all(one.finished for one in api.engine.table):
            await asyncio.sleep(0.01)
    assert {one.status.value for one in api.engine.table} == {"completed"}, "what was accepted goes on"


async def test_downloads_go_on(api: Api, key: str, revoke: Revoke) -> None:
    conversion_id, take = await begun(api, key)
    async with api.connected() as (reader, writer):
        writer.write(f"GET {link(conversion_id)} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert (await read_head(reader))[0] == 200
        chunks = read_chunks(reader)
        assert await anext(chunks) == b"sound "
        revoke()
        await accepted(api, key, False)
        take.grow(b"and more")
        take.finish()
        assert b"".join([chunk async for chunk in chunks]) == b"and more"
    assert (await api.get(link(conversion_id), key=None)).body == b"sound and more"


async def test_a_stream_that_nobody_reads_ends_too(api: Api, key: str, revoke: Revoke) -> None:
    for first in range(0, 300, 50):
        urls = [watch(f"led-{n:07d}") for n in range(first, first + 50)]
        assert (await api.post("/batch-convert", {"urls": urls}, key=key)).status == 200
    async with api.connected() as (reader, writer):
        reader._transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(request("GET", "/events", key))
        async with asyncio.timeout(SOON):
            while not api.app[LONG_ANSWERS]._under_way:
                await asyncio.sleep(0.01)
        revoke()
        began = time.monotonic()
        async with asyncio.timeout(SOON):
            while api.app[LONG_ANSWERS]._under_way or api.engine.table._watches:
                await asyncio.sleep(0.01)
        assert time.monotonic() - began < WITHIN + SLACK


async def test_others_notice_nothing(api: Api, key: str, revoke: Revoke) -> None:
    conversion_id = (await api.convert("led-of-anna"))["conversion_id"]
    waiting = asyncio.create_task(api.status(conversion_id, wait=9))
    async with asyncio.timeout(SOON):
        while not api.app[LONG_ANSWERS]._under_way:
            await asyncio.sleep(0.01)
    revoke()
    await accepted(api, key, False)
    assert not waiting.done()
    take = await api.studio.take("led-of-anna")
    take.grow(b"sound")
    take.finish()
    assert (await waiting)["status"] == "completed"


async def test_a_file_of_keys_that_is_broken_ends_nothing(api: Api, key: str, tmp_path: Path) -> None:
    conversion_id, take = await begun(api, key)
    waiting = asyncio.create_task(api.status(conversion_id, key=key, wait=9))
    async with asyncio.timeout(SOON):
        while not api.app[LONG_ANSWERS]._under_way:
            await asyncio.sleep(0.01)
    keys: Keys = api.app[KEYS]
    (tmp_path / "api" / "keys.toml").write_text("[carl\n")
    async with asyncio.timeout(SOON):
        while await keys._look() != keys._stamp:
            await asyncio.sleep(0.01)
    take.finish()
    assert (await waiting)["status"] == "completed"
