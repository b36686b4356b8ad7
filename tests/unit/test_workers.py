"""Fetching and encoding have bounds of their own. Attempts here are led by the test."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from support.api import MEDIA

from server import errors
from server.conversions.encoders import Encoders
from server.conversions.fairqueue import FairQueue
from server.conversions.workers import SUSPECT, Workers
from server.gate import AlwaysOpen
from server.jobs import Artifact, Conversion, Job, Quality, Recipe, utc_now


class Floor:
    """Jobs that fetch until `fetched` has their name, then encode until `encoded` has it."""

    def __init__(self, *, fetchers: int, slots: int, jobs: int = 0, timeout: float = 60) -> None:
        self.queue = FairQueue()
        self.workers = Workers(
            self._run, self.queue, fetchers=fetchers, slots=slots, timeout=timeout, gate=AlwaysOpen()
        )
        self.fetching: list[str] = []
        self.encoding: list[str] = []
        self.outcomes: dict[str, Artifact | errors.JobError] = {}
        self.jobs: dict[str, Job] = {}
        self.ends: dict[tuple[str, str], asyncio.Future[None]] = {}
        for number in range(jobs):
            self.add(f"job-{number}")

    def add(self, name: str, owner: str = "anna", *, interrupted: int = 0) -> Conversion:
        job = self.jobs[name] = Job(Recipe(name, 320))
        job.interrupted = interrupted
        conversion = Conversion(name, owner, Quality.HIGH, utc_now(), job)
        job.join(conversion)
        self.queue.push(conversion)
        return conversion

    async def goes_on(self, stage: str, name: str, failure: errors.JobError | None = None) -> None:
        """The `stage` of a job ends."""
        end = self.ends[stage, name]
        end.set_exception(failure) if failure else end.set_result(None)
        await self.settled()

    async def settled(self) -> None:
        for _ in range(20):
            await asyncio.sleep(0)

    async def _run(self, job: Job) -> Artifact:
        name = job.video_id
        with _listed(self.fetching, name):
            await self._end("fetch", name)
        async with self.workers.encoder(job):
            with _listed(self.encoding, name):
                await self._end("encode", name)
        return Artifact(job.recipe, Path(name), 1, MEDIA, None)

    async def _end(self, stage: str, name: str) -> None:
        end = self.ends[stage, name] = asyncio.get_running_loop().create_future()
        await end

    async def live(self, job: Job) -> None:
        with self.workers.turn(job):
            self.outcomes[job.video_id] = await self.workers.attempt(job)


@contextlib.contextmanager
def _listed(names: list[str], name: str):  # type: ignore[no-untyped-def]
    names.append(name)
    try:
        yield
    finally:
        names.remove(name)


@asynccontextmanager
async def at_work(floor: Floor) -> AsyncIterator[Floor]:
    dispatcher = asyncio.create_task(floor.workers.run_forever(floor.live))
    try:
        await floor.settled()
        yield floor
    finally:
        dispatcher.cancel()
        await asyncio.gather(dispatcher, return_exceptions=True)
        await floor.workers.drain(0)


async def test_the_next_jobs_fetch_while_the_encoders_are_busy() -> None:
    floor = Floor(fetchers=2, slots=1, jobs=6)
    async with at_work(floor):
        assert floor.fetching == ["job-0", "job-1"]
        await floor.goes_on("fetch", "job-0")
        assert (floor.fetching, floor.encoding) == (["job-1", "job-2"], ["job-0"])
        await floor.goes_on("fetch", "job-2")
        await floor.goes_on("fetch", "job-1")
        # Both wait for the encoder, and as long as they do, nothing more is fetched.
        assert (floor.fetching, floor.encoding, floor.workers.busy) == ([], ["job-0"], 3)
        await floor.goes_on("encode", "job-0")
        assert (floor.fetching, floor.encoding, floor.workers.busy) == (["job-3"], ["job-2"], 3)


async def test_the_job_that_began_first_is_heard_at_once_though_others_were_fetched_sooner() -> None:
    floor = Floor(fetchers=3, slots=1, jobs=5)
    async with at_work(floor):
        await floor.goes_on("fetch", "job-1")
        await floor.goes_on("fetch", "job-0")
        await floor.goes_on("fetch", "job-2")
        assert (floor.encoding, floor.workers.busy) == (["job-1", "job-0"], 4)
        await floor.goes_on("encode", "job-1")
        assert floor.encoding == ["job-0"]
        await floor.goes_on("encode", "job-0")
        assert floor.encoding == ["job-2"]


async def test_the_last_one_is_encoded_beside_the_others_and_not_after_them() -> None:
    floor = Floor(fetchers=4, slots=2, jobs=5)
    async with at_work(floor):
        for number in range(5):
            await floor.goes_on("fetch", f"job-{number}")
        assert floor.encoding == ["job-0", "job-1"], "three wait"
        await floor.goes_on("encode", "job-0")
        assert floor.encoding == ["job-1", "job-2"], "two wait"
        await floor.goes_on("encode", "job-1")
        assert floor.encoding == ["job-2", "job-3", "job-4"]
        floor.add("job-5")
        await floor.settled()
        await floor.goes_on("fetch", "job-5")
        assert floor.encoding == ["job-2", "job-3", "job-4"], "one more is all that there is to lend"
        await floor.goes_on("encode", "job-2")
        assert floor.encoding == ["job-3", "job-4", "job-5"], "it is lent again"


async def test_one_that_comes_alone_is_encoded_beside_the_others() -> None:
    floor = Floor(fetchers=1, slots=2)
    async with at_work(floor):
        for number in range(3):
            floor.add(f"job-{number}")
            await floor.settled()
            await floor.goes_on("fetch", f"job-{number}")
        assert floor.encoding == ["job-0", "job-1", "job-2"]


async def test_while_more_are_in_the_queue_nothing_is_lent() -> None:
    floor = Floor(fetchers=1, slots=2, jobs=4)
    async with at_work(floor):
        for number in range(3):
            await floor.goes_on("fetch", f"job-{number}")
        assert floor.encoding == ["job-0", "job-1"]


async def test_one_core_has_nothing_to_gain() -> None:
    floor = Floor(fetchers=2, slots=1, jobs=2)
    async with at_work(floor):
        for number in range(2):
            await floor.goes_on("fetch", f"job-{number}")
        assert floor.encoding == ["job-0"]


async def test_what_fails_in_the_encoder_may_fetch_again_and_meanwhile_nothing_else_begins() -> None:
    floor = Floor(fetchers=1, slots=1)
    again = asyncio.get_running_loop().create_future()
    run = floor.workers._run

    async def twice(job: Job) -> Artifact:
        try:
            return await run(job)
        except errors.SourceForbidden:
            await again
            return await run(job)

    floor.workers._run = twice
    for number in range(3):
        floor.add(f"job-{number}")
    async with at_work(floor):
        await floor.goes_on("fetch", "job-0")
        await floor.goes_on("fetch", "job-1")
        await floor.goes_on("encode", "job-0", errors.SourceForbidden())
        assert (floor.encoding, floor.workers.fetching, len(floor.queue)) == (["job-1"], 1, 1)
        again.set_result(None)
        await floor.settled()
        await floor.goes_on("fetch", "job-0")
        await floor.goes_on("encode", "job-1")
        assert (floor.encoding, floor.fetching) == (["job-0"], ["job-2"])


async def test_a_job_that_ends_while_it_waits_for_an_encoder_leaves_its_place() -> None:
    floor = Floor(fetchers=1, slots=1, jobs=3)
    async with at_work(floor):
        await floor.goes_on("fetch", "job-0")
        await floor.goes_on("fetch", "job-1")
        assert floor.fetching == []
        floor.workers.give_up(floor.jobs["job-1"])
        await floor.settled()
        assert floor.fetching == ["job-2"]
        await floor.goes_on("encode", "job-0")
        await floor.goes_on("fetch", "job-2")
        assert floor.encoding == ["job-2"]


async def test_the_wait_for_an_encoder_takes_none_of_a_jobs_time(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()
    jumped, real = 0.0, loop.time
    monkeypatch.setattr(loop, "time", lambda: real() + jumped)
    floor = Floor(fetchers=2, slots=1, timeout=1000)
    floor.add("first")
    floor.add("second")
    async with at_work(floor):
        await floor.goes_on("fetch", "first")
        jumped += 600
        await floor.goes_on("fetch", "second")
        floor.workers._timers[floor.jobs["first"]].reschedule(None)
        jumped += 600
        await floor.settled()
        assert floor.outcomes == {}
        await floor.goes_on("encode", "first")
        assert floor.encoding == ["second"]
        jumped += 299  # and 600 before the wait
        await floor.settled()
        assert "second" not in floor.outcomes
        jumped += 102
        await floor.settled()
        assert isinstance(floor.outcomes["second"], errors.Timeout)


async def test_keys_take_turns_at_the_encoders() -> None:
    encoders, order = Encoders(1), list[str]()

    async def encode(owner: str) -> None:
        async with encoders.one(owner):
            order.append(owner)
            await asyncio.sleep(0)

    waiting = [asyncio.create_task(encode(owner)) for owner in ("anna", "anna", "anna", "anna", "bert", "bert")]
    await asyncio.gather(*waiting)
    assert order == ["anna", "anna", "bert", "anna", "bert", "anna"]
    assert encoders.busy == 0


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
async def test_an_encoder_is_not_lost_with_whoever_is_cancelled(turns: int) -> None:
    encoders = Encoders(1)
    leave = asyncio.Event()

    async def encode() -> None:
        async with encoders.one("anna"):
            await leave.wait()

    first, second, third = (asyncio.create_task(encode()) for _ in range(3))
    await asyncio.sleep(0)
    leave.set()
    for _ in range(turns):  # the second gets its turn in one of them
        await asyncio.sleep(0)
    second.cancel()
    await asyncio.gather(first, second, third, return_exceptions=True)
    assert (third.cancelled(), encoders.busy) == (False, 0)


async def test_what_may_have_ended_the_server_runs_alone_and_is_not_passed_over() -> None:
    async with at_work(Floor(fetchers=4, slots=2)) as floor:
        floor.add("one")
        floor.add("suspect", "ben", interrupted=SUSPECT)
        for number in range(3):
            floor.add(f"later-{number}")
        await floor.settled()
        assert floor.fetching == ["one"]
        await floor.goes_on("fetch", "one")
        assert floor.fetching == [], "one still encodes"
        await floor.goes_on("encode", "one")
        assert floor.fetching == ["suspect"]
        await floor.goes_on("fetch", "suspect")
        assert floor.fetching == []
        await floor.goes_on("encode", "suspect")
        assert floor.fetching == ["later-0", "later-1", "later-2"]


async def test_a_suspect_that_is_cancelled_before_its_turn_holds_nobody_up() -> None:
    async with at_work(Floor(fetchers=4, slots=2)) as floor:
        floor.add("one")
        suspect = floor.add("suspect", "ben", interrupted=SUSPECT)
        floor.add("later")
        await floor.settled()
        assert suspect in floor.queue
        floor.queue.discard(suspect)
        await floor.goes_on("fetch", "one")
        await floor.goes_on("encode", "one")
        assert floor.fetching == ["later"]
