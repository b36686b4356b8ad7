"""Which ffmpeg is used, and what is said of one that does not do."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import imageio_ffmpeg
import pytest
from support.findings import gathered, only, with_

from server import errors
from server.commands import doctor
from server.commands.checks import PROBLEM
from server.config import Config, ConfigError
from server.media import confinement, ffmpeg


def program(folder: Path, text: str) -> Path:
    """An executable of that name."""
    path = folder / "ffmpeg"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


async def test_one_that_answers_late_is_slow_and_not_without_an_encoder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ffmpeg, "_START_TIMEOUT", 0.2)
    slow = program(tmp_path, "exec sleep 60")
    with pytest.raises(ConfigError) as refused:
        await ffmpeg.find(with_("ffmpeg", path=slow))
    assert str(refused.value) == (
        f"ffmpeg.path: {slow} has not answered in 0.2 s, so this machine or its disk is very busy. "
        "Start again when it is not"
    )
    finding = only(await gathered(doctor._ffmpeg(with_("ffmpeg", path=slow), {})))
    assert finding.level == PROBLEM and "is very busy" in finding.text
    assert "libmp3lame" not in finding.text and "install" not in finding.text


async def test_the_wheels_own_may_be_slow_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ffmpeg, "_START_TIMEOUT", 0.2)
    slow = program(tmp_path, "exec sleep 60")
    monkeypatch.setattr(shutil, "which", lambda _: None)
    monkeypatch.setattr(imageio_ffmpeg, "get_ffmpeg_exe", lambda: str(slow))
    with pytest.raises(ConfigError, match="is very busy"):
        await ffmpeg.find(Config())


async def test_one_on_the_path_that_is_slow_is_left_for_the_wheels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It could answer in time, or not, at any later conversion."""
    wheels = imageio_ffmpeg.get_ffmpeg_exe()
    slow = program(tmp_path, "exec sleep 60")
    monkeypatch.setattr(shutil, "which", lambda _: str(slow))

    async def asked(path: str, *arguments: str, timeout: float) -> bytes:
        return await real(path, *arguments, timeout=0.2 if path == str(slow) else timeout)

    real = ffmpeg._asked
    monkeypatch.setattr(ffmpeg, "_asked", asked)
    assert await ffmpeg.find(Config()) == wheels


async def test_none_at_all_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing() -> str:
        raise RuntimeError("No ffmpeg exe could be found.")

    monkeypatch.setattr(shutil, "which", lambda _: None)
    monkeypatch.setattr(imageio_ffmpeg, "get_ffmpeg_exe", nothing)
    with pytest.raises(ConfigError, match="found none that runs: not even imageio-ffmpeg's"):
        await ffmpeg.find(Config())


async def test_what_a_later_look_waits_for_is_bounded(tmp_path: Path) -> None:
    with pytest.raises(ffmpeg.Slow, match="has not answered in"):
        await ffmpeg.version(str(program(tmp_path, "exec sleep 60")), timeout=0.2)


@pytest.mark.parametrize("ending", ["kill -KILL $$", "kill -TERM $$", "sh -c 'kill -KILL $$'", "exit 255"])
async def test_one_that_a_signal_ended_is_told_from_one_that_fails(tmp_path: Path, ending: str) -> None:
    with pytest.raises(ffmpeg.Interrupted):
        await ended(tmp_path, ending)
    with pytest.raises(errors.EncodeFailed) as failed:
        await ended(tmp_path, "exit 183")  # invalid data
    assert not isinstance(failed.value, ffmpeg.Interrupted)


async def ended(folder: Path, ending: str) -> None:
    """What a shell that ends so is taken for, in the place of an encoder."""
    confined = confinement.of_tool("/bin/sh", file_size=0)
    with Path(os.devnull).open("rb") as source, (folder / "target").open("wb") as target:
        argv = ["/bin/sh", "-c", f"{ending}; exit $?"]
        async with ffmpeg.encode(argv, confined, stdin=source.fileno(), target=target.fileno(), group=None) as encoder:
            await encoder.finish()
