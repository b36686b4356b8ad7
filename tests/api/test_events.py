"""Server-Sent Events: the state now, then every newer one, never an older one after it."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from conftest import StartApi
from support.api import (
    KEY,
    MEDIA,
    OTHER,
    SOON,
    Api,
    Take,
    checked,
    eventually,
    link,
    read_answer,
    read_chunks,
    read_head,
)

from server import errors
from server.config import JobsConfig
from server.http import events


@dataclass(frozen=True)
class Event:
    name: str
    id: int
    data: Any

    @property
    def conversion_id(self) -> str:
        return str(self.data["conversion_id"])


class Stream:
    """An event stream as a browser reads it (HTML Living Standard §9.2.6)."""

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self.comments: list[str] = []
        self.retry: int | None = None
        self._chunks = chunks
        self._text = ""

    async def next(self) -> Event:
        """Raises StopAsyncIteration at the end of the stream."""
        while True:
            block, found, rest = self._text.partition("\n\n")
            if not found:
                self._text += (await anext(self._chunks)).decode()
                continue
            self._text = rest
            fields: dict[str, str] = {}
            for line in block.split("\n"):
                name, _, value = line.partition(":")
                if not name:
                    self.comments.append(value.strip())
                elif name == "retry":
                    self.retry = int(value)
                else:
                    fields[name] = value.strip()
            if "data" in fields:
                return Event(fields["event"], int(fields["id"]), json.loads(fields["data"]))

    async def until(self, status: str, conversion_id: str = "") -> Event:
        while True:
            event = await self.next()
            if event.data["status"] == status and event.conversion_id.startswith(conversion_id):
                return event

    async def rest(self) -> list[Event]:
        found = []
        try:
            while True:
                found.append(await self.next())
        except StopAsyncIteration:
            return found


@asynccontextmanager
async def listening(api: Api, path: str, key: str = KEY, more: str = "") -> AsyncIterator[Stream]:
    async with api.connected() as (reader, writer):
        writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n{more}\r\n".encode())
        status, headers = await read_head(reader)
        assert status == 200
        assert headers["Content-Type"] == "text/event-stream" and headers["Cache-Control"] == "no-store"
        assert "X-RateLimit-Remaining" in headers and "X-Request-ID" in headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        yield Stream(read_chunks(reader))


async def started(api: Api, video_id: str = "led-growing", key: str = KEY) -> tuple[str, Take]:
    conversion_id = (await api.convert(video_id, key=key))["conversion_id"]
    return conversion_id, await api.studio.take(video_id)


async def test_one_conversion_is_told_from_now_to_its_end(api: Api) -> None:
    conversion_id, take = await started(api)
    async with listening(api, f"/status/{conversion_id}/events") as stream:
        first = await stream.next()
        assert (first.name, first.data["status"]) == ("conversion", "processing")
        assert first.data == await api.status(conversion_id) | {"download_url": first.data["download_url"]}
        take.know()
        take.grow(b"sound", 50)
        assert (await stream.next()).data["progress"] == 50
        take.finish()
        last = await stream.until("completed")
        assert last.data["progress"] == 100 and last.data["file_size"] == 5
        assert await stream.rest() == [], "the stream ends with the conversion"
    assert stream.retry


async def test_places_in_the_queue_are_told_whatever_moves_them(start_api: StartApi) -> None:
    api = await start_api(jobs=JobsConfig(slots=1))
    await started(api)
    first, second, third = [(await api.convert(f"led-waits-{n}"))["conversion_id"] for n in range(3)]
    async with listening(api, "/events") as stream:
        while (await stream.next()).conversion_id != third:
            pass
        await api.request("DELETE", f"/status/{first}")
        told: dict[str, int] = {}
        while told.keys() != {second, third}:
            event = await stream.next()
            if event.data["status"] == "queued":
                told[event.conversion_id] = event.data["queue_position"]
        assert told == {second: 1, third: 2}
        await api.convert("led-of-ben-", key=OTHER)  # whose turn is before anna's second
        assert (await stream.next()).data["queue_position"] == 3


async def test_what_expires_is_told(api: Api) -> None:
    made = (await api.made("some-video-"))["conversion_id"]
    async with listening(api, "/events") as stream:
        await asyncio.sleep(0)
        conversion = api.engine.table.get(made)
        assert conversion
        api.engine._expire([conversion])
        event = await stream.next()
        assert (event.conversion_id, event.data["download_url"]) == (made, None)


async def test_who_reads_nothing_is_cut_off(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "READ_TIMEOUT", 0.2)
    monkeypatch.setattr(events, "INTERVAL", 0)
    _, take = await started(api)
    async with api.connected() as (reader, writer):
        reader._transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(f"GET /events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\n\r\n".encode())
        async with asyncio.timeout(SOON):
            while not api.engine.table._watches:
                await asyncio.sleep(0.01)
            while api.engine.table._watches:
                take.job.media = dataclasses.replace(MEDIA, title="x" * 500_000)
                take.job.touch()
                await asyncio.sleep(0.001)


@pytest.mark.parametrize("end", ["failed", "cancelled"])
async def test_any_end_is_told(api: Api, end: str) -> None:
    conversion_id, take = await started(api)
    async with listening(api, f"/status/{conversion_id}/events") as stream:
        await stream.next()
        if end == "failed":
            take.fail(errors.VideoPrivate())
        else:
            await api.request("DELETE", f"/status/{conversion_id}")
        *_, last = await stream.rest()
    assert last.data["status"] == end and last.data["download_url"] is None


async def test_who_comes_late_gets_the_end_and_no_more(api: Api) -> None:
    conversion_id = (await api.made("some-video-"))["conversion_id"]
    async with listening(api, f"/status/{conversion_id}/events") as stream:
        (only,) = await stream.rest()
    assert only.data["status"] == "completed"


async def test_states_only_get_newer_and_come_at_most_five_times_a_second(api: Api) -> None:
    assert events.INTERVAL >= 0.2
    conversion_id, take = await started(api)

    async def grow() -> None:
        for percent in range(90):
            take.grow(b"x", percent)
            await asyncio.sleep(0.01)
        take.finish()

    began = time.monotonic()
    growing = asyncio.create_task(grow())
    async with listening(api, f"/status/{conversion_id}/events") as stream:
        heard = await stream.rest()
    await growing
    progress = [event.data["progress"] for event in heard]
    assert progress == sorted(progress) and progress[-1] == 100
    assert len({event.id for event in heard}) == len(heard)
    assert 3 <= len(heard) <= 2 + (time.monotonic() - began) / events.INTERVAL


async def test_who_comes_back_gets_the_current_state_under_a_newer_number(api: Api) -> None:
    conversion_id, take = await started(api)
    async with listening(api, f"/status/{conversion_id}/events") as stream:
        first = await stream.next()
    take.grow(b"sound", 70)
    more = f"Last-Event-ID: {first.id}\r\n"
    async with listening(api, f"/status/{conversion_id}/events", more=more) as stream:
        again = await stream.next()
    assert again.id > first.id and again.data["progress"] == 70


@pytest.mark.parametrize("last", ["x", "-1", "9" * 40, "", "1.5"])
async def test_a_senseless_last_event_id_harms_nothing(api: Api, last: str) -> None:
    conversion_id = (await api.made("some-video-"))["conversion_id"]
    async with listening(api, f"/status/{conversion_id}/events", more=f"Last-Event-ID: {last}\r\n") as stream:
        assert (await stream.next()).id == 1


async def test_all_of_a_keys_conversions_and_nobody_elses(api: Api) -> None:
    finished = (await api.made("done-before"))["conversion_id"]
    running, take = await started(api, "led-running")
    async with listening(api, "/events") as stream:
        assert (await stream.next()).conversion_id == running, "begins with what is not finished"
        foreign = (await api.made("their-video", key=OTHER))["conversion_id"]
        fresh = (await api.convert("some-video-"))["conversion_id"]
        await stream.until("completed", fresh)
        take.fail(errors.VideoPrivate())
        await stream.until("failed", running)
        await api.request("DELETE", f"/status/{finished}")
        last = await stream.next()
        assert (last.conversion_id, last.data["download_url"]) == (finished, None)
    async with listening(api, "/events", OTHER) as theirs:
        again = (await api.convert("some-video-", key=OTHER))["conversion_id"]
        assert (await theirs.next()).conversion_id == again
    assert foreign != again


async def test_a_batch_is_told_whole(api: Api) -> None:
    async with listening(api, "/events") as stream:
        urls = [f"https://youtu.be/video-{n:05d}" for n in range(40)]
        jobs = (await api.post("/batch-convert", {"urls": urls})).json["jobs"]
        left = {job["conversion_id"] for job in jobs}
        while left:
            event = await stream.next()
            if event.data["status"] == "completed":
                left.discard(event.conversion_id)


async def test_a_slow_client_gets_the_newest_state_and_delays_nobody(api: Api) -> None:
    running = [await started(api, f"led-many{n:03d}") for n in range(2)]
    async with listening(api, "/events") as slow, listening(api, "/events") as quick:
        for percent in range(95):
            for _, take in running:
                take.grow(b"x", percent)
            await asyncio.sleep(0.001)
        watches = api.engine.table._watches["anna"]
        assert all(len(watch._changed) <= 2 for watch in watches), "one entry a conversion, however slow"
        for _, take in running:
            take.finish()
        for conversion_id, _ in running:
            await quick.until("completed", conversion_id)
            break
        seen: dict[str, int] = {}
        while len([one for one in seen.values() if one == 100]) < 2:
            event = await slow.next()
            assert event.data["progress"] >= seen.get(event.conversion_id, 0), "never a stale one after a newer"
            seen[event.conversion_id] = event.data["progress"]


async def test_silence_is_broken_by_a_comment(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "HEARTBEAT", 0.05)
    conversion_id, take = await started(api)
    async with listening(api, f"/status/{conversion_id}/events") as stream:
        await stream.next()
        end = asyncio.create_task(stream.until("failed"))
        await eventually(lambda: len(stream.comments) >= 3)
        take.fail(errors.VideoPrivate())
        await end


async def test_a_client_that_leaves_is_forgotten_without_a_word(
    api: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(events, "HEARTBEAT", 0.05)
    async with listening(api, "/events"), listening(api, "/events"):
        assert len(api.engine.table._watches["anna"]) == 2
    async with asyncio.timeout(SOON):
        while api.engine.table._watches:
            await asyncio.sleep(0.02)
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_a_key_may_not_open_streams_without_end(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "MAX_STREAMS", 2)
    async with listening(api, "/events"), listening(api, "/events"):
        refused = await api.get("/events")
        assert (refused.status, refused.code) == (503, "QUEUE_FULL") and "Retry-After" in refused.headers
        async with listening(api, "/events", OTHER):
            pass


async def test_streams_end_when_the_server_does(api: Api) -> None:
    await started(api)
    async with listening(api, "/events") as stream:
        await stream.next()
        await api.engine.drain(0)
        await stream.rest()


async def test_who_waits_hears_of_moving_up(start_api: StartApi) -> None:
    api = await start_api(jobs=JobsConfig(slots=1))
    _, first = await started(api, "led-first--")
    ids = [(await api.convert(f"led-wait{n:03d}"))["conversion_id"] for n in range(3)]
    async with listening(api, f"/status/{ids[-1]}/events") as one, listening(api, "/events") as all_of_them:
        assert (await one.next()).data["queue_position"] == 3
        first.fail(errors.VideoPrivate())
        for stream in (one, all_of_them):
            while (event := await stream.next()).conversion_id != ids[-1] or event.data["queue_position"] == 3:
                pass
            assert event.data["queue_position"] == 2


async def test_curl_shows_each_event_as_it_comes(api: Api) -> None:
    if not shutil.which("curl"):
        pytest.skip("NOT TESTED: curl -N (there is no curl here)")
    conversion_id, take = await started(api)
    address, key = f"{api.url}/status/{conversion_id}/events", f"Authorization: Bearer {KEY}"
    curl = await asyncio.create_subprocess_exec("curl", "-sN", "-H", key, address, stdout=asyncio.subprocess.PIPE)
    assert curl.stdout
    async with asyncio.timeout(SOON):
        while b'"processing"' not in await curl.stdout.readline():
            pass
        take.grow(b"sound")
        take.finish()
        assert b'"completed"' in await curl.stdout.read()
        assert await curl.wait() == 0


async def test_http_10_gets_events_too(api: Api) -> None:
    """Most reverse proxies ask in HTTP/1.0 unless told otherwise."""
    conversion_id = (await api.made("some-video-"))["conversion_id"]
    async with api.connected() as (reader, writer):
        writer.write(f"GET /status/{conversion_id}/events HTTP/1.0\r\nAuthorization: Bearer {KEY}\r\n\r\n".encode())
        answer = checked(await read_answer(reader))
    assert answer.status == 200 and b'"completed"' in answer.body


async def test_the_events_links_are_the_links_of_who_listens(api: Api) -> None:
    conversion_id = (await api.made("some-video-"))["conversion_id"]
    async with listening(api, f"/status/{conversion_id}/events") as stream:
        assert (await stream.next()).data["download_url"] == "http://x" + link(conversion_id)
