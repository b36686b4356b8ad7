"""SIGINT (a Ctrl-C) and SIGTERM at any moment: what is said, with which status it ends, and that nothing is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import NewServer
from support.serverprocess import MARK, ROOT, SOON, all_processes, marked, until

pytestmark = [pytest.mark.long, pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])]


#: A demo in which one conversion takes ten seconds: by which name, and what is said when it begins.
SLOW_DEMO = """
from server.commands import cli, demo
demo.{name} = {slow}
exit(cli.main(["demo", "--output", "saved"]))
"""
MOMENTS = [("LIVE", "POST /convert"), ("BATCH", "POST /batch-convert")]
SLOW = "https://youtu.be/x-slow-----"


class Command:
    """Python code that runs in `folder`, with its temporary files in `temporary`."""

    def __init__(self, folder: Path, temporary: Path, *arguments: str) -> None:
        self.temporary = temporary
        self._mark = uuid.uuid4().hex
        self._output, self._errors = folder / "stdout", folder / "stderr"
        own = {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", "TMPDIR": str(self.temporary), MARK: self._mark}
        with self._output.open("wb") as stdout, self._errors.open("wb") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=folder, env={**os.environ, **own}, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr,
            )  # fmt: skip

    @property
    def stdout(self) -> str:
        return self._output.read_text()

    @property
    def stderr(self) -> str:
        return self._errors.read_text()

    def processes(self) -> list[int]:
        """Itself and all that it started, as far as they are alive."""
        return [one.pid for one in all_processes() if marked(one.pid, self._mark)]

    def left_nothing(self) -> None:
        assert list(self.temporary.iterdir()) == []
        until(lambda: not self.processes(), what="no child is left")


@pytest.fixture
def command(tmp_path: Path, short: Path) -> Iterator[Callable[..., Command]]:
    commands: list[Command] = []

    def start(*arguments: str) -> Command:
        commands.append(Command(tmp_path, short, *arguments))
        return commands[-1]

    yield start
    for one in commands:
        for pid in one.processes():
            os.kill(pid, signal.SIGKILL)
        one.process.wait(SOON)


@pytest.fixture
def stuck(tmp_path: Path) -> tuple[str, Path]:
    """A configuration with which a start does not end, and the file that is there once it has come that far."""
    ffmpeg, asked, config = tmp_path / "ffmpeg", tmp_path / "asked", tmp_path / "stuck.toml"
    ffmpeg.write_text(f"#!/bin/sh\ntouch {asked}\nexec sleep 60\n")
    ffmpeg.chmod(0o755)
    config.write_text(f"[ffmpeg]\npath = '{ffmpeg}'\n")
    return str(config), asked


def test_whoever_stops_a_server_is_told_what_it_waits_for(new_server: NewServer, number: signal.Signals) -> None:
    server = new_server()
    server.start()
    running = server.convert("x-slow-----")
    until(lambda: server.has_audio(running))
    server.signal(number)
    until(lambda: "stopping: waiting up to 25 s for 1 conversion; Ctrl-C again stops now\n" in server.log)
    server.signal(number)
    assert server.wait() == 128 + number
    until(lambda: not server.processes(), what="no child outlives the server")


def test_a_server_with_nothing_to_wait_for_just_ends(new_server: NewServer, number: signal.Signals) -> None:
    server = new_server("[log]\nlevel = 'error'")
    server.start()
    before = until(lambda: server.log.endswith("}'\n\n") and server.log)
    server.signal(number)
    assert (server.wait(), server.log) == (0, before)


@pytest.mark.parametrize("mode", [(), ("--offline",)], ids=["online", "offline"])
def test_a_server_that_is_still_starting_stops_at_once(
    command: Callable[..., Command], stuck: tuple[str, Path], mode: tuple[str, ...], number: signal.Signals
) -> None:
    config, asked = stuck
    server = command("-m", "server", "serve", "--port", "0", "--config", config, *mode)
    until(asked.exists, what="ffmpeg is asked for its version")
    server.process.send_signal(number)
    assert server.process.wait(SOON) == 128 + number
    assert (server.stdout, server.stderr) == ("", "")
    server.left_nothing()


@pytest.mark.parametrize(("name", "moment"), MOMENTS)
def test_a_demo_stops_at_once(
    command: Callable[..., Command], tmp_path: Path, name: str, moment: str, number: signal.Signals
) -> None:
    demo = command("-c", SLOW_DEMO.format(name=name, slow=repr(SLOW if name == "LIVE" else [SLOW])))
    until(lambda: moment in demo.stdout)
    demo.process.send_signal(number)
    assert demo.process.wait(SOON) == 128 + number
    assert demo.stderr == "\nstopped\n" and "MP3s are in" not in demo.stdout
    assert {path.suffix for path in (tmp_path / "saved").iterdir()} <= {".mp3"}
    demo.left_nothing()
