"""What the journal says about the table: everything that can be seen of a conversion comes back."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from support.api import KEY, MEDIA, Api, content_of, link, serving

from server import errors
from server.access.keys import Key
from server.config import JobsConfig, LimitsConfig
from server.conversions import records
from server.conversions.records import Record, drop, put, restore
from server.http.context import ARTIFACTS
from server.jobs import Artifact, Conversion, Job, Quality, Recipe, Status, utc_now

VIDEO = "some-video-"
NOW = datetime(2026, 1, 31, 12, 0, 0, 123456, UTC)
RECIPE = Recipe(VIDEO, 320)
ARTIFACT = Artifact(RECIPE, Path(f"{VIDEO}-320-0123456789abcdef.mp3"), 1000, MEDIA, None)


def conversion(status: Status = Status.QUEUED, *, name: str = "id-of-one", attempt: int = 0) -> Conversion:
    job = Job(RECIPE)
    one = Conversion(name, "anna", Quality.HIGH, NOW, job)
    job.join(one)
    if status is not Status.QUEUED:
        job.begin_attempt()
        one.started_at = NOW
    job.failures = attempt - (status is Status.PROCESSING)
    if status in (Status.COMPLETED, Status.FAILED, Status.CANCELLED):
        one.finished_at = one.expires_at = NOW
        job.media = MEDIA
    if status is Status.COMPLETED:
        job.complete(ARTIFACT)
    if status is Status.FAILED:
        job.progress = 37
        job.fail(errors.VideoPrivate())
    if status is Status.CANCELLED:
        one.cancel()
    return one


def again(
    *records: Record, artifacts: list[Artifact] | None = None, aside: list[Record] | None = None
) -> tuple[list[Conversion], dict[Any, Job]]:
    """What is restored of `records` once they were on disk; what cannot be understood goes to `aside`."""
    return restore(json.loads(json.dumps(records)), artifacts or [], ([] if aside is None else aside).append)


@pytest.mark.parametrize("status", [Status.FAILED, Status.CANCELLED, Status.COMPLETED, Status.QUEUED])
def test_a_conversion_comes_back_as_it_was(status: Status) -> None:
    before = conversion(status)
    ((after,), _) = again(put([before]), artifacts=[ARTIFACT] if status is Status.COMPLETED else [])
    for name in (
        "id",
        "owner",
        "video_id",
        "quality",
        "status",
        "created_at",
        "started_at",
        "finished_at",
        "expires_at",
    ):
        assert getattr(after, name) == getattr(before, name), name
    if status is not Status.QUEUED:
        assert after.job.media == MEDIA
    if status is Status.FAILED:
        assert after.job.error and after.job.error.code == "VIDEO_PRIVATE" and after.job.progress == 37
        assert (after.job.error.message, after.job.error.retryable) == (errors.VideoPrivate.text, False)
    if status is Status.COMPLETED:
        assert after.job.artifact == ARTIFACT


def test_the_last_word_on_an_id_counts() -> None:
    (found, _) = again(put([conversion()]), put([conversion(Status.FAILED)]))
    assert [one.status for one in found] == [Status.FAILED]
    assert again(put([conversion()]), drop(["id-of-one", "never-heard-of"]))[0] == []
    assert len(again(drop(["id-of-one"]), put([conversion()]))[0]) == 1


def test_what_was_under_way_is_queued_again_and_the_cut_attempt_is_not_counted() -> None:
    ((after,), jobs_kept) = again(put([conversion(Status.PROCESSING, attempt=1)]))
    assert after.status is Status.QUEUED and after.started_at == NOW
    assert (after.job.failures, after.job.interrupted) == (0, 1)
    assert jobs_kept == {(VIDEO, 320): after.job}


def test_interruptions_add_up_and_failed_attempts_stay_counted() -> None:
    before = conversion(Status.PROCESSING, attempt=2)
    for count in (1, 2, 3):
        ((before,), _) = again(put([before]))
        assert (before.job.failures, before.job.interrupted) == (1, count)
        before.job.begin_attempt()


def test_sharers_share_again() -> None:
    two = [conversion(name="one"), conversion(Status.PROCESSING, name="two", attempt=1)]
    (found, jobs_kept) = again(put(two))
    assert {one.status for one in found} == {Status.QUEUED}
    (job,) = jobs_kept.values()
    assert set(job.sharers) == set(found) and all(one.job is job for one in found)


@pytest.mark.parametrize("status", [Status.QUEUED, Status.PROCESSING])
def test_a_published_file_without_its_record_is_adopted(status: Status) -> None:
    ((after,), jobs_kept) = again(put([conversion(status, attempt=1)]), artifacts=[ARTIFACT])
    assert after.status is Status.COMPLETED and after.job.artifact == ARTIFACT and after.job.progress == 100
    assert jobs_kept[VIDEO, 320].media == MEDIA


def test_a_completed_one_whose_file_is_gone_is_left_out() -> None:
    assert again(put([conversion(Status.COMPLETED)]))[0] == []


def test_the_oldest_come_first() -> None:
    names = ["b", "a", "c"]
    found = []
    for place, name in enumerate(names):
        one = conversion(name=name)
        one.created_at = NOW.replace(second=place)
        found.append(one)
    assert [one.id for one in again(put(found[::-1]))[0]] == names


FIELDS: list[Record] = [
    {"status": "strange"}, {"quality": None}, {"created_at": "yesterday"}, {"created_at": 7}, {"attempt": "x"},
    {"interrupted": None}, {"media": {"title": "x"}}, {"media": 7}, {"error": {}}, {"error": "x"}, {"progress": "x"},
]  # fmt: skip
BROKEN: list[Any] = [
    {},
    {"type": "put"},
    {"type": "put", "conversions": None},
    {"type": "put", "conversions": [None]},
    {"type": "put", "conversions": [{}]},
    {"type": "put", "conversions": [{"id": ["x"]}]},
    {"type": "drop"},
    {"type": "drop", "ids": [{}]},
    {"type": "of a later version"},
    *(
        {"type": "put", "conversions": [{**put([conversion(status)])["conversions"][0], "id": "x", **wrong}]}
        for status, wrongs in ((Status.FAILED, FIELDS), (Status.QUEUED, [{"attempt": None}]))
        for wrong in wrongs
    ),
]


@pytest.mark.parametrize("record", BROKEN)
def test_what_cannot_be_understood_is_said_and_set_aside_without_harm(
    record: Any, caplog: pytest.LogCaptureFixture
) -> None:
    aside: list[Record] = []
    whole = put([conversion(Status.QUEUED, name="other")])
    (found, jobs_kept) = again(put([conversion()]), record, whole, aside=aside)
    assert len(aside) == 1
    assert [one.id for one in found] == ["id-of-one", "other"]
    assert list(jobs_kept[VIDEO, 320].sharers) == found, "nothing half-restored among the sharers"
    (warning,) = [one for one in caplog.records if one.levelno == logging.WARNING]
    assert "set aside" in warning.getMessage()


def test_times_without_a_zone_do_not_mix_badly_with_those_that_have_one() -> None:
    record = put([conversion(name="x")])
    record["conversions"][0]["created_at"] = "2026-01-31T12:00:00"
    assert len(again(put([conversion()]), record)[0]) == 2


def test_an_error_of_an_unknown_code_is_still_an_error() -> None:
    record = put([conversion(Status.FAILED)])
    record["conversions"][0]["error"]["code"] = "OF_ANOTHER_VERSION"
    ((after,), _) = again(record)
    assert after.job.error and after.job.error.code == "INTERNAL_ERROR"


# ---- a restart, seen through the API


async def shown(api: Api, ids: list[str]) -> list[Any]:
    return [await api.status(one) for one in ids]


async def test_every_id_answers_the_same_after_a_restart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(tmp_path) as api:
        made = (await api.made(VIDEO))["conversion_id"]
        failed, cancelled = [(await api.convert(f"led-{w}"))["conversion_id"] for w in ("failing", "cancell")]
        for video_id, percent in (("led-failing", 37), ("led-cancell", 55)):
            take = await api.studio.take(video_id)
            take.know(cover=b"a jpeg")
            take.grow(b"half", percent)
        (await api.studio.take("led-failing")).fail(errors.VideoPrivate())
        await api.request("DELETE", f"/status/{cancelled}")
        removed = (await api.made("gone-video-"))["conversion_id"]
        await api.request("DELETE", f"/status/{removed}")
        await api.status(failed, wait=5)
        ids = [made, failed, cancelled]
        before = await shown(api, ids)
        headers = (await api.get(link(made))).headers
        url = api.url
    # A replay may take a while.
    monkeypatch.setattr("server.conversions.retention.utc_now", lambda: utc_now() + timedelta(seconds=1))
    async with serving(tmp_path) as api:
        after = await shown(api, ids)
        assert json.loads(json.dumps(after).replace(api.url, url)) == before
        assert (await api.get(f"/status/{removed}")).status == 404
        file = await api.get(link(made))
        assert file.body == content_of(VIDEO) and file.headers["ETag"] == headers["ETag"]
        part = await api.get(link(made), headers={"Range": "bytes=10-19"})
        assert (part.status, part.body) == (206, content_of(VIDEO)[10:20])
        listed = (await api.get("/status")).json["jobs"]
        assert [job["conversion_id"] for job in listed] == [cancelled, failed, made]
        assert (await api.convert(VIDEO))["status"] == "completed", "kept work is still kept"
        assert api.studio.videos == []


async def test_what_was_not_finished_is_made_after_the_restart(tmp_path: Path) -> None:
    config = JobsConfig(slots=1)
    async with serving(tmp_path, jobs=config) as api:
        ids = [(await api.convert(video_id))["conversion_id"] for video_id in ("led-running", "led-waiting")]
        (await api.studio.take("led-running")).grow(b"half", 50)
    async with serving(tmp_path, jobs=config) as api:
        first = await api.studio.take("led-running")
        assert [job["status"] for job in await shown(api, ids)] == ["processing", "queued"]
        assert (await api.status(ids[0]))["progress"] == 0
        assert first.job.failures == 0, "the attempt that the stop cut is no failed one"
        for video_id in ("led-running", "led-waiting"):
            take = await api.studio.take(video_id)
            take.grow(b"whole")
            take.finish()
        assert [(await api.status(one, wait=5))["status"] for one in ids] == ["completed"] * 2


async def test_a_file_nobody_knows_of_goes_and_a_known_one_stays(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        made = await api.made(VIDEO)
        folder = api.app[ARTIFACTS]._folder
        (known,) = folder.glob("*.mp3")
    stray = folder / f"stray-video-320-{'0' * 16}.mp3"
    stray.write_bytes(known.read_bytes())
    stray.with_suffix(".json").write_bytes(known.with_suffix(".json").read_bytes())
    (folder / ".staging" / "leftover").mkdir()
    async with serving(tmp_path) as api:
        assert list(folder.glob("*.mp3")) == [known]
        assert list((folder / ".staging").iterdir()) == []
        assert (await api.get(link(made["conversion_id"]))).status == 200


async def test_the_ninth_interruption_is_forgiven_and_the_tenth_is_not(tmp_path: Path) -> None:
    one = conversion(Status.PROCESSING, attempt=1)
    for count, status in ((records.MAX_INTERRUPTIONS - 2, "processing"), (records.MAX_INTERRUPTIONS - 1, "failed")):
        one.job.interrupted = count
        one.job.recipe = Recipe("led-deadly-", 320)
        folder = tmp_path / str(count)
        (folder / "state").mkdir(parents=True)
        async with serving(folder) as api:
            await api.engine._journal.append(put([one]))
        async with serving(folder) as api:
            if status == "processing":
                await api.studio.take("led-deadly-")
            answer = await api.status("id-of-one")
            assert answer["status"] == status
    assert answer["error"]["code"] == "INTERNAL_ERROR"


async def test_keys_made_anew_under_the_old_name_see_their_conversions(tmp_path: Path) -> None:
    limits = LimitsConfig(1000, 1000, 1000)
    async with serving(tmp_path, keys={KEY: Key("local", limits)}) as api:
        made = await api.made(VIDEO)
    async with serving(tmp_path, keys={"another": Key("local", limits)}) as api:
        assert (await api.status(made["conversion_id"], key="another"))["status"] == "completed"
