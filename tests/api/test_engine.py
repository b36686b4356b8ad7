"""The engine: who runs when, what is shared, tried again, stopped and forgotten."""

from __future__ import annotations

import asyncio
import dataclasses
import errno
import threading
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from conftest import Later, StartApi
from support.api import (
    KEY,
    KEYS,
    OTHER,
    SOON,
    UNLIMITED,
    Api,
    content_of,
    eventually,
    finish,
    link,
    serving,
    submit,
    watch,
)

from server import errors, jobs
from server.access import key_file
from server.access import keys as keys_module
from server.access.keys import Key
from server.config import JobsConfig
from server.conversions import engine, retention
from server.http.context import ARTIFACTS
from server.jobs import Order, Quality, Status
from server.storage import replacement
from server.storage.database import Database


class Refusing:
    """A disk that removes nothing."""

    refused = False

    def __call__(self, path: Path) -> None:
        self.refused = True
        raise OSError(errno.EIO, "broken")


# ---- slots and turns


async def test_no_more_run_than_there_are_slots(start_api: StartApi) -> None:
    api = await start_api(jobs=JobsConfig(slots=3))
    for number in range(7):
        await submit(api, f"led-video{number:02d}")
    for ended in range(7):
        await eventually(lambda ended=ended: len(api.studio.takes) == min(7, ended + 3))  # type: ignore[misc]
        await eventually(lambda ended=ended: api.engine.workers.busy == min(3, 7 - ended))  # type: ignore[misc]
        await finish(api, f"led-video{ended:02d}")
    await eventually(lambda: api.engine.workers.busy == 0)


async def test_a_batch_does_not_make_another_key_wait_for_all_of_it(start_api: StartApi) -> None:
    api = await start_api(jobs=JobsConfig(slots=1))
    await submit(api, "led-first--")
    await api.studio.take("led-first--")
    await api.post("/batch-convert", {"urls": [watch(f"batch-{n:05d}") for n in range(50)]}, key=KEY)
    single = await api.convert("single-vid-", key=OTHER)
    await finish(api, "led-first--")
    await api.status(single["conversion_id"], key=OTHER, wait=50)
    await eventually(lambda: len(api.studio.takes) == 52)
    assert api.studio.videos.index("single-vid-") <= 2


def some_at_a_time(concurrent: int) -> dict[str, Key]:
    return {**KEYS, "some": Key("some", dataclasses.replace(UNLIMITED, concurrent=concurrent))}


async def test_a_key_gets_no_more_slots_than_it_may_have_and_others_go_on(start_api: StartApi) -> None:
    api = await start_api(jobs=JobsConfig(slots=4), keys=some_at_a_time(2))
    for n in range(5):
        await api.convert(f"led-some-{n:02d}", key="some")
    for n in range(2):
        await api.convert(f"led-anna-{n:02d}")
    await api.studio.take("led-anna-01")
    assert sorted(api.studio.videos) == ["led-anna-00", "led-anna-01", "led-some-00", "led-some-01"]
    for ended in range(2):
        await finish(api, f"led-anna-{ended:02d}")
    await eventually(lambda: api.engine.workers.busy == 2)
    for ended in range(5):
        await eventually(lambda ended=ended: len(api.studio.takes) == min(7, 4 + ended))  # type: ignore[misc]
        assert api.engine.workers.busy <= 2
        await finish(api, f"led-some-{ended:02d}")
    await eventually(lambda: api.engine.workers.busy == 0)


async def test_a_slot_is_free_for_the_key_again_however_its_work_ended(start_api: StartApi) -> None:
    api = await start_api(jobs=JobsConfig(slots=4), keys=some_at_a_time(1))
    ids = [(await api.convert(f"led-some-{n:02d}", key="some"))["conversion_id"] for n in range(4)]
    await api.studio.take("led-some-00")
    await api.request("DELETE", f"/status/{ids[0]}", key="some")
    (await api.studio.take("led-some-01")).fail(errors.VideoPrivate())
    (await api.studio.take("led-some-02")).fail(errors.NetworkError())
    await finish(api, "led-some-03")
    (await api.studio.take("led-some-02", 2)).fail(errors.NetworkError())
    await eventually(lambda: api.engine.workers.busy == 0 and not api.engine.workers.running_for("some"))


