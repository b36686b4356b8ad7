"""`doctor`: each thing a box owner can get wrong is found, and the line says what to do."""

from __future__ import annotations

import asyncio
import dataclasses
import errno
import re
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import imageio_ffmpeg
import pytest
from support.commandline import Here, ytmp3d
from support.findings import gathered, only, with_
from support.serverprocess import ROOT

from server import __version__
from server.access import key_file
from server.commands import doctor
from server.commands.checks import OK, PROBLEM, WARNING, Finding
from server.config import Config, ServerConfig
from server.media import readiness, ytdlp
from server.media.exits import exits_of
from server.offline import offline_youtube

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
SUBJECTS = [
    "ytmp3d",
    "config",
    "keys",
    "ffmpeg",
    "sandbox",
    "yt-dlp",
    "plugins",
    "javascript",
    "state",
    "downloads",
    "port",
]
SUBJECTS += ["clock"]


def written(folder: Path, text: str = "") -> Path:
    """A configuration whose files are all in `folder`, on a port that nobody has."""
    config = folder / "config.toml"
    config.write_text(f'[storage]\ndownloads = "downloads"\nstate = "state"\n[server]\nport = 0\n{text}')
    return config


def lines(output: str) -> list[tuple[str, str, str]]:
    """Level, subject and text of each line."""
    found = [re.fullmatch(r"(ok|warning|problem) +(\S+) +(.+)", line) for line in output.splitlines()]
    assert all(found), output
    return [(one[1], one[2], one[3]) for one in found if one]


# ---- the command


def test_a_healthy_box_has_no_problem_and_exit_status_0(tmp_path: Path) -> None:
    config = written(tmp_path)
    key_file.create(tmp_path / "keys.toml", "me", {})
    done = ytmp3d("doctor", "--config", config, cwd=tmp_path)
    found = lines(done.stdout)
    assert [subject for _, subject, _ in found] == SUBJECTS
    # yt-dlp ages, and a small disk is no fault of the doctor's.
    assert {level for level, subject, _ in found if subject not in ("yt-dlp", "downloads")} == {OK}
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.toml", "keys.toml", "keys.toml.lock"]


def test_without_a_configuration_the_defaults_are_examined(here: Here, tmp_path: Path) -> None:
    (tmp_path / "config.toml").unlink()
    found = lines(here("doctor").stdout)
    assert found[0][:2] == (OK, "ytmp3d") and found[0][2].startswith(f"{__version__}, Python 3.")
    assert found[1][:2] == (OK, "config")
    without = f"no config.toml: every setting has its default, as in {ROOT / 'config.example.toml'}"
    assert found[1][2] == f"{without}, unless a variable YTMP3D_… sets it"
    assert found[2][:2] == (WARNING, "keys") and "python -m server keys create NAME" in found[2][2]


def test_a_bad_configuration_is_the_only_finding(here: Here, tmp_path: Path) -> None:
    done = here("doctor", "--config", written(tmp_path, "[jobs]\nslots = -1\n"))
    assert done.returncode == 1
    _, (level, subject, text) = lines(done.stdout)
    assert (level, subject) == (PROBLEM, "config")
    assert "jobs.slots: expected a whole number from 0 to 1024, found -1" in text and "config.example.toml" in text


