"""`serve --offline` from nothing: how long until an author of a client has the first MP3, and ten of them."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

from server.offline.videos import video

from . import measure
from .ours import ROOT

KEY = "test-unlimited"
TEN = [one for one in (f"ten-sec-{number:03}" for number in range(1000)) if video(one).seconds == 10][:10]


def _call(url: str, path: str, body: Any = None, **headers: str) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url + path, data, {"Authorization": f"Bearer {KEY}", **headers})
    with urllib.request.urlopen(request, timeout=120) as answer:
        return json.load(answer)


def _ended(conversion: Any) -> None:
    if conversion["status"] != "completed":
        raise SystemExit(conversion["error"]["message"])


def _once(port_file: Path) -> list[float]:
    """Seconds: start to listening, start to the first finished conversion, a batch of ten. Every folder is empty."""
    command = [sys.executable, "-m", "server", "serve", "--offline", "--port", "0", "--port-file", str(port_file)]
    started = time.monotonic()
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while not port_file.exists():
            if process.poll() is not None:
                raise SystemExit("the server did not start")
            time.sleep(0.005)
        listening = time.monotonic() - started
        url = f"http://127.0.0.1:{port_file.read_text().strip()}"
        _ended(_call(url, "/convert", {"url": "https://youtu.be/dQw4w9WgXcQ"}, Prefer="wait=60"))
        first = time.monotonic() - started
        asked = time.monotonic()
        batch = _call(url, "/batch-convert", {"urls": [f"https://youtu.be/{one}" for one in TEN]})
        for job in batch["jobs"]:
            _ended(_call(url, f"/status/{job['conversion_id']}", Prefer="wait=60"))
        return [listening, first, time.monotonic() - asked]
    finally:
        process.terminate()
        process.wait(40)


def run(folder: Path, ffmpeg: str, rounds: int) -> None:
    measure.table(
        f"serve --offline, median of {rounds} (smallest-largest)",
        ["listens after, s", "first MP3 after, s", "ten 10 s clips, s"],
        {"ytmp3d": [_once(folder / "offline.port") for _ in range(rounds)]},
    )
