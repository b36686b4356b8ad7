"""`ytmp3d update` with the real pip and wheels of a test's own: what works is kept, what does not is put back."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yt_dlp.version
from support import environments
from support.serverprocess import ROOT, ServerProcess, until

OLD = yt_dlp.version.__version__
NEWER = "2026.11.20"
RUN = "    def _run_js_runtime(self, stdin: str, /) -> str:\n"
#: What each broken release gets wrong: it cannot be imported; it can, but solves no challenge.
BROKEN = {
    "import": {"YoutubeDL.py": ("import collections\n", "import broken_on_purpose\n")},
    "challenge": {
        "extractor/youtube/jsc/_builtin/deno.py": (RUN, f"{RUN}        raise ValueError('broken on purpose')\n")
    },
}


class Installed:
    """An environment with a yt-dlp of its own, and the wheels that its pip finds."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "venv"
        self.python = environments.with_own_ytdlp(self.folder)
        self.wheels = folder / "wheels"
        self.wheels.mkdir()
        pip = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(self.wheels), "PIP_CONFIG_FILE": os.devnull}
        self.environment = {**os.environ, **pip, "PYTHONDONTWRITEBYTECODE": "1"}

    @property
    def version(self) -> str:
        """What is installed; empty while pip replaces it."""
        found = re.search("__version__ = '(.*)'", self._version_file)
        return found[1] if found else ""

    @property
    def _version_file(self) -> str:
        try:
            return (environments.site_packages(self.folder) / "yt_dlp" / "version.py").read_text()
        except FileNotFoundError:
            return ""

    @property
    def files(self) -> dict[str, bytes]:
        place = environments.site_packages(self.folder)
        return {path.relative_to(place).as_posix(): path.read_bytes() for path in place.rglob("*") if path.is_file()}

    def start(self) -> subprocess.Popen[str]:
        """`update`, begun."""
        return subprocess.Popen(
            [self.python, "-m", "server", "update"],
            cwd=ROOT,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def update(self) -> tuple[int, str]:
        """The exit status, and what is said."""
        with self.start() as process:
            output, errors = process.communicate(timeout=240)
            return process.returncode, output + errors


@pytest.fixture
def installed(tmp_path: Path) -> Installed:
    return Installed(tmp_path)


@pytest.fixture
def server(installed: Installed, tmp_path: Path) -> Iterator[ServerProcess]:
    process = ServerProcess(tmp_path / "server", python=installed.python, PYTHONDONTWRITEBYTECODE="1")
    try:
        process.start()
        yield process
    finally:
        process.end()


@pytest.mark.long
def test_a_newer_release_is_installed_and_a_running_server_takes_it(
    installed: Installed, server: ServerProcess
) -> None:
    environments.release(installed.wheels, NEWER)
    running = server.convert("x-slow-----")
    status, said = installed.update()
    assert status == 0 and f"yt-dlp {OLD} -> {NEWER}" in said and "It works: yt-dlp " + NEWER in said, said
    assert installed.version == NEWER
    until(lambda: server.request("GET", "/readyz").json["versions"]["yt_dlp"] == NEWER, 60)
    assert server.finished(running)["status"] == "completed"
    assert server.finished(server.convert("x-js-------"))["status"] == "completed"
    assert installed.update() == (0, "Everything is the newest already.\n")


@pytest.mark.long
@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_release_is_put_back_to_the_last_byte(installed: Installed, fault: str) -> None:
    before = installed.files
    environments.release(installed.wheels, NEWER, BROKEN[fault])
    status, said = installed.update()
    assert status == 1 and "It does not work" in said and f"They work: yt-dlp {OLD}" in said, said
    assert installed.files == before
    assert not (installed.folder / ".ytmp3d-update").exists()


@pytest.mark.long
def test_a_server_never_takes_a_release_that_is_put_back(installed: Installed, server: ServerProcess) -> None:
    environments.release(installed.wheels, NEWER, BROKEN["challenge"])
    with installed.start() as update:
        while not ended(update):
            assert server.finished(server.convert("x-js-------"))["status"] == "completed"
            assert server.request("GET", "/readyz").json["versions"]["yt_dlp"] == OLD
            server.request("DELETE", "/status?status=completed")
        assert update.returncode == 1


def ended(process: subprocess.Popen[str]) -> bool:
    """Whether it has, within a second: conversions without a pause would only slow it down."""
    try:
        process.wait(1)
    except subprocess.TimeoutExpired:
        return False
    return True


@pytest.mark.long
def test_an_update_that_was_killed_is_undone_by_the_next(installed: Installed) -> None:
    before = installed.files
    environments.release(installed.wheels, NEWER, BROKEN["import"])
    with installed.start() as update:
        until(lambda: (installed.folder / ".ytmp3d-update/manifest.json").exists() and installed.version == NEWER, 120)
        update.kill()
    for wheel in installed.wheels.iterdir():
        wheel.unlink()
    environments.release(installed.wheels, OLD)

    def updated() -> tuple[int, str] | None:
        """Once pip, which outlives its update, has ended: it has the lock."""
        status, said = installed.update()
        assert status == 0 or "another update is running" in said, said
        return None if status else (status, said)

    status, said = until(updated)
    assert status == 0 and "interrupted" in said and "were put back" in said, said
    assert installed.files == before


def test_without_a_way_to_the_packages_it_says_so_and_what_to_type(installed: Installed) -> None:
    status, said = installed.update()
    assert status == 2 and "pip cannot find out what is new" in said, said
    assert "pip install --upgrade 'yt-dlp[default,deno]'" in said and said.count("\n") == 1, said
    assert installed.version == OLD
