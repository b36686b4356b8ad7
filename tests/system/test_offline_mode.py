"""`serve --offline` as authors of clients use it: in their CI, several side by side, leaving nothing behind."""

from __future__ import annotations

import ast
import errno
import hashlib
import signal
import socket
import tempfile
import time
from pathlib import Path

import pytest
import requests
from support.commandline import Here, Started, started, ytmp3d
from support.serverprocess import ROOT
from support.waiting import until

from server.commands import offline_mode
from server.config import Config, ConfigError

#: Where a mode may be known: what starts it, and what it is configured by.
MAY_KNOW = {"cli.py", "serve.py", "demo.py", "config.py"}


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def surroundings(folder: Path) -> tuple[Path, dict[str, str]]:
    """A working folder, and an environment in which everything that a program may write to is below `folder`."""
    for name in ("cwd", "home", "tmp"):
        (folder / name).mkdir()
    return folder / "cwd", {"HOME": str(folder / "home"), "TMPDIR": str(folder / "tmp")}


# ---- nothing outside its folder


def test_no_file_is_outside_its_state_folder(short: Path) -> None:
    cwd, environment = surroundings(short)
    with started(short / "it", "--offline", "--state", "../state", cwd=cwd, **environment) as server:
        assert server.convert("x-js-------")["status"] == "completed"  # runs Deno too, which would keep a cache
        assert server.convert("x-private--")["status"] == "failed"
        assert requests.get(f"{server.url}/readyz", timeout=60).status_code == 200
        while_running = files(short)
        assert server.stop() == 0
    own = {"cwd", "home", "tmp", "state", "it.port", "it.stdout", "it.stderr"}
    assert {name for name in while_running if not name.startswith("state/")} == own
    assert {name for name in files(short) if not name.startswith("state/")} == own - {"it.port"}
    assert list((short / "state" / "downloads").glob("x-js-------*.mp3"))
    assert list((short / "state" / "tmp").iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_temporary_folder_goes_with_the_server(short: Path, number: signal.Signals) -> None:
    cwd, environment = surroundings(short)
    with started(short / "it", "--offline", cwd=cwd, **environment) as server:
        assert server.convert("x-1-second-")["status"] == "completed"
        assert any(name.startswith("tmp/ytmp3d-offline-") for name in files(short))
        assert server.stop(number) == 0
    assert files(short) == {"cwd", "home", "tmp", "it.stdout", "it.stderr"}
    assert "Traceback" not in server.stderr


def test_a_server_that_cannot_start_leaves_nothing(short: Path) -> None:
    cwd, environment = surroundings(short)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = ytmp3d("serve", "--offline", "--port", port, cwd=cwd, **environment)
    assert done.returncode == 2
    assert done.stderr == f"ytmp3d: cannot listen on 127.0.0.1:{port}: Address already in use\n"
    assert files(short) == {"cwd", "home", "tmp"}


async def test_without_a_temporary_folder_it_says_what_to_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: str) -> str:
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found")

    monkeypatch.setattr(tempfile, "mkdtemp", refuse)
    with pytest.raises(ConfigError, match=r"no temporary folder can be made: No usable .* Name one with TMPDIR"):
        async with offline_mode.offline_server(Config()):
            pass


def test_a_state_folder_is_found_again(tmp_path: Path) -> None:
    arguments = ("--offline", "--state", tmp_path / "state")
    with started(tmp_path / "first", *arguments) as server:
        made = server.convert("x-1-second-")
        content = server.download(made)
        assert server.stop() == 0
    with started(tmp_path / "second", *arguments) as server:
        link = f"{server.url}/static/downloads/{made['conversion_id']}.mp3"
        assert requests.get(link, timeout=60).content == content


# ---- ports and addresses


def test_the_port_file_holds_the_port_while_the_server_listens(tmp_path: Path) -> None:
    with started(tmp_path / "it", "--offline") as server:
        until(lambda: server.stdout.startswith(f"ytmp3d listens on {server.url}\n"))
        assert requests.get(f"{server.url}/readyz", timeout=60).json()["status"] == "ready"
        assert server.stop() == 0
        assert not server.port_file.exists()


@pytest.mark.parametrize("option", ["--port-file", "--state"])
def test_a_path_that_cannot_be_is_one_line(here: Here, tmp_path: Path, option: str) -> None:
    (tmp_path / "file").touch()
    done = here("serve", "--offline", "--port", 0, option, "file/below")
    assert (done.returncode, done.stderr) == (2, f"ytmp3d: {option} file/below: Not a directory\n")


