"""`demo`, as whoever has just cloned the repository runs it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from mutagen.mp3 import MP3
from support.commandline import Here, ytmp3d
from support.serverprocess import ROOT

from server.commands import demo


def test_it_saves_three_mp3s(tmp_path: Path) -> None:
    done = ytmp3d("demo", "--output", "here", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    saved = [tmp_path / name for name in re.findall(r"^here/.+\.mp3$", done.stdout, re.M)]
    assert len(saved) == 3 and sorted(saved) == sorted((tmp_path / "here").iterdir())
    assert [MP3(path).info.bitrate for path in saved] == [320_000, 192_000, 192_000]


def test_a_machine_on_which_it_takes_long_does_not_use_up_its_limits(
    here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "PAUSE", 0)
    done = here("demo", "--output", "here")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_conversion_that_fails_is_one_line_and_leaves_no_file(tmp_path: Path) -> None:
    script = (
        "from server.commands import cli, demo\ndemo.LIVE = 'https://youtu.be/x-private--'\nexit(cli.main(['demo']))"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2 and done.stderr.startswith("ytmp3d: the demo failed: This video is private. ")
    assert done.stderr.count("\n") == 1
    assert list((tmp_path / "demo-output").iterdir()) == []


def test_a_folder_that_cannot_be_written_is_one_line(here: Here, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for output, why in (("file/below", "Not a directory"), ("/proc", "No such file or directory")):
        done = here("demo", "--output", output)
        assert (done.returncode, done.stderr) == (2, f"ytmp3d: --output {output}: {why}\n")
