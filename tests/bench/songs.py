"""Many four-minute videos at once, made by this server or by commands side by side."""

from __future__ import annotations

import dataclasses
import math
import os
import time
import urllib.request
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from server.media.forkserver import NICENESS
from server.offline.catalogue import RESERVED

from . import clients, measure
from .conversion import SONG, Commands, command
from .ours import KEY, OurServer

SONGS = [f"bench-{number:02}---" for number in range(20)]
CORES = os.cpu_count() or 1
COLUMNS = ["all, s", "first heard, s", "processor, s", "peak memory, MB", "/status, 99th p., ms"]


def reserve() -> None:
    """Make them four minutes long in this process, whose source has them."""
    for song in SONGS:
        RESERVED[song] = dataclasses.replace(RESERVED[SONG], video_id=song)


def fetched(commands: Commands, songs: Sequence[str]) -> list[Path]:
    """Their sound as files; from now on the source has it, too."""
    with ThreadPoolExecutor(CORES) as pool:
        return list(pool.map(commands.fetch, songs))


def ours(server: OurServer, songs: Sequence[str]) -> list[float]:
    """Seconds until all are made and until the first is heard; seconds of processor; the peak of memory in MB; the
    99th percentile of `GET /status/ID` meanwhile, in ms.
    """
    links = {"urls": [f"https://youtu.be/{song}" for song in songs]}
    with measure.watched(server.process.pid) as usage:
        started = time.monotonic()
        asked = server.call("POST", "/batch-convert", links)["jobs"]
        with clients.watching(server.port, clients.get(f"/status/{asked[-1]['conversion_id']}", KEY)) as latencies:
            with urllib.request.urlopen(asked[0]["download_url"], timeout=300) as answer:
                answer.read(1)
                first = time.monotonic() - started
            for job in asked:
                server.ended(job)
            wall = time.monotonic() - started
    for job in asked:
        server.forget(job)
    return [wall, first, usage.cpu, usage.peak, clients.of_latencies(latencies)[1]]


def extracted(commands: Commands, songs: Sequence[str]) -> list[float]:
    """The same by `yt-dlp -x`, as many at a time as there are cores, as `xargs -P` would."""
    return _side_by_side([commands.extract(song) for song in songs], commands)


def encoded(commands: Commands, sources: Sequence[Path]) -> list[float]:
    """The same by ffmpeg alone, at the priority that this server gives it."""
    return _side_by_side([["nice", "-n", str(NICENESS), *commands.encode(source)] for source in sources], commands)


def _side_by_side(all_of_them: Sequence[list[str]], commands: Commands) -> list[float]:
    started = time.monotonic()
    with ThreadPoolExecutor(CORES) as pool:
        found = list(pool.map(lambda argv: command(argv, commands.environment), all_of_them))
    return [time.monotonic() - started, math.nan, sum(cpu for _, _, cpu, _ in found), math.nan, math.nan]
