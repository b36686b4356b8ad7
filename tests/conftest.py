"""What several test files share."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from serverprocess import ServerProcess

SmallDisk = Callable[[int], Path]
NewServer = Callable[..., ServerProcess]


@pytest.fixture
def new_server(tmp_path: Path) -> Iterator[NewServer]:
    """Makes servers (see `ServerProcess`) that end with the test; their files are in a folder of their own."""
    servers: list[ServerProcess] = []

    def make(settings: str = "", *, folder: Path | None = None, **environment: str) -> ServerProcess:
        server = ServerProcess(folder or tmp_path / "server", settings, **environment)
        servers.append(server)
        return server

    yield make
    for server in servers:
        server.end()


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
