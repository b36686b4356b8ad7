"""`GET /status/ID`, and `POST /convert` of a video that is kept, beside a bare aiohttp handler with a constant JSON.

The table has one conversion for each key, or 100,000, which is as many as it keeps by default: then each new one takes
the place of the oldest.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from . import bare, clients, measure
from .filled import Kept, fill
from .ours import KEY, OurServer

#: Keys and conversions.
SIZES = ((1, 1), (10_000, 10_000), (1, 100_000), (10_000, 100_000))
SECONDS = 1.0
#: Different requests that are sent in turn.
_REQUESTS = 20_000


def run(folder: Path, ffmpeg: str, rounds: int) -> None:
    servers: dict[str, tuple[OurServer, list[Kept]]] = {}
    rows: dict[str, list[list[float]]] = {}
    try:
        for keys, conversions in SIZES:
            place = folder / f"{keys}-{conversions}"
            kept = fill(place, keys=keys, conversions=conversions)[-_REQUESTS:]
            counts = f"{keys:,} key{'s'[: keys > 1]}, {conversions:,} conversion{'s'[: conversions > 1]}"
            servers[counts] = OurServer(place), kept
        with bare.running() as other:
            for _ in range(rounds):
                for counts, (server, kept) in servers.items():
                    asked = [clients.get(f"/status/{one.id}", one.key) for one in kept]
                    found = asyncio.run(clients.load(server.port, asked, SECONDS))
                    rows.setdefault(f"GET /status/ID, {counts}", []).append(found)
                found = asyncio.run(clients.load(other.port, [clients.get("/status/x", KEY)], SECONDS))
                rows.setdefault("bare aiohttp", []).append(found)
            for _ in range(rounds):  # after all of those, since it makes conversions
                for counts, (server, kept) in servers.items():
                    links = [(one.key, {"url": f"https://youtu.be/{one.video_id}"}) for one in kept]
                    asked = [clients.post("/convert", key, body) for key, body in links]
                    found = asyncio.run(clients.load(server.port, asked, SECONDS))
                    rows.setdefault(f"POST /convert, kept, {counts}", []).append(found)
    finally:
        for server, _ in servers.values():
            server.stop()
    measure.table(
        f"{clients.CONNECTIONS} connections, one process each side, median of {rounds} (smallest-largest)",
        ["requests a second", "median, ms", "99th percentile, ms"],
        rows,
    )
