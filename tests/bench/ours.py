"""This server as a process of its own, and the made-up YouTube that it and the others fetch from."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from server.config import OfflineConfig
from server.offline import OfflineYouTube, offline_youtube

#: The key in the server's environment.
KEY = "key-of-the-bench"
ROOT = Path(__file__).parent.parent.parent


@contextmanager
def youtube_in_a_thread(folder: Path, ffmpeg: str, settings: OfflineConfig | None = None) -> Iterator[OfflineYouTube]:
    """The source, in this process, so that it counts for nobody. `settings` say how slow it is."""
    ready: list[OfflineYouTube] = []
    started, stop = threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        async with offline_youtube(folder, ffmpeg, settings) as youtube:
            ready.append(youtube)
            started.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    started.wait(30)
    try:
        yield ready[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()


class OurServer:
    """`python -m server serve` with its files in `folder`, on that source if there is one, without limits of requests.

    It logs each request, as a server does, into a file. `jobs` are settings of that section.
    """

    def __init__(self, folder: Path, youtube: OfflineYouTube | None = None, **jobs: int) -> None:
        folder.mkdir(exist_ok=True)
        config, port, log = folder / "config.toml", folder / "port", folder / "log"
        config.write_text(
            '[server]\nconnections_per_address = 1000\n[storage]\ndownloads = "downloads"\nstate = "state"\n'
            "[limits]\nper_minute = 1000000000\nper_hour = 1000000000\nper_day = 1000000000\n[jobs]\n"
            + "".join(f"{name} = {value}\n" for name, value in jobs.items())
            + (f'[ytdlp]\nproxy = "{youtube.proxy}"\nca_file = "{youtube.ca_file}"\n' if youtube else "")
        )
        port.unlink(missing_ok=True)
        command = [sys.executable, "-m", "server", "serve", "--config", str(config), "--port", "0"]
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [*command, "--port-file", str(port)],
                cwd=ROOT,
                env={**os.environ, "YTMP3D_KEY": KEY},
                stdout=subprocess.DEVNULL,
                stderr=output,
            )
        while not port.exists():
            if self.process.poll() is not None:
                raise SystemExit(f"the server did not start:\n{log.read_text()[-2000:]}")
            time.sleep(0.005)
        self.port = int(port.read_text())
        self.url = f"http://127.0.0.1:{self.port}"

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        data = None if body is None else json.dumps(body).encode()
        head = {"Authorization": f"Bearer {KEY}", **headers}
        request = urllib.request.Request(self.url + path, data, head, method=method)
        with urllib.request.urlopen(request, timeout=120) as answer:
            return json.load(answer)

    def ended(self, job: Any) -> Any:
        """The job's status once it is completed."""
        while (now := self.call("GET", f"/status/{job['conversion_id']}", Prefer="wait=60"))["status"] != "completed":
            if now["status"] not in ("queued", "processing"):
                raise SystemExit(now["error"]["message"])
        return now

    def forget(self, job: Any) -> None:
        """So that the next request for the same is not answered from kept work."""
        self.call("DELETE", f"/status/{job['conversion_id']}")

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(40)
