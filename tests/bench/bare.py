"""A bare aiohttp server in a process of its own: a constant JSON, and a file."""

from __future__ import annotations

import asyncio
import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web


@dataclass(frozen=True)
class Bare:
    port: int
    pid: int


def _serve(ports: multiprocessing.SimpleQueue[int], file: Path | None) -> None:
    async def hello(request: web.Request) -> web.Response:
        return web.json_response({"hello": "world"})

    async def whole(request: web.Request) -> web.FileResponse:
        assert file is not None
        return web.FileResponse(file)

    async def serve() -> None:
        app = web.Application()
        app.router.add_get("/status/{id}", hello)
        app.router.add_get("/file", whole)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        ports.put(runner.addresses[0][1])
        await asyncio.Event().wait()

    asyncio.run(serve())


@contextmanager
def running(file: Path | None = None) -> Iterator[Bare]:
    """`GET /status/{id}`, and `GET /file` for `file`."""
    context = multiprocessing.get_context("spawn")
    ports = context.SimpleQueue()
    process = context.Process(target=_serve, args=(ports, file), daemon=True)
    process.start()
    try:
        yield Bare(ports.get(), process.pid or 0)
    finally:
        process.terminate()
        process.join()
