"""What several test files share, and the rules for tests.

- A server that no test of a file kills or stops is started once for the file: a fixture of scope "module". xdist then
  keeps the file's tests in one worker (`pytest_collection_modifyitems`). `new_server` makes one for a single test.
- Wait for events (`until`, `Studio.take`, `eventually`), never for a time. A deadline is what a busy machine may need;
  what compares two readings of a clock must hold however slow the machine is.
- Tests run side by side: port 0, files in `tmp_path`, no shared folder, and no process ended but one's own.
- `make test` has three minutes on two cores. Mark as `long` what takes over ten seconds of CPU or over a minute, and
  files that break, attack or update a server, or need a browser; `make test-long` runs these.
- A test that cannot run here skips and says "NOT TESTED: …"; in CI that is a failure (`pytest_runtest_makereport`).
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from support import clips
from support.api import Api, serving
from support.clock import Clock
from support.serverprocess import ServerProcess

SmallDisk = Callable[[int], Path]
NewServer = Callable[..., ServerProcess]
StartApi = Callable[..., Awaitable[Api]]
Later = Callable[[float], None]

# How long an example takes says how busy the machine is.
hypothesis.settings.register_profile("busy", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("busy")


def pytest_configure(config: pytest.Config) -> None:
    """Make the folder of clips in the process that starts the workers; they get its name with their environment."""
    # A container image may turn this off. Then each server that a test starts compiles its hundred modules anew.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False
    if clips.FOLDER in os.environ:
        return
    for variable in [one for one in os.environ if one.startswith("YTMP3D_") or one == "STATE_DIRECTORY"]:
        del os.environ[variable]
    home = tempfile.mkdtemp(prefix="ytmp3d-home-")  # so that no test finds, or makes, what is somebody's own
    for variable in ("XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_DATA_HOME"):
        os.environ[variable] = f"{home}/{variable}"
    config.add_cleanup(lambda: shutil.rmtree(home, ignore_errors=True))
    folder = os.environ[clips.FOLDER] = tempfile.mkdtemp(prefix="ytmp3d-clips-")
    config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))


def pytest_xdist_auto_num_workers() -> int:
    """Three times the cores: a test of a whole server waits for most of its time."""
    return 3 * (os.cpu_count() or 1)


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep tests that share what is made once for their file in one worker."""
    for item in items:
        assert isinstance(item, pytest.Function)
        if item.get_closest_marker("xdist_group"):
            continue
        if any(made[-1].scope == "module" for made in item._fixtureinfo.name2fixturedefs.values()):
            item.add_marker(pytest.mark.xdist_group(item.nodeid.partition("::")[0]))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Fail where xdist does not know the groups, as with pytest 9.2: then each worker makes everything anew."""
    for item in session.items if getattr(session.config.option, "loadgroup", False) else ():
        if item.get_closest_marker("xdist_group"):
            assert "@" in item.nodeid, f"pytest {pytest.__version__} and the installed pytest-xdist do not fit"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail in CI what is skipped elsewhere."""
    report = yield
    if report.skipped and os.environ.get("CI"):
        report.outcome, report.longrepr = "failed", str(report.longrepr)
    return report


@pytest.fixture
async def start_api(tmp_path: Path) -> AsyncIterator[StartApi]:
    """Serves the application in this process, with a stub in place of yt-dlp and ffmpeg (see `api.serving`)."""
    async with AsyncExitStack() as stack:

        async def start(*, folder: Path = tmp_path / "api", **settings: Any) -> Api:
            return await stack.enter_async_context(serving(folder, **settings))

        yield start


@pytest.fixture
async def api(start_api: StartApi) -> Api:
    return await start_api()


@pytest.fixture
def clock() -> Clock:
    """For what takes a clock."""
    return Clock()


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Later:
    """Moves the running loop's clock on, by seconds: what is due by then happens now."""

    def move(seconds: float) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time
        monkeypatch.setattr(loop, "time", lambda: now() + seconds)

    return move


@pytest.fixture
def new_server(tmp_path: Path) -> Iterator[NewServer]:
    """Makes servers (see `ServerProcess`) that end with the test; their files are in a folder of their own."""
    servers: list[ServerProcess] = []

    def make(settings: str = "", *, folder: Path | None = None, **environment: str) -> ServerProcess:
        beside = tmp_path / f"server{len(servers)}"
        server = ServerProcess(folder or tmp_path / "server", settings, beside=beside, **environment)
        servers.append(server)
        return server

    yield make
    for server in servers:
        server.end()


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A config file, beside which a server keeps all that is its own."""
    path = tmp_path / "own" / "config.toml"
    path.parent.mkdir()
    path.write_text('[storage]\ndownloads = "downloads"\nstate = "state"\n')
    return path


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """Mounts a real file system of that many KiB in memory. Skips where that is not permitted."""
    mounted: list[Path] = []

    def mount(kibibytes: int) -> Path:
        folder = tmp_path / f"disk{len(mounted)}"
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={kibibytes}k", "tmpfs", str(folder)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=10)
        except FileNotFoundError:
            pytest.skip("NOT TESTED: a full disk (there is no mount command here)")
        if done.returncode:
            pytest.skip(f"NOT TESTED: a full disk (a tmpfs cannot be mounted here: {done.stderr.strip()})")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", "--lazy", str(folder)], check=True, timeout=10)
