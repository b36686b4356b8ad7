"""What becomes of conversions while the gate in front of the source is closed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import StartApi
from support.api import eventually, finish, serving, submit

from server import errors
from server.config import JobsConfig
from server.gate import Closed
from server.jobs import Conversion, Job

NOTICE = "The source is closed for now."


class StubGate:
    """A gate that the test opens and closes."""

    def __init__(self) -> None:
        self.on_change: Callable[[], None] = lambda: None
        self.closed: Closed | None = None
        self.at_work: list[Job] = []
        self._changed = asyncio.Event()

    def close(self, *, since: float | None = None) -> None:
        self.closed = Closed(time.monotonic() if since is None else since, errors.BotCheck(), NOTICE)
        self.on_change()

    def open(self) -> None:
        self.closed = None
        self._changed.set()
        self._changed = asyncio.Event()
        self.on_change()

    async def opened(self) -> None:
        while self.closed:
            await self._changed.wait()

    def begin(self, job: Job) -> None:
        assert not self.closed
        self.at_work.append(job)

    def end(self, job: Job) -> None:
        self.at_work.remove(job)


@pytest.fixture
async def gate() -> StubGate:
    return StubGate()


def refusal() -> errors.JobError:
    """One that says that everything is closed."""
    error = errors.BotCheck()
    error.waits = True
    return error


async def test_while_it_is_closed_work_waits_and_says_why(start_api: StartApi, gate: StubGate) -> None:
    api = await start_api(gate=gate)
    gate.close()
    first, second = await submit(api, "first-video"), await submit(api, "other-video", "ben")
    with api.engine.table.watch("anna", 10) as watch:
        assert watch.take(lambda: api.engine.queue.places("anna")) == []
        shown = await api.status(first.id)
        assert (shown["status"], shown["notice"], shown["queue_position"]) == ("queued", NOTICE, 1)
        gate.open()
        await eventually(lambda: first.finished and second.finished)
    assert (await api.status(first.id))["notice"] is None and gate.at_work == []


async def test_those_who_watch_are_told_when_it_closes_and_opens(start_api: StartApi, gate: StubGate) -> None:
    api = await start_api(gate=gate, jobs=JobsConfig(slots=1))
    await submit(api, "led-first--")
    await api.studio.take("led-first--")
    waiting = await submit(api, "other-video")
    with api.engine.table.watch("anna", 10) as watch:

        def changed() -> list[Conversion]:
            return watch.take(lambda: api.engine.queue.places("anna"))

        gate.close()
        assert changed() == [waiting] and changed() == []
        gate.open()
        assert changed() == [waiting]


async def test_kept_work_is_answered_all_the_same(start_api: StartApi, gate: StubGate) -> None:
    api = await start_api(gate=gate)
    made = await submit(api, "some-video-")
    await eventually(lambda: made.finished)
    gate.close()
    assert (await api.convert("some-video-"))["status"] == "completed"


async def test_once_it_opens_keys_take_turns_as_ever(start_api: StartApi, gate: StubGate) -> None:
    api = await start_api(gate=gate, jobs=JobsConfig(slots=1))
    gate.close()
    for number in range(3):
        await submit(api, f"anna-{number:06}")
    last = await submit(api, "ben-single-", "ben")
    gate.open()
    await eventually(lambda: last.finished)
    assert api.studio.videos.index("ben-single-") == 1


async def test_what_was_refused_with_all_the_others_waits_behind_them(start_api: StartApi, gate: StubGate) -> None:
    api = await start_api(gate=gate, jobs=JobsConfig(slots=1))
    refused = await submit(api, "led-refused")
    sharer = await submit(api, "led-refused", "ben")
    behind = await submit(api, "led-behind-")
    take = await api.studio.take("led-refused")
    gate.close()
    take.fail(refusal())
    await eventually(lambda: refused.job.status == "queued")
    assert refused.job.failures == 0 and sharer.status == "queued"
    gate.open()
    await finish(api, "led-behind-")
    await finish(api, "led-refused", 2)
    await eventually(lambda: refused.finished and sharer.finished and behind.finished)
    assert refused.status == sharer.status == "completed" and gate.at_work == []


async def test_what_waits_too_long_fails_with_the_gates_reason(start_api: StartApi, gate: StubGate) -> None:
    api = await start_api(gate=gate, jobs=JobsConfig(patience=100))
    gate.close(since=time.monotonic() - 1000)
    old, new = await submit(api, "some-video-"), await submit(api, "other-video")
    old.job.begun -= 200
    await api.engine.tidy()
    assert old.job.error and old.job.error.code == "BOT_CHECK"
    assert new.status == "queued" and len(api.engine.queue) == 1


async def test_what_was_tried_and_waits_too_long_fails_too(start_api: StartApi, gate: StubGate) -> None:
    api = await start_api(gate=gate, jobs=JobsConfig(slots=1, patience=100))
    refused = await submit(api, "led-refused")
    take = await api.studio.take("led-refused")
    gate.close(since=time.monotonic() - 1000)
    take.fail(refusal())
    await eventually(lambda: len(api.engine.queue) == 1)
    refused.job.begun -= 200
    await api.engine.tidy()
    assert refused.status == "failed" and len(api.engine.queue) == 0
    gate.open()
    other = await submit(api, "other-video")
    await eventually(lambda: other.finished)


async def test_a_short_closing_fails_nothing_however_old_it_is(start_api: StartApi, gate: StubGate) -> None:
    api = await start_api(gate=gate, jobs=JobsConfig(patience=100))
    gate.close()
    old = await submit(api, "some-video-")
    old.job.begun -= 10_000
    await api.engine.tidy()
    assert old.status == "queued"


async def test_without_patience_a_refusal_is_an_end(start_api: StartApi, gate: StubGate) -> None:
    api = await start_api(gate=gate, jobs=JobsConfig(patience=0, retry_pause=0))
    refused = await submit(api, "led-refused")
    (await api.studio.take("led-refused")).fail(refusal())
    await eventually(lambda: refused.finished)
    assert refused.status == "failed"


async def test_what_waits_for_it_can_be_cancelled(start_api: StartApi, gate: StubGate) -> None:
    api = await start_api(gate=gate, jobs=JobsConfig(slots=1))
    gate.close()
    cancelled, other = await submit(api, "some-video-"), await submit(api, "other-video")
    await api.engine.remove(cancelled)
    gate.open()
    await eventually(lambda: other.finished)
    assert cancelled.status == "cancelled" and api.studio.videos == ["other-video"]


async def test_all_that_waited_may_be_cancelled_before_it_opens(start_api: StartApi, gate: StubGate) -> None:
    api = await start_api(gate=gate, jobs=JobsConfig(slots=1))
    gate.close()
    await api.engine.remove(await submit(api, "some-video-"))
    gate.open()
    later = await submit(api, "other-video")
    await eventually(lambda: later.finished)


async def test_a_restart_meanwhile_loses_nothing(gate: StubGate, tmp_path: Path) -> None:
    async with serving(tmp_path, gate=gate) as api:
        gate.close()
        waiting = await submit(api, "some-video-")
    async with serving(tmp_path) as api:
        assert (await api.status(waiting.id, wait=50))["status"] == "completed"
