"""What the children of a server could tell or touch, if a video took one over."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import NewServer
from support.serverprocess import Process, ServerProcess, until

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
