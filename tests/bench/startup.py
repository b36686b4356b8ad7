"""A start with an empty database and with a full one, beside what importing aiohttp takes alone."""

from __future__ import annotations

import math
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from . import measure
from .filled import fill
from .ours import OurServer

CONVERSIONS = (0, 100_000)


def run(folder: Path, ffmpeg: str, rounds: int) -> None:
    for count in CONVERSIONS:
        if count:
            fill(folder / f"{count}", conversions=count)
    rows: dict[str, list[list[float]]] = {}
    for _ in range(rounds):
        for count in CONVERSIONS:
            rows.setdefault(f"{count:,} conversions", []).append(_start(folder / f"{count}"))
        started = time.monotonic()
        subprocess.run([sys.executable, "-c", "import aiohttp"], check=True)
        rows.setdefault('python -c "import aiohttp"', []).append([time.monotonic() - started, math.nan])
    measure.table(
        f"From a start until GET /healthz answers, median of {rounds} (smallest-largest)",
        ["answers after, s", "memory then, MB"],
        rows,
    )


def _start(folder: Path) -> list[float]:
    started = time.monotonic()
    server = OurServer(folder)
    try:
        urllib.request.urlopen(f"{server.url}/healthz", timeout=60).close()
        return [time.monotonic() - started, measure.proportional(server.process.pid)]
    finally:
        server.stop()