async def test_work_that_keys_share_counts_for_the_key_whose_turn_began_it(start_api: StartApi) -> None:
    api = await start_api(jobs=JobsConfig(slots=3), keys=some_at_a_time(1))
    await api.convert("led-shared-")
    await api.studio.take("led-shared-")
    await api.convert("led-shared-", key="some")
    await api.convert("led-own----", key="some")
    await api.studio.take("led-own----")
    assert (api.engine.workers.running_for("anna"), api.engine.workers.running_for("some")) == (1, 1)
    await api.convert("led-next---", key="some")
    await api.convert("led-next---")
    await api.studio.take("led-next---")
    assert (api.engine.workers.running_for("anna"), api.engine.workers.running_for("some")) == (2, 1)


async def test_a_bound_that_is_raised_holds_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys_module, "_PERIOD", 0.01)
    path = tmp_path / "keys.toml"
    plain = key_file.create(path, "some", {"concurrent": 1})
    async with serving(tmp_path, jobs=JobsConfig(slots=2)) as api:
        await api.convert("led-first--", key=plain)
        await api.convert("led-second-", key=plain)
        await api.studio.take("led-first--")
        assert api.engine.workers.busy == 1
        path.write_text(path.read_text().replace("concurrent = 1", "concurrent = 2"))
        await api.studio.take("led-second-")


async def test_shared_work_starts_when_the_first_of_its_sharers_turns_comes(start_api: StartApi) -> None:
    api = await start_api(jobs=JobsConfig(slots=1))
    await submit(api, "led-first--")
    for number in range(5):
        await submit(api, f"led-anna-{number:02d}", "anna")
    last_of_anna = await submit(api, "led-shared-", "anna")
    first_of_ben = await submit(api, "led-shared-", "ben")
    await finish(api, "led-first--")
    await finish(api, "led-anna-00")
    await finish(api, "led-shared-")
    await eventually(lambda: last_of_anna.finished and first_of_ben.finished)
    assert api.studio.videos[:3] == ["led-first--", "led-anna-00", "led-shared-"]
    assert last_of_anna not in api.engine.queue and len(api.engine.queue) == 3


async def test_who_joins_running_work_runs_and_ends_with_it(api: Api) -> None:
    first = await submit(api, "led-shared-")
    take = await api.studio.take("led-shared-")
    second = await submit(api, "led-shared-", "ben")
    assert str(second.status) == "processing" and second.started_at and second.started_at >= second.created_at
    take.grow(b"sound")
    take.finish()
    await eventually(lambda: second.finished)
    assert first.status is second.status is Status.COMPLETED and len(api.studio.takes) == 1


# ---- second attempts


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN])
@pytest.mark.parametrize("wrapped", [False, True])
async def test_a_lack_of_descriptors_memory_or_processes_costs_no_attempt(api: Api, number: int, wrapped: bool) -> None:
    conversion = await submit(api, "led-starved")
    for attempt in range(1, 5):
        lack: Exception = OSError(number, "too little")
        if wrapped:
            lack, lack.__cause__ = errors.JobFailed(), lack
        (await api.studio.take("led-starved", attempt)).fail(lack)
    await finish(api, "led-starved", 5)
    await eventually(lambda: conversion.finished)
    assert (conversion.status, conversion.job.failures) == (Status.COMPLETED, 0)


async def test_a_lack_that_lasts_ends_with_the_time_of_the_job(start_api: StartApi) -> None:
    api = await start_api(jobs=JobsConfig(slots=1, timeout=100, retry_pause=100))
    conversion = await submit(api, "led-starved")
    (await api.studio.take("led-starved")).fail(MemoryError())
    await eventually(lambda: conversion.finished)
    assert conversion.job.error and conversion.job.error.code == "INTERNAL_ERROR"


@pytest.mark.parametrize("code", sorted(errors.JOB_ERRORS))
async def test_what_a_second_attempt_may_help_gets_exactly_one(api: Api, code: str) -> None:
    error = errors.JOB_ERRORS[code]
    conversion = await submit(api, "led-failing")
    (await api.studio.take("led-failing")).fail(error())
    if error.retried:
        (await api.studio.take("led-failing", 2)).fail(error())
    await eventually(lambda: conversion.finished)
    assert conversion.job.error and conversion.job.error.code == code
    assert len(api.studio.takes) == (2 if error.retried else 1)


