"""The downloads folder gives way while work is going on: the work waits, and is done once it is there again."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import imageio_ffmpeg
import pytest
from conftest import StartApi
from support.api import Api, eventually, finish, submit, watch
from support.waiting import SOON

from server import errors
from server.config import JobsConfig
from server.conversions.retries import MAX_DISPLACED
from server.conversions.storage_gate import NOTICE
from server.http.context import READINESS
from server.jobs import Conversion, Status


@pytest.fixture
def downloads(tmp_path: Path) -> Path:
    return tmp_path / "api" / "downloads"


def take_away(downloads: Path) -> None:
    """Put a file where the folder was, so that it cannot be made again."""
    downloads.rename(downloads.with_name("elsewhere"))
    downloads.touch()


def bring_back(downloads: Path) -> None:
    downloads.unlink()
    downloads.with_name("elsewhere").rename(downloads)


async def displaced(api: Api, downloads: Path) -> Conversion:
    """One whose folder was taken away while it ran, and which waits for it now."""
    conversion = await submit(api, "led-running")
    take = await api.studio.take("led-running")
    take.grow(b"sound")
    take_away(downloads)
    take.finish()
    await eventually(lambda: api.engine.queue.notice)
    return conversion


async def test_a_running_job_waits_and_is_done_once_it_is_there_again(
    api: Api, downloads: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.media.readiness.ANSWER_SECONDS", 0)
    monkeypatch.setattr(api.app[READINESS], "ffmpeg_path", imageio_ffmpeg.get_ffmpeg_exe())
    conversion = await displaced(api, downloads)
    shown = await api.status(conversion.id)
    assert (shown["status"], shown["notice"], shown["queue_position"]) == ("queued", NOTICE, 1)
    refused = await api.post("/convert", {"url": watch("other-video")})
    assert (refused.status, refused.code) == (503, "DISK_FULL") and "cannot write its files" in refused.message
    ready = await api.get("/readyz", key=None)
    assert ready.status == 503 and any("downloads folder" in problem for problem in ready.json["problems"])
    await api.engine.tidy()
    assert len(api.studio.takes) == 1, "nothing is tried meanwhile"
    bring_back(downloads)
    await api.engine.tidy()
    await finish(api, "led-running", 2)
    await eventually(lambda: conversion.finished)
    assert (conversion.status, conversion.job.failures) == (Status.COMPLETED, 0)
    async with asyncio.timeout(SOON):
        while (await api.get("/readyz", key=None)).status != 200:  # on a busy machine ffmpeg may answer late
            await asyncio.sleep(0.05)
    assert (await api.made("other-video"))["status"] == "completed"


async def test_what_waits_can_be_cancelled_and_joined(api: Api, downloads: Path) -> None:
    conversion = await displaced(api, downloads)
    sharer = await submit(api, "led-running", "ben")
    await api.engine.remove(conversion)
    assert (conversion.status, sharer.status) == (Status.CANCELLED, Status.QUEUED)
    bring_back(downloads)
    await api.engine.tidy()
    await finish(api, "led-running", 2)
    await eventually(lambda: sharer.finished)
    assert sharer.status is Status.COMPLETED


@pytest.mark.parametrize("removed", [".", ".staging"])
async def test_a_folder_that_is_removed_is_made_again_and_the_job_done_again(
    api: Api, downloads: Path, removed: str
) -> None:
    conversion = await submit(api, "led-running")
    take = await api.studio.take("led-running")
    await asyncio.to_thread(shutil.rmtree, downloads / removed)
    take.fail(errors.EncodeFailed())
    await finish(api, "led-running", 2)
    await eventually(lambda: conversion.finished)
    assert (conversion.status, conversion.job.failures) == (Status.COMPLETED, 0)


async def test_what_the_source_has_said_of_the_video_stays(api: Api, downloads: Path) -> None:
    conversion = await submit(api, "led-private")
    take = await api.studio.take("led-private")
    await asyncio.to_thread(shutil.rmtree, downloads / ".staging")
    take.fail(errors.VideoPrivate())
    await eventually(lambda: conversion.finished)
    assert conversion.job.error and conversion.job.error.code == "VIDEO_PRIVATE"


async def test_one_whose_files_are_removed_again_and_again_fails_and_says_where(api: Api, downloads: Path) -> None:
    conversion = await submit(api, "led-running")
    for attempt in range(1, MAX_DISPLACED + 2):
        take = await api.studio.take("led-running", attempt)
        await asyncio.to_thread(shutil.rmtree, downloads / ".staging")
        take.finish()
    await eventually(lambda: conversion.finished)
    error = conversion.job.error
    assert error and (error.code, error.retryable) == ("DISK_FULL", True)
    assert "[storage] downloads" in error.message and len(api.studio.takes) == MAX_DISPLACED + 1


async def test_nobody_waits_for_longer_than_the_owners_patience(start_api: StartApi, downloads: Path) -> None:
    api = await start_api(jobs=JobsConfig(slots=1, patience=0))
    conversion = await displaced(api, downloads)
    await api.engine.tidy()
    assert conversion.job.error and conversion.job.error.code == "DISK_FULL"
    assert "cannot write its files" in conversion.job.error.message


async def test_what_waits_when_the_server_stops_is_done_by_the_next(
    start_api: StartApi, downloads: Path, tmp_path: Path
) -> None:
    api = await start_api(folder=tmp_path / "api")
    conversion = await displaced(api, downloads)
    await api.engine.drain(0)
    await api.runner.cleanup()
    bring_back(downloads)
    again = await start_api(folder=tmp_path / "api")
    await finish(again, "led-running")
    restored = again.engine.table.get(conversion.id)
    assert restored
    await eventually(lambda: restored.finished)
    assert restored.status is Status.COMPLETED


async def test_a_start_without_the_finished_files_says_so(
    start_api: StartApi, downloads: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As where the disk with the downloads is not mounted yet."""
    api = await start_api(folder=tmp_path / "api")
    made = await api.made("some-video-")
    await api.engine.drain(0)
    await api.runner.cleanup()
    downloads.rename(downloads.with_name("elsewhere"))
    again = await start_api(folder=tmp_path / "api")
    assert again.engine.table.get(made["conversion_id"]) is None
    assert "1 finished conversions are forgotten: their files are not in the downloads folder" in caplog.messages
