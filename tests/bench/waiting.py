"""A dozen four-minute videos at once, from a source that answers at once and from one that lets each request wait."""

from __future__ import annotations

import dataclasses
import math
import os
import subprocess
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from server.config import OfflineConfig
from server.media.forkserver import NICENESS
from server.offline.catalogue import RESERVED

from . import measure
from .conversion import VIDEO, OurServer, youtube_in_a_thread

SONGS = [f"bench-{number:02}---" for number in range(12)]
#: What each answer takes longer, and what one connection brings.
SLOW = OfflineConfig(latency_ms=1000, rate_kbps=32_000)
FETCHERS = (1, 2, 4, 8)
SLOTS = os.cpu_count() or 1


def _first_byte(url: str, started: float) -> float:
    with urllib.request.urlopen(url, timeout=300) as answer:
        answer.read(1)
        return time.monotonic() - started


def _dozen(server: OurServer, songs: list[str]) -> list[float]:
    """Seconds until all are made and until the first is heard; seconds of processor; the peak of memory in MB."""
    with measure.watched(server.process.pid) as usage:
        started = time.monotonic()
        asked = server.call("POST", "/batch-convert", {"urls": [f"https://youtu.be/{song}" for song in songs]})["jobs"]
        first = _first_byte(asked[0]["download_url"], started)
        for job in asked:
            while (now := _status(server, job))["status"] in ("queued", "processing"):
                pass
            if now["status"] != "completed":
                raise SystemExit(now["error"]["message"])
        wall = time.monotonic() - started
    for job in asked:
        server.call("DELETE", f"/status/{job['conversion_id']}")
    return [wall, first, usage.cpu, usage.peak]


def _status(server: OurServer, job: Any) -> Any:
    return server.call("GET", f"/status/{job['conversion_id']}", Prefer="wait=60")


def _encoders_alone(ffmpeg: str, source: Path) -> list[float]:
    """As `xargs -P` would: one ffmpeg a core, on files."""
    command = ["nice", "-n", str(NICENESS), ffmpeg, "-y", "-i", str(source)]
    command += ["-c:a", "libmp3lame", "-b:a", "320k", "-f", "mp3", "/dev/null"]

    def one(_: str) -> None:
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    started = time.monotonic()
    with ThreadPoolExecutor(SLOTS) as pool:
        list(pool.map(one, SONGS))
    return [time.monotonic() - started, math.nan, math.nan, math.nan]


def run(folder: Path, ffmpeg: str, rounds: int) -> None:
    for song in SONGS:
        RESERVED[song] = dataclasses.replace(RESERVED[VIDEO], video_id=song)
    for name, settings in (("no latency", OfflineConfig()), ("1 s an answer, 4 MB/s", SLOW)):
        rows: dict[str, list[list[float]]] = {}
        with youtube_in_a_thread(folder / "songs", ffmpeg, settings) as youtube:
            places = {count: folder / f"{count}-fetchers-{settings.latency_ms}" for count in FETCHERS}
            servers = {count: OurServer(place, youtube, slots=SLOTS, fetchers=count) for count, place in places.items()}
            try:
                _dozen(servers[1], SONGS)  # the source makes its clips
                source = max((folder / "songs" / "clips").glob("*.webm"), key=lambda file: file.stat().st_size)
                for _ in range(rounds):
                    rows.setdefault("encoders alone", []).append(_encoders_alone(ffmpeg, source))
                    rows.setdefault("one of them", []).append(_dozen(servers[1], SONGS[:1]))
                    for count, server in servers.items():
                        rows.setdefault(f"fetchers = {count}", []).append(_dozen(server, SONGS))
            finally:
                for server in servers.values():
                    server.stop()
        measure.table(
            f"{len(SONGS)} four-minute videos at 320 kbit/s, {name}, median of {rounds} (smallest-largest)",
            ["all, s", "first byte, s", "processor, s", "peak memory, MB"],
            rows,
        )
