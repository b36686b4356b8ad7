"""Webhooks of a real server that is killed at any moment: every end is told, signed, and told the same each time."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from conftest import NewServer
from support.receiving import Received
from support.serverprocess import until

from server.offline.keys import WEBHOOK_SECRET

pytestmark = pytest.mark.long

ROUNDS = 5


@dataclass
class Told:
    """What came. Every third delivery is refused when it first comes, so that the server has some to try again."""

    port: int = 0
    received: list[Received] = field(default_factory=list)
    taken: set[str] = field(default_factory=set)
    seen: set[str] = field(default_factory=set)
    came: threading.Event = field(default_factory=threading.Event)


@contextmanager
def receiver() -> Iterator[Told]:
    told = Told()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            one = Received(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
            told.received.append(one)
            refused = one.id not in told.seen and len(told.seen) % 3 == 0
            told.seen.add(one.id)
            self.send_response(500 if refused else 204)
            self.end_headers()
            if not refused:
                told.taken.add(one.event["data"]["conversion_id"])
            told.came.set()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    told.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield told
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_every_end_is_told_though_the_server_is_killed(new_server: NewServer) -> None:
    chance = random.Random(13)
    server = new_server("[jobs]\nslots = 2\n")
    accepted: list[str] = []
    with receiver() as told:
        hook = f"http://127.0.0.1:{told.port}/hook"
        server.start()
        for number in range(ROUNDS):
            for video in range(4):
                accepted.append(server.convert(f"hook-{number}-{video}xxx", webhook_url=hook))
            accepted.append(server.convert("x-private--" if number % 2 else "hook-0-0xxx", webhook_url=hook))
            before = len(told.received) + chance.randrange(1, 5)
            until(lambda before=before: len(told.received) >= before, what="some were told")  # type: ignore[misc]
            server.kill()
            server.start()
        until(lambda: told.taken >= set(accepted), what="all were told")
        assert all(one.is_signed_with(WEBHOOK_SECRET) for one in told.received)
        for conversion_id in accepted:
            ends = [one for one in told.received if one.event["data"]["conversion_id"] == conversion_id]
            assert len({one.id for one in ends}) == 1
            assert len({one.event["type"] for one in ends}) == 1
            assert ends[0].event["data"]["status"] == server.status(conversion_id)["status"]
