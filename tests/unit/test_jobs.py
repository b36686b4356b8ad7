"""Jobs and conversions: the transition table, waking up, ids."""

from __future__ import annotations

import asyncio
import itertools
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from support.waiting import SOON

from server.errors import VideoPrivate
from server.jobs import (
    TRANSITIONS,
    Artifact,
    Change,
    Conversion,
    Job,
    Media,
    Quality,
    Recipe,
    Source,
    Status,
    new_id,
)

RECIPE = Recipe("dQw4w9WgXcQ", 320)
ARTIFACT = Artifact(RECIPE, Path("one.mp3"), 5, Media("A title", "", 1.0, "", Source("opus", None)), None)
JOB_ARROWS = {
    ("queued", "processing"),
    ("queued", "completed"),
    ("queued", "failed"),
    ("processing", "queued"),
    ("processing", "completed"),
    ("processing", "failed"),
}
MOVES: dict[Status, Callable[[Job], None]] = {
    Status.QUEUED: Job.put_back,
    Status.PROCESSING: Job.begin_attempt,
    Status.COMPLETED: lambda job: job.complete(ARTIFACT),
    Status.FAILED: lambda job: job.fail(VideoPrivate()),
}


def conversion(status: Status = Status.QUEUED) -> Conversion:
    job = Job(RECIPE)
    one = Conversion(new_id(), "someone", Quality.HIGH, datetime.now(UTC), job)
    job.join(one)
    if status is Status.CANCELLED:
        one.cancel()
    elif status is not Status.QUEUED:
        MOVES[status](job)
    return one


@pytest.mark.parametrize(("old", "new"), list(itertools.product(MOVES, MOVES)))
def test_every_arrow_of_a_job_is_allowed_or_refused_as_published(old: Status, new: Status) -> None:
    one = conversion(old)
    before = (one.job.revision, one.job.attempt, one.job.progress, one.job.error, one.job.artifact)
    if (old.value, new.value) in JOB_ARROWS:
        MOVES[new](one.job)
        assert one.job.status is one.status is new
        assert one.job.revision == before[0] + 1
    else:
        with pytest.raises(AssertionError, match=f"{old} → {new} is no transition"):
            MOVES[new](one.job)
        assert one.job.status is one.status is old
        assert (one.job.revision, one.job.attempt, one.job.progress, one.job.error, one.job.artifact) == before


@pytest.mark.parametrize("old", list(Status))
def test_a_conversion_can_be_cancelled_until_it_has_ended(old: Status) -> None:
    one = conversion(old)
    if old in (Status.QUEUED, Status.PROCESSING):
        one.job.report_progress(37)
        one.cancel()
        one.job.report_progress(80)
        assert (one.status, one.progress, one.job.status) == (Status.CANCELLED, 37, old), "the work may go on"
    else:
        with pytest.raises(AssertionError, match=f"{old} → cancelled is no transition"):
            one.cancel()
        assert one.status is old


def test_the_status_of_a_job_has_no_other_way_in() -> None:
    with pytest.raises(AttributeError):
        Job(RECIPE).status = Status.COMPLETED  # type: ignore[misc]
    with pytest.raises(AttributeError):
        conversion().status = Status.COMPLETED  # type: ignore[misc]


@pytest.mark.parametrize("status", list(Status))
def test_finished_is_what_has_no_arrow_out(status: Status) -> None:
    assert conversion(status).finished is (status.value in ("completed", "failed", "cancelled"))
    assert set(TRANSITIONS) == set(Status) - {Status.CANCELLED}


def test_times_are_noted_as_it_advances_and_a_second_attempt_keeps_the_first_start() -> None:
    one = conversion()
    one.job.begin_attempt()
    started = one.started_at
    assert started is not None
    assert started.tzinfo is UTC
    one.job.put_back()
    one.job.begin_attempt()
    assert one.started_at is started
    one.job.complete(ARTIFACT)
    assert one.finished_at is not None
    assert one.finished_at >= started


