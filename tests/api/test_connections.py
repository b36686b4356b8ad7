"""Connections that ask nothing, take nothing or are too many: each ends, and nobody else notices."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import resource
import select
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from conftest import StartApi
from support.api import KEY, SOON, Api, bearer, link, read_head

from server.config import ServerConfig
from server.http import addresses, connections, listener, protocol, wrong_keys
from server.http.context import ARTIFACTS, CONNECTIONS

LARGE = 16 << 20


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "_PERIOD", 0.02)


@asynccontextmanager
async def slow_reader(api: Api, path: str, version: str = "1.1", *, head: str = "") -> AsyncIterator[socket.socket]:
    """A connection that has asked for `path` and takes nothing of it."""
    loop = asyncio.get_running_loop()
    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        one.setblocking(False)
        await loop.sock_connect(one, ("127.0.0.1", api.port))
        await loop.sock_sendall(one, f"GET {path} HTTP/{version}\r\nHost: x\r\n{head}\r\n".encode())
        async with asyncio.timeout(SOON):
            await loop.sock_recv(one, 1)  # the answer has begun
        yield one


async def until_reset(one: socket.socket) -> bytes:
    """What could be read by then; fails unless a reset ends it."""
    poller = select.poll()
    poller.register(one, select.POLLRDHUP)
    async with asyncio.timeout(SOON):
        while not poller.poll(0):
            await asyncio.sleep(0.01)
    content = b""
    with pytest.raises(ConnectionResetError):
        while chunk := one.recv(1 << 16):
            content += chunk
    return content


async def until_nobody(api: Api) -> None:
    async with asyncio.timeout(SOON):
        while api.app[CONNECTIONS]._at_work or api.app[CONNECTIONS].files:
            await asyncio.sleep(0.01)


async def one_large(api: Api, *, finished: bool) -> str:
    conversion_id = str((await api.convert("led-large--"))["conversion_id"])
    take = await api.studio.take("led-large--")
    take.know(cover=b"x" * LARGE)
    take.grow(b"x" * LARGE)
    if finished:
        take.finish()
        await api.status(conversion_id, wait=50)
    return conversion_id


# ---- readers


@pytest.mark.parametrize("version", ["1.1", "1.0"])
@pytest.mark.parametrize("what", ["live", "finished", "range", "cover"])
async def test_a_reader_that_takes_nothing_is_cut_off(
    api: Api, monkeypatch: pytest.MonkeyPatch, what: str, version: str, caplog: pytest.LogCaptureFixture
) -> None:
    conversion_id = await one_large(api, finished=what != "live")
    monkeypatch.setattr(connections, "STALL_TIMEOUT", 0.3)
    path = link(conversion_id).replace(".mp3", ".jpg") if what == "cover" else link(conversion_id)
    head = "Range: bytes=1000-\r\n" if what == "range" else ""
    async with slow_reader(api, path, version, head=head) as reader:
        await until_nobody(api)
        assert len(await until_reset(reader)) < LARGE
    assert len(api.app[CONNECTIONS]) <= 1, "but for the test's own"
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert len((await api.get(path)).body) == LARGE if what != "live" else True


async def test_a_reader_that_takes_a_little_now_and_then_gets_it_whole(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    conversion_id = await one_large(api, finished=True)
    monkeypatch.setattr(connections, "STALL_TIMEOUT", 2)
    loop = asyncio.get_running_loop()
    async with slow_reader(api, link(conversion_id), head="Connection: close\r\n") as reader:
        received = 0
        for _ in range(12):  # for twice as long as a reader may take nothing
            received += len(await loop.sock_recv(reader, 4096))
            await asyncio.sleep(0.35)
        while chunk := await loop.sock_recv(reader, 1 << 20):
            received += len(chunk)
    assert received > LARGE


async def test_an_answer_that_nobody_reads_does_not_keep_its_connection(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also one that is small, and one that is followed by more requests."""
    for n in range(120):
        await api.convert(f"video-{n:05d}")
    monkeypatch.setattr(connections, "STALL_TIMEOUT", 0.3)
    monkeypatch.setattr(connections, "KEEP_ALIVE_TIMEOUT", 0.3)
    again = f"GET /status?limit=100 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\n\r\n"
    head = f"Authorization: Bearer {KEY}\r\n\r\n" + 20 * again
    async with slow_reader(api, "/status?limit=100", head=head):
        async with asyncio.timeout(SOON):
            while len(api.app[CONNECTIONS]) > 1 or api.app[CONNECTIONS]._at_work:
                await asyncio.sleep(0.01)


