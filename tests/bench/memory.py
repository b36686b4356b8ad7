"""Memory as the kernel divides it among processes (PSS): idle, with one conversion, after a thousand kept ones."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from . import clients, measure
from .conversion import ours
from .ours import KEY, OurServer, youtube_in_a_thread

KEPT = 1000
#: It is at rest when it grows by less than this many MB a second.
_STILL = 0.5


def run(folder: Path, ffmpeg: str, rounds: int) -> None:
    rows: dict[str, list[list[float]]] = {}
    with youtube_in_a_thread(folder.parent / "youtube", ffmpeg) as youtube:
        for number in range(rounds):
            server = OurServer(folder / f"{number}", youtube)
            try:
                rows.setdefault("idle", []).append(_at_rest(server))
                peak = ours(server)[3]
                rows.setdefault("one conversion, peak", []).append([peak, float("nan")])
                link = {"url": "https://youtu.be/x-1-second-"}
                server.ended(server.call("POST", "/convert", link))
                rows.setdefault("after it", []).append(_at_rest(server))
                asyncio.run(clients.each(server.port, [clients.post("/convert", KEY, link)] * KEPT))
                rows.setdefault(f"{KEPT:,} kept conversions", []).append(_at_rest(server))
            finally:
                server.stop()
    measure.table(
        f"Memory (PSS), median of {rounds} (smallest-largest)", ["all processes, MB", "the server's, MB"], rows
    )


def _at_rest(server: OurServer) -> list[float]:
    """Its memory once it no longer grows, or after ten seconds."""
    pid = server.process.pid
    seen = measure.proportional(pid)
    for _ in range(10):
        time.sleep(1)
        before, seen = seen, measure.proportional(pid)
        if abs(seen - before) < _STILL:
            break
    return [seen, measure.proportional(pid, alone=True)]
