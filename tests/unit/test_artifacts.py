"""Finished files: whole or absent, within the budget, and nothing left behind."""

from __future__ import annotations

import asyncio
import dataclasses
import errno
import hashlib
import json
import math
import os
import random
import shutil
import stat
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from conftest import SmallDisk

from server import filesystems
from server.clip import Clip
from server.errors import DiskFull
from server.jobs import Artifact, Chapter, Media, Recipe, Source
from server.storage import artifact_files, artifact_names
from server.storage import artifacts as artifacts_module
from server.storage.artifacts import Artifacts
from server.storage.readers import GRACE

DEADLINE = 20
VIDEO = "-_abcdefghi"
RECIPE = Recipe(VIDEO, 320)
MEDIA = Media("A title \N{SNOWMAN}", "Someone", 12.5, "2026-01-31", Source("opus", 130))
SONG = dataclasses.replace(
    MEDIA,
    album="An album",
    album_artist="Someone",
    track="A song",
    track_number=3,
    disc_number=1,
    genre="Ambient",
    chapters=(Chapter("Intro \N{SNOWMAN}", 0.0, 1.5), Chapter("Rest", 1.5, 12.5)),
)


async def opened(folder: Path, **options: Any) -> Artifacts:
    artifacts = Artifacts(folder, **{"budget_bytes": 10**9, **options})
    await artifacts.open()
    return artifacts


async def found(folder: Path) -> list[Artifact]:
    return await Artifacts(folder, budget_bytes=10**9).open()


async def publish(
    artifacts: Artifacts,
    content: bytes = b"audio",
    cover: bytes | None = None,
    media: Media = MEDIA,
    recipe: Recipe = RECIPE,
) -> Artifact:
    async with artifacts.staging() as staging:
        audio, picture = staging / "audio.part", staging / "cover.part"
        audio.write_bytes(content)
        if cover is not None:
            picture.write_bytes(cover)
        return await artifacts.publish(audio, None if cover is None else picture, recipe=recipe, media=media)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*")}


async def test_a_published_file_has_a_name_of_its_own_and_leaves_no_staging(tmp_path: Path) -> None:
    artifacts = await opened(tmp_path)
    first = await publish(artifacts, b"one", b"picture")
    second = await publish(artifacts, b"another")
    assert first.path != second.path
    assert first.path.name.startswith(f"{VIDEO}-320-")
    assert (first.path.read_bytes(), second.path.read_bytes()) == (b"one", b"another")
    assert first.cover is not None
    assert first.cover.read_bytes() == b"picture"
    assert (first.size, second.size, second.cover) == (3, 7, None)
    assert len(names(tmp_path)) == len({".staging", "mp3", "json", "jpg", "second mp3", "second json"})


async def test_a_restart_finds_what_was_published(tmp_path: Path) -> None:
    artifacts = await opened(tmp_path)
    published = [await publish(artifacts, b"x" * size, cover) for size, cover in [(1, None), (2, b"y"), (3, None)]]
    for age, artifact in enumerate(published):
        os.utime(artifact.path, (1000 - age, 1000 - age))
    again = Artifacts(tmp_path, budget_bytes=10**9)
    assert await again.open() == list(reversed(published))
    assert again.used_bytes == artifacts.used_bytes


async def test_a_restart_knows_all_tags(tmp_path: Path) -> None:
    artifact = await publish(await opened(tmp_path), media=SONG)
    assert await found(tmp_path) == [artifact]
    assert artifact.media == SONG


@pytest.mark.parametrize("loudness", [None, -14.0, -5.0, -30.0, -14.3, -23.7])
@pytest.mark.parametrize("clip", [None, Clip(65.0, 150.5), Clip(0.001), Clip(0.0, 999_999.999)])
def test_a_name_says_what_was_made(clip: Clip | None, loudness: float | None) -> None:
    recipe = Recipe("-a_b-12_34-", 128, clip, loudness)
    assert artifact_names.recipe(artifact_names.new(recipe)) == recipe


