"""What the forked children of `test_process.py` do."""

from __future__ import annotations

import os
import subprocess
from multiprocessing.connection import Connection


def speak(events: Connection, text: str) -> None:
    os.write(events.fileno(), f"{text}\n".encode())
    os.write(1, b"on stdout")


def with_a_grandchild(events: Connection) -> None:
    grandchild = subprocess.Popen(["sleep", "60"])
    os.write(events.fileno(), f"{grandchild.pid}\n".encode())


def crash(events: Connection) -> None:
    raise RuntimeError("on purpose")
