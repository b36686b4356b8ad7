"""What several test files share."""

from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from support.api import Api, serving
from support.serverprocess import ServerProcess

SmallDisk = Callable[[int], Path]
NewServer = Callable[..., ServerProcess]
StartApi = Callable[..., Awaitable[Api]]


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
