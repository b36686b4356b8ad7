"""Finished files appear in the library, whatever becomes of their conversions, and never at their cost."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import StartApi
from support.api import KEYS, MEDIA, Api, eventually, link

from server import naming
from server.config import StorageConfig
from server.http.context import ARTIFACTS
from server.media import readiness
from server.storage import library_files

PLACE = "An Artist/A Title.mp3"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(readiness, "ANSWER_SECONDS", 0)
    (tmp_path / "music").mkdir()
    return tmp_path / "music"


@pytest.fixture
def storage(tmp_path: Path, root: Path) -> StorageConfig:
    return StorageConfig(tmp_path / "api" / "downloads", tmp_path / "api" / "state", library=root)


async def warnings(api: Api) -> list[str]:
    return [one for one in (await api.get("/readyz", key=None)).json["warnings"] if "library" in one]


async def test_a_finished_file_appears_and_stays_when_its_conversion_goes(
    start_api: StartApi, storage: StorageConfig, root: Path
) -> None:
    api = await start_api(storage=storage)
    made = await api.made("some-video-")
    await eventually((root / PLACE).exists)
    content = (await api.get(link(made["conversion_id"]), key=None)).body
    assert (root / PLACE).read_bytes() == content
    assert (await api.request("DELETE", f"/status/{made['conversion_id']}")).status == 200
    await eventually(lambda: not list(storage.downloads.glob("*.mp3")))
    assert (root / PLACE).read_bytes() == content


async def test_a_library_that_cannot_be_written_is_a_warning_and_no_failure(
    start_api: StartApi, storage: StorageConfig, root: Path
) -> None:
    root.rmdir()
    api = await start_api(storage=storage)
    assert (await api.made("some-video-"))["status"] == "completed"
    assert len(await warnings(api)) == 1
    root.mkdir()
    assert await warnings(api) == []
    await eventually((root / PLACE).exists)


async def test_a_start_makes_up_for_what_an_earlier_one_left(
    start_api: StartApi, storage: StorageConfig, root: Path, tmp_path: Path
) -> None:
    first = await start_api()
    await first.made("some-video-")
    await first.runner.cleanup()
    second = await start_api(storage=storage)
    await eventually((root / PLACE).exists)
    await second.runner.cleanup()
    (root / PLACE).unlink()
    third = await start_api(storage=storage)
    await third.made("other-video")
    await eventually((root / PLACE).exists)
    assert [path.name for path in root.rglob("*.mp3")] == ["A Title.mp3"], "what was removed there stays removed"


async def test_a_file_whose_job_did_not_live_to_know_it_appears(
    start_api: StartApi, storage: StorageConfig, root: Path
) -> None:
    first = await start_api(storage=storage)
    accepted = await first.convert("led-crashed")
    take = await first.studio.take("led-crashed")
    take.grow(b"sound")
    await first.app[ARTIFACTS].publish(take.part, None, recipe=take.job.recipe, media=MEDIA)
    await first.runner.cleanup()
    assert not list(root.rglob("*.mp3"))
    second = await start_api(storage=storage)
    assert (await second.status(accepted["conversion_id"]))["status"] == "completed"
    await eventually((root / PLACE).exists)


async def test_a_template_decides_and_two_keys_share_a_file(
    start_api: StartApi, storage: StorageConfig, root: Path, tmp_path: Path
) -> None:
    name = "{year}/{artist} – {title}.mp3"
    naming.parse_path(name)
    api = await start_api(
        storage=StorageConfig(storage.downloads, storage.state, library=root, library_name=name), keys=KEYS
    )
    await api.made("some-video-")
    await api.made("some-video-", key="the-key-of-ben")
    await eventually((root / "2026/An Artist – A Title.mp3").exists)
    found = [path.relative_to(root).parts[0] for path in root.rglob("*") if path.is_file()]
    assert found == ["2026"] and library_files.OWN not in found
