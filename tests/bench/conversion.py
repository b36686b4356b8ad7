"""A four-minute video to a 320 kbit/s MP3: this server, `yt-dlp -x`, and ffmpeg alone on the file it would fetch."""

from __future__ import annotations

import asyncio
import json
import math
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
from server.media.authorities import make_ca_bundle
from server.offline import OfflineYouTube, offline_youtube

from . import measure

VIDEO = "x-4-minutes"
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
    """`python -m server serve` on that source, with its files in `folder`; `jobs` are settings of that section."""

    def __init__(self, folder: Path, youtube: OfflineYouTube, **jobs: int) -> None:
        folder.mkdir()
        config, port = folder / "config.toml", folder / "port"
        config.write_text(
            f'[storage]\ndownloads = "downloads"\nstate = "state"\n[ytdlp]\nproxy = "{youtube.proxy}"\n'
            f'ca_file = "{youtube.ca_file}"\n[log]\nlevel = "warning"\n'
            "[limits]\nper_minute = 1000000000\nper_hour = 1000000000\nper_day = 1000000000\n[jobs]\n"
            + "".join(f"{name} = {value}\n" for name, value in jobs.items())
        )
        command = [sys.executable, "-m", "server", "serve", "--config", str(config), "--port", "0"]
        environment = {**os.environ, "YTMP3D_KEY": KEY}
        self.process = subprocess.Popen(
            [*command, "--port-file", str(port)], cwd=ROOT, env=environment, stdout=subprocess.DEVNULL
        )
        while not port.exists():
            if self.process.poll() is not None:
                raise SystemExit("the server did not start")
            time.sleep(0.01)
        self.url = f"http://127.0.0.1:{port.read_text().strip()}"

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        data = None if body is None else json.dumps(body).encode()
        head = {"Authorization": f"Bearer {KEY}", **headers}
        request = urllib.request.Request(self.url + path, data, head, method=method)
        with urllib.request.urlopen(request, timeout=120) as answer:
            return json.load(answer)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(40)


def ours(server: OurServer) -> list[float]:
    with measure.watched(server.process.pid) as usage:
        started = time.monotonic()
        job = server.call("POST", "/convert", {"url": f"https://youtu.be/{VIDEO}"})
        with urllib.request.urlopen(job["download_url"], timeout=120) as answer:
            answer.read(1)
            first = time.monotonic() - started
            answer.read()
        done = server.call("GET", f"/status/{job['conversion_id']}", Prefer="wait=60")
        wall = time.monotonic() - started
    if done["status"] != "completed":
        raise SystemExit(done["error"]["message"])
    server.call("DELETE", f"/status/{job['conversion_id']}")  # or the next run would be answered from kept work
    return [wall, first, usage.cpu, usage.peak]


def command(argv: list[str], environment: dict[str, str]) -> list[float]:
    started = time.monotonic()
    process = subprocess.Popen(argv, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with measure.watched(process.pid) as usage:
        _, status, spent = os.wait4(process.pid, 0)
    wall = time.monotonic() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{argv[0]} ended with {process.returncode}")
    return [wall, math.nan, spent.ru_utime + spent.ru_stime, usage.peak]


def run(folder: Path, ffmpeg: str, rounds: int) -> None:
    with youtube_in_a_thread(folder / "youtube", ffmpeg) as youtube:
        bundle = folder / "authorities.pem"
        make_ca_bundle(youtube.ca_file, bundle)
        environment = {**os.environ, "SSL_CERT_FILE": str(bundle)}
        ytdlp = [sys.executable, "-m", "yt_dlp", "--ignore-config", "--quiet", "--no-update"]
        ytdlp += ["--proxy", youtube.proxy, "--compat-options", "no-certifi", "--ffmpeg-location", ffmpeg]
        url = f"https://www.youtube.com/watch?v={VIDEO}"
        source = folder / "source"
        fetch = [*ytdlp, "-f", "bestaudio", "--force-overwrites", "-o", str(source), url]
        extract = [*ytdlp, "-x", "--audio-format", "mp3", "--audio-quality", "320K", "--embed-metadata"]
        extract += ["--embed-thumbnail", "--force-overwrites", "-o", str(folder / "peer.%(ext)s"), url]
        encode = [ffmpeg, "-y", "-i", str(source), "-c:a", "libmp3lame", "-b:a", "320k", str(folder / "alone.mp3")]
        command(fetch, environment)
        server = OurServer(folder / "ours", youtube)
        rows: dict[str, list[list[float]]] = {"ytmp3d": [], "yt-dlp -x": [], "ffmpeg alone": []}
        try:
            ours(server)
            for _ in range(rounds):  # in turn, so that a slow moment of the machine is everybody's
                rows["ytmp3d"].append(ours(server))
                rows["yt-dlp -x"].append(command(extract, environment))
                rows["ffmpeg alone"].append(command(encode, environment))
        finally:
            server.stop()
    measure.table(
        f"A four-minute video to MP3 at 320 kbit/s, median of {rounds} (smallest-largest)",
        ["wall, s", "first byte, s", "processor, s", "peak memory, MB"],
        rows,
    )
