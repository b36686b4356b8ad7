"""`python -m tests.bench [ROUNDS] [--json FILE] [--svg FILE]`: every comparison, side by side in one run."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from server.config import Config
from server.media import ffmpeg

from . import api, chart, conversion, measure, offline, waiting


def main() -> None:
    options = argparse.ArgumentParser(prog="python -m tests.bench")
    options.add_argument("rounds", type=int, nargs="?", default=5)
    options.add_argument("--json", type=Path, help="write every value there")
    options.add_argument("--svg", type=Path, help="draw the first comparison there")
    given = options.parse_args()
    path = asyncio.run(ffmpeg.find(Config()))
    version = asyncio.run(ffmpeg.version(path))
    machine = f"{os.cpu_count()} cores, Python {sys.version.split()[0]}, ffmpeg {version}"
    print(machine)
    with tempfile.TemporaryDirectory(prefix="ytmp3d-bench-") as name:
        conversion.run(Path(name), path, given.rounds)
        if given.svg:
            _draw(given.svg)
        api.run(Path(name), path, given.rounds)
        offline.run(Path(name), given.rounds)
        waiting.run(Path(name), path, given.rounds)
    if given.json:
        found = {"date": datetime.now(UTC).date().isoformat(), "machine": machine, "tables": measure.results}
        given.json.write_text(json.dumps(found, indent=1) + "\n")


def _draw(path: Path) -> None:
    rows = {}
    for name, runs in measure.results[0]["rows"].items():
        whole, first = (statistics.median(column) for column in list(zip(*runs, strict=True))[:2])
        rows[name] = whole, None if first != first else first
    when = datetime.now(UTC)
    about = f"make bench on {os.cpu_count()} cores, {when:%B %Y}: seconds until the whole MP3 is there (median)"
    chart.draw(path, "A four-minute video to MP3 at 320 kbit/s", rows, about)


if __name__ == "__main__":
    main()
