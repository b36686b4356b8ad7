"""A warm child: it has yt-dlp imported, since the forkserver had, and calls one function. See `forking.py`."""

from __future__ import annotations

import importlib
import os
import pickle
import signal
import sys
import threading
from multiprocessing.connection import Connection

from . import sandbox
from .forkserver import NICENESS


def become(work: int, watched: int, events: int, stdout: int) -> None:
    """Become a group that dies with the server, then do the work, then wait to be ended."""
    os.setpgid(0, 0)
    os.nice(NICENESS)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(stdout, 1)
    os.dup2(null, 2)
    os.close(null)
    os.close(stdout)
    with os.fdopen(work, "rb") as file:
        rules, module, function, args = pickle.load(file)  # noqa: S301  # the server wrote it
    if rules:
        sandbox.enter(*rules)  # before there is another thread, which it would not hold
    threading.Thread(target=_die_with_the_server, args=(watched,), name="watch the server", daemon=True).start()
    speaking = Connection(events, readable=False)
    getattr(importlib.import_module(module), function)(speaking, *args)
    if sys.__stdout__:  # the work may have put another in its place
        sys.__stdout__.flush()
    os.dup2(0, 1)
    speaking.close()
    # The watching thread ends this process, and with it the group, when the server lets go.
    threading.Event().wait()


def _die_with_the_server(watched: int) -> None:
    os.read(watched, 1)
    os.killpg(0, signal.SIGKILL)