@pytest.mark.parametrize(
    "part", ["65000", "65000-150500", "150500_65000", "65000_65000", "_5", "1000000000_", "L5", "L140-1_2"]
)
def test_a_name_that_nothing_is_published_under_is_not_ours(part: str) -> None:
    assert artifact_names.recipe(f"{VIDEO}-320-{part}-0123456789abcdef.mp3") is None


async def test_a_restart_knows_which_part_a_file_is(tmp_path: Path) -> None:
    media = dataclasses.replace(MEDIA, clip=Clip(65.0, 150.5), part="1:05–2:30.5")
    artifact = await publish(await opened(tmp_path), media=media, recipe=Recipe(VIDEO, 320, Clip(65.0, 150.5)))
    assert await found(tmp_path) == [artifact]


async def test_sources_count_against_the_budget_while_they_are_kept(tmp_path: Path) -> None:
    artifacts = await opened(tmp_path)
    old, new = await publish(artifacts), await publish(artifacts)
    artifacts = Artifacts(tmp_path, budget_bytes=artifacts.used_bytes)
    assert await artifacts.open() == [old, new] and artifacts.over_budget() == []
    before = artifacts.used_bytes
    artifacts.count_source(1)
    assert artifacts.used_bytes == before + 1 and artifacts.over_budget() == [old]
    artifacts.count_source(-1)
    assert artifacts.used_bytes == before and artifacts.over_budget() == []


async def test_what_an_earlier_version_published_is_kept(tmp_path: Path) -> None:
    artifact = await publish(await opened(tmp_path))
    described = {"title": MEDIA.title, "artist": "Someone", "duration": 12.5, "date": "2026-01-31"}
    described["source"] = {"codec": "opus", "bitrate_kbps": 130}
    artifact.path.with_suffix(".json").write_text(json.dumps({"v": 1, "size": 5, "media": described}))
    assert await found(tmp_path) == [artifact]


@pytest.mark.parametrize(
    "changed",
    [
        *({"chapters": 7}, {"chapters": [7]}, {"chapters": [{"title": "x"}]}, {"track": None}, {"album": 7}),
        *({"chapters": [{"title": 1, "start": 0, "end": 1}]}, {"chapters": [{"title": "", "start": "0", "end": 1}]}),
        *({"track_number": "3"}, {"of_a_later_version": 1}, {"source": 7}),
    ],
)
def test_media_of_other_types_are_refused(changed: dict[str, Any]) -> None:
    table = dataclasses.asdict(SONG)
    assert Media.restored(json.loads(json.dumps(table))) == SONG
    others: tuple[object, ...] = (table | changed, 7, [], "x", None)
    for broken in others:
        with pytest.raises((KeyError, TypeError, ValueError)):
            Media.restored(broken)


async def test_the_sweep_takes_what_is_incomplete_and_ours_and_nothing_else(tmp_path: Path) -> None:
    artifacts = await opened(tmp_path)
    whole = await publish(artifacts, b"whole", b"picture")
    shorter = await publish(artifacts, b"shorter than it says")
    shorter.path.write_bytes(b"shorter")
    undescribed = await publish(artifacts, b"x")
    undescribed.path.with_suffix(".json").unlink()
    garbled = [await publish(artifacts, b"x", b"picture") for _ in range(5)]
    contents = [b"", b"\xff", b"[]", b'{"v":1,"size":1,"media":{"title":1}}', b"[" * 100_000]
    for artifact, content in zip(garbled, contents, strict=True):
        artifact.path.with_suffix(".json").write_bytes(content)
    lonely = await publish(artifacts, b"x", b"picture")
    lonely.path.unlink()
    (tmp_path / ".staging" / "old").mkdir()
    (tmp_path / ".staging" / "old" / "audio.part").touch()
    (tmp_path / ".staging" / "stray").touch()
    foreign = {"README", "song.mp3", f"{VIDEO}-320-0123456789abcdef.txt", f"x{VIDEO}-320-0123456789abcdef.mp3"}
    for name in foreign:
        (tmp_path / name).touch()
    (tmp_path / f"{VIDEO}-320-0123456789abcdef.mp3").mkdir()

    assert await found(tmp_path) == [whole]
    ours = {whole.path.with_suffix(suffix).name for suffix in (".mp3", ".json", ".jpg")}
    assert names(tmp_path) == ours | foreign | {".staging", f"{VIDEO}-320-0123456789abcdef.mp3"}


