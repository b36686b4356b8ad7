"""What the children of a server could tell or touch, if a video took one over."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from conftest import NewServer
from support import environments
from support.serverprocess import Process, ServerProcess, until

from server.media import landlock

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="NOT TESTED: needs Linux's /proc"),
]

SECRETS = {"YTMP3D_KEY": "the-owners-own-key", "AWS_SECRET_ACCESS_KEY": "another-secret"}


@pytest.fixture
def children(new_server: NewServer) -> tuple[ServerProcess, list[Process]]:
    """A server with secrets in its environment, and its children in the middle of a conversion."""
    server = new_server(**SECRETS)
    server.start()
    conversion = server.convert("x-slow-----")
    until(lambda: server.has_audio(conversion))
    children = [one for one in server.processes() if one.pid != server.pid]
    assert {"ffmpeg", "python"} <= {name for one in children for name in ("ffmpeg", "python") if name in one.command}
    return server, children


def test_their_environment_holds_no_secret(children: tuple[ServerProcess, list[Process]]) -> None:
    server, own = children
    assert b"the-owners-own-key" in Path(f"/proc/{server.pid}/environ").read_bytes()
    for child in own:
        variables = Path(f"/proc/{child.pid}/environ").read_bytes()
        assert b"PATH=" in variables
        assert not [
            name for name, value in SECRETS.items() if name.encode() in variables or value.encode() in variables
        ]


def test_they_have_none_of_the_servers_files_open(children: tuple[ServerProcess, list[Process]]) -> None:
    server, own = children
    state, downloads = server.folder / "state", server.folder / "downloads"

    def private(pid: int) -> list[str]:
        opened = [str(one.readlink()) for one in Path(f"/proc/{pid}/fd").iterdir()]
        kept = (str(state / "ytmp3d.db"), str(downloads / ".lock"), str(state / ".lock"))
        return [one for one in opened if one.startswith(kept)]

    assert private(server.pid), "the server itself has"
    assert {child.command: private(child.pid) for child in own if private(child.pid)} == {}


def test_they_are_held_to_limits_and_get_no_more_rights(children: tuple[ServerProcess, list[Process]]) -> None:
    _, own = children
    held = [one for one in own if "NoNewPrivs:\t1" in Path(f"/proc/{one.pid}/status").read_text()]
    assert len(held) == 2 and sum("ffmpeg" in one.command for one in held) == 1, own
    for child in held:
        limits = Path(f"/proc/{child.pid}/limits").read_text().splitlines()
        for name in ("Max data size", "Max file size", "Max open files", "Max core file size"):
            assert not any(line.startswith(name) and "unlimited" in line for line in limits), limits


#: A plugin stands for an attacker's code in yt-dlp's process. It is installed as one that the owner wants would be.
TAKEN_OVER = {
    "yt_dlp_plugins/extractor/taken_over.py": """
import os, subprocess
from yt_dlp.extractor.youtube import YoutubeIE

def stolen(path):
    try:
        return str(len(open(path, "rb").read()))
    except OSError as error:
        return type(error).__name__

class _TakenOverIE(YoutubeIE, plugin_name="taken_over"):
    def _real_extract(self, url):
        staging = os.getcwd()
        root = os.path.abspath(staging + "/../../..")
        for name in ("state/ytmp3d.db", "downloads/.lock", "/etc/fstab", "/etc/hostname"):
            self.to_screen(f"ATTACK {name} {stolen(os.path.join(root, name))}")
        self.to_screen(f"ATTACK server {stolen(f'/proc/{os.getppid()}/environ')}")
        try:
            self.to_screen(f"ATTACK others {os.listdir(staging + '/..')}")
        except OSError as error:
            self.to_screen(f"ATTACK others {type(error).__name__}")
        shell = subprocess.run(["cat", root + "/state/ytmp3d.db"], capture_output=True)
        self.to_screen(f"ATTACK shell {len(shell.stdout)}")
        return super()._real_extract(url)
"""
}


@pytest.mark.parametrize("sandbox", [True, False])
@pytest.mark.skipif(not landlock.version(), reason="NOT TESTED: this kernel has no Landlock")
def test_code_in_ytdlps_process_reads_no_key_and_no_state(tmp_path: Path, sandbox: bool) -> None:
    folder = tmp_path / "venv"
    python = environments.make(folder)
    environments.install(folder, "taken-over", "1.0", TAKEN_OVER)
    settings = f'[jobs]\nsandbox = {str(sandbox).lower()}\n[log]\nlevel = "debug"'
    server = ServerProcess(tmp_path / "server", settings, python=python)
    try:
        server.start()
        assert server.finished(server.convert("x-ordinary-"))["status"] == "completed"
        found = dict(re.findall(r"ATTACK (\S+) (.*)$", server.log, re.MULTILINE))
    finally:
        server.end()
    assert found.keys() >= {"state/ytmp3d.db", "downloads/.lock", "/etc/hostname", "server", "others", "shell"}
    if sandbox:
        assert found.pop("shell") == "0"
        assert set(found.values()) - {"FileNotFoundError"} == {"PermissionError"}, found
    else:
        assert int(found["state/ytmp3d.db"]) > 0 and found["others"].startswith("["), found