async def test_a_second_attempt_that_works_is_a_success_from_zero(api: Api) -> None:
    conversion = await submit(api, "led-failing")
    take = await api.studio.take("led-failing")
    take.grow(b"half", 80)
    take.fail(errors.NetworkError())
    await api.studio.take("led-failing", 2)
    assert conversion.job.progress == 0
    started_at = conversion.started_at
    await finish(api, "led-failing", 2)
    await eventually(lambda: conversion.finished)
    assert conversion.status is Status.COMPLETED and conversion.started_at == started_at


async def test_in_the_pause_it_is_queued_holds_no_slot_and_may_be_joined_or_left(
    start_api: StartApi, later: Later
) -> None:
    api = await start_api(jobs=JobsConfig(slots=1, retry_pause=600))
    first, second = await submit(api, "led-failing"), await submit(api, "led-other--")
    (await api.studio.take("led-failing")).fail(errors.NetworkError())
    await finish(api, "led-other--")
    assert first.status is Status.QUEUED
    assert (await api.convert("led-failing"))["queue_position"] == 1
    joined = await submit(api, "led-failing", "ben")
    await api.engine.remove(first)
    later(601)
    await finish(api, "led-failing", 2)
    await eventually(lambda: joined.finished)
    assert [one.status for one in (first, second, joined)] == ["cancelled", "completed", "completed"]


async def test_who_leaves_in_the_pause_leaves_no_second_attempt(start_api: StartApi, later: Later) -> None:
    api = await start_api(jobs=JobsConfig(slots=1, retry_pause=600))
    conversion = await submit(api, "led-failing")
    (await api.studio.take("led-failing")).fail(errors.NetworkError())
    await eventually(lambda: conversion.status is Status.QUEUED)
    await api.engine.remove(conversion)
    await finish(api, (await submit(api, "led-other--")).video_id)
    later(601)
    await finish(api, (await submit(api, "led-lastone")).video_id)
    assert api.studio.videos == ["led-failing", "led-other--", "led-lastone"]


async def test_time_runs_out_over_all_attempts(start_api: StartApi, later: Later) -> None:
    api = await start_api(jobs=JobsConfig(slots=1, timeout=1000, retry_pause=0))
    conversion = await submit(api, "led-failing")
    await api.studio.take("led-failing")
    later(600)
    (await api.studio.take("led-failing")).fail(errors.NetworkError())
    take = await api.studio.take("led-failing", 2)
    assert not conversion.finished
    later(401)  # what the first attempt took is gone
    await eventually(lambda: conversion.finished)
    assert take.end.cancelled()
    assert conversion.job.error and conversion.job.error.code == "TIMEOUT"
    await finish(api, (await submit(api, "led-other--")).video_id)


async def test_there_is_no_second_attempt_without_time_for_it(start_api: StartApi) -> None:
    api = await start_api(jobs=JobsConfig(slots=1, timeout=100, retry_pause=600))
    conversion = await submit(api, "led-failing")
    (await api.studio.take("led-failing")).fail(errors.NetworkError())
    await eventually(lambda: conversion.finished)
    assert conversion.job.error and conversion.job.error.code == "NETWORK_ERROR"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
async def test_a_full_disk_is_told_as_such_and_refuses_until_there_is_room(api: Api, number: int) -> None:
    conversion = await submit(api, "led-failing")
    (await api.studio.take("led-failing")).fail(OSError(number, "full"))
    await eventually(lambda: conversion.finished)
    assert conversion.job.error and conversion.job.error.code == "DISK_FULL"
    with pytest.raises(errors.StorageFull):
        await submit(api, "some-video-")
    await api.engine.tidy()
    await submit(api, "some-video-")


async def test_many_who_share_come_back_first_and_in_their_order(start_api: StartApi) -> None:
    api = await start_api(jobs=JobsConfig(slots=1, retry_pause=0))
    shared = [await submit(api, "led-failing") for _ in range(5)]
    take = await api.studio.take("led-failing")
    blocked = await submit(api, "led-other--")
    pops: list[list[str]] = []
    push_first = api.engine.queue.push_first

    def noted(conversions: Any) -> None:
        push_first(conversions)
        places = api.engine.queue.places("anna")
        pops.append([one.id for one in sorted(places, key=lambda one: places[one])])

    api.engine.queue.push_first = noted  # type: ignore[method-assign]
    take.fail(errors.NetworkError())
    await eventually(lambda: pops)
    ids = [one.id for one in shared]
    assert pops[0] in ([*ids, blocked.id], ids), "before who came later, if that does not run by now"


