"""`python -m server` as a user runs it: in any folder, with any environment, to its end or as a server."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import requests

from server.offline.keys import TABLE
from support.serverprocess import ROOT, SOON, until

UNLIMITED = TABLE[0].key
Here = Callable[..., "subprocess.CompletedProcess[str]"]


def ytmp3d(*arguments: object, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """A command run to its end."""
    return subprocess.run(
        _command(arguments), cwd=cwd, env=_environment(environment), capture_output=True, text=True, timeout=90
    )


class Started:
    """A server that listens."""

    def __init__(self, process: subprocess.Popen[bytes], port_file: Path, output: Path, errors: Path) -> None:
        self.port_file = port_file
        self.url = f"http://127.0.0.1:{int(port_file.read_text())}"
        self._process, self._output, self._errors = process, output, errors

    @property
    def stdout(self) -> str:
        return self._output.read_text()

    @property
    def stderr(self) -> str:
        return self._errors.read_text()

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Its exit status."""
        self._process.send_signal(number)
        return self._process.wait(SOON)

    def convert(self, video_id: str, quality: str = "low") -> dict[str, object]:
        """The conversion once it has ended."""
        answer = requests.post(
            f"{self.url}/convert",
            json={"url": f"https://youtu.be/{video_id}", "quality": quality},
            headers={"Authorization": f"Bearer {UNLIMITED}", "Prefer": "wait=60"},
            timeout=70,
        )
        assert answer.status_code == 200, answer.text
        converted: dict[str, object] = answer.json()
        return converted

    def convert_with_cover(self, video_id: str) -> dict[str, object]:
        """A completed conversion; made anew where a busy machine took longer than a cover is waited for."""

        def covered() -> dict[str, object] | None:
            converted = self.convert(video_id)
            assert converted["status"] == "completed", converted
            if converted["thumbnail_url"]:
                return converted
            head = {"Authorization": f"Bearer {UNLIMITED}"}
            requests.delete(f"{self.url}/status/{converted['conversion_id']}", headers=head, timeout=SOON)
            return None

        found: dict[str, object] = until(covered, what="the cover came in time")
        return found

    def download(self, converted: dict[str, object]) -> bytes:
        answer = requests.get(str(converted["download_url"]), timeout=SOON)
        assert answer.status_code == 200, answer.text
        return answer.content


@contextmanager
def started(beside: Path, *arguments: object, cwd: Path = ROOT, **environment: str) -> Iterator[Started]:
    """`serve` with `arguments` on a free port."""
    port_file = beside.with_suffix(".port")
    outputs = beside.with_suffix(".stdout"), beside.with_suffix(".stderr")
    command = _command(("serve", "--port", "0", "--port-file", port_file, *arguments))
    with outputs[0].open("wb") as stdout, outputs[1].open("wb") as stderr:
        process = subprocess.Popen(
            command, cwd=cwd, env=_environment(environment), stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr
        )
    try:
        until(lambda: port_file.exists() or process.poll() is not None, SOON, "the server listens")
        assert process.poll() is None, outputs[1].read_text()
        yield Started(process, port_file, *outputs)
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(SOON)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(SOON)


def _command(arguments: tuple[object, ...]) -> list[str]:
    return [sys.executable, "-m", "server", *map(str, arguments)]


def _environment(own: dict[str, str]) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), **own}
