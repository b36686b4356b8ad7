"""A running server follows what is installed: an upgrade, a broken upgrade, and no conversion lost on the way."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import imageio_ffmpeg
import pytest
import yt_dlp.version
from support import environments
from support.serverprocess import ROOT, ServerProcess, until

from server.offline import offline_youtube

NEWER = "2026.11.20"

RUN = """
import json, os, sys
from multiprocessing.connection import Connection
from server.media import process, ytdlp, ytdlp_child
from server.config import Config, YtdlpConfig
from pathlib import Path

proxy, ca_file, folder = sys.argv[1:]
before = set(sys.modules)
config = Config(ytdlp=YtdlpConfig(proxy=proxy, ca_file=Path(ca_file)))
rules = {
    "video_id": "x-js-------",
    "max_duration": 100,
    "cover": True,
    "environment": {"SSL_CERT_FILE": ca_file},
    "folder": folder,
    "renewed": None,
}
read, write = os.pipe()
told = os.dup(1)
os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
argv = ytdlp.options(config, cache=Path(folder) / "cache")
speaking = Connection(write, readable=False)
ytdlp_child.main(speaking, argv, "https://www.youtube.com/watch?v=x-js-------", rules)
speaking.close()
events = os.fdopen(read).read()
late = sorted(name for name in set(sys.modules) - before if name.startswith("yt_dlp"))
os.write(told, json.dumps([events, late]).encode())
"""


async def test_a_run_imports_nothing_of_ytdlp_that_the_forkserver_has_not(tmp_path: Path) -> None:
    """Else a run that began before an upgrade would go on with parts of both versions."""
    (tmp_path / "work").mkdir()
    async with offline_youtube(tmp_path / "youtube", imageio_ffmpeg.get_ffmpeg_exe()) as youtube:
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", RUN, youtube.proxy, str(youtube.ca_file), str(tmp_path / "work")),
            cwd=ROOT,
            stdout=subprocess.PIPE,
        )
        output, _ = await asyncio.wait_for(child.communicate(), 60)
    events, late = json.loads(output)
    assert '"downloaded"' in events, events
    assert late == []


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """One with a yt-dlp of its own."""
    folder = tmp_path / "venv"
    environments.with_own_ytdlp(folder)
    return folder


@pytest.fixture
def server(environment: Path, tmp_path: Path) -> Iterator[ServerProcess]:
    process = ServerProcess(tmp_path / "server", python=environment / "bin/python", PYTHONDONTWRITEBYTECODE="1")
    try:
        process.start()
        yield process
    finally:
        process.end()


def upgrade(environment: Path, file: str, old: str, new: str) -> None:
    """Change a file of yt-dlp and what an installer records of it, in this order, as an installer does."""
    place = environments.site_packages(environment)
    path = place / "yt_dlp" / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    (about,) = place.glob("yt_dlp-*.dist-info")
    (about / "RECORD").touch()


def versions(server: ServerProcess) -> dict[str, str]:
    found: dict[str, str] = server.request("GET", "/readyz").json["versions"]
    return found


@pytest.mark.long
def test_an_upgrade_is_followed_under_load_and_nothing_is_lost(server: ServerProcess, environment: Path) -> None:
    old = yt_dlp.version.__version__
    assert versions(server)["yt_dlp"] == old
    before = server.forkserver().pid
    accepted = [server.convert("x-slow-----")]
    until(lambda: server.has_audio(accepted[0]), 60)
    upgrade(environment, "version.py", old, NEWER)
    changed = time.monotonic()
    number = 0

    def noticed() -> bool:
        nonlocal number
        number += 1
        accepted.append(server.convert(f"load-{number:06}"))
        assert server.finished(accepted[-1])["status"] == "completed"
        if number % 8 == 1:
            accepted.append(server.convert("x-slow-----", ("high", "medium")[number % 2]))
        return versions(server)["yt_dlp"] == NEWER

    until(noticed, 60, "the upgrade is noticed")
    print(f"noticed after {time.monotonic() - changed:.1f} s; {len(accepted)} conversions")
    accepted.append(server.convert("x-js-------"))
    assert [server.finished(one, 120)["status"] for one in accepted] == ["completed"] * len(accepted)
    assert NEWER in server.request("GET", "/metrics").body.decode()
    assert server.forkserver().pid != before
    until(lambda: before not in {process.pid for process in server.processes()}, 10, "the old forkserver has ended")


@pytest.mark.long
def test_a_broken_upgrade_is_told_and_the_old_goes_on(server: ServerProcess, environment: Path) -> None:
    old = yt_dlp.version.__version__

    def warned() -> bool:
        assert server.finished(server.convert(f"load-{time.monotonic_ns() % 10**6:06}"))["status"] == "completed"
        return any("does not work" in one for one in server.request("GET", "/readyz").json["warnings"])

    upgrade(environment, "YoutubeDL.py", "import collections\n", "import broken_on_purpose\n")
    until(warned, 60, "the broken upgrade is told")
    assert versions(server)["yt_dlp"] == old and "broken_on_purpose" in server.log
    upgrade(environment, "YoutubeDL.py", "import broken_on_purpose\n", "import collections\n")
    until(lambda: not warned(), 60, "the repair is noticed")
