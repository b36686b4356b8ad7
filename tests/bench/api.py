"""Requests a second of `GET /status/ID`, beside a bare aiohttp handler that answers a constant JSON."""

from __future__ import annotations

import asyncio
import multiprocessing
import time
from pathlib import Path

from aiohttp import web

from . import measure
from .conversion import KEY, OurServer, youtube_in_a_thread

CONNECTIONS = 16
SECONDS = 2.0


def _bare(ports: multiprocessing.SimpleQueue[int]) -> None:
    async def hello(request: web.Request) -> web.Response:
        return web.json_response({"hello": "world"})

    async def serve() -> None:
        app = web.Application()
        app.router.add_get("/status/{id}", hello)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        ports.put(runner.addresses[0][1])
        await asyncio.Event().wait()

    asyncio.run(serve())


async def _load(port: int, path: str) -> list[float]:
    """Requests a second, and the median and 99th percentile of their latency in ms."""
    request = f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\n\r\n".encode()
    latencies: list[float] = []
    end = time.monotonic() + SECONDS

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while (started := time.monotonic()) < end:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200"):
                raise SystemExit(head.decode())
            length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
            await reader.readexactly(length)
            latencies.append(time.monotonic() - started)
        writer.close()

    await asyncio.gather(*(client() for _ in range(CONNECTIONS)))
    latencies.sort()
    return [len(latencies) / SECONDS, 1e3 * latencies[len(latencies) // 2], 1e3 * latencies[len(latencies) * 99 // 100]]


def run(folder: Path, ffmpeg: str, rounds: int) -> None:
    context = multiprocessing.get_context("spawn")
    ports = context.SimpleQueue()
    bare = context.Process(target=_bare, args=(ports,), daemon=True)
    bare.start()
    bare_port = ports.get()
    with youtube_in_a_thread(folder / "youtube", ffmpeg) as youtube:
        server = OurServer(folder / "api", youtube)
        try:
            job = server.call("POST", "/convert", {"url": "https://youtu.be/x-1-second-"}, Prefer="wait=30")
            port = int(server.url.rpartition(":")[2])
            rows: dict[str, list[list[float]]] = {"GET /status/ID": [], "bare aiohttp hello-JSON": []}
            for _ in range(rounds):
                rows["GET /status/ID"].append(asyncio.run(_load(port, f"/status/{job['conversion_id']}")))
                rows["bare aiohttp hello-JSON"].append(asyncio.run(_load(bare_port, "/status/x")))
        finally:
            server.stop()
            bare.terminate()
            bare.join()
    measure.table(
        f"{CONNECTIONS} connections, one process each side, median of {rounds} (smallest-largest)",
        ["requests a second", "median, ms", "99th percentile, ms"],
        rows,
    )
