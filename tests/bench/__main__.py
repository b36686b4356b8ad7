"""`python -m tests.bench [NAME …] [--rounds N] [--json FILE] [--svg FILE]`: comparisons, side by side in one run.

Without names all of them, which takes some twelve minutes on two idle cores.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from server.config import Config
from server.media import ffmpeg

from . import api, chart, conversion, measure, memory, offline, saturated, serving, startup, waiting

#: Each part, and how many rounds it has unless told otherwise. A part takes a new folder, beside which lies what the
#: source has made for all of them, ffmpeg's path, and the rounds.
PARTS: dict[str, tuple[Callable[[Path, str, int], None], int]] = {
    "single": (conversion.single, 3),
    "short": (conversion.short, 3),
    "hour": (conversion.hour, 1),
    "saturated": (saturated.run, 1),
    "waiting": (waiting.run, 1),
    "requests": (api.run, 3),
    "serving": (serving.run, 2),
    "start": (startup.run, 2),
    "memory": (memory.run, 1),
    "offline": (offline.run, 3),
}
#: What takes so long that more rounds tell too little.
ONCE = ("hour",)


def parser() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(prog="python -m tests.bench")
    options.add_argument("names", nargs="*", metavar="NAME", type=_part, help=f"of {', '.join(PARTS)}; without, all")
    options.add_argument("--rounds", type=_rounds, help="of each part; without, as many as each needs; hour has one")
    options.add_argument("--json", type=Path, metavar="FILE", help="write every value there")
    options.add_argument("--svg", type=Path, metavar="FILE", help='draw "single" there')
    return options


def _part(name: str) -> str:
    if name not in PARTS:
        raise argparse.ArgumentTypeError(f"expected one of {', '.join(PARTS)}, found {name!r}")
    return name


def _rounds(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1, found {text!r}")
    return int(text)


def main(arguments: Sequence[str] | None = None) -> None:
    options = parser()
    given = options.parse_args(arguments)
    names = given.names or list(PARTS)
    if given.svg and "single" not in names:
        options.error('--svg draws "single": name it too')
    logging.getLogger("aiohttp.server").disabled = True  # the source's: a client that leaves early is no error
    path = asyncio.run(ffmpeg.find(Config()))
    version = asyncio.run(ffmpeg.version(path))
    machine = f"{os.cpu_count()} cores, Python {sys.version.split()[0]}, ffmpeg {version}"
    print(machine, flush=True)
    tables: dict[str, list[dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory(prefix="ytmp3d-bench-") as folder:
        for name in names:
            run, usual = PARTS[name]
            part = Path(folder, name)
            part.mkdir(exist_ok=True)
            run(part, path, usual if name in ONCE else given.rounds or usual)
            tables[name] = measure.taken()
    if given.svg:
        _draw(given.svg, tables["single"][0])
    if given.json:
        found = {"date": datetime.now(UTC).date().isoformat(), "machine": machine, "parts": tables}
        given.json.write_text(json.dumps(found, indent=1) + "\n")


def _draw(path: Path, table: dict[str, Any]) -> None:
    rows = {}
    for name, runs in table["rows"].items():
        whole, first = (statistics.median(column) for column in list(zip(*runs, strict=True))[:2])
        if whole == whole:  # else it failed
            rows[name] = whole, None if first != first else first
    when = datetime.now(UTC)
    about = f"make bench on {os.cpu_count()} cores, {when:%B %Y}: seconds until the whole MP3 is there (median)"
    chart.draw(path, "A four-minute video to MP3 at 320 kbit/s", rows, about)


if __name__ == "__main__":
    main()
