"""A file system that refuses some calls, for a real server; `refusals.c` says how."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest


def refusing(beside: Path, below: Path, *, sync: int = 0, lock: int = 0, move: int = 0) -> dict[str, str]:
    """The environment of a process in which the calls fail with these numbers in the folder `below`, if not 0."""
    compiler = shutil.which("cc")
    if compiler is None or not sys.platform.startswith("linux"):
        pytest.skip("NOT TESTED: a file system that refuses calls (needs Linux and a C compiler)")
    library = beside / "refusals.so"
    source = Path(__file__).with_suffix(".c")
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True, timeout=60)
    numbers = {"SYNC": sync, "LOCK": lock, "MOVE": move}
    refused = {f"REFUSED_{call}": str(number) for call, number in numbers.items() if number}
    return {"LD_PRELOAD": str(library), "REFUSED_BELOW": str(below), **refused}
