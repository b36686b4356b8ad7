"""What systemd is told, by a real socket of its kind, and what a reload changes."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from support.commandline import started, ytmp3d
from support.serverprocess import until

from server.commands.supervisor import Supervisor


class Listener:
    """A datagram socket at `address`, as systemd makes one."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(address.replace("@", "\0", 1))
        self._socket.settimeout(60)
        self.told: list[str] = []

    def hears(self, line: str) -> None:
        """Wait until `line` is told."""
        while line not in self.next():
            pass

    def next(self) -> list[str]:
        lines = self._socket.recv(4096).decode().split("\n")
        self.told += lines
        return lines

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def systemd(short: Path) -> Iterator[Listener]:
    listener = Listener(f"{short}/notify")
    yield listener
    listener.close()


def test_a_service_is_ready_alive_reloaded_and_stopped(systemd: Listener, tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text("[limits]\nper_minute = 7\n")
    key = ytmp3d("keys", "create", "anna", cwd=tmp_path).stdout.strip()
    variables = {"NOTIFY_SOCKET": systemd.address, "WATCHDOG_USEC": "200000"}

    with started(tmp_path / "it", "--config", config, cwd=tmp_path, **variables) as server:

        def limit() -> str:
            answer = requests.get(f"{server.url}/status", headers={"Authorization": f"Bearer {key}"}, timeout=60)
            return answer.headers["X-RateLimit-Limit"]

        for line in ("READY=1", "WATCHDOG=1", "WATCHDOG=1"):
            systemd.hears(line)
        assert f"STATUS={server.url}: 0 conversions running, 0 waiting" in systemd.told
        assert limit() == "7"
        config.write_text("[limits]\nper_minute = 9\n[jobs]\nkeep_hours = 1\n")
        server.send(signal.SIGHUP)
        for line in ("RELOADING=1", "READY=1"):
            systemd.hears(line)
        assert limit() == "9"
        until(lambda: "read anew; these wait for a restart: jobs.keep_hours\n" in server.stderr)
        config.write_text("[limits]\nper_minute = 0\n")
        server.send(signal.SIGHUP)
        for line in ("RELOADING=1", "READY=1"):
            systemd.hears(line)
        assert limit() == "9"
        until(lambda: "stay as they were: " in server.stderr and "limits.per_minute" in server.stderr)
        assert server.stop() == 0
        systemd.hears("STOPPING=1")


@pytest.mark.parametrize("address", ["/nobody/listens/here", "@ytmp3d-nobody-listens", "", "no path", "vsock:2:1"])
def test_that_nobody_listens_is_no_error(address: str) -> None:
    environment = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "many", "WATCHDOG_PID": "1", "HOME": "/"}
    Supervisor(environment).tell("READY=1")
    assert environment == {"HOME": "/"}, "no child may answer in the server's place"


def test_the_socket_may_have_an_abstract_address() -> None:
    listener = Listener(f"@ytmp3d-test-{id(object())}")
    Supervisor({"NOTIFY_SOCKET": listener.address}).tell("READY=1", "STATUS=here")
    assert listener.next() == ["READY=1", "STATUS=here"]
    listener.close()