def test_every_problem_of_a_box_is_found_in_one_go(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder, not a program, no certificate, no cookies\n")
    (tmp_path / "keys.toml").write_text("broken")
    with socket.create_server(("127.0.0.1", 0)) as taken, socket.socket() as free:
        free.bind(("127.0.0.1", 0))  # and listens not
        config = tmp_path / "config.toml"
        config.write_text(
            f"[server]\nport = {taken.getsockname()[1]}\n"
            '[storage]\ndownloads = "file"\nstate = "file/state"\n[ffmpeg]\npath = "file"\n'
            f'[ytdlp]\nargs = ["--exec", "id"]\nproxy = "http://127.0.0.1:{free.getsockname()[1]}"\n'
            'ca_file = "file"\ncookies = "file"\n'
        )
        done = ytmp3d("doctor", "--config", config, "--url", "https://youtu.be/dQw4w9WgXcQ", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (1, "")
    found = lines(done.stdout)
    problems = {subject: text for level, subject, text in found if level == PROBLEM}
    fixes = {
        "keys": "Correct or delete the file",
        "ffmpeg": "Name another with [ffmpeg] path",
        "yt-dlp": "Take it out of [ytdlp] args",
        "cookies": "Export it from a browser again",
        "proxy": "Start it, or correct [ytdlp] proxy",
        "authority": "Correct [ytdlp] ca_file",
        "state": "or name another [storage] state",
        "downloads": "or name another [storage] downloads",
        "port": "Stop it, or set another [server] port",
    }
    assert problems.keys() == fixes.keys()
    for subject, fix in fixes.items():
        assert fix in problems[subject], problems[subject]
    assert found[-1] == (WARNING, "conversion", "not tried: mend the problems above first")


async def test_no_finding_reaches_the_terminal_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    async def examined() -> AsyncIterator[Finding]:
        yield Finding(PROBLEM, "conversion", "YouTube says: \x1b]0;owned\x07\x9b31m\u202eGPJ.exe\nok  keys  fine")

    assert await doctor._run(examined()) == 1
    shown = capsys.readouterr().out
    assert shown == "problem  conversion  YouTube says: �]0;owned��31mGPJ.exe ok  keys  fine\n"


# ---- a real conversion


async def test_a_url_is_converted_and_each_stage_timed(tmp_path: Path) -> None:
    async with offline_youtube(tmp_path / "youtube", FFMPEG) as youtube:
        config = written(tmp_path, f'[ytdlp]\nproxy = "{youtube.proxy}"\nca_file = "{youtube.ca_file}"\n')

        async def told(url: str) -> tuple[int, tuple[str, str, str]]:
            done = await asyncio.to_thread(ytmp3d, "doctor", "--config", config, "--url", url, cwd=tmp_path)
            return done.returncode, lines(done.stdout)[-1]

        (status, (level, subject, text)), private, no_video = await asyncio.gather(
            told("https://youtu.be/x-twin-one-"), told("https://youtu.be/x-private--"), told("https://example.org/x")
        )
    assert (status, level, subject) == (0, OK, "conversion")
    assert re.fullmatch(r"Twins: extract \d+\.\d\d s, cover \S+ s, wait \S+ s, encode \S+ s, publish \S+ s", text)
    assert private[0] == 1 and private[1][:2] == (PROBLEM, "conversion")
    assert private[1][2].startswith("VIDEO_PRIVATE: ") and "[youtube] x-private--: Private video" in private[1][2]
    assert no_video[0] == 1 and no_video[1][:2] == (PROBLEM, "conversion") and "YouTube" in no_video[1][2]
    assert not (tmp_path / "downloads").exists() and not (tmp_path / "state").exists(), "tried elsewhere"


# ---- keys


async def test_no_key_is_a_problem_where_others_can_reach_the_server(tmp_path: Path) -> None:
    config = dataclasses.replace(Config(), keys_file=tmp_path / "keys.toml")
    assert only(await gathered(doctor._keys(config))).level == WARNING
    config = dataclasses.replace(config, server=ServerConfig(host="0.0.0.0"))  # noqa: S104  # nothing listens
    finding = only(await gathered(doctor._keys(config)))
    assert finding.level == PROBLEM and "python -m server keys create NAME" in finding.text
    key_file.create(config.keys_file, "me", {})
    assert only(await gathered(doctor._keys(config))) == Finding(OK, "keys", str(config.keys_file))


# ---- surroundings


async def test_a_conversion_without_a_temporary_folder_is_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: str) -> None:
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found")

    monkeypatch.setattr(tempfile, "TemporaryDirectory", refuse)
    way = exits_of(Config())[0]
    finding = await doctor._convert(Config(), "https://youtu.be/dQw4w9WgXcQ", FFMPEG, way)
    assert finding.level == PROBLEM and "Name one with TMPDIR" in finding.text


# ---- tools


@pytest.mark.parametrize("program", ["cat", "true", "false"])
async def test_what_is_no_ffmpeg_is_a_problem(program: str) -> None:
    path = shutil.which(program)
    assert path
    finding = only(await gathered(doctor._ffmpeg(with_("ffmpeg", path=Path(path)), {})))
    assert finding.level == PROBLEM and path in finding.text and "[ffmpeg] path" in finding.text


async def test_an_old_ytdlp_and_a_missing_runtime_are_warnings(monkeypatch: pytest.MonkeyPatch) -> None:
    async def old(*_: object) -> ytdlp.Versions:
        return ytdlp.Versions("2020.01.31")

    monkeypatch.setattr(ytdlp, "check", old)
    age, _, runtime = await gathered(doctor._ytdlp(Config()))
    assert age.level == runtime.level == WARNING
    assert re.match(r"2020\.01\.31 is \d{4,} days old\. Update it: ", age.text)
    assert runtime.text == readiness.NO_RUNTIME