async def test_only_the_owner_sees_what_is_being_made(tmp_path: Path) -> None:
    artifacts = await opened(tmp_path / "downloads")
    async with artifacts.staging() as staging:
        assert {path.stat().st_mode & 0o777 for path in (staging, staging.parent)} == {0o700}


async def test_a_downloads_folder_that_was_emptied_is_made_again(tmp_path: Path) -> None:
    artifacts = await opened(tmp_path / "downloads")
    shutil.rmtree(tmp_path / "downloads")
    artifacts._disk_asked = None
    assert await artifacts.room()
    shutil.rmtree(tmp_path / "downloads")
    artifact = await publish(artifacts, b"audio")
    assert artifact.path.read_bytes() == b"audio"
    assert (tmp_path / "downloads" / ".staging").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("end", [None, ValueError, KeyboardInterrupt, asyncio.CancelledError])
async def test_a_staging_folder_goes_however_it_ends(tmp_path: Path, end: type[BaseException] | None) -> None:
    artifacts = await opened(tmp_path)
    try:
        async with artifacts.staging() as staging:
            (staging / "deep").mkdir()
            (staging / "deep" / "audio.part").write_bytes(b"x")
            if end is not None:
                raise end
    except BaseException as error:
        assert type(error) is end
    assert names(tmp_path) == {".staging"}


async def test_a_staging_folder_goes_even_when_cancelled_again_and_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifacts = await opened(tmp_path)
    inside, removing, go_on = asyncio.Event(), threading.Event(), threading.Event()
    remove = artifact_files.remove_tree

    def slowly(path: Path) -> None:
        removing.set()
        assert go_on.wait(DEADLINE)
        remove(path)

    async def attempt() -> None:
        async with artifacts.staging() as staging:
            (staging / "audio.part").write_bytes(b"x")
            inside.set()
            await asyncio.Event().wait()

    monkeypatch.setattr(artifact_files, "remove_tree", slowly)
    task = asyncio.create_task(attempt())
    await inside.wait()
    task.cancel()
    assert await asyncio.to_thread(removing.wait, DEADLINE)
    for _ in range(3):
        task.cancel()
        await asyncio.sleep(0)
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert names(tmp_path) == {".staging"}


