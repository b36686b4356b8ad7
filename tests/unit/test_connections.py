"""Who may connect, and whose connection makes room for another."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest
from support.clock import Clock

from server.errors import NotReady
from server.http import addresses
from server.http import connections as module
from server.http.connections import (
    FIRST_REQUEST_TIMEOUT,
    KEEP_ALIVE_TIMEOUT,
    STALL_TIMEOUT,
    STALL_TIMEOUT_WHEN_FULL,
    Connection,
    Connections,
)

OUTSIDE = "192.0.2.7"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "_now", clock)
    return clock


@pytest.fixture
def few(clock: Clock) -> Connections:
    return Connections(room=8, per_customer=3)


class Client:
    """A connection and what became of it."""

    def __init__(self, connections: Connections, address: str = "127.0.0.1", *, counted: bool = False) -> None:
        connection = connections.admit(address, counted=counted)
        assert connection, "refused"
        self.connection: Connection = connection
        self.cut = False
        self.taken: int | None = None
        connection.cut = self._cut
        connection.progress = lambda: self.taken

    def _cut(self) -> None:
        self.cut = True


def at_work(connections: Connections, count: int) -> list[Client]:
    clients = [Client(connections) for _ in range(count)]
    for client in clients:
        connections.begin(client.connection)
    return clients


def test_when_it_is_full_the_one_that_waited_longest_is_closed(few: Connections, clock: Clock) -> None:
    clients = []
    for _ in range(8):
        clients.append(Client(few))
        clock.now += 1
    few.begin(clients[0].connection)
    few.rest(clients[0].connection)  # it asked something, and waits since now
    newcomers = [Client(few) for _ in range(3)]
    assert [client.cut for client in clients] == [False, True, True, True, False, False, False, False]
    assert len(few) == 8 and not any(client.cut for client in newcomers)


def test_a_silent_one_and_one_kept_alive_are_told_apart_by_nothing_but_their_wait(
    few: Connections, clock: Clock
) -> None:
    kept = at_work(few, 1)[0]
    few.rest(kept.connection)
    clock.now += 1
    silent = Client(few)
    at_work(few, 6)
    Client(few)
    assert kept.cut and not silent.cut


def test_where_all_are_at_work_a_newcomer_is_refused_and_nobody_is_disturbed(few: Connections) -> None:
    clients = at_work(few, 8)
    assert few.admit("127.0.0.1", counted=False) is None
    assert not any(client.cut for client in clients)
    few.leave(clients[0].connection)
    assert few.admit("127.0.0.1", counted=False)


def test_one_address_has_a_few_and_its_own_make_room(few: Connections) -> None:
    clients = [Client(few, OUTSIDE, counted=True) for _ in range(3)]
    fourth = Client(few, OUTSIDE, counted=True)
    assert [client.cut for client in clients] == [True, False, False]
    for client in (*clients[1:], fourth):
        few.begin(client.connection)
    assert few.admit(OUTSIDE, counted=True) is None
    assert few.admit("192.0.2.8", counted=True), "another address has its own"
    few.rest(fourth.connection)
    assert few.admit(OUTSIDE, counted=True) and fourth.cut


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [("2001:db8::1", "2001:db8::ffff:1", True), ("2001:db8::1", "2001:db8:0:1::1", False),
     ("::ffff:192.0.2.7", "192.0.2.7", True), ("fe80::1%eth0", "fe80::2%eth0", True),
     ("192.0.2.7", "192.0.2.8", False)],
)  # fmt: skip
def test_a_network_of_ipv6_is_one_address(clock: Clock, first: str, second: str, same: bool) -> None:
    connections = Connections(room=100, per_customer=1)
    (client,) = [Client(connections, first, counted=True)]
    connections.begin(client.connection)
    assert (connections.admit(second, counted=True) is None) is same


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("::1", "::1"),
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:nonsense", "::ffff:nonsense"),
    ],
)
def test_an_address_of_ipv4_is_shown_as_one(text: str, shown: str) -> None:
    assert addresses.plain(text) == shown


def test_nothing_is_remembered_of_who_has_left(few: Connections) -> None:
    clients = [Client(few, OUTSIDE, counted=True) for _ in range(3)]
    few.begin(clients[0].connection)
    for client in clients:
        few.leave(client.connection)
        few.leave(client.connection)
        few.rest(client.connection)
    assert len(few) == 0
    held = (few._silent, few._kept_alive, few._resting_of, few._at_work, few._stalled, few._by_customer)
    assert not any(held)


async def test_files_take_room_too(few: Connections) -> None:
    clients = [Client(few) for _ in range(6)]
    async with few.file(), few.file():
        Client(few)
        assert clients[0].cut


async def test_downloads_leave_some_of_the_room_to_requests(few: Connections, monkeypatch: pytest.MonkeyPatch) -> None:
    at_work(few, 3)
    monkeypatch.setattr(module, "FILE_TIMEOUT", 0)
    async with AsyncExitStack() as stack:
        for _ in range(3):
            await stack.enter_async_context(few.file())
        with pytest.raises(NotReady) as caught:
            await stack.enter_async_context(few.file())
        assert int(caught.value.headers["Retry-After"]) > 0
        assert few.admit("127.0.0.1", counted=False)
        async with few.file(download=False):
            pass
    assert few.files == 0 and not few._waiting


async def test_a_download_waits_for_room_and_who_came_first_is_first(
    few: Connections, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_now", asyncio.get_running_loop().time)
    places = [few.file() for _ in range(3)]
    for place in places:
        await place.__aenter__()
    began: list[int] = []

    async def download(number: int) -> None:
        async with few.file():
            began.append(number)

    tasks = []
    for number in range(5):
        tasks.append(asyncio.create_task(download(number)))
        await asyncio.sleep(0)
    tasks.pop(0).cancel()
    await asyncio.sleep(0.01)
    assert began == []
    for place in places:
        await place.__aexit__(None, None, None)
    await asyncio.gather(*tasks)
    assert began == [1, 2, 3, 4] and few.files == 0 and not few._waiting


async def test_a_reader_that_stalls_gives_its_room_to_one_that_waits(
    few: Connections, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_now", asyncio.get_running_loop().time)
    monkeypatch.setattr(module, "STALL_TIMEOUT_WHEN_FULL", 0)
    (client,) = at_work(few, 1)
    client.taken = 5
    async with few.file(), few.file(), few.file():
        await looked_at(few)
        few._stalled.clear()
        waiting = asyncio.create_task(few.file().__aenter__())
        await asyncio.sleep(0.01)
        assert not waiting.done() and not client.cut
        await looked_at(few)
        await waiting
        assert client.cut


async def looked_at(connections: Connections) -> None:
    """What `watch` does once."""
    connections._close_waiting(connections._silent, FIRST_REQUEST_TIMEOUT)
    connections._close_waiting(connections._kept_alive, KEEP_ALIVE_TIMEOUT)
    await connections._look_at_progress()


async def test_who_waits_too_long_is_closed(few: Connections, clock: Clock) -> None:
    silent, kept, working = Client(few), *at_work(few, 2)
    few.rest(kept.connection)
    clock.now += FIRST_REQUEST_TIMEOUT - 0.1
    await looked_at(few)
    assert not silent.cut
    clock.now += 0.1
    await looked_at(few)
    assert (silent.cut, kept.cut) == (True, False)
    clock.now += KEEP_ALIVE_TIMEOUT - FIRST_REQUEST_TIMEOUT
    await looked_at(few)
    assert (kept.cut, working.cut) == (True, False)
    assert KEEP_ALIVE_TIMEOUT > 60, "reverse proxies keep theirs for 60 s"


async def test_who_takes_nothing_is_cut_off_and_who_takes_a_little_is_not(few: Connections, clock: Clock) -> None:
    stopped, slow, waiting = at_work(few, 3)
    stopped.taken = slow.taken = 5
    for _ in range(3):
        await looked_at(few)
        clock.now += STALL_TIMEOUT / 2
        slow.taken += 1
    assert (stopped.cut, slow.cut, waiting.cut) == (True, False, False)
    assert STALL_TIMEOUT == 60


async def test_a_long_wait_before_the_first_byte_does_not_count(few: Connections, clock: Clock) -> None:
    (client,) = at_work(few, 1)
    await looked_at(few)
    clock.now += 2 * STALL_TIMEOUT
    await looked_at(few)
    client.taken = 0
    await looked_at(few)
    clock.now += STALL_TIMEOUT - 1
    await looked_at(few)
    assert not client.cut


async def test_when_it_is_full_a_reader_that_takes_nothing_makes_room(few: Connections, clock: Clock) -> None:
    clients = at_work(few, 8)
    for number, client in enumerate(clients):
        client.taken = number
    await looked_at(few)
    clock.now += STALL_TIMEOUT_WHEN_FULL
    clients[0].taken = 100
    await looked_at(few)
    assert not any(client.cut for client in clients), "nobody needs their place yet"
    for _ in range(7):
        few.begin(Client(few).connection)
    assert [client.cut for client in clients] == [False] + [True] * 7
    assert few.admit("127.0.0.1", counted=False) is None


async def test_many_are_looked_at_in_turns_with_everybody_else(clock: Clock) -> None:
    connections = Connections(room=1000, per_customer=3)
    at_work(connections, 500)
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(others())
    await connections._look_at_progress()
    task.cancel()
    assert turns >= 10
