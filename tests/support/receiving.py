"""A receiver of webhooks on a real socket of this machine, and what a receiver checks."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from support.waiting import eventually

SECRET = "whsec_" + base64.b64encode(b"a secret of thirty-two bytes, ok").decode()


@dataclass(frozen=True)
class Received:
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def event(self) -> Any:
        return json.loads(self.body)

    def is_signed_with(self, secret: str) -> bool:
        """As the specification says, written anew."""
        said = [self.headers["webhook-id"], self.headers["webhook-timestamp"], self.body.decode()]
        key = base64.b64decode(secret[len("whsec_") :])
        digest = base64.b64encode(hmac.digest(key, ".".join(said).encode(), hashlib.sha256)).decode()
        return f"v1,{digest}" in self.headers["webhook-signature"].split(" ")


Reply = Callable[[Received], int]


@dataclass
class Receiver:
    """`reply` says with which status each request is answered. Requests to /silent are answered by nothing."""

    reply: Reply = lambda received: 204
    port: int = 0
    received: list[Received] = field(default_factory=list)
    silent: int = 0
    closing: asyncio.Event = field(default_factory=asyncio.Event)

    def url(self, path: str = "/hook") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    @property
    def paths(self) -> list[str]:
        return [one.path for one in self.received]

    async def has(self, count: int) -> list[Received]:
        await eventually(lambda: len(self.received) >= count)
        return self.received

    async def handle(self, request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        if request.path == "/silent":
            self.silent += 1
            await self.closing.wait()
        one = Received(request.path, headers, await request.read())
        self.received.append(one)
        return web.Response(status=self.reply(one), headers={"Location": "/elsewhere"})


@asynccontextmanager
async def receiving(
    reply: Reply = lambda received: 204, port: int = 0, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Receiver]:
    receiver = Receiver(reply)
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", receiver.handle)
    runner = web.AppRunner(app, shutdown_timeout=0, handler_cancellation=True)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", port, ssl_context=tls)
        await site.start()
        receiver.port = runner.addresses[0][1]
        yield receiver
    finally:
        receiver.closing.set()
        await runner.cleanup()
