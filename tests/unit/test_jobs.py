"""Jobs and conversions: the transition table, waking up, ids."""

from __future__ import annotations

import asyncio
import itertools
import re
from datetime import UTC, datetime

import pytest

from server.jobs import TRANSITIONS, Change, Conversion, Job, Quality, Status, new_id, short

ARROWS = {
    ("queued", "processing"),
    ("queued", "completed"),
    ("queued", "failed"),
    ("queued", "cancelled"),
    ("processing", "queued"),
    ("processing", "completed"),
    ("processing", "failed"),
    ("processing", "cancelled"),
}


def conversion(status: Status = Status.QUEUED) -> Conversion:
    job = Job("dQw4w9WgXcQ", 320)
    return Conversion(new_id(), "someone", job.video_id, Quality.HIGH, datetime.now(UTC), job, status=status)


@pytest.mark.parametrize(("old", "new"), list(itertools.product(Status, Status)))
def test_every_arrow_is_allowed_or_refused_as_published(old: Status, new: Status) -> None:
    one = conversion(old)
    if (old.value, new.value) in ARROWS:
        one.advance(new)
        assert one.status is new
        assert one.revision == 1
    else:
        with pytest.raises(AssertionError, match=f"{old} → {new} is no transition"):
            one.advance(new)
        assert one.status is old
        assert one.revision == 0


@pytest.mark.parametrize("status", list(Status))
def test_finished_is_what_has_no_arrow_out(status: Status) -> None:
    assert conversion(status).finished is (status.value in ("completed", "failed", "cancelled"))
    assert set(TRANSITIONS) == set(Status)


def test_times_are_noted_as_it_advances_and_a_second_attempt_keeps_the_first_start() -> None:
    one = conversion()
    one.advance(Status.PROCESSING)
    started = one.started_at
    assert started is not None
    assert started.tzinfo is UTC
    one.advance(Status.QUEUED)
    one.advance(Status.PROCESSING)
    assert one.started_at is started
    one.advance(Status.COMPLETED)
    assert one.finished_at is not None
    assert one.finished_at >= started


@pytest.mark.parametrize("status", [Status.QUEUED, Status.PROCESSING])
def test_what_is_not_finished_has_no_time_of_finishing(status: Status) -> None:
    one = conversion(next(old for old in Status if status in TRANSITIONS[old]))
    one.advance(status)
    assert one.finished_at is None


def test_work_that_was_kept_completes_without_ever_having_started() -> None:
    one = conversion()
    one.advance(Status.COMPLETED)
    assert one.started_at is None
    assert one.finished_at is not None


def test_progress_never_goes_down_and_reaches_100_only_by_completing() -> None:
    job = Job("dQw4w9WgXcQ", 320)
    seen = []
    for percent in (0.0, 12.9, 5.0, 99.99, 250.0, 40.0):
        job.report_progress(percent)
        seen.append(job.progress)
    assert seen == [0, 12, 12, 99, 99, 99]


def test_a_new_attempt_begins_at_zero() -> None:
    job = Job("dQw4w9WgXcQ", 320)
    job.begin_attempt()
    job.report_progress(50)
    job.begin_attempt()
    assert (job.attempt, job.progress, job.audio) == (2, 0, None)


def test_a_touch_counts_wakes_and_tells_every_sharer() -> None:
    told: list[Conversion] = []
    job = Job("dQw4w9WgXcQ", 320, on_change=told.append)
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
            assert await change.wait(5, since=count)

    async with asyncio.timeout(20):
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


def test_what_is_logged_of_an_id_is_too_little_to_download_with() -> None:
    assert short("abcdefghijklmnopqrstuvwx") == "abcdef…"


def test_the_published_qualities_have_the_published_bitrates() -> None:
    assert {quality.value: quality.bitrate_kbps for quality in Quality} == {"high": 320, "medium": 192, "low": 128}
