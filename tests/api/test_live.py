"""The download link while the MP3 is being made: read as it grows, by anybody, at any pace, and never short."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from conftest import StartApi
from support.api import SOON, Api, Take, checked, job_of, link, read_answer, read_chunks, read_head, waited_for

from server import errors
from server.config import JobsConfig
from server.http import downloads, live

CUT = (asyncio.IncompleteReadError, ConnectionError)
#: More than the sockets between server and client hold.
LARGE = 8 << 20


@asynccontextmanager
async def reading(api: Api, conversion_id: str) -> AsyncIterator[AsyncIterator[bytes]]:
    """The chunks of a live download whose head has come."""
    async with api.connected() as (reader, writer):
        writer.write(f"GET {link(conversion_id)} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        status, headers = await read_head(reader)
        assert (status, headers["Transfer-Encoding"], headers["Content-Type"]) == (200, "chunked", "audio/mpeg")
        yield read_chunks(reader)


async def whole(api: Api, conversion_id: str) -> bytes:
    """One reader's bytes, live or not. Raises one of CUT when they are cut off."""
    async with api.connected() as (reader, writer):
        writer.write(f"GET {link(conversion_id)} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        answer = checked(await read_answer(reader))
        assert answer.status == 200, answer
        return answer.body


async def started(api: Api, video_id: str = "led-growing") -> tuple[str, Take]:
    conversion_id = (await api.convert(video_id))["conversion_id"]
    return conversion_id, await api.studio.take(video_id)


async def test_bytes_come_as_they_are_made(api: Api) -> None:
    conversion_id, take = await started(api)
    take.know()
    take.grow(b"first ")
    async with reading(api, conversion_id) as chunks:
        for piece in (b"first ", b"second ", b"third"):
            if piece != b"first ":
                take.grow(piece)
            assert await anext(chunks) == piece
        take.finish()
        assert [chunk async for chunk in chunks] == []
    assert (await api.get(link(conversion_id))).body == b"first second third"


async def test_a_player_may_leave_out_the_tag(api: Api) -> None:
    conversion_id, take = await started(api)
    tag = b"ID3\x03\0\0" + bytes([0, 0, 2, 4]) + b"t" * (2 * 128 + 4)  # its size in four times seven bits
    take.grow(tag[:100])
    async with (
        api.session.get(api.address(f"{link(conversion_id)}?tag=no")) as untagged,
        api.session.get(api.address(link(conversion_id))) as tagged,
    ):
        take.grow(tag[100:] + b"sound ")
        take.grow(b"and more")
        take.finish()
        assert await untagged.read() == b"sound and more"
        assert await tagged.read() == tag + b"sound and more"


#: Of 320 kbit/s at 48 kHz, MPEG-1 layer III: 960 bytes and 24 ms each. The sound within is the frame's number.
FRAMES = [b"\xff\xfb\xe4\x00" + bytes([number]) * 956 for number in range(100)]


async def test_a_player_starts_at_any_second_that_is_made_and_hears_the_rest_grow(api: Api) -> None:
    conversion_id, take = await started(api)
    tag = b"ID3\x03\0\0" + bytes([0, 0, 2, 4]) + b"\xff\xfb\xe4" * 86 + b"tt"
    take.grow(tag + b"".join(FRAMES[:50]))
    async with api.session.get(api.address(f"{link(conversion_id)}?from=0.61")) as answer:
        assert (answer.status, "Accept-Ranges" in answer.headers) == (200, False)
        assert await answer.content.readexactly(960) == FRAMES[26]
        take.grow(b"".join(FRAMES[50:]))
        take.finish()
        assert await answer.read() == b"".join(FRAMES[27:])
    late = await api.get(f"{link(conversion_id)}?from=2.34&tag=no")
    assert (late.status, late.body) == (200, FRAMES[98] + FRAMES[99])
    beyond = await api.get(f"{link(conversion_id)}?from=2.5")
    assert (beyond.status, beyond.code) == (400, "INVALID_REQUEST")


async def test_a_second_that_is_not_made_yet_is_waited_for(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    conversion_id, take = await started(api)
    take.grow(b"".join(FRAMES[:50]))
    reader = asyncio.create_task(api.get(f"{link(conversion_id)}?from=1.8"))
    take.grow(b"".join(FRAMES[50:]))
    with monkeypatch.context() as patient:
        patient.setattr(downloads, "FIRST_BYTE_TIMEOUT", 0.05)
        early = await api.get(f"{link(conversion_id)}?from=2.4")
    assert (early.status, early.code) == (503, "NOT_READY")
    take.finish()
    assert (await reader).body == b"".join(FRAMES[75:])


@pytest.mark.parametrize("moment", ["", "-1", "1e9", "nan", "1:30", "9999999", "1.2.3"])
async def test_a_start_that_is_no_number_of_seconds_is_refused(api: Api, moment: str) -> None:
    answer = await api.get(f"{link('a' * 32)}?from={moment}")
    assert (answer.status, answer.code) == (400, "INVALID_REQUEST")


async def test_ten_readers_who_come_at_any_moment_hear_the_same_from_the_first_byte(api: Api) -> None:
    conversion_id, take = await started(api)
    readers = []
    for step in range(10):
        readers.append(asyncio.create_task(whole(api, conversion_id)))
        take.grow(bytes([step]) * 10_000, step * 10)
        await asyncio.sleep(0.01)
    take.finish()
    heard = await asyncio.gather(*readers)
    made = b"".join(bytes([step]) * 10_000 for step in range(10))
    assert set(heard) == {made}
    assert (await api.get(link(conversion_id))).body == made


async def test_a_link_fetched_at_once_waits_for_the_audio(api: Api) -> None:
    conversion_id, take = await started(api)
    reader = asyncio.create_task(whole(api, conversion_id))
    await waited_for(take.job)
    take.grow(b"sound")
    take.finish()
    assert await reader == b"sound"


async def test_a_link_of_a_queued_conversion_waits_for_its_turn(start_api: StartApi) -> None:
    api = await start_api(jobs=JobsConfig(slots=1))
    _, first = await started(api, "led-first--")
    conversion_id = (await api.convert("led-second-"))["conversion_id"]
    reader = asyncio.create_task(whole(api, conversion_id))
    await waited_for(job_of(api, conversion_id))
    first.fail(errors.VideoPrivate())
    take = await api.studio.take("led-second-")
    take.grow(b"sound")
    take.finish()
    assert await reader == b"sound"


async def test_a_range_of_an_unfinished_file_is_the_whole_and_can_be_resumed_later(api: Api) -> None:
    conversion_id, take = await started(api)
    take.grow(b"0123456789")
    async with api.connected() as (reader, writer):
        writer.write(f"GET {link(conversion_id)} HTTP/1.1\r\nHost: x\r\nRange: bytes=4-\r\n\r\n".encode())
        status, headers = await read_head(reader)
        assert (status, "Content-Range" in headers) == (200, False)
        assert await anext(read_chunks(reader)) == b"0123456789"
    take.grow(b"abcdef")
    take.finish()
    await api.status(conversion_id, wait=50)
    rest = await api.get(link(conversion_id), headers={"Range": "bytes=10-"})
    assert (rest.status, rest.body) == (206, b"abcdef")


async def test_head_of_an_unfinished_file_answers_at_once_and_promises_no_length(api: Api) -> None:
    conversion_id, take = await started(api)
    for _ in range(2):
        head = await api.request("HEAD", link(conversion_id), key=None)
        assert (head.status, head.headers["Content-Type"]) == (200, "audio/mpeg")
        assert "Content-Length" not in head.headers
        take.grow(b"sound")


@pytest.mark.parametrize("end", ["fails", "is cancelled", "is tried again", "is shut down"])
async def test_readers_are_cut_off_when_the_conversion(api: Api, end: str) -> None:
    conversion_id, take = await started(api)
    take.grow(b"half of")
    async with reading(api, conversion_id) as first, reading(api, conversion_id) as second:
        assert await anext(first) == await anext(second) == b"half of"
        if end == "fails":
            take.fail(errors.VideoPrivate())
        elif end == "is tried again":
            take.fail(errors.NetworkError())
        elif end == "is cancelled":
            await api.request("DELETE", f"/status/{conversion_id}")
        else:
            await api.engine.drain(0)
        for chunks in (first, second):
            with pytest.raises(CUT):
                await anext(chunks)
    if end == "is tried again":
        again = await api.studio.take("led-growing", 2)
        again.grow(b"the whole")
        again.finish()
        assert await whole(api, conversion_id) == b"the whole"


async def test_a_retry_before_the_first_byte_cuts_nobody(api: Api) -> None:
    conversion_id, take = await started(api)
    reader = asyncio.create_task(whole(api, conversion_id))
    await waited_for(take.job)
    take.fail(errors.NetworkError())
    again = await api.studio.take("led-growing", 2)
    again.grow(b"sound")
    again.finish()
    assert await reader == b"sound"


async def test_a_failure_before_the_first_byte_is_the_jobs_own_error(api: Api) -> None:
    conversion_id, take = await started(api)
    reader = asyncio.create_task(api.get(link(conversion_id), key=None))
    await waited_for(take.job)
    take.fail(errors.GeoBlocked())
    answer = await reader
    assert (answer.status, answer.code, answer.message) == (404, "GEO_BLOCKED", errors.GeoBlocked().message)


async def test_a_cancel_before_the_first_byte_is_404(api: Api) -> None:
    conversion_id, take = await started(api)
    reader = asyncio.create_task(api.get(link(conversion_id), key=None))
    await waited_for(take.job)
    await api.request("DELETE", f"/status/{conversion_id}")
    answer = await reader
    assert (answer.status, answer.code) == (404, "CONVERSION_NOT_FOUND")


async def test_one_callers_cancel_cuts_only_that_callers_readers(api: Api) -> None:
    first, take = await started(api)
    second = (await api.convert("led-growing"))["conversion_id"]
    take.grow(b"one ")
    async with reading(api, first) as cancelled, reading(api, second) as kept:
        assert await anext(cancelled) == await anext(kept) == b"one "
        await api.request("DELETE", f"/status/{first}")
        with pytest.raises(CUT):
            await anext(cancelled)
        take.grow(b"two")
        take.finish()
        assert b"".join([chunk async for chunk in kept]) == b"two"
    assert (await api.status(second))["status"] == "completed"


async def test_a_reader_that_leaves_harms_nobody_and_is_no_error(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    conversion_id, take = await started(api)
    async with api.connected() as (_, writer):  # before the first byte
        writer.write(f"GET {link(conversion_id)} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        await waited_for(take.job)
    take.grow(b"one ")
    async with reading(api, conversion_id) as staying:
        async with reading(api, conversion_id) as leaving:
            assert await anext(leaving) == await anext(staying) == b"one "
        take.grow(b"two ")
        assert await anext(staying) == b"two "
    for _ in range(5):
        take.grow(b"three ")
        await asyncio.sleep(0.01)
    take.finish()
    assert (await api.status(conversion_id, wait=50))["status"] == "completed"
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_a_reader_that_leaves_a_finished_file_is_no_error(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    conversion_id, take = await started(api)
    take.grow(b"x" * LARGE)
    take.finish()
    await api.status(conversion_id, wait=50)
    for _ in range(5):
        async with api.connected() as (reader, writer):
            writer.write(f"GET {link(conversion_id)} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            assert (await read_head(reader))[0] == 200
    await asyncio.sleep(0.05)
    assert len((await api.get(link(conversion_id))).body) == LARGE
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_a_reader_that_stalls_holds_nobody_back(api: Api) -> None:
    conversion_id, take = await started(api)
    take.grow(b"a" * LARGE)
    async with reading(api, conversion_id) as stalled:
        assert await anext(stalled)
        async with reading(api, conversion_id) as quick:
            take.grow(b"b" * 100)
            take.finish()
            assert sum([len(chunk) async for chunk in quick]) == LARGE + 100
        assert (await api.status(conversion_id, wait=50))["status"] == "completed"
        assert sum([len(chunk) async for chunk in stalled]) > LARGE / 2, "and gets the rest all the same"


async def test_http_10_gets_the_stream_too_ended_by_closing(api: Api) -> None:
    conversion_id, take = await started(api)
    take.grow(b"half of ")
    async with api.connected() as (reader, writer):
        writer.write(f"GET {link(conversion_id)} HTTP/1.0\r\nConnection: keep-alive\r\n\r\n".encode())
        status, headers = await read_head(reader)
        assert (status, headers["Content-Type"]) == (200, "audio/mpeg")
        assert not {"Content-Length", "Transfer-Encoding", "Connection"} & headers.keys()
        assert await reader.readexactly(8) == b"half of "
        take.grow(b"x" * LARGE)
        take.finish()
        assert await reader.read() == b"x" * LARGE
    async with api.connected() as (reader, writer):
        writer.write(f"GET {link(conversion_id)} HTTP/1.0\r\n\r\n".encode())
        answer = await read_answer(reader)
        assert (answer.headers["Content-Length"], answer.body) == (str(LARGE + 8), b"half of " + b"x" * LARGE)


@pytest.mark.parametrize("version", ["1.1", "1.0"])
@pytest.mark.parametrize("made", [8, LARGE])
async def test_a_cut_is_a_reset_so_that_it_is_an_error_in_every_version(api: Api, version: str, made: int) -> None:
    conversion_id, take = await started(api)
    take.grow(b"x" * made)
    async with api.connected() as (reader, writer):
        writer.write(f"GET {link(conversion_id)} HTTP/{version}\r\nHost: x\r\n\r\n".encode())
        assert (await read_head(reader))[0] == 200
        assert await reader.readexactly(5)
        take.fail(errors.VideoPrivate())
        with pytest.raises(ConnectionResetError):
            while await reader.read(1 << 16):
                pass


async def test_a_part_that_is_made_is_answered_without_a_length_of_the_whole(api: Api) -> None:
    conversion_id, take = await started(api)
    take.grow(b"0123456789")
    for wanted, content in (("bytes=0-1", b"01"), ("bytes=4-9", b"456789"), ("Bytes=7-7", b"7")):
        for method in ("GET", "HEAD"):
            answer = await api.request(method, link(conversion_id), key=None, headers={"Range": wanted})
            if method == "HEAD":
                assert (answer.status, "Content-Range" in answer.headers) == (200, False)
                continue
            assert (answer.status, answer.body) == (206, content)
            assert answer.headers["Content-Range"] == f"bytes {wanted[6:]}/*"
            assert answer.headers["Content-Length"] == str(len(content))
            assert answer.headers["Content-Type"] == "audio/mpeg"
    take.grow(b"x" * LARGE)
    answer = await api.get(link(conversion_id), headers={"Range": f"bytes=10-{LARGE + 9}"})
    assert (answer.status, answer.body == b"x" * LARGE) == (206, True)
    take.finish()


@pytest.mark.parametrize(
    "headers",
    [{"Range": "bytes=4-"}, {"Range": "bytes=-4"}, {"Range": "bytes=4-10"}, {"Range": "bytes=5-4"},
     {"Range": "bytes=0-1,4-5"}, {"Range": "lines=0-1"}, {"Range": "bytes=0-1", "If-Range": '"etag"'},
     {"Range": "bytes=99999999999999999999-999999999999999999999"}],
)  # fmt: skip
async def test_any_other_range_of_an_unfinished_file_is_the_whole(api: Api, headers: dict[str, str]) -> None:
    conversion_id, take = await started(api)
    take.grow(b"0123456789")
    reader = asyncio.create_task(api.get(link(conversion_id), headers=headers))
    await asyncio.sleep(0.05)
    take.grow(b"abc")
    take.finish()
    answer = await reader
    assert (answer.status, answer.body, "Content-Range" in answer.headers) == (200, b"0123456789abc", False)


async def test_without_the_tag_a_part_would_be_another(api: Api) -> None:
    conversion_id, take = await started(api)
    take.grow(b"no tag at all")
    take.finish()
    answer = await api.get(f"{link(conversion_id)}?tag=no", headers={"Range": "bytes=0-1"})
    assert answer.status in (200, 206)


async def test_the_connection_is_in_step_after_a_part(api: Api) -> None:
    conversion_id, take = await started(api)
    take.grow(b"0123456789")
    ask = f"GET {link(conversion_id)} HTTP/1.1\r\nHost: x\r\nRange: bytes=2-3\r\n\r\n"
    answers = await api.raw(ask + ask + "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", answers=3)
    assert [answer.status for answer in answers] == [206, 206, 200]


@pytest.mark.parametrize("version", ["1.1", "1.0"])
async def test_nothing_to_send_for_long_is_not_ready(api: Api, monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    assert 45 <= downloads.FIRST_BYTE_TIMEOUT < 60, "proxies give up at 60"
    monkeypatch.setattr(downloads, "FIRST_BYTE_TIMEOUT", 0.1)
    conversion_id, take = await started(api)
    async with api.connected() as (reader, writer):
        writer.write(f"GET {link(conversion_id)} HTTP/{version}\r\nHost: x\r\n\r\n".encode())
        answer = checked(await read_answer(reader))
    assert (answer.status, answer.code) == (503, "NOT_READY")
    assert int(answer.headers["Retry-After"]) > 0
    take.grow(b"it")
    take.finish()
    assert (await api.status(conversion_id, wait=50))["status"] == "completed"


async def test_patience_counts_from_the_request_on_whatever_else_happens(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(downloads, "FIRST_BYTE_TIMEOUT", 0.3)
    conversion_id, take = await started(api)
    reader = asyncio.create_task(api.get(link(conversion_id)))
    async with asyncio.timeout(SOON):
        while not reader.done():
            take.job.changed.notify()
            await asyncio.sleep(0.01)
    assert (await reader).code == "NOT_READY"


async def test_a_waiting_reader_is_told_when_the_server_stops(start_api: StartApi) -> None:
    api = await start_api(jobs=JobsConfig(slots=1))
    await started(api, "led-first--")
    conversion_id = (await api.convert("led-second-"))["conversion_id"]
    reader = asyncio.create_task(api.get(link(conversion_id)))
    await waited_for(job_of(api, conversion_id))
    await api.engine.drain(0)
    answer = await reader
    assert (answer.status, answer.code) == (503, "SHUTTING_DOWN")


async def test_what_is_made_between_a_last_look_and_the_end_is_read_too(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    conversion_id, take = await started(api)
    opened = live.opened

    class Hesitant:
        """A file whose end is reported late: meanwhile it grows and is finished."""

        def __init__(self, file: Any) -> None:
            self.file = file

        async def read(self, size: int) -> bytes:
            chunk: bytes = await self.file.read(size)
            if not chunk and not take.end.done():
                take.grow(b"the end")
                take.finish()
                await api.status(conversion_id, wait=50)
            return chunk

    @asynccontextmanager
    async def hesitantly(path: Path) -> AsyncIterator[Hesitant]:
        async with opened(path) as file:
            yield Hesitant(file)

    monkeypatch.setattr(downloads, "opened", hesitantly)
    take.grow(b"the beginning, ")
    assert await whole(api, conversion_id) == b"the beginning, the end"


async def test_an_artifact_published_while_readers_follow_is_read_to_its_end(api: Api) -> None:
    """The last bytes and the end may come in one moment."""
    for number in range(20):
        conversion_id, take = await started(api, f"led-quick{number:02d}")
        readers = [asyncio.create_task(whole(api, conversion_id)) for _ in range(3)]
        take.grow(b"a" * 1000)
        await asyncio.sleep(0.002 * (number % 5))
        take.grow(b"b" * 100_000)
        take.finish()
        for body in await asyncio.gather(*readers):
            assert body == b"a" * 1000 + b"b" * 100_000
