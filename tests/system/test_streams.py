"""Standard streams that are closed, full or read by nobody: no command ends in a traceback, and no server at all."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.commandline import ytmp3d
from support.serverprocess import ROOT, ServerProcess

PROGRAM = f"{shlex.quote(sys.executable)} -m server"


def shell(line: str, folder: Path, **environment: str) -> tuple[list[int], str, str]:
    """The exit statuses along a pipe, and what was printed; `ytmp3d` stands for the command."""
    script = line.replace("ytmp3d", PROGRAM) + '\nstatuses="${PIPESTATUS[*]}"\necho "$statuses" >statuses'
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=90,
    )
    return list(map(int, (folder / "statuses").read_text().split())), done.stdout, done.stderr


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "config.toml").touch()
    assert ytmp3d("keys", "create", "me", cwd=tmp_path).returncode == 0
    return tmp_path


@pytest.mark.parametrize("command", ["doctor", "keys list", "--version -v", "--help"])
def test_a_reader_that_goes_away_is_no_error_of_the_commands(folder: Path, command: str) -> None:
    statuses, _, errors = shell(f"ytmp3d {command} | true", folder)
    assert errors == ""
    assert statuses[0] in (0, 128 + signal.SIGPIPE)


def test_the_first_line_is_enough_for_some(folder: Path) -> None:
    (status, _), output, errors = shell("ytmp3d doctor | head -1", folder)
    assert output.startswith("ok       ytmp3d ") and output.count("\n") == 1
    assert (status, errors) == (128 + signal.SIGPIPE, "")


@pytest.mark.parametrize("command", ["doctor", "keys list", "--version"])
def test_a_closed_output_is_no_error(folder: Path, command: str) -> None:
    (status,), _, errors = shell(f"ytmp3d {command} >&-", folder)
    assert (status, errors) == (0, "")
    (status,), _, errors = shell(f"ytmp3d {command} >/dev/null 2>&- <&-", folder)
    assert (status, errors) == (0, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="NOT TESTED: a full output (needs Linux's /dev/full)")
def test_a_full_output_is_one_line(folder: Path) -> None:
    (status,), _, errors = shell("ytmp3d keys list >/dev/full", folder)
    assert status == 1
    assert errors == "ytmp3d: the output cannot be written: No space left on device\n"


@pytest.mark.parametrize(
    ("action", "words"),
    [
        (("create", "unseen"), "the key was not made, since it could not be shown"),
        (("link", "me", "--renew"), "the old key stays, since the new one could not be shown"),
    ],
)
def test_a_key_that_cannot_be_shown_changes_nothing(folder: Path, action: tuple[str, ...], words: str) -> None:
    before = (folder / "keys.toml").read_text()
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as nobody:
        done = subprocess.run(
            [sys.executable, "-m", "server", "keys", *action],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=nobody,
            stderr=subprocess.PIPE,
            text=True,
            timeout=90,
        )
    assert (done.returncode, done.stderr) == (2, f"ytmp3d: {words}\n")
    assert (folder / "keys.toml").read_text() == before


def test_a_locale_without_unicode_ends_no_command(folder: Path) -> None:
    _, output, errors = shell(
        "ytmp3d --help; ytmp3d doctor", folder, PYTHONIOENCODING="ascii:strict", LC_ALL="C", PYTHONUTF8="0"
    )
    assert "Traceback" not in errors and output.startswith("usage")


@pytest.mark.long
@pytest.mark.parametrize("streams", [">&- 2>&- <&-", "> >(true) 2> >(true)"], ids=["closed", "read by nobody"])
def test_a_server_goes_on_without_them(tmp_path: Path, streams: str) -> None:
    server = ServerProcess(tmp_path / "server")
    inner = " ".join(map(shlex.quote, server.interpreter))
    server.interpreter = ["bash", "-c", f'exec {inner} "$@" {streams}', "bash"]
    try:
        server.start()
        assert server.finished(server.convert("plain-video"))["status"] == "completed"
        accepted = server.convert("another-one")
        server.signal(signal.SIGTERM)
        assert server.wait() == 0
        server.start()
        assert server.finished(accepted)["status"] == "completed"
    finally:
        server.end()
