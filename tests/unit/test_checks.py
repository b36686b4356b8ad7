"""What `doctor` finds around the server, check by check: each states the problem and what to do."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.commandline import started
from support.findings import gathered, only, with_

from server.access import key_file
from server.commands import checks
from server.commands.checks import OK, PROBLEM, WARNING, Finding
from server.config import Config, StorageConfig, YtdlpConfig

# ---- keys


def test_a_keys_file_that_others_can_read_is_a_warning(tmp_path: Path) -> None:
    config = dataclasses.replace(Config(), keys_file=tmp_path / "keys.toml")
    assert list(checks.keys_file(config)) == []
    key_file.create(config.keys_file, "me", {})
    assert list(checks.keys_file(config)) == []
    config.keys_file.chmod(0o644)
    assert only(checks.keys_file(config)) == Finding(
        WARNING, "keys", f"others can read it: chmod 600 {config.keys_file}"
    )


# ---- library


def test_a_library_that_is_missing_is_a_problem_and_is_not_made(tmp_path: Path) -> None:
    assert list(checks.library(Config())) == []
    config = dataclasses.replace(Config(), storage=StorageConfig(library=tmp_path / "music"))
    text = (
        f"{tmp_path}/music cannot be written (No such file or directory). Make it, or name another [storage] library."
    )
    assert only(checks.library(config)) == Finding(PROBLEM, "library", text)
    assert not (tmp_path / "music").exists()
    (tmp_path / "music").mkdir()
    assert only(checks.library(config)) == Finding(OK, "library", str(tmp_path / "music"))


# ---- cookies


def cookies(folder: Path, *rows: str, days: float = 0, mode: int = 0o600) -> Config:
    path = folder / "cookies.txt"
    path.write_text("# Netscape HTTP Cookie File\n" + "".join(row + "\n" for row in rows))
    path.chmod(mode)
    made = time.time() - 86_400 * days
    os.utime(path, (made, made))
    return with_("ytdlp", cookies=path)


def row(domain: str = ".youtube.com", expires: float = 4_102_444_800) -> str:
    return "\t".join([domain, "TRUE", "/", "TRUE", str(int(expires)), "SID", "secret"])


@pytest.mark.parametrize(
    ("rows", "days", "level", "text"),
    [
        ([row()], 0, OK, "cookies.txt: 1 for youtube.com"),
        ([row(), row("#HttpOnly_.youtube.com", 0)], 0, OK, "cookies.txt: 1 for youtube.com"),
        ([row()], 200, WARNING, "is 200 days old. Export it again if videos ask to sign in."),
        ([row(expires=1_600_000_000)], 0, PROBLEM, "has no unexpired cookie of youtube.com. Export it again"),
        (
            [row(".example.org"), row(".notyoutube.com")],
            0,
            PROBLEM,
            "is no readable cookies.txt (no cookie of youtube.com in",
        ),
        (["top secret"], 0, PROBLEM, "is no readable cookies.txt (its last line is broken off). Export it"),
    ],
    ids=["fresh", "session", "stale", "expired", "foreign", "broken"],
)
def test_cookies_are_read_and_fresh(tmp_path: Path, rows: list[str], days: float, level: str, text: str) -> None:
    finding = only(checks.cookies(cookies(tmp_path, *rows, days=days)))
    assert finding.level == level and text in finding.text, finding
    assert "secret" not in finding.text


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00binary", b'{"cookies": []}', None])
def test_what_is_no_cookies_file_is_a_problem(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "cookies.txt"
    if content is not None:
        path.write_bytes(content)
    finding = only(checks.cookies(with_("ytdlp", cookies=path)))
    assert finding.level == PROBLEM and finding.text.endswith("Export it from a browser again.")
    assert "\n" not in finding.text


def test_cookies_that_others_can_read_are_a_warning(tmp_path: Path) -> None:
    warning, fine = checks.cookies(cookies(tmp_path, row(), mode=0o640))
    assert warning.level == WARNING and f"chmod 600 {tmp_path / 'cookies.txt'}" in warning.text and fine.level == OK


# ---- the network


async def test_a_proxy_is_asked(unused_port: int) -> None:
    async def nothing(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(nothing, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        finding = only(await gathered(checks.proxy(with_("ytdlp", proxy=f"http://127.0.0.1:{port}"))))
    assert finding == Finding(OK, "proxy", f"127.0.0.1:{port} answers")
    finding = only(await gathered(checks.proxy(with_("ytdlp", proxy=f"socks5h://127.0.0.1:{unused_port}"))))
    assert finding.level == PROBLEM and "Connection refused" in finding.text
    assert await gathered(checks.proxy(Config())) == []


@pytest.fixture
def unused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def test_a_free_port_is_fine(unused_port: int) -> None:
    assert only(checks.port(with_("server", port=unused_port))) == Finding(
        OK, "port", f"127.0.0.1:{unused_port} is free"
    )
    assert only(checks.port(with_("server", port=0))).level == OK


def test_a_port_that_a_ytmp3d_has_is_fine(tmp_path: Path) -> None:
    with started(tmp_path / "it", "--offline") as server:
        port = int(server.url.rpartition(":")[2])
        finding = only(checks.port(with_("server", port=port)))
    assert finding.level == OK and "is running already" in finding.text


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid"])
def test_an_address_that_is_not_this_machines_is_a_problem(host: str, unused_port: int) -> None:
    finding = only(checks.port(with_("server", host=host, port=unused_port)))
    assert finding.level == PROBLEM and finding.text.endswith("Correct [server] host.")


# ---- folders and clock


def test_folders_that_can_be_made_are_fine_and_are_not_made(tmp_path: Path) -> None:
    found = list(
        checks.folders(with_("storage", downloads=tmp_path / "a" / "b", state=tmp_path / "c", disk_budget_mb=10))
    )
    assert [finding.level for finding in found] == [OK, OK]
    assert list(tmp_path.iterdir()) == []


def test_a_folder_below_a_file_is_a_problem(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    config = dataclasses.replace(Config(), storage=StorageConfig(downloads=tmp_path / "d", state=file / "state"))
    state = next(iter(checks.folders(config)))
    assert state == Finding(
        PROBLEM, "state", f"{file} cannot be written (Not a directory). Remove it, or name another [storage] state."
    )


def test_a_folder_that_may_not_be_written_is_a_problem(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with nobody():
        found = list(checks.folders(with_("storage", downloads=tmp_path / "d", state=tmp_path / "s")))
    assert len(found) == 2
    for finding in found:
        assert finding.level == PROBLEM and "Permission denied" in finding.text and "Change its owner" in finding.text


@contextmanager
def nobody() -> Iterator[None]:
    """Not root: that can write everywhere."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)