async def test_a_source_that_stopped_sending_is_tried_once_more(start_api: StartApi) -> None:
    api = await start_api(jobs=JobsConfig(slots=1, retry_pause=0))
    conversion = await submit(api, "led-stalled")
    (await api.studio.take("led-stalled")).fail(errors.Timeout("YouTube stopped sending."))
    await finish(api, "led-stalled", 2)
    await eventually(lambda: conversion.finished)
    assert conversion.status is Status.COMPLETED


# ---- cancelling


async def test_the_last_to_leave_stops_the_work(api: Api) -> None:
    two = [await submit(api, "led-shared-", owner) for owner in ("anna", "ben")]
    take = await api.studio.take("led-shared-")
    await api.engine.remove(two[0])
    assert not take.end.done()
    await api.engine.remove(two[1])
    await eventually(take.end.cancelled)
    await eventually(lambda: api.engine.workers.busy == 0)


async def test_who_asks_while_a_cancelled_attempt_is_on_its_way_out_gets_work_anew(api: Api) -> None:
    first = await submit(api, "led-shared-")
    await api.studio.take("led-shared-")
    await api.engine.remove(first)
    second = await submit(api, "led-shared-")
    await finish(api, "led-shared-", 2)
    await eventually(lambda: second.finished)
    assert second.status is Status.COMPLETED and first.status is Status.CANCELLED


async def test_a_cancel_before_the_work_has_begun_costs_no_slot(start_api: StartApi) -> None:
    """The moment between the decision to start and the first step of what was started."""
    api = await start_api(jobs=JobsConfig(slots=1))
    for number in range(3):
        conversion = await submit(api, f"led-early{number:02d}")
        assert await conversion.job.changed.wait(SOON) and conversion.status is Status.PROCESSING
        await api.engine.remove(conversion)
    conversion = await submit(api, "some-video-")
    await eventually(lambda: conversion.finished)
    assert api.engine.workers.busy == 0


async def test_a_cancel_as_it_completes_leaves_no_file_and_no_half_state(api: Api) -> None:
    folder: Path = api.app[ARTIFACTS]._folder
    for number in range(30):
        video_id = f"led-race-{number:02d}"
        conversion = await submit(api, video_id)
        take = await api.studio.take(video_id)
        take.grow(b"sound")
        take.finish()
        for _ in range(number):
            await asyncio.sleep(0)
        await asyncio.sleep(0.0003 * (number % 10))
        await api.engine.remove(conversion)
        assert conversion.finished
    await eventually(lambda: api.engine.workers.busy == 0 and not list(folder.glob("*.mp3")))
    await eventually(lambda: not list((folder / ".staging").iterdir()))


async def test_a_removal_in_the_very_moment_of_completion_removes_the_file(api: Api) -> None:
    """The job has its file, and its task is about to be taken off the workers' list."""
    conversion = await submit(api, "some-video-")
    removals = []
    api.engine.on_artifact = lambda _: removals.append(asyncio.create_task(api.engine.remove(conversion)))
    await eventually(lambda: removals and removals[0].done())
    assert conversion.status is Status.COMPLETED and conversion.removed
    await eventually(lambda: not list(api.app[ARTIFACTS]._folder.glob("*.mp3")))


# ---- bounds and expiry


async def test_the_table_is_bounded_and_makes_room_of_what_is_finished(start_api: StartApi) -> None:
    api = await start_api(jobs=JobsConfig(slots=1, keep_conversions=100))
    made = [(await api.made(f"video-{n:05d}"))["conversion_id"] for n in range(100)]
    assert len(api.engine.table) == 100
    waiting = [await submit(api, "led-waiting") for _ in range(3)]
    assert len(api.engine.table) == 100
    assert (await api.get(f"/status/{made[0]}")).code == "CONVERSION_NOT_FOUND", "as an expired one"
    assert (await api.get(link(made[2]))).code == "CONVERSION_NOT_FOUND"
    assert (await api.get(link(made[3]))).status == 200
    with pytest.raises(errors.QueueFull):
        await api.engine.submit("anna", [Order("led-waiting", Quality.HIGH)] * 98)
    assert not any(one.finished for one in waiting), "what is not finished is never forgotten"


