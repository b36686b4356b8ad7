"""Hostile clients of a server in a process of its own: bounded in number and time, and on loopback only."""

from __future__ import annotations

import contextlib
import errno
import http.client
import json
import resource
import select
import selectors
import socket
import statistics
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from support.serverprocess import ServerProcess

#: The soft limit of descriptors on most systems, and here the hard one too.
USUAL_LIMIT = 1024

_LAUNCHER = """
import importlib, json, resource, runpy, sys
limit, constants, *sys.argv[1:] = sys.argv[1:]
resource.setrlimit(resource.RLIMIT_NOFILE, (int(limit), int(limit)))
for name, value in json.loads(constants).items():
    module, _, attribute = name.rpartition(".")
    setattr(importlib.import_module(module), attribute, value)
runpy.run_module("server", run_name="__main__", alter_sys=True)
"""


def limit(server: ServerProcess, descriptors: int = USUAL_LIMIT, **constants: float) -> ServerProcess:
    """Let `server` have so many descriptors and no more. `constants` are values by dotted name, for this test."""
    server.interpreter = [sys.executable, "-c", _LAUNCHER, str(descriptors), json.dumps(constants)]
    return server


def own_descriptors(needed: int) -> bool:
    """Make room for so many in the test's own process; False where the system does not permit it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < needed <= hard or hard == resource.RLIM_INFINITY:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, needed), hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0] >= needed


@contextlib.contextmanager
def connections(
    server: ServerProcess, count: int, sent: bytes = b"", *, receive_buffer: int = 0
) -> Iterator[list[socket.socket]]:
    """So many at once, each of which sends this and then does nothing, not even read."""
    opened: list[socket.socket] = []
    try:
        with selectors.DefaultSelector() as selector:
            for _ in range(count):
                one = socket.socket()
                opened.append(one)
                one.setblocking(False)
                if receive_buffer:
                    one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
                if one.connect_ex(("127.0.0.1", server.port)) not in (0, errno.EINPROGRESS):
                    continue
                selector.register(one, selectors.EVENT_WRITE)
            _send(selector, sent, time.monotonic() + 10)
        yield opened
    finally:
        for one in opened:
            one.close()


def _send(selector: selectors.BaseSelector, sent: bytes, deadline: float) -> None:
    """To each as soon as it is connected; those that are refused or not taken are left as they are."""
    while selector.get_map() and time.monotonic() < deadline:
        ready = selector.select(1)
        if not ready:
            return
        for key, _ in ready:
            selector.unregister(key.fileobj)
            with contextlib.suppress(OSError):
                if sent:
                    key.fileobj.send(sent)  # type: ignore[union-attr]  # sockets are all that was registered


def ended(one: socket.socket) -> bool:
    """Whether the server has closed or reset it, however much is unread."""
    poller = select.poll()
    poller.register(one, select.POLLRDHUP)
    return bool(poller.poll(0))


def memory(pid: int) -> int:
    """Bytes that this process alone accounts for (PSS)."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) << 10
    raise AssertionError("no Pss")


@dataclass
class Seen:
    """What somebody who asks `/healthz` all along sees: seconds per answer, and how often there was none."""

    seconds: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        if not self.seconds:
            return f"no answer, {len(self.failures)} failures"
        return (
            f"median {statistics.median(self.seconds) * 1000:.1f} ms, worst {max(self.seconds) * 1000:.0f} ms of "
            f"{len(self.seconds)}, {len(self.failures)} failures"
        )


@contextlib.contextmanager
def watched(server: ServerProcess, *, patience: float = 5.0, pause: float = 0.05) -> Iterator[Seen]:
    """Ask `/healthz` on a new connection again and again while the block lasts."""
    seen, over = Seen(), threading.Event()

    def ask() -> None:
        while not over.is_set():
            began = time.monotonic()
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=patience)
            try:
                connection.request("GET", "/healthz")
                answer = connection.getresponse()
                if answer.status == 200 and answer.read():
                    seen.seconds.append(time.monotonic() - began)
                else:
                    seen.failures.append(str(answer.status))
            except (OSError, http.client.HTTPException) as error:
                seen.failures.append(repr(error))
            finally:
                connection.close()
            over.wait(pause)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


def converted(server: ServerProcess, video_id: str, seconds: float = 30) -> tuple[float, Any]:
    """How long a good client takes for one conversion with its download, and the conversion."""
    began = time.monotonic()
    conversion = server.finished(server.convert(video_id), seconds)
    if conversion["status"] == "completed":
        content = server.download(conversion["conversion_id"])
        assert len(content) == conversion["file_size"]
    return time.monotonic() - began, conversion