@pytest.mark.parametrize("status", [Status.QUEUED, Status.PROCESSING])
def test_what_is_not_finished_has_no_time_of_finishing(status: Status) -> None:
    assert conversion(status).finished_at is None


def test_work_that_was_kept_completes_without_ever_having_started() -> None:
    first = conversion(Status.COMPLETED)
    second = Conversion(new_id(), "another", Quality.HIGH, datetime.now(UTC), first.job)
    first.job.join(second)
    assert second.status is Status.COMPLETED
    assert second.started_at is None
    assert second.finished_at is not None


def test_progress_never_goes_down_and_reaches_100_only_by_completing() -> None:
    job = Job(RECIPE)
    seen = []
    for percent in (0.0, 12.9, 5.0, 99.99, 250.0, 40.0):
        job.report_progress(percent)
        seen.append(job.progress)
    assert seen == [0, 12, 12, 99, 99, 99]
    job.complete(ARTIFACT)
    assert job.progress == 100


def test_a_new_attempt_begins_at_zero_and_what_the_last_one_made_is_gone() -> None:
    job = Job(RECIPE)
    job.begin_attempt()
    job.audio = job.cover = Path("somewhere")
    job.report_progress(50)
    job.put_back()
    job.begin_attempt()
    assert (job.attempt, job.progress) == (2, 0)
    assert not job.audio and not job.cover


def test_a_touch_counts_wakes_and_tells_every_sharer() -> None:
    told: list[Conversion] = []
    job = Job(RECIPE, on_change=told.append)
    job.sharers = {conversion(): None, conversion(): None}
    job.touch()
    assert (job.revision, job.changed.count) == (1, 1)
    assert told == list(job.sharers)


async def test_a_change_wakes_everybody_who_waits() -> None:
    change = Change()
    waiters = [asyncio.create_task(change.wait(10)) for _ in range(5)]
    await asyncio.sleep(0)
    change.notify()
    assert await asyncio.gather(*waiters) == [True] * 5


async def test_waiting_ends_without_a_change_when_its_time_is_up() -> None:
    change = Change()
    assert await change.wait(0.01) is False
    change.notify()  # nobody waits any more, and that is fine
    assert await change.wait(0.01) is False


async def test_a_change_between_looking_and_waiting_is_not_missed() -> None:
    change = Change()
    seen = change.count
    change.notify()
    assert await change.wait(10, since=seen) is True
    assert await change.wait(0.01, since=change.count) is False


async def test_no_wake_up_is_lost_however_the_reader_and_the_writer_interleave() -> None:
    change = Change()
    written = 0

    async def write() -> None:
        nonlocal written
        for step in range(2000):
            written += 1
            change.notify()
            for _ in range(step % 3):
                await asyncio.sleep(0)

    async def read(pauses: int) -> int:
        while True:
            count, seen = change.count, written
            if seen == 2000:
                return seen
            for _ in range(pauses):
                await asyncio.sleep(0)
            assert await change.wait(SOON, since=count)

    async with asyncio.timeout(SOON):
        results = await asyncio.gather(*(read(pauses) for pauses in range(6)), write())
    assert results[:6] == [2000] * 6


async def test_a_cancelled_waiter_leaves_nothing_behind_and_hurts_no_other() -> None:
    change = Change()
    leaving, staying = asyncio.create_task(change.wait()), asyncio.create_task(change.wait(10))
    await asyncio.sleep(0)
    leaving.cancel()
    change.notify()
    assert await staying is True
    with pytest.raises(asyncio.CancelledError):
        await leaving
    assert not change._waiters


def test_ids_are_url_safe_unique_and_hold_at_least_128_bits() -> None:
    ids = {new_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{24}", one) for one in ids)  # 24 characters of 6 bits


def test_the_published_qualities_have_the_published_bitrates() -> None:
    assert {quality.value: quality.bitrate_kbps for quality in Quality} == {"high": 320, "medium": 192, "low": 128}
