"""What the state says about the table: everything that can be seen of a conversion comes back."""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.api import KEY, MEDIA, Api, content_of, link, serving

from server import errors
from server.access.keys import Key
from server.clip import Clip
from server.config import JobsConfig, LimitsConfig
from server.conversions import records
from server.conversions.fairqueue import FairQueue
from server.conversions.records import Restored
from server.conversions.workers import SUSPECT
from server.http import representation
from server.http.context import ARTIFACTS
from server.jobs import Artifact, Conversion, Job, Quality, Recipe, Status, utc_now
from server.storage.state import State

VIDEO = "some-video-"
NOW = datetime(2026, 1, 31, 12, 0, 0, 123456, UTC)
MOMENT = NOW.isoformat()
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


def again(rows: Mapping[Any, Any], *, artifacts: Sequence[Artifact] = ()) -> Restored:
    """What is restored of `rows` once they were on disk."""
    return records.restore(json.loads(json.dumps(rows)).items(), artifacts)


def row(state: Status = Status.QUEUED, **wrong: Any) -> Any:
    """A conversion's record, some of it `wrong`."""
    return {**records.of([conversion(state)])["id-of-one"], **wrong}


@pytest.mark.parametrize("status", [Status.FAILED, Status.CANCELLED, Status.COMPLETED, Status.QUEUED])
def test_a_conversion_comes_back_as_it_was(status: Status) -> None:
    before = conversion(status)
    before.name = "A Name [video-id]"
    restored = again(records.of([before]), artifacts=[ARTIFACT] if status is Status.COMPLETED else [])
    (after,) = restored.conversions
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
        "name",
    ):
        assert getattr(after, name) == getattr(before, name), name
    if status is not Status.QUEUED:
        assert after.job.media == MEDIA
    if status is Status.FAILED:
        assert after.job.error and after.job.error.code == "VIDEO_PRIVATE" and after.job.progress == 37
        assert (after.job.error.message, after.job.error.retryable) == (errors.VideoPrivate.text, False)
    if status is Status.COMPLETED:
        assert after.job.artifact == ARTIFACT
    assert (restored.changes, restored.odd) == ({}, []), "nothing to write"


@pytest.mark.parametrize(
    "options",
    [
        {"clip": {"start": 65.0, "end": 150.5}},
        {"clip": {"start": 7.0, "end": None}},
        {"loudness": -14.3},
        {"clip": {"start": 0.0, "end": 1.001}, "loudness": -30.0},
    ],
)
def test_what_was_asked_for_comes_back_and_shares_only_with_the_same(options: dict[str, Any]) -> None:
    rows = {"whole": row(), "special": {**row(), **options}}
    clip = Clip(**options["clip"]) if "clip" in options else None
    artifact = dataclasses.replace(ARTIFACT, recipe=Recipe(VIDEO, 320, clip, options.get("loudness")))
    whole, special = again(rows, artifacts=[artifact]).conversions
    assert (whole.job.recipe, whole.status) == (RECIPE, Status.QUEUED)
    assert (special.job.recipe, special.status) == (artifact.recipe, Status.COMPLETED), "its file was published"
    record = records.of([special])["special"]
    assert {name: record[name] for name in ("clip", "loudness") if name in record} == options


def test_what_was_under_way_is_queued_again_and_the_cut_attempt_is_not_counted() -> None:
    restored = again(records.of([conversion(Status.PROCESSING, attempt=1)]))
    (after,) = restored.conversions
    assert after.status is Status.QUEUED and after.started_at == NOW
    assert (after.job.failures, after.job.interrupted) == (0, 1)
    assert restored.jobs == {RECIPE: after.job}
    assert restored.changes == records.of([after])


def test_interruptions_add_up_and_failed_attempts_stay_counted() -> None:
    before = conversion(Status.PROCESSING, attempt=2)
    for count in (1, 2, 3):
        (before,) = again(records.of([before])).conversions
        assert (before.job.failures, before.job.interrupted) == (1, count)
        before.job.begin_attempt()


def test_sharers_share_again() -> None:
    two = [conversion(name="one"), conversion(Status.PROCESSING, name="two", attempt=1)]
    restored = again(records.of(two))
    found = restored.conversions
    assert {one.status for one in found} == {Status.QUEUED}
    (job,) = restored.jobs.values()
    assert set(job.sharers) == set(found) and all(one.job is job for one in found)