async def test_a_full_table_takes_from_the_key_that_has_the_most(start_api: StartApi) -> None:
    api = await start_api(jobs=JobsConfig(slots=1, keep_conversions=100))
    annas = await api.made("some-video-")
    for _ in range(3):
        await api.engine.submit("ben", [Order("some-video-", Quality.HIGH)] * 60)
    assert len(api.engine.table) == 100
    assert (await api.get(link(annas["conversion_id"]))).status == 200


async def test_a_request_that_does_not_fit_the_table_takes_nothing_from_it(start_api: StartApi) -> None:
    api = await start_api(jobs=JobsConfig(slots=2, keep_conversions=100))
    await api.engine.submit("ben", [Order("led-waiting", Quality.HIGH)] * 60)
    made = [(await api.made(f"video-{n:05d}"))["conversion_id"] for n in range(20)]
    with pytest.raises(errors.QueueFull):
        await api.engine.submit("ben", [Order("led-waiting", Quality.HIGH)] * 90)
    assert [(await api.get(link(one))).status for one in made] == [200] * 20


async def test_those_who_were_removed_do_not_pile_up_in_the_line_to_expire(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "MAX_STALE", 10)
    await api.made("some-video-")
    for _ in range(50):
        await api.engine.remove(await submit(api, "some-video-"))
    assert len(api.engine.table) == 1 and len(api.engine.retention._expiring) <= 14


