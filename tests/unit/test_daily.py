"""The daily update: at most once a day, when nothing runs, across restarts."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import pytest

from server.commands import update
from server.config import ConfigError
from server.media import daily


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(daily, "SPREAD", 0.0)
    monkeypatch.setattr(daily, "LOOK", 0.001)


async def test_it_waits_for_a_moment_without_conversions_and_notes_when_it_was(tmp_path: Path) -> None:
    stamp, updated = tmp_path / "updated", asyncio.Event()
    looks = iter([True, True, True, False])
    asked: list[bool] = []

    def busy() -> bool:
        asked.append(next(looks))
        return asked[-1]

    async def act() -> None:
        updated.set()

    task = asyncio.create_task(daily.update_daily(stamp, busy, act))
    async with asyncio.timeout(10):
        await updated.wait()
    assert asked == [True, True, True, False] and abs(stamp.stat().st_mtime - time.time()) < 10
    task.cancel()


async def test_a_stamp_that_cannot_be_written_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(daily, "SPREAD", 0.0)
    stamp = tmp_path / "missing" / "updated"
    updated = asyncio.Event()

    async def act() -> None:
        updated.set()

    task = asyncio.create_task(daily.update_daily(stamp, lambda: False, act))
    async with asyncio.timeout(10):
        while "cannot be written" not in caplog.text:
            await asyncio.sleep(0.01)
        assert not updated.is_set()
        stamp.parent.mkdir()
        await updated.wait()
    task.cancel()


async def test_a_restart_does_not_bring_the_next_update_forward(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stamp = tmp_path / "updated"
    stamp.touch()
    os.utime(stamp, (time.time() - 3600, time.time() - 3600))
    waits: list[float] = []
    slept = asyncio.Event()

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        slept.set()
        await asyncio.Event().wait()

    monkeypatch.setattr("server.media.daily.asyncio.sleep", sleep)

    async def act() -> None:
        raise AssertionError("an update within a day")

    task = asyncio.create_task(daily.update_daily(stamp, lambda: False, act))
    async with asyncio.timeout(10):
        await slept.wait()
    assert waits == [pytest.approx(daily.DAY - 3600, abs=10)]
    task.cancel()


async def test_without_pip_the_command_to_type_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip is not in this environment\. Use: .*--upgrade 'yt-dlp\[default,deno"):
        await update._locked()