@pytest.mark.parametrize("status", [Status.QUEUED, Status.PROCESSING])
def test_a_published_file_without_its_record_is_adopted(status: Status) -> None:
    restored = again(records.of([conversion(status, attempt=1)]), artifacts=[ARTIFACT])
    (after,) = restored.conversions
    assert after.status is Status.COMPLETED and after.job.artifact == ARTIFACT and after.job.progress == 100
    assert restored.jobs[RECIPE].media == MEDIA
    assert restored.changes == records.of([after])


def test_a_completed_one_whose_file_is_gone_is_left_out() -> None:
    restored = again(records.of([conversion(Status.COMPLETED)]))
    assert (restored.conversions, restored.changes, restored.odd) == ([], {"id-of-one": None}, [])


def test_the_oldest_come_first() -> None:
    names = ["b", "a", "c"]
    found = []
    for place, name in enumerate(names):
        one = conversion(name=name)
        one.created_at = NOW.replace(second=place)
        found.append(one)
    assert [one.id for one in again(records.of(found[::-1])).conversions] == names


#: Wrong in every record, and in those of a failed one.
WRONG: list[Any] = [
    {"status": "strange"}, {"status": []}, {"quality": None}, {"quality": {}}, {"owner": 7}, {"owner": "\ud800"},
    {"loudness": None}, {"loudness": True}, {"loudness": "-14"}, {"loudness": 0}, {"loudness": -31},
    {"clip": 7}, {"clip": {}}, {"clip": None}, {"clip": {"start": 2, "end": 1}}, {"clip": {"start": [], "end": 1}},
    {"video_id": "../../etc/x"}, {"video_id": "x" * 12}, {"video_id": None}, {"created_at": "yesterday"},
    {"created_at": 7}, {"created_at": "99999-01-01T00:00:00+00:00"}, {"created_at": "9999-12-31T23:59:59-23:00"},
    {"created_at": "0001-01-01T00:00:00"}, {"started_at": "0001-01-01T00:00:00+14:00"}, {"expires_at": None},
    {"attempt": "x"}, {"attempt": True}, {"attempt": -1}, {"attempt": 1.5}, {"attempt": 1e400}, {"attempt": 10**30},
    {"attempt": float("nan")}, {"interrupted": None}, {"interrupted": -1},
]  # fmt: skip
WRONG_MEDIA: list[Any] = [
    {}, 7, [], None, {"title": "x"}, dataclasses.asdict(MEDIA) | {"duration": "x"},
    *(dataclasses.asdict(MEDIA) | wrong for wrong in (
        {"duration": -1}, {"duration": 1e400}, {"duration": float("nan")}, {"duration": None}, {"title": 7},
        {"title": "\udfff"}, {"of a later version": 1}, {"source": None}, {"source": {"codec": "opus"}},
        {"source": {"codec": 7, "bitrate_kbps": None}}, {"source": {"codec": "opus", "bitrate_kbps": "many"}},
    )),
]  # fmt: skip
WRONG_FAILED: list[Any] = [
    {"error": {}}, {"error": "x"}, {"error": {"code": [], "message": "x"}}, {"error": {"code": "x", "message": None}},
    {"error": None}, {"progress": "x"}, {"progress": -1}, *({"media": media} for media in WRONG_MEDIA),
]  # fmt: skip
BROKEN: list[tuple[str, Any]] = [
    ("x", {}), ("", row()), ("../x", row()), ("x" * 65, row()), ("\ud800", row()), ("a\0b", row()),
    *(("x", row(**wrong)) for wrong in WRONG),
    *(("x", row(Status.FAILED, **wrong)) for wrong in WRONG + WRONG_FAILED),
    *(("x", row(Status.COMPLETED, **wrong)) for wrong in [*WRONG, {"artifact": []}, {"artifact": None}]),
    *(("x", {key: value for key, value in row(Status.FAILED).items() if key != name})
      for name in ("owner", "video_id", "quality", "status", "created_at", "attempt", "interrupted", "error")),
]  # fmt: skip