async def test_readers_that_take_nothing_make_room_for_who_comes(
    start_api: StartApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.app.room_for_connections", lambda slots: 40)
    monkeypatch.setattr(connections, "STALL_TIMEOUT_WHEN_FULL", 0.2)
    monkeypatch.setattr(connections, "FILE_TIMEOUT", 0.1)
    api = await start_api()
    conversion_id = await one_large(api, finished=True)
    async with slow_reader(api, link(conversion_id)) as first:
        async with asyncio.timeout(SOON):
            while not api.app[CONNECTIONS]._stalled:
                await asyncio.sleep(0.01)
            clients = [await asyncio.open_connection("127.0.0.1", api.port) for _ in range(45)]
            for _, writer in clients:
                writer.write(f"GET {link(conversion_id)} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            await until_reset(first)
            answers = [await read_head(reader) for reader, _ in clients if not reader.at_eof()][:20]
        assert {status for status, _ in answers} <= {200, 503}
        assert all("Retry-After" in headers for status, headers in answers if status == 503)
        assert (await api.get("/healthz")).status == 200
        for _, writer in clients:
            writer.transport.abort()
    await until_nobody(api)


@pytest.mark.parametrize("begun", ["live", "finished"])
async def test_who_reads_a_removed_file_for_long_is_cut_when_its_room_is_needed(
    api: Api, monkeypatch: pytest.MonkeyPatch, begun: str
) -> None:
    conversion_id = await one_large(api, finished=begun == "finished")
    loop = asyncio.get_running_loop()
    artifacts = api.app[ARTIFACTS]
    async with slow_reader(api, link(conversion_id)) as reader:
        if begun == "live":
            (await api.studio.take("led-large--")).finish()
            await api.status(conversion_id, wait=50)
            while not artifacts._readers._open:  # it is counted once it goes on
                await loop.sock_recv(reader, 1 << 16)
        monkeypatch.setattr(artifacts, "_budget_bytes", 0)
        monkeypatch.setattr("server.storage.readers.GRACE", 0)
        await api.engine.tidy()
        assert len(await until_reset(reader)) < LARGE
        await until_nobody(api)
    assert artifacts.used_bytes == 0


# ---- clients that leave


@pytest.mark.parametrize("how", ["a download", "an event stream", "a wait", "a live download"])
async def test_nobody_is_waited_for_after_leaving(api: Api, how: str) -> None:
    conversion_id = (await api.convert("led-waiting"))["conversion_id"]
    take = await api.studio.take("led-waiting")
    if how == "a live download":
        take.grow(b"sound")
    paths = {"an event stream": f"/status/{conversion_id}/events", "a wait": f"/status/{conversion_id}"}
    path = paths.get(how, link(conversion_id))
    counted = api.app[CONNECTIONS]
    for _ in range(5):
        async with api.connected() as (_, writer):
            writer.write(
                f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\nPrefer: wait=60\r\n\r\n".encode()
            )
            async with asyncio.timeout(SOON):
                while not counted._at_work:
                    await asyncio.sleep(0.01)
    await until_nobody(api)
    assert not api.engine.table._watches and not take.job.changed._waiters
    take.finish() if how == "a live download" else None


# ---- those that ask nothing


@pytest.mark.parametrize("sent", [b"", b"GET /hea", b"POST /convert HTTP/1.1\r\nHost: x\r\nX-A: b\r\n"])
async def test_a_request_that_never_comes_is_not_waited_for(
    api: Api, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr(connections, "FIRST_REQUEST_TIMEOUT", 0.3)
    async with api.connected() as (reader, writer):
        writer.write(sent)
        for _ in range(3):  # nor do a few more bytes win time
            await asyncio.sleep(0.05)
            writer.write(sent[:1])
        with suppress(ConnectionResetError):  # bytes that it has not read when it closes
            assert await reader.read() == b""


async def test_a_connection_is_kept_alive_for_a_while(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "FIRST_REQUEST_TIMEOUT", 0.5)
    monkeypatch.setattr(connections, "KEEP_ALIVE_TIMEOUT", 2)
    async with api.connected() as (reader, writer):
        for _ in range(3):
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            status, headers = await read_head(reader)
            assert status == 200
            await reader.readexactly(int(headers["Content-Length"]))
            await asyncio.sleep(0.2)
        assert await reader.read() == b""


async def test_headers_without_end_are_not_collected(api: Api) -> None:
    async with api.connected() as (reader, writer):
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n")
        with pytest.raises(ConnectionError):
            for n in range(100):
                writer.write(f"X-{n}: {'v' * 8000}\r\n".encode())
                await writer.drain()
                await asyncio.sleep(0)
            await reader.readexactly(1)
            raise AssertionError("they were taken")
    assert (await api.get("/healthz")).status == 200


async def test_a_large_body_is_no_large_head(api: Api) -> None:
    body = b'{"url": "https://youtu.be/some-video-", "x": "' + b"x" * 4 * protocol.MAX_HEAD
    sent = b"GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    answers = await api.raw(sent + sent + b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", answers=3)
    assert {answer.status for answer in answers} == {200}


# ---- too many


async def test_one_address_outside_has_a_few(start_api: StartApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses, "is_loopback", lambda text: False)
    api = await start_api(server=ServerConfig(connections_per_address=5))
    body = b'{"url": "https://youtu.be/led-waiting"}'
    head = f"POST /convert HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\nContent-Length: {len(body)}\r\n\r\n"
    (answer,) = await api.raw(head.encode() + body)
    conversion_id = answer.json["conversion_id"]
    await until_leaves(api, 0)
    wait = f"GET /status/{conversion_id} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\nPrefer: wait=60\r\n\r\n"
    async with AsyncExitStack() as stack:
        writers = [(await stack.enter_async_context(api.connected()))[1] for _ in range(5)]
        for writer in writers:
            writer.write(wait.encode())
        async with asyncio.timeout(SOON):
            while len(api.app[CONNECTIONS]._at_work) < 5:
                await asyncio.sleep(0.01)
        async with api.connected() as (reader, _):
            assert await reader.read() == b"", "a sixth is closed"
        writers[0].transport.abort()
        await until_leaves(api, 4)
        (answer,) = await api.raw("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert answer.status == 200


async def until_leaves(api: Api, count: int) -> None:
    async with asyncio.timeout(SOON):
        while len(api.app[CONNECTIONS]) > count:
            await asyncio.sleep(0.01)


async def test_trusted_proxies_have_as_many_as_they_need(start_api: StartApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses, "is_loopback", lambda text: False)
    api = await start_api(server=ServerConfig(connections_per_address=2, trusted_proxies=("127.0.0.0/8",)))
    answers = await asyncio.gather(*(api.get("/status", headers=bearer(KEY)) for _ in range(20)))
    assert {answer.status for answer in answers} == {200}


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="NOT TESTED: needs Linux's /proc")
async def test_where_the_system_has_no_descriptor_left_it_is_tried_again(
    api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    waiting = [socket.socket() for _ in range(20)]
    for one in waiting:
        one.setblocking(False)
    in_use = max(int(one.name) for one in Path("/proc/self/fd").iterdir())
    resource.setrlimit(resource.RLIMIT_NOFILE, (in_use + 1, hard))
    gaps = []
    with pytest.raises(OSError):
        while True:
            gaps.append(os.dup(waiting[0].fileno()))
    try:
        for one in waiting:
            one.connect_ex(("127.0.0.1", api.port))
        async with asyncio.timeout(SOON):
            while not [record for record in caplog.records if "cannot be accepted" in record.getMessage()]:
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.3)
    finally:
        for gap in gaps:
            os.close(gap)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    told = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert f"a connection cannot be accepted: {os.strerror(errno.EMFILE)}" in told
    assert all(os.strerror(errno.EMFILE) in one for one in told)  # whoever looked at the folder meanwhile says so, too
    assert len(told) < 20 and not any(record.exc_info for record in caplog.records)
    assert (await api.get("/healthz")).status == 200
    for one in waiting:
        one.close()


# ---- keys that are not accepted


async def test_whoever_tries_keys_waits_and_nobody_else(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wrong_keys, "AT_ONCE", 5)
    for n in range(5):
        assert (await api.get("/status", key=f"guess-{n}")).status == 401
    assert not api.app[CONNECTIONS]._at_work
    began = asyncio.get_running_loop().time()
    guesses = [asyncio.create_task(api.get("/status", key=f"guess-{n}")) for n in range(20)]
    assert (await api.get("/status")).status == 200
    assert not all(guess.done() for guess in guesses), "a good key of the same address did not wait for them"
    answers = await asyncio.gather(*guesses)
    assert {answer.code for answer in answers} == {"UNAUTHORIZED"}
    assert asyncio.get_running_loop().time() - began >= 1


async def test_those_that_wait_give_way_to_others(start_api: StartApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.app.room_for_connections", lambda slots: 20)
    monkeypatch.setattr(wrong_keys, "AT_ONCE", 0)
    monkeypatch.setattr(wrong_keys, "PERIOD", 60)
    monkeypatch.setattr(wrong_keys, "MOST_DELAY", 60)
    api = await start_api()
    async with AsyncExitStack() as stack:
        for _ in range(20):
            _, writer = await stack.enter_async_context(api.connected())
            writer.write(b"GET /status HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer guess\r\n\r\n")
        await asyncio.sleep(0.1)
        answers = await asyncio.gather(*(api.get("/healthz") for _ in range(5)))
        assert {answer.status for answer in answers} == {200}
    await until_leaves(api, 6)


# ---- where it listens


@pytest.fixture
def v6() -> None:
    try:
        with socket.socket(socket.AF_INET6) as one:
            one.bind(("::1", 0))
    except OSError as error:
        pytest.skip(f"NOT TESTED: IPv6 ({error.strerror})")


def reached(sockets: list[socket.socket]) -> set[str]:
    port, found = sockets[0].getsockname()[1], set()
    for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        with socket.socket(family) as one:
            one.settimeout(SOON)
            if one.connect_ex((address, port)) == 0:
                found.add(address)
    return found


@pytest.mark.parametrize(
    ("host", "wanted"),
    [("::", {"127.0.0.1", "::1"}), ("::1", {"::1"}), ("127.0.0.1", {"127.0.0.1"}), ("0.0.0.0", {"127.0.0.1"})],  # noqa: S104
)
def test_a_host_is_listened_on_in_its_families(v6: None, host: str, wanted: set[str]) -> None:
    sockets = listener.listening_sockets(host, 0)
    try:
        assert reached(sockets) == wanted
    finally:
        for one in sockets:
            one.close()


Found = list[tuple[socket.AddressFamily, tuple[Any, ...]]]
ADDRESSES: dict[str, Found] = {
    "both": [(socket.AF_INET6, ("::1", 0, 0, 0)), (socket.AF_INET, ("127.0.0.1", 0))],
    "here": [(socket.AF_INET, ("192.0.2.99", 0)), (socket.AF_INET, ("127.0.0.1", 0))],
    "none": [(socket.AF_INET, ("192.0.2.99", 0))],
}


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> None:
    def found(host: str, port: int, **_: object) -> list[object]:
        return [(family, 1, 6, "", address) for family, address in [*ADDRESSES[host], ADDRESSES[host][0]]]

    monkeypatch.setattr(socket, "getaddrinfo", found)


def test_all_addresses_of_a_name_are_listened_on_at_one_port(v6: None, names: None) -> None:
    sockets = listener.listening_sockets("both", 0)
    try:
        assert len(sockets) == 2 and len({one.getsockname()[1] for one in sockets}) == 1
        assert reached(sockets) == {"127.0.0.1", "::1"}
    finally:
        for one in sockets:
            one.close()


def test_an_address_that_this_machine_does_not_have_is_left_out_where_there_is_another(names: None) -> None:
    (one,) = listener.listening_sockets("here", 0)
    with one:
        assert one.getsockname()[0] == "127.0.0.1"
    with pytest.raises(OSError) as caught:
        listener.listening_sockets("none", 0)
    assert caught.value.errno == errno.EADDRNOTAVAIL


def test_without_ipv6_every_address_is_every_address_of_ipv4(monkeypatch: pytest.MonkeyPatch) -> None:
    listen = listener._listening

    def without_v6(family: socket.AddressFamily, address: tuple[object, ...]) -> socket.socket:
        if family == socket.AF_INET6:
            raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
        return listen(family, address)

    monkeypatch.setattr(listener, "_listening", without_v6)
    (one,) = listener.listening_sockets("::", 0)
    with one:
        assert reached([one]) == {"127.0.0.1"}


def test_a_port_that_another_program_has_is_not_shared() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError) as caught:
        listener.listening_sockets("127.0.0.1", taken.getsockname()[1])
    assert caught.value.errno == errno.EADDRINUSE


def test_a_port_taken_at_the_second_address_is_given_up_for_another(
    v6: None, names: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    listen, tries = listener._listening, 0

    def unlucky(family: socket.AddressFamily, address: tuple[object, ...]) -> socket.socket:
        nonlocal tries
        if address[1]:
            tries += 1
            if tries == 1:
                raise OSError(errno.EADDRINUSE, "Address already in use")
        return listen(family, address)

    monkeypatch.setattr(listener, "_listening", unlucky)
    for one in listener.listening_sockets("both", 0):
        one.close()
    assert tries == 2
