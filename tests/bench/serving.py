"""Downloads: a finished MP3 of 10 MB beside aiohttp's own FileResponse, and one that is being made, to many at once."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from . import bare, clients, measure
from .conversion import SHORT, SONG, ours
from .filled import fill
from .ours import OurServer, youtube_in_a_thread

SIZE = 10_000_000
#: Readers at once, and how often one after the other: one is too fast to be measured.
READERS = ((1, 20), (50, 1))
LIVE_READERS = (1, 100)


def run(folder: Path, ffmpeg: str, rounds: int) -> None:
    _finished(folder, rounds)
    _live(folder, ffmpeg, rounds)


def _finished(folder: Path, rounds: int) -> None:
    (kept,) = fill(folder / "finished", conversions=1, size=SIZE)
    (file,) = (folder / "finished" / "downloads").glob("*.mp3")
    server = OurServer(folder / "finished")
    rows: dict[str, list[list[float]]] = {}
    try:
        with bare.running(file) as other:
            places = {
                "ytmp3d": (server.port, server.process.pid, f"/static/downloads/{kept.id}.mp3"),
                "FileResponse": (other.port, other.pid, "/file"),
            }
            for port, _, path in places.values():
                asyncio.run(clients.downloads(port, path, 1, SIZE))
            for _ in range(rounds):
                for readers, times in READERS:
                    for name, (port, pid, path) in places.items():
                        before, wall = measure.cpu_seconds(pid, alone=True), 0.0
                        for _ in range(times):
                            wall += asyncio.run(clients.downloads(port, path, readers, SIZE))
                        spent = measure.cpu_seconds(pid, alone=True) - before
                        found = [1e3 * wall / times, 1e3 * spent / times, SIZE * readers * times / wall / 1e6]
                        rows.setdefault(f"{name}, {readers} at once", []).append(found)
    finally:
        server.stop()
    measure.table(
        f"A finished MP3 of {SIZE // 1_000_000} MB, median of {rounds} (smallest-largest)",
        ["last has all, ms", "server's processor, ms", "MB a second"],
        rows,
    )


def _live(folder: Path, ffmpeg: str, rounds: int) -> None:
    rows: dict[str, list[list[float]]] = {}
    with youtube_in_a_thread(folder.parent / "youtube", ffmpeg) as youtube:
        server = OurServer(folder / "live", youtube)
        try:
            ours(server, SHORT)
            ours(server, SONG)  # the source makes its clip
            for _ in range(rounds):
                for readers in LIVE_READERS:
                    rows.setdefault(f"{readers} at once", []).append(_of_one_conversion(server, readers))
        finally:
            server.stop()
    measure.table(
        f"A four-minute MP3 while it is made, median of {rounds} (smallest-largest)",
        ["last has all, s", "server's processor, s", "with children, s"],
        rows,
    )


def _of_one_conversion(server: OurServer, readers: int) -> list[float]:
    pid = server.process.pid
    before = measure.cpu_seconds(pid, alone=True), measure.cpu_seconds(pid)
    started = time.monotonic()
    job = server.call("POST", "/convert", {"url": f"https://youtu.be/{SONG}"})
    path = job["download_url"].removeprefix(server.url)
    size = 240 * 40_000  # of 320 kbit/s, and a tag
    asyncio.run(clients.downloads(server.port, path, readers, size))
    wall = time.monotonic() - started
    server.ended(job)
    spent = measure.cpu_seconds(pid, alone=True) - before[0], measure.cpu_seconds(pid) - before[1]
    server.forget(job)
    return [wall, *spent]