async def test_a_file_that_could_not_be_removed_is_tried_again_and_costs_nobody_else(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    stubborn = await submit(api, "video-00000")
    await eventually(lambda: stubborn.finished)
    with monkeypatch.context() as broken:
        broken.setattr("server.storage.artifact_files.unlink", unlink := Refusing())
        await api.engine.remove(stubborn)
        await eventually(lambda: unlink.refused)
    kept = await api.made("video-00001")
    folder: Path = api.app[ARTIFACTS]._folder
    monkeypatch.setattr(api.app[ARTIFACTS], "_budget_bytes", api.app[ARTIFACTS].used_bytes - 1)
    await api.engine.tidy()
    await eventually(lambda: [path.name[:11] for path in folder.glob("*.mp3")] == ["video-00001"])
    assert (await api.get(link(kept["conversion_id"]))).status == 200


async def test_many_conversions_of_one_file_expire_with_others_getting_their_turn(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "_STEP", 10)
    await api.made("some-video-")
    many = await api.engine.submit("anna", [Order("some-video-", Quality.HIGH)] * 45)
    monkeypatch.setattr(api.app[ARTIFACTS], "_budget_bytes", 0)
    tidying = asyncio.create_task(api.engine.tidy())
    while not many[0].removed:
        await asyncio.sleep(0)
    assert not many[-1].removed
    fresh = await submit(api, "some-video-")
    await tidying
    assert all(one.removed for one in many) and fresh.status is not Status.COMPLETED


@pytest.mark.parametrize("end", ["refused", "cancelled"])
async def test_what_was_not_acknowledged_does_not_come_back_after_a_restart(tmp_path: Path, end: str) -> None:
    """The state may be written anew from the table while the request waits for its own record."""
    folder = tmp_path / "state"
    async with serving(tmp_path) as api:
        await submit(api, "led-kept---")
        with pytest.MonkeyPatch.context() as disk:
            written, free = asyncio.Event(), threading.Event()
            loop = asyncio.get_running_loop()
            put_in_place = replacement.put_in_place

            def held(*arguments: Any) -> Database:
                loop.call_soon_threadsafe(written.set)
                assert free.wait(SOON)
                if end == "refused":
                    raise OSError(errno.ENOSPC, "full")
                return put_in_place(*arguments)

            disk.setattr(replacement, "put_in_place", held)
            (folder / "ytmp3d.db").unlink()
            accepting = asyncio.create_task(submit(api, "led-refused"))
            await written.wait()
            if end == "cancelled":
                accepting.cancel()
            free.set()
            with pytest.raises(errors.StorageFull if end == "refused" else asyncio.CancelledError):
                await accepting
    async with serving(tmp_path) as api:
        assert [one.video_id for one in api.engine.table] == ["led-kept---"]


async def test_what_is_kept_expires_with_its_file_and_its_record(tmp_path: Path, later: Later) -> None:
    settings = JobsConfig(slots=1, keep_hours=1, timeout=86_400)
    async with serving(tmp_path, jobs=settings) as api:
        folder: Path = api.app[ARTIFACTS]._folder
        first = await submit(api, "some-video-")
        await eventually(lambda: first.finished)
        later(3500)
        second = await submit(api, "some-video-")
        running = await submit(api, "led-running")
        await api.engine.tidy()
        assert api.engine.table.get(first.id)
        later(200)
        await eventually(lambda: not api.engine.table.get(first.id))
        assert api.engine.table.get(second.id) and list(folder.glob("*.mp3")), "a later request keeps the file"
        later(3600)
        await eventually(lambda: not api.engine.table.get(second.id))
        await eventually(lambda: not list(folder.glob("some-video-*")))
        assert api.engine.table.get(running.id) and running.status is Status.PROCESSING
    async with serving(tmp_path, jobs=settings) as api:
        assert [one.id for one in api.engine.table] == [running.id]


@pytest.mark.parametrize("jump", [timedelta(hours=1), timedelta(hours=-1), timedelta(days=400), timedelta(days=-400)])
async def test_a_clock_that_jumps_expires_nothing_and_ends_nothing(
    start_api: StartApi, monkeypatch: pytest.MonkeyPatch, jump: timedelta
) -> None:
    api = await start_api(jobs=JobsConfig(slots=2, keep_hours=1, timeout=60))
    made = await api.made("some-video-")
    running = await submit(api, "led-running")
    take = await api.studio.take("led-running")
    real = jobs.utc_now

    def now() -> datetime:
        return real() + jump

    for module in (jobs, engine, retention):
        monkeypatch.setattr(module, "utc_now", now)
    await api.engine.tidy()
    assert (await api.get(link(made["conversion_id"]))).body == content_of("some-video-")
    assert running.status is Status.PROCESSING and not take.end.done()
    fresh = await api.made("other-video")
    await finish(api, "led-running")
    await eventually(lambda: running.finished)
    await api.engine.tidy()
    for one in (made["conversion_id"], running.id, fresh["conversion_id"]):
        assert (await api.status(one))["status"] == "completed"
    listed = [job["conversion_id"] for job in (await api.get("/status")).json["jobs"]]
    assert sorted(listed) == sorted([made["conversion_id"], running.id, fresh["conversion_id"]])


# ---- the end


async def test_draining_lets_what_runs_finish_and_starts_nothing(start_api: StartApi) -> None:
    api = await start_api(jobs=JobsConfig(slots=1))
    running, waiting = await submit(api, "led-running"), await submit(api, "led-waiting")
    take = await api.studio.take("led-running")
    draining = asyncio.create_task(api.engine.drain(SOON))
    await eventually(lambda: api.engine.draining)
    with pytest.raises(errors.ShuttingDown):
        await submit(api, "some-video-")
    assert not draining.done()
    take.grow(b"sound")
    take.finish()
    await draining
    assert (running.status, waiting.status) == ("completed", "queued")
    assert api.studio.videos == ["led-running"]


async def test_draining_interrupts_after_its_grace_without_a_failed_attempt(api: Api) -> None:
    running = await submit(api, "led-running")
    take = await api.studio.take("led-running")
    await api.engine.drain(0.05)
    assert take.end.cancelled()
    assert (running.status, running.job.failures) == ("queued", 0)


async def test_a_second_attempt_does_not_begin_while_draining(start_api: StartApi) -> None:
    api = await start_api(jobs=JobsConfig(slots=2, retry_pause=0))
    failing, _ = await submit(api, "led-failing"), await submit(api, "led-running")
    take, other = await api.studio.take("led-failing"), await api.studio.take("led-running")
    draining = asyncio.create_task(api.engine.drain(SOON))
    await eventually(lambda: api.engine.draining)
    take.fail(errors.NetworkError())
    await eventually(lambda: failing.status is Status.QUEUED)
    other.grow(b"sound")
    other.finish()
    await draining
    assert failing.status is Status.QUEUED and len(api.studio.takes) == 2
