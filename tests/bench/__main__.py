"""`python -m tests.bench [ROUNDS]`: every comparison, side by side in one run."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from pathlib import Path

from server.config import Config
from server.media import ffmpeg

from . import api, conversion, offline, waiting


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    path = asyncio.run(ffmpeg.find(Config()))
    print(f"{os.cpu_count()} cores, Python {sys.version.split()[0]}, ffmpeg {asyncio.run(ffmpeg.version(path))}")
    with tempfile.TemporaryDirectory(prefix="ytmp3d-bench-") as name:
        conversion.run(Path(name), path, rounds)
        api.run(Path(name), path, rounds)
        offline.run(Path(name), rounds)
        waiting.run(Path(name), path, rounds)


if __name__ == "__main__":
    main()
