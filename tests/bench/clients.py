"""Clients that cost little: many requests on a few connections, one request every few milliseconds, downloads."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

CONNECTIONS = 16
#: Between two requests of `watching`, in seconds.
PAUSE = 0.01


def get(path: str, key: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n\r\n".encode()


def post(path: str, key: str, body: Any) -> bytes:
    content = json.dumps(body)
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(content)}\r\n\r\n{content}".encode()


async def _ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> float:
    """Seconds until the answer is here."""
    started = time.monotonic()
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200"):
        raise SystemExit(head.decode())
    await reader.readexactly(int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]))
    return time.monotonic() - started


def of_latencies(seconds: list[float]) -> list[float]:
    """Their median and their 99th percentile, in ms."""
    seconds = sorted(seconds)
    return [1e3 * seconds[len(seconds) // 2], 1e3 * seconds[len(seconds) * 99 // 100]]


async def load(port: int, requests: Sequence[bytes], seconds: float) -> list[float]:
    """Requests a second, and the median and 99th percentile of their latency in ms. `requests` are sent in turn."""
    latencies: list[float] = []
    end = time.monotonic() + seconds

    async def client(first: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        number = first
        while time.monotonic() < end:
            latencies.append(await _ask(reader, writer, requests[number % len(requests)]))
            number += CONNECTIONS
        writer.close()

    await asyncio.gather(*map(client, range(CONNECTIONS)))
    return [len(latencies) / seconds, *of_latencies(latencies)]


async def each(port: int, requests: Sequence[bytes]) -> None:
    """Send all `requests`, one after the other."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for request in requests:
        await _ask(reader, writer, request)
    writer.close()


@contextmanager
def watching(port: int, request: bytes) -> Iterator[list[float]]:
    """A process asks again and again while the block is open; then the list has the latencies in seconds."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_ask_until_told, args=(port, request, theirs), daemon=True)
    process.start()
    ours.recv()
    latencies: list[float] = []
    try:
        yield latencies
        ours.send(None)
        latencies += ours.recv()
    finally:
        process.terminate()
        process.join()


def _ask_until_told(port: int, request: bytes, told: Any) -> None:
    async def ask() -> list[float]:
        latencies: list[float] = []
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        told.send(None)
        while not told.poll():
            latencies.append(await _ask(reader, writer, request))
            await asyncio.sleep(PAUSE)
        return latencies

    told.send(asyncio.run(ask()))


async def download(port: int, path: str) -> int:
    """The bytes of an answer, which are thrown away as they come."""
    loop, buffer, total = asyncio.get_running_loop(), bytearray(1 << 18), 0
    with socket.socket() as connection:
        connection.setblocking(False)
        await loop.sock_connect(connection, ("127.0.0.1", port))
        await loop.sock_sendall(connection, f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        while count := await loop.sock_recv_into(connection, buffer):
            if not total and not buffer.startswith(b"HTTP/1.1 200"):
                raise SystemExit(buffer[:count].decode(errors="replace"))
            total += count
    return total


async def downloads(port: int, path: str, readers: int, size: int) -> float:
    """Seconds until so many readers at once have all of the file, each of them at least `size` bytes."""
    started = time.monotonic()
    for got in await asyncio.gather(*(download(port, path) for _ in range(readers))):
        if got < size:
            raise SystemExit(f"a download ended after {got} bytes of {size}")
    return time.monotonic() - started