@pytest.mark.parametrize("arguments", [["--state", "x"], ["--allow-remote"]])
def test_options_of_offline_mode_are_refused_without_it(here: Here, tmp_path: Path, arguments: list[str]) -> None:
    done = here("serve", *arguments)
    assert (done.returncode, done.stderr) == (2, f"ytmp3d: {arguments[0]} goes with --offline\n")
    assert files(tmp_path) == {"config.toml"}


def test_it_listens_beyond_this_machine_only_when_told_to(here: Here, tmp_path: Path) -> None:
    refused = here("serve", "--offline", "--host", "0.0.0.0", "--port", 0)  # noqa: S104  # refused
    assert refused.returncode == 2 and "Add --allow-remote" in refused.stderr
    host = ("--offline", "--host", "0.0.0.0", "--allow-remote")  # noqa: S104  # what is tested
    with started(tmp_path / "it", *host) as server:
        warning = "warning: anybody who reaches this address can use this server: its keys are public\n"
        until(lambda: server.stderr.startswith(warning))
        elsewhere = server.url.replace("127.0.0.1", "127.0.0.2")  # another address of this machine's
        assert requests.get(f"{elsewhere}/healthz", timeout=60).status_code == 200
        made = server.convert("x-1-second-")
        assert str(made["download_url"]).startswith(server.url), "links lead to where the client asked"


# ---- side by side, and the same everywhere


@pytest.mark.long
def test_servers_side_by_side_share_nothing(tmp_path: Path) -> None:
    with started(tmp_path / "a", "--offline") as one, started(tmp_path / "b", "--offline") as other:
        assert one.url != other.url
        made = one.convert("x-1-second-")
        head = {"Authorization": "Bearer test-unlimited"}
        elsewhere = requests.get(f"{other.url}/status/{made['conversion_id']}", headers=head, timeout=60)
        assert elsewhere.status_code == 404
        assert requests.get(f"{other.url}/status", headers=head, timeout=60).json()["jobs"] == []


def test_one_state_folder_is_for_one_server(tmp_path: Path) -> None:
    arguments = ("--offline", "--state", tmp_path / "state")
    with started(tmp_path / "it", *arguments) as server:
        second = ytmp3d("serve", "--port", 0, *arguments, cwd=tmp_path)
        assert second.returncode == 2 and second.stderr.startswith("ytmp3d: ")
        assert server.convert("x-1-second-")["status"] == "completed", "the first is none the worse"


@pytest.mark.long
def test_the_same_id_is_the_same_on_every_server(tmp_path: Path) -> None:
    ids = ("dQw4w9WgXcQ", "x-aac------", "x-scripts--")

    def made_by(server: Started) -> list[tuple[object, ...]]:
        made = []
        for video_id in ids:
            one = server.convert_with_cover(video_id)
            content, cover = (server.download(one), requests.get(str(one["thumbnail_url"]), timeout=60).content)
            digests = [hashlib.sha256(each).hexdigest() for each in (content, cover)]
            made.append((one["title"], one["artist"], one["duration"], one["file_size"], *digests))
        return made

    first, second = tmp_path / "a" / "state", tmp_path / "somewhere else entirely"
    with started(tmp_path / "one", "--offline", "--state", first) as server:
        expected = made_by(server)
    with started(tmp_path / "two", "--offline", "--state", second) as server:
        assert made_by(server) == expected
    assert len(set(expected)) == len(ids)


def test_the_sources_bandwidth_can_be_set(tmp_path: Path) -> None:
    """x-1-second- has 64 kbit/s, so that at 32 kbit/s it takes two seconds to come."""
    config = tmp_path / "config.toml"
    config.write_text("[offline]\nrate_kbps = 32\n")
    with started(tmp_path / "it", "--offline", "--config", config) as server:
        began = time.monotonic()
        assert server.convert("x-1-second-")["status"] == "completed"
        assert time.monotonic() - began > 1.8


# ---- honesty


def test_nothing_in_the_core_asks_whether_it_is_offline() -> None:
    """Comments and docstrings may speak of it; names, strings and imports may not."""
    for path in (ROOT / "server").glob("*.py"):
        if path.name in MAY_KNOW:
            continue
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
                node.value = ast.Constant(None)
        assert "offline" not in ast.unparse(tree).lower(), path.name