@pytest.mark.parametrize("step", [0, 1, 2])
@pytest.mark.parametrize(
    ("number", "raised"),
    [
        (errno.ENOSPC, DiskFull),
        (errno.EDQUOT, DiskFull),
        (errno.EIO, DiskFull),
        (errno.EROFS, DiskFull),
        (errno.EMFILE, OSError),
    ],
)
async def test_a_failed_publish_leaves_nothing_at_whatever_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int, number: int, raised: type[Exception]
) -> None:
    artifacts = await opened(tmp_path)
    calls = 0

    def failing(step_itself: Callable[..., Any]) -> Callable[..., Any]:
        def instead(*arguments: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == step + 1:
                raise OSError(number, os.strerror(number))
            return step_itself(*arguments)

        return instead

    monkeypatch.setattr(shutil, "copyfile", failing(shutil.copyfile))
    monkeypatch.setattr(Path, "replace", failing(Path.replace))
    with pytest.raises(raised) as caught:
        await publish(artifacts, b"audio", b"picture")
    cause = caught.value.__cause__ if raised is DiskFull else caught.value
    assert isinstance(cause, OSError)
    assert cause.errno == number
    if isinstance(caught.value, DiskFull):
        assert caught.value.of_storage == (number in (errno.EIO, errno.EROFS))
    assert names(tmp_path) == {".staging"}
    assert artifacts.used_bytes == 0


async def test_a_cancelled_publish_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    artifacts = await opened(tmp_path)
    started, go_on = threading.Event(), threading.Event()
    sync = filesystems.sync

    def slowly(path: Path) -> None:
        started.set()
        assert go_on.wait(DEADLINE)
        sync(path)

    monkeypatch.setattr(artifact_files, "sync", slowly)
    task = asyncio.create_task(publish(artifacts))
    assert await asyncio.to_thread(started.wait, DEADLINE)
    task.cancel()
    await asyncio.sleep(0)
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert names(tmp_path) == {".staging"}
    assert artifacts.used_bytes == 0


async def test_a_full_disk_is_told_and_recovers(small_disk: SmallDisk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(artifacts_module, "FREE_SPACE_SECONDS", 0)
    folder = small_disk(512)
    artifacts = await opened(folder)
    kept = await publish(artifacts, b"kept")
    assert await artifacts.room()
    with pytest.raises(DiskFull) as caught:
        async with artifacts.staging() as staging:
            audio = staging / "audio.part"
            with audio.open("wb", buffering=0) as file:
                try:
                    while True:
                        file.write(bytes(4096))
                except OSError as error:
                    assert error.errno == errno.ENOSPC
            assert not await artifacts.room()
            assert artifacts.disk[1] == 0
            await artifacts.publish(audio, None, recipe=RECIPE, media=MEDIA)
    assert isinstance(caught.value.__cause__, OSError)
    assert await artifacts.room()
    assert kept.path.read_bytes() == b"kept"
    assert len(names(folder)) == len({".staging", "mp3", "json"})
    await publish(artifacts, b"again")


async def test_the_reserve_is_kept_free(tmp_path: Path) -> None:
    artifacts = await opened(tmp_path)
    assert await artifacts.room()
    assert artifacts.disk[1] > 0
    missing = await opened(tmp_path / "gone", reserve_bytes=0)
    missing._disk_asked = None
    (tmp_path / "gone" / ".staging").rmdir()
    (tmp_path / "gone").rmdir()
    (tmp_path / "gone").touch()
    assert not await missing.room()
    assert math.isnan(missing.disk[1])


async def test_the_budget_takes_the_least_recently_used(tmp_path: Path) -> None:
    artifacts = await opened(tmp_path)
    first, second, third = [await publish(artifacts, b"x" * 1000) for _ in range(3)]
    each = artifacts.used_bytes // 3
    tight = await opened(tmp_path)

    def over(budget_bytes: int) -> list[Artifact]:
        tight._budget_bytes = budget_bytes
        return tight.over_budget()

    assert over(3 * each) == []
    for artifact in (first, second, third):
        tight.touch(artifact)
    assert over(3 * each - 1) == [first]
    tight.touch(first)
    assert over(3 * each - 1) == [second]
    assert over(2 * each - 1) == [second, third]
    with tight.pinned(second):
        assert over(3 * each - 1) == [third]
        assert over(0) == [third, first]
    assert over(3 * each - 1) == [third]
    await tight.remove(third)
    assert tight.used_bytes == 2 * each
    assert over(2 * each) == []


async def test_what_somebody_removed_or_cut_is_told(tmp_path: Path) -> None:
    artifacts = await opened(tmp_path)
    removed, cut, whole = [await publish(artifacts) for _ in range(3)]
    removed.path.unlink()
    cut.path.write_bytes(b"au")
    assert await artifacts.damaged([removed, cut, whole]) == [removed, cut]


async def test_after_a_restart_the_oldest_file_counts_as_least_used(tmp_path: Path) -> None:
    artifacts = await opened(tmp_path)
    published = [await publish(artifacts) for _ in range(3)]
    for artifact, age in zip(published, (20, 30, 10), strict=True):
        os.utime(artifact.path, (10**9 - age, 10**9 - age))
    again = await opened(tmp_path, budget_bytes=0)
    assert again.over_budget() == [published[1], published[0], published[2]]


async def test_a_reader_in_mid_file_gets_it_whole_though_it_is_removed(tmp_path: Path) -> None:
    artifacts = await opened(tmp_path)
    content = random.randbytes(300_000)
    artifact = await publish(artifacts, content, b"picture")
    with artifacts.reading(artifact, lambda: None), artifact.path.open("rb") as file:
        begun = file.read(1000)
        await artifacts.remove(artifact)
        assert artifacts.used_bytes == len(content)
        assert begun + file.read() == content
    assert artifacts.used_bytes == 0
    assert names(tmp_path) == {".staging"}


async def test_removing_what_is_gone_is_fine(tmp_path: Path) -> None:
    artifacts = await opened(tmp_path, budget_bytes=0)
    artifact = await publish(artifacts, b"x", b"picture")
    artifact.path.with_suffix(".json").unlink()
    await artifacts.remove(artifact)
    await artifacts.remove(artifact)
    artifacts.touch(artifact)
    with artifacts.pinned(artifact):
        assert artifacts.over_budget() == []
    with artifacts.reading(artifact, lambda: None):
        assert artifacts.used_bytes == artifact.size, "a live reader may open it and come too late to be counted"
    assert artifacts.used_bytes == 0


class Reader:
    """A download under way."""

    def __init__(self, artifacts: Artifacts, artifact: Artifact) -> None:
        self.told = 0
        self._stack = ExitStack()
        self._stack.enter_context(artifacts.reading(artifact, self._end))

    def _end(self) -> None:
        self.told += 1

    def leave(self) -> None:
        self._stack.close()


async def removed_over_budget(artifacts: Artifacts) -> int:
    """What the engine does now and then: how many files it removes."""
    surplus = artifacts.over_budget()
    for artifact in surplus:
        await artifacts.remove(artifact)
    await artifacts.end_long_readers()
    return len(surplus)


async def test_a_reader_who_stops_pins_nothing_and_costs_no_fresh_work_its_place(tmp_path: Path) -> None:
    artifacts = await opened(tmp_path)
    old = await publish(artifacts, b"o" * 80_000)
    artifacts._budget_bytes = 100_000
    readers = [Reader(artifacts, old) for _ in range(500)]
    fresh = [await publish(artifacts, b"f" * 45_000)]
    assert await removed_over_budget(artifacts) == 1
    assert not old.path.exists(), "the old one goes, whoever reads it"
    fresh.append(await publish(artifacts, b"f" * 45_000))
    assert await removed_over_budget(artifacts) == 0
    assert all(artifact.path.exists() for artifact in fresh), "the room of the old one is not taken from them"
    assert artifacts.used_bytes >= 170_000, "but counted, once for all who read it"
    for reader in readers:
        assert artifacts.used_bytes >= 170_000
        reader.leave()
    assert 90_000 <= artifacts.used_bytes <= 100_000


async def test_readers_of_removed_files_have_a_minute_and_then_a_quarter_of_the_budget(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    artifacts = await opened(tmp_path, budget_bytes=100_000)
    monkeypatch.setattr(artifacts._readers, "_clock", lambda: now)
    files = [await publish(artifacts, b"x" * 20_000) for _ in range(3)]
    readers = [Reader(artifacts, artifact) for artifact in files]
    for artifact in files:
        await artifacts.remove(artifact)
        now += 1
    now += GRACE - 4
    await artifacts.end_long_readers()
    assert [reader.told for reader in readers] == [0, 0, 0]
    now += 5
    await artifacts.end_long_readers()
    assert [reader.told for reader in readers] == [1, 1, 0], "those of the files that went first"
    for reader in readers[:2]:
        reader.leave()
    now += 1000
    await artifacts.end_long_readers()
    assert readers[2].told == 0, "a quarter of the budget is theirs"

    async def full() -> bool:
        return False

    monkeypatch.setattr(artifacts, "room", full)
    await artifacts.end_long_readers()
    assert readers[2].told == 1, "unless the disk is full"
    readers[2].leave()
    assert artifacts.used_bytes == 0


async def test_a_file_that_cannot_be_removed_still_counts(tmp_path: Path) -> None:
    artifacts = await opened(tmp_path, budget_bytes=0)
    artifact = await publish(artifacts)
    used = artifacts.used_bytes
    artifact.path.unlink()
    artifact.path.mkdir()  # stands in the file's place: unlink fails, also for root
    with artifacts.reading(artifact, lambda: None), pytest.raises(OSError, match="directory"):
        await artifacts.remove(artifact)
    assert artifacts.used_bytes == used
    assert artifacts.over_budget() == [artifact]


async def test_a_kill_at_any_moment_leaves_only_whole_artifacts_after_the_sweep(tmp_path: Path) -> None:
    program = """
        import asyncio, hashlib, random, sys
        from pathlib import Path
        from server.storage.artifacts import Artifacts
        from server.jobs import Media, Recipe, Source

        async def main():
            artifacts = Artifacts(Path(sys.argv[1]), budget_bytes=10**9)
            await artifacts.open()
            async def work():
                while True:
                    async with artifacts.staging() as staging:
                        content = random.randbytes(5000)
                        (staging / "audio.part").write_bytes(content)
                        (staging / "cover.part").write_bytes(b"picture")
                        media = Media(hashlib.sha256(content).hexdigest(), "", 1.0, "", Source("opus", None))
                        artifact = await artifacts.publish(
                            staging / "audio.part", staging / "cover.part",
                            recipe=Recipe("abcdefghijk", 128), media=media,
                        )
                    print("published", artifact.path.name, flush=True)
                    if random.random() < 0.5:
                        print("removing", artifact.path.name, flush=True)
                        await artifacts.remove(artifact)
            await asyncio.gather(*(work() for _ in range(4)))

        asyncio.run(main())
    """
    for round_number in range(6):
        folder = tmp_path / str(round_number)
        child = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(program), str(folder)], stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        told = [child.stdout.readline() for _ in range(random.randint(1, 200))]
        child.kill()
        told += child.stdout.readlines()
        child.stdout.close()
        assert child.wait(DEADLINE) < 0
        words = [line.split() for line in told if line.endswith("\n")]
        removing = {name for word, name in words if word == "removing"}
        artifacts = await found(folder)
        assert {name for word, name in words if word == "published"} - removing <= {a.path.name for a in artifacts}
        for artifact in artifacts:
            assert hashlib.sha256(artifact.path.read_bytes()).hexdigest() == artifact.media.title
        files = {artifact.path.with_suffix(s).name for artifact in artifacts for s in (".mp3", ".json", ".jpg")}
        assert names(folder) <= files | {".staging"}


def fsync_failing(number: int, *, of_folders: bool) -> Callable[[int], None]:
    real = os.fsync

    def fsync(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode) is of_folders:
            raise OSError(number, os.strerror(number))
        real(descriptor)

    return fsync


@pytest.mark.parametrize("of_folders", [True, False], ids=["folders", "files"])
@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP, errno.ENOSYS])
async def test_a_file_system_that_cannot_sync_is_good_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, of_folders: bool
) -> None:
    artifacts = await opened(tmp_path)
    monkeypatch.setattr(os, "fsync", fsync_failing(number, of_folders=of_folders))
    artifact = await publish(artifacts, b"whole", b"picture")
    assert await found(tmp_path) == [artifact]


@pytest.mark.parametrize(("number", "of_folders"), [(errno.EIO, True), (errno.EIO, False)])
async def test_what_cannot_be_synced_for_another_reason_is_not_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, of_folders: bool
) -> None:
    artifacts = await opened(tmp_path)
    monkeypatch.setattr(os, "fsync", fsync_failing(number, of_folders=of_folders))
    with pytest.raises(DiskFull) as caught:
        await publish(artifacts, b"whole", b"picture")
    assert caught.value.of_storage and os.strerror(number) in str(caught.value.__cause__)
    assert names(tmp_path) == {".staging"}