@pytest.mark.parametrize(("key", "record"), BROKEN, ids=lambda value: repr(value)[-60:])
def test_what_cannot_be_understood_is_said_and_set_aside_without_harm(
    key: str, record: Any, caplog: pytest.LogCaptureFixture
) -> None:
    whole = records.of([conversion(), conversion(name="other")])
    restored = again({"id-of-one": whole["id-of-one"], key: record, "other": whole["other"]}, artifacts=[ARTIFACT])
    found = restored.conversions
    assert restored.odd == [key] and key not in restored.changes
    assert [one.id for one in found] == ["id-of-one", "other"]
    assert list(restored.jobs[RECIPE].sharers) == found, "nothing half-restored among the sharers"
    (warning,) = [one for one in caplog.records if one.levelno == logging.WARNING]
    assert "set aside" in warning.getMessage()


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.text(st.characters(categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
STATUSES = list(Status)


@settings(deadline=None)
@given(data=st.data(), status=st.sampled_from(STATUSES))
def test_no_value_anywhere_stops_the_start(data: st.DataObject, status: Status) -> None:
    record = row(status)
    paths: list[tuple[str, ...]] = [(name,) for name in record]
    paths += [(name, inner) for name in ("media", "error") for inner in record.get(name, ())]
    for *above, name in data.draw(st.lists(st.sampled_from([*paths, ("of a later version",)]), min_size=1, max_size=3)):
        place = record
        for step in above:
            place = place[step] if isinstance(place, dict) else {}
        if isinstance(place, dict):
            place[name] = data.draw(ANYTHING | st.sampled_from(["opus", "x" * 11, 0, 1, 99, MOMENT]))
    restored = again({"x": record}, artifacts=[ARTIFACT] if status is Status.COMPLETED else [])
    assert len(restored.conversions) + len(restored.odd) + list(restored.changes.values()).count(None) == 1
    for one in restored.conversions:
        json.loads(representation.to_bytes(one, FairQueue(), "http://x"))
        again_found = [one.job.artifact] if one.job.artifact else []
        assert again(records.of([one]), artifacts=again_found).changes == {}, "what it became is as it should be"


@settings(deadline=None)
@given(record=st.dictionaries(st.sampled_from(sorted(row(Status.FAILED))), ANYTHING), key=st.text())
def test_no_record_stops_the_start(record: Any, key: str) -> None:
    assert again({key: record}).odd == [key]


def test_times_without_a_zone_do_not_mix_badly_with_those_that_have_one() -> None:
    found = again({"x": row(created_at="2026-01-31T12:00:00"), "y": row()})
    assert len(found.conversions) == 2


def test_an_error_of_an_unknown_code_is_still_an_error() -> None:
    (after,) = again({"x": row(Status.FAILED, error={"code": "OF_ANOTHER_VERSION", "message": "x"})}).conversions
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
        await api.status(failed, wait=50)
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
        assert [(await api.status(one, wait=50))["status"] for one in ids] == ["completed"] * 2


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
        state, _ = await State.open(folder / "state")
        await state.commit(records.TABLE, records.of([one]))
        await state.close()
        async with serving(folder) as api:
            if status == "processing":
                await api.studio.take("led-deadly-")
            answer = await api.status("id-of-one")
            assert answer["status"] == status
    assert answer["error"]["code"] == "INTERNAL_ERROR"


async def test_what_may_have_ended_the_server_waits_behind_all_others(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    state, _ = await State.open(tmp_path / "state")
    for number, interrupted in enumerate((SUSPECT + 1, SUSPECT, SUSPECT - 1, 0)):
        one = conversion(name=f"id-of-cut-{interrupted}")
        one.created_at += timedelta(seconds=number)
        one.job.recipe = Recipe(f"led-cut---{interrupted}", 320)
        one.job.interrupted = interrupted
        await state.commit(records.TABLE, records.of([one]))
    await state.close()
    async with serving(tmp_path, jobs=JobsConfig(slots=1, fetchers=1)) as api:
        await api.studio.take(f"led-cut---{SUSPECT - 1}")
        listed = [await api.status(f"id-of-cut-{interrupted}") for interrupted in (0, SUSPECT, SUSPECT + 1)]
        assert [one["queue_position"] for one in listed] == [1, 2, 3]


async def test_keys_made_anew_under_the_old_name_see_their_conversions(tmp_path: Path) -> None:
    limits = LimitsConfig(1000, 1000, 1000)
    async with serving(tmp_path, keys={KEY: Key("local", limits)}) as api:
        made = await api.made(VIDEO)
    async with serving(tmp_path, keys={"another": Key("local", limits)}) as api:
        assert (await api.status(made["conversion_id"], key="another"))["status"] == "completed"
