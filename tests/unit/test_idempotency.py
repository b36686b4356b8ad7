"""Safe retries, below HTTP: what is remembered, for whom, and for how long."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from server import errors
from server.http import idempotency
from server.http.idempotency import Idempotency
from server.jobs import Conversion, Job, Quality, Recipe, new_id, utc_now

Submit = Callable[[], Awaitable[list[Conversion]]]


class Counter:
    """Submits, and counts how often."""

    def __init__(self, each: int = 1) -> None:
        self.each = each
        self.count = 0
        self.gate: asyncio.Event | None = None
        self.error: Exception | None = None

    async def __call__(self) -> list[Conversion]:
        self.count += 1
        if self.gate:
            await self.gate.wait()
        if self.error:
            raise self.error
        job = Job(Recipe("some-video-", 320))
        return [Conversion(new_id(), "anna", Quality.HIGH, utc_now(), job) for _ in range(self.each)]


async def test_without_a_key_every_request_is_its_own() -> None:
    kept, submit = Idempotency(), Counter()
    assert await kept.once("anna", None, b"x", submit) != await kept.once("anna", None, b"x", submit)


async def test_the_first_result_comes_again() -> None:
    kept, submit = Idempotency(), Counter()
    assert await kept.once("anna", "k", b"x", submit) is await kept.once("anna", "k", b"x", submit)
    assert submit.count == 1


async def test_another_request_under_the_key_is_refused_and_changes_nothing() -> None:
    kept, submit = Idempotency(), Counter()
    first = await kept.once("anna", "k", b"x", submit)
    with pytest.raises(errors.IdempotencyMismatch):
        await kept.once("anna", "k", b"y", submit)
    assert await kept.once("anna", "k", b"x", submit) is first


async def test_owners_do_not_share_keys() -> None:
    kept, submit = Idempotency(), Counter()
    await kept.once("anna", "k", b"x", submit)
    await kept.once("ben", "k", b"y", submit)
    assert submit.count == 2


async def test_a_second_request_waits_for_the_first_and_survives_its_waiters() -> None:
    kept, submit = Idempotency(), Counter()
    submit.gate = asyncio.Event()
    first, leaving, staying = [asyncio.create_task(kept.once("anna", "k", b"x", submit)) for _ in range(3)]
    await asyncio.sleep(0)  # they run until they wait
    with pytest.raises(errors.IdempotencyMismatch):
        await kept.once("anna", "k", b"y", submit)
    leaving.cancel()
    await asyncio.sleep(0)
    submit.gate.set()
    assert await first is await staying
    assert submit.count == 1


async def test_a_failure_is_shared_by_who_waits_and_then_forgotten() -> None:
    kept, submit = Idempotency(), Counter()
    submit.gate, submit.error = asyncio.Event(), errors.QueueFull("full", retry_after=1)
    waiting = [asyncio.create_task(kept.once("anna", "k", b"x", submit)) for _ in range(2)]
    await asyncio.sleep(0)  # they run until they wait
    submit.gate.set()
    for task in waiting:
        with pytest.raises(errors.QueueFull):
            await task
    submit.error = None
    assert await kept.once("anna", "k", b"y", submit)
    assert submit.count == 2


async def test_a_first_that_is_cancelled_is_forgotten() -> None:
    kept, submit = Idempotency(), Counter()
    submit.gate = asyncio.Event()
    first = asyncio.create_task(kept.once("anna", "k", b"x", submit))
    await asyncio.sleep(0)  # they run until they wait
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    submit.gate.set()
    assert await kept.once("anna", "k", b"other", submit)


async def test_a_result_is_remembered_for_a_day_by_the_monotonic_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    assert idempotency.LIFETIME == 24 * 3600
    kept, submit = Idempotency(), Counter()
    first = await kept.once("anna", "k", b"x", submit)
    loop = asyncio.get_running_loop()
    begun = loop.time()
    monkeypatch.setattr(loop, "time", lambda: begun + 24 * 3600 - 1)
    assert await kept.once("anna", "k", b"x", submit) is first
    monkeypatch.setattr(loop, "time", lambda: begun + 24 * 3600 + 1)
    assert await kept.once("anna", "k", b"other", submit) is not first


async def test_what_is_remembered_is_bounded_and_the_oldest_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idempotency, "MAX_KEPT", 3)
    kept, submit = Idempotency(), Counter()
    for key in "abcd":
        await kept.once("anna", key, b"x", submit)
    await kept.once("anna", "d", b"x", submit)
    assert submit.count == 4
    await kept.once("anna", "a", b"x", submit)
    assert submit.count == 5
    for key in "efgh":
        await kept.once("ben", key, b"x", submit)
    await kept.once("anna", "d", b"x", submit)
    assert submit.count == 9, "one caller's never push out another's"


async def test_what_counts_is_how_many_conversions_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idempotency, "MAX_KEPT", 5)
    kept, submit = Idempotency(), Counter(each=2)
    for key in "abc":
        await kept.once("anna", key, b"x", submit)
    await kept.once("anna", "b", b"x", submit)
    assert submit.count == 3
    await kept.once("anna", "a", b"x", submit)
    assert submit.count == 4


@pytest.mark.parametrize("key", ["", "x" * 256, "é", "a\tb", "a\x7f"])
async def test_a_malformed_key_is_refused(key: str) -> None:
    submit = Counter()
    with pytest.raises(errors.InvalidRequest):
        await Idempotency().once("anna", key, b"x", submit)
    assert submit.count == 0
