"""A real `python -m server serve --offline` as a process of its own, and what its tests must see of the system."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
import tomllib
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from server.logs import BATCH
from support.clips import with_shared_clips
from support.waiting import SOON as SOON
from support.waiting import until as until

ROOT = Path(__file__).parents[2]
KEY = "YOUR_API_KEY"
#: Which environment variable marks everything that a server under test has started, children of children included.
MARK = "LC_YTMP3D_TEST"

SETTINGS = """
[server]
shutdown_grace = 25
[jobs]
slots = 2
retry_pause = 0
[limits]
per_minute = 1000000
per_hour = 1000000
per_day = 1000000
"""


@dataclass(frozen=True)
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Process:
    pid: int
    parent: int
    group: int
    state: str
    command: str


class ServerProcess:
    """The server whose files are all in `folder`; `start` it as often as you like."""

    def __init__(
        self,
        folder: Path,
        settings: str = "",
        *,
        beside: Path | None = None,
        python: Path | str = sys.executable,
        **environment: str,
    ) -> None:
        """`settings` is TOML whose sections add to, or change, `SETTINGS`; its log and the like go `beside`."""
        beside = beside or folder
        self.folder = folder
        self.downloads = folder / "downloads"
        self.mark = uuid.uuid4().hex
        self.port = self.fixed_port = 0
        self.interpreter = [str(python), "-m", "server"]
        self._log = beside.with_suffix(".log")
        self._config = beside.with_suffix(".toml")
        self._config.write_text(_merged(SETTINGS, settings))
        self._port_file = beside.with_suffix(".port")
        self._environment = {**os.environ, **environment, MARK: self.mark}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def log(self) -> str:
        time.sleep(2 * BATCH)  # so much later than an answer may its lines be there
        return self._log.read_text(errors="replace")

    def start(self) -> None:
        """Returns once it listens."""
        self.launch()
        process, port_file = self._process, self._port_file
        assert process is not None
        until(lambda: port_file.exists() or process.poll() is not None, SOON, "the server listens")
        assert process.poll() is None, f"the server ended with {process.returncode}:\n{self.log[-4000:]}"
        self.port = int(port_file.read_text())

    def launch(self) -> None:
        """Start the process, no more."""
        port_file = self._port_file
        port_file.unlink(missing_ok=True)
        with_shared_clips(self.folder / "youtube")
        command = [*self.interpreter, "serve", "--offline", "--port", str(self.fixed_port)]
        command += ["--port-file", str(port_file)]
        command += ["--config", str(self._config), "--state", str(self.folder)]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command, cwd=ROOT, env=self._environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def wait(self, seconds: float = SOON) -> int:
        """Its exit status."""
        assert self._process is not None
        return self._process.wait(seconds)

    def kill(self) -> None:
        """SIGKILL, and reaped."""
        self.signal(signal.SIGKILL)
        self.wait()

    def end(self) -> None:
        """At the end of a test: stop it, and whatever of it a failed test left over."""
        if self._process is not None and self._process.poll() is None:
            self.kill()
        for process in self.processes():
            os.kill(process.pid, signal.SIGKILL)

    # ---- HTTP

    def request(self, method: str, path: str, body: Any = None, *, timeout: float = 70, **headers: str) -> Answer:
        """One request on a connection of its own. Raises OSError or HTTPException when there is no whole answer."""
        with self.connected(timeout) as connection:
            payload = None if body is None else json.dumps(body)
            head = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
            connection.request(method, path, payload, {**head, **headers})
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())

    @contextmanager
    def connected(self, timeout: float = 70) -> Iterator[http.client.HTTPConnection]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            yield connection
        finally:
            connection.close()

    def convert(self, video_id: str, quality: str = "low", **options: Any) -> str:
        """The id of an accepted conversion."""
        body = {"url": f"https://youtu.be/{video_id}", "quality": quality, **options}
        answer = self.request("POST", "/convert", body)
        assert answer.status == 200, answer.body
        return str(answer.json["conversion_id"])

    def status(self, conversion_id: str) -> Any:
        answer = self.request("GET", f"/status/{conversion_id}")
        assert answer.status == 200, answer.body
        return answer.json

    def finished(self, conversion_id: str, seconds: float = 2 * SOON) -> Any:
        """The conversion once it has ended, however."""
        deadline = time.monotonic() + seconds
        while True:
            left = max(1, int(deadline - time.monotonic()))
            answer = self.request("GET", f"/status/{conversion_id}", Prefer=f"wait={min(left, 60)}")
            assert answer.status == 200, answer.body
            if answer.json["status"] in ("completed", "failed", "cancelled"):
                return answer.json
            assert time.monotonic() < deadline, f"not ended within {seconds:g} s: {answer.json}"

    def finished_with_cover(self, video_id: str, quality: str) -> Any:
        """A completed conversion; made anew where a busy machine took longer than a cover is waited for."""

        def covered() -> Any:
            done = self.finished(self.convert(video_id, quality))
            assert done["status"] == "completed", done
            if done["thumbnail_url"]:
                return done
            self.request("DELETE", f"/status/{done['conversion_id']}")
            return None

        return until(covered, what="the cover came in time")

    def download(self, conversion_id: str, seconds: float = 2 * SOON) -> bytes:
        """The whole MP3. What has no sound yet is asked for again, as the answer says."""
        deadline = time.monotonic() + seconds
        while (answer := self.request("GET", link(conversion_id))).status == 503 and time.monotonic() < deadline:
            assert answer.json["error"]["code"] == "NOT_READY", answer.body
            time.sleep(int(answer.headers["Retry-After"]))
        assert answer.status == 200, answer.body
        return answer.body

    def has_audio(self, conversion_id: str) -> bool:
        """Whether it is being made and something of it can be heard."""
        status = self.status(conversion_id)
        assert status["status"] in ("queued", "processing"), status
        return bool(status["progress"] >= 5)

    # ---- files and processes

    def staged(self) -> list[Path]:
        return list((self.downloads / ".staging").iterdir())

    def artifacts(self) -> list[Path]:
        return sorted(self.downloads.glob("*.mp3"))

    def processes(self) -> list[Process]:
        """Everything alive that this server started, or that was started by that, and the server itself."""
        return [process for process in all_processes() if marked(process.pid, self.mark)]

    def descendants(self) -> list[Process]:
        """Everything below the server in the tree, zombies too."""
        processes = all_processes()
        family = {self.pid}
        for _ in range(5):
            family |= {process.pid for process in processes if process.parent in family}
        return [process for process in processes if process.pid in family - {self.pid}]

    def forkserver(self) -> Process:
        """The one whose children run yt-dlp; those of another become ffmpeg."""
        return next(p for p in self.descendants() if p.parent == self.pid and "ytdlp_child" in p.command)

    def running_ytdlp(self) -> list[Process]:
        forkserver = self.forkserver().pid
        return [process for process in self.descendants() if process.parent == forkserver and process.state != "Z"]

    def running_ffmpeg(self) -> list[Process]:
        """Those that encode."""
        return [p for p in self.descendants() if "libmp3lame" in p.command]


def link(conversion_id: str) -> str:
    return f"/static/downloads/{conversion_id}.mp3"


def open_files(pid: int) -> bytes:
    """The names of all that a process has open, one a line."""
    names = []
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        try:
            names.append(bytes(descriptor.readlink()))
        except FileNotFoundError:
            continue
    return b"\n".join(names)


def all_processes() -> list[Process]:
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            stat = (folder / "stat").read_text()
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue
        state, parent, group = stat[stat.rindex(")") + 2 :].split()[:3]
        found.append(Process(int(folder.name), int(parent), int(group), state, command))
    return found


def marked(pid: int, mark: str) -> bool:
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return False
    return f"{MARK}={mark}".encode() in environment.split(b"\0")


def _merged(*texts: str) -> str:
    sections: dict[str, dict[str, Any]] = {}
    for text in texts:
        for name, values in tomllib.loads(text).items():
            sections.setdefault(name, {}).update(values)
    return "".join(
        f"[{name}]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items())
        for name, values in sections.items()
    )
