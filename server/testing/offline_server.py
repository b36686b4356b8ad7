"""`serve --offline` as a child process, and its control API."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ..installation import CHECKOUT

#: Seconds that a start may take on a busy machine, an end, and an answer of the control API.
START, END, ANSWER = 60, 30, 30
#: Lines of the log that say why it did not start.
_TAIL = 5
#: The key with which the first one of one's own is made.
_FIRST_KEY = "test-unlimited"
#: Runs the command in its arguments. Linux ends it when the thread that started it has gone, however it went.
_LEASHED = """
import ctypes, os, signal, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, int(signal.SIGTERM))
os.execv(sys.argv[1], sys.argv[1:])
"""


class NotStarted(Exception):
    """The server ended before it listened; the message says why, in its own words."""


class ControlError(Exception):
    """The control API refused something; the message says what to change."""


class OfflineServer:
    """A running server and one key of it. Whatever is done here concerns this key alone."""

    def __init__(self, url: str, key: str, log: Path, others: list[OfflineServer]) -> None:
        self.url = url
        self.key = key
        self.log = log
        """Where the server writes its log."""
        self._others = others

    @property
    def headers(self) -> dict[str, str]:
        """What a request of this key needs."""
        return {"Authorization": f"Bearer {self.key}"}

    def rule(self, operation: str = "*", **what: Any) -> dict[str, Any]:
        """Answer some requests otherwise, such as `rule("POST /convert", nth=3, code="QUEUE_FULL")`.

        When: `nth`, `next` or `every`. What: `code` (with `message` and `retry_after`), `delay` in seconds, `rate` in
        bytes a second, `cut_after` so many bytes. Raises ControlError.
        """
        return self._control("POST", "rules", {"operation": operation, **what})

    def rules(self) -> list[dict[str, Any]]:
        """The rules, the oldest first, with how many requests each has `seen` and at how many it has `fired`."""
        found: list[dict[str, Any]] = self._control("GET", "rules")["rules"]
        return found

    @property
    def requests(self) -> dict[str, int]:
        """How often each operation was asked for since the last reset, such as `{"POST /convert": 3}`."""
        found: dict[str, int] = self._control("GET", "requests")["requests"]
        return found

    def reset(self, *only: str) -> None:
        """Forget this key's rules and counts, its limits' windows, and its conversions, or only what is named of it:

        "rules", "limits", "conversions". Keys that `another_key` made of this one are reset, too.
        """
        for one in (self, *self._others):
            one._control("POST", "reset", {"only": list(only)} if only else {})
        if not only:
            self._others.clear()

    def another_key(self, **limits: int) -> OfflineServer:
        """A second customer of this server. `limits` are as in the settings; without them it has none.

        Such as `another_key(per_minute=3)`. It is for the test at hand: a reset forgets it.
        """
        other = OfflineServer(self.url, self._control("POST", "keys", limits)["key"], self.log, [])
        self._others.append(other)
        return other

    def _control(self, method: str, what: str, body: Any = None) -> dict[str, Any]:
        address = urlsplit(self.url)
        connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=ANSWER)
        try:
            connection.request(
                method, f"/_offline/{what}", json.dumps(body) if body is not None else None, self.headers
            )
            answer = connection.getresponse()
            given: dict[str, Any] = json.loads(answer.read())
        except ConnectionError as error:
            raise ControlError(f"the server has gone; the end of its log:\n{_tail(self.log)}") from error
        finally:
            connection.close()
        if answer.status != 200:
            raise ControlError(given["error"]["message"])
        return given


@contextlib.contextmanager
def offline_server(settings: str = "") -> Iterator[OfflineServer]:
    """A server with a key of its own while the block is open. `settings` is TOML, as in `config.toml`.

    Its files are in a temporary folder. Raises NotStarted.
    """
    with tempfile.TemporaryDirectory(prefix="ytmp3d-test-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        config, port_file, log = folder / "config.toml", folder / "port", folder / "log"
        config.write_text(settings, encoding="utf-8")
        command = [sys.executable, "-m", __name__.partition(".")[0], "serve", "--offline"]
        command += ["--config", str(config), "--host", "127.0.0.1", "--port", "0", "--port-file", str(port_file)]
        with (
            log.open("wb") as output,
            subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _LEASHED, *command],
                env=_environment(os.environ),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                process_group=0,  # Ctrl-C is for the tests, which may stop in a debugger
            ) as process,
        ):
            try:
                url = f"http://127.0.0.1:{_port(process, port_file, log)}"
                first = OfflineServer(url, _FIRST_KEY, log, [])
                yield OfflineServer(url, first.another_key().key, log, [])
            finally:
                _end(process)


def _environment(given: Mapping[str, str]) -> dict[str, str]:
    """Without settings that are meant for a real server, and for a Python that imports nothing from where it stands."""
    kept = {name: value for name, value in given.items() if not name.startswith("YTMP3D_")}
    own = {"YTMP3D_SERVER__SHUTDOWN_GRACE": "0", "PYTHONSAFEPATH": "1"}
    if CHECKOUT:
        own["PYTHONPATH"] = os.pathsep.join(filter(None, [str(CHECKOUT), given.get("PYTHONPATH")]))
    return kept | own


def _port(process: subprocess.Popen[bytes], file: Path, log: Path) -> int:
    """The port, once it listens. Raises NotStarted."""
    deadline = time.monotonic() + START
    while not file.exists():
        if process.poll() is not None:
            raise NotStarted(f"the offline server did not start:\n{_tail(log)}")
        if time.monotonic() > deadline:
            raise NotStarted(f"the offline server does not listen after {START} s:\n{_tail(log)}")
        time.sleep(0.02)
    return int(file.read_text())


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(END)
        except subprocess.TimeoutExpired:
            process.kill()


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-_TAIL:])