def test_a_state_folder_that_others_can_enter_is_a_warning(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    state = next(iter(checks.folders(with_("storage", state=tmp_path))))
    assert state == Finding(WARNING, "state", f"others can look into it: chmod 700 {tmp_path}")


@pytest.mark.parametrize(
    ("free", "level", "text"),
    [
        (512 << 20, PROBLEM, "only 512 MB are free"),
        (5 << 30, WARNING, "less than [storage] disk_budget_mb (10240). Lower it or make room."),
        (50 << 30, OK, "(51200 MB free)"),
    ],
)
def test_little_room_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, level: str, text: str) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(100 << 30, 0, free))
    _, downloads = checks.folders(with_("storage", downloads=tmp_path, state=tmp_path / "state"))
    assert downloads.level == level and text in downloads.text


def test_a_clock_in_the_past_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    assert only(checks.clock(Config())).level == OK
    monkeypatch.setattr(time, "time", lambda: 0.0)
    assert only(checks.clock(Config())).level == PROBLEM


def test_an_authority_that_is_none_is_a_problem(tmp_path: Path) -> None:
    assert list(checks.authority(Config())) == []
    for content in (None, "no certificate"):
        path = tmp_path / "ca.pem"
        if content:
            path.write_text(content)
        finding = only(checks.authority(dataclasses.replace(Config(), ytdlp=YtdlpConfig(ca_file=path))))
        assert finding.level == PROBLEM and finding.text.endswith("Correct [ytdlp] ca_file.")
