"""What `serve` says at start: where it is reached from where, and which key to send."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from support.commandline import Here, started
from support.curl import needs_curl
from support.serverprocess import ROOT, until

SECRET = "of-the-environment"


def shown(stdout: str) -> dict[str, str]:
    """By what they are of: the lines of the start, and the example request."""
    lines = dict(re.findall(r"^  (others|page|docs|key) +(.+)$", stdout, re.M))
    (lines["request"],) = re.findall(r"^  (curl (?:.*\\\n)*.*)$", stdout, re.M)
    return lines


def test_a_key_that_only_its_owner_has_is_not_made_up(here: Here, config: Path, tmp_path: Path) -> None:
    here("keys", "--config", config, "create", "anna")
    with started(tmp_path / "server", "--config", config, cwd=tmp_path) as server:
        until(lambda: "curl" in server.stdout)
        assert "YOUR_API_KEY" not in server.stdout
        said = shown(server.stdout)
        command = f"python -m server keys --config {config} list"
        assert said["key"] == f"YOUR_KEY (put one of yours in its place: {command})"
        assert "-H 'Authorization: Bearer YOUR_KEY'" in said["request"]
        assert (said["page"], said["docs"]) == (f"{server.url}/", f"{server.url}/docs")
        assert "others" not in said


@needs_curl
def test_the_example_request_takes_the_key_of_the_environment(config: Path, tmp_path: Path) -> None:
    with started(tmp_path / "server", "--config", config, cwd=tmp_path, YTMP3D_KEY=SECRET) as server:
        until(lambda: "curl" in server.stdout)
        assert SECRET not in server.stdout
        command, environment = shown(server.stdout)["request"], {"YTMP3D_KEY": SECRET, "PATH": "/usr/bin:/bin"}
        done = subprocess.run(["sh", "-c", command], env=environment, capture_output=True, text=True, timeout=60)
        assert '"conversion_id"' in done.stdout, done


def test_the_public_address_is_what_is_shown(config: Path, tmp_path: Path) -> None:
    config.write_text(config.read_text() + '[server]\npublic_url = "https://mp3.example.org/"\n')
    with started(tmp_path / "server", "--config", config, cwd=tmp_path) as server:
        until(lambda: "curl" in server.stdout)
        assert server.stdout.startswith(f"ytmp3d listens on {server.url}\n")
        said = shown(server.stdout)
        assert said["page"].startswith("https://mp3.example.org/#key=ytmp3d_")
        assert said["docs"] == "https://mp3.example.org/docs"
        assert said["request"].startswith("curl -s https://mp3.example.org/convert ")


def test_beyond_this_machine_it_has_another_address(config: Path, tmp_path: Path) -> None:
    arguments = ("--config", config, "--host", "0.0.0.0")  # noqa: S104  # for a moment, with a key
    with started(tmp_path / "server", *arguments, cwd=tmp_path, YTMP3D_KEY=SECRET) as server:
        until(lambda: "curl" in server.stdout)
        others = server.url.replace("127.0.0.1", socket.gethostname())
        assert shown(server.stdout)["others"] == f"{others} (by this machine's name, or its address)"
        assert shown(server.stdout)["page"] == f"{server.url}/"


def test_a_second_server_on_the_same_downloads_does_not_sweep_the_firsts(
    here: Here, config: Path, tmp_path: Path
) -> None:
    here("keys", "--config", config, "create", "anna")
    with started(tmp_path / "server", "--config", config, cwd=tmp_path):
        other = config.with_name("other.toml")
        other.write_text('[storage]\ndownloads = "downloads"\nstate = "another state"\n')
        second = here("serve", "--config", other, "--port", 0)
    assert second.returncode == 2
    assert "another server is using this downloads folder" in second.stderr


@pytest.mark.parametrize("slow", [False, True], ids=["listening", "starting"])
def test_a_server_that_breaks_ends_with_a_status_that_says_so(tmp_path: Path, slow: bool) -> None:
    """So that whoever watches over it starts it again."""
    breaking = f"""
import time
from server.commands import cli, serve
from server.conversions import engine

async def broken(self):
    raise RuntimeError("broken")

listening_sockets = serve.listening_sockets

def slowly(host, port):
    time.sleep({slow:d})
    return listening_sockets(host, port)

engine.Engine.tidy, serve.listening_sockets = broken, slowly
raise SystemExit(cli.main(["serve", "--offline", "--port", "0"]))
"""
    ended = subprocess.run(
        [sys.executable, "-c", breaking], capture_output=True, text=True, timeout=60, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert ended.returncode == 1 and "engine failed; stopping" in ended.stderr
