"""`demo`: the main job, offline, through the HTTP API as a client would do it."""

from __future__ import annotations

import asyncio
import dataclasses
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiofiles
import aiofiles.os
import aiohttp

from .. import naming
from ..config import Config, ConfigError, LimitsConfig, LogConfig
from ..installation import program
from ..logs import logging_to_stderr
from ..printable import printable
from . import offline_mode, signals

#: The videos: one is downloaded while it is being made, then two are converted in a batch.
LIVE = "https://youtu.be/dQw4w9WgXcQ"
BATCH = ("https://www.youtube.com/watch?v=jNQXAC9IVRw", "https://music.youtube.com/watch?v=9bZkp7q19f0&list=RD")
#: Seconds between two requests for a conversion's status.
PAUSE = 0.1
#: On a slow machine, polling would exceed the published limits.
_LIMITS = LimitsConfig(1_000_000, 1_000_000, 1_000_000)
_BAR = 28


def run(output: Path) -> int:
    """Convert, save into `output`, print what came out; the exit status, also of SIGINT and SIGTERM.

    Raises ConfigError.
    """
    config = Config(log=LogConfig(level="error"), limits=_LIMITS)
    config = dataclasses.replace(config, server=dataclasses.replace(config.server, port=0))
    try:
        output.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=output):
            pass
    except OSError as error:
        raise ConfigError(f"--output {output}: {error.strerror}") from error
    with logging_to_stderr(config.log):
        status = signals.run(_demo(config, output))
    if status:
        print("\nstopped", file=sys.stderr)  # perhaps in the middle of a bar
    return status


async def _demo(config: Config, output: Path) -> int:
    started = time.monotonic()
    async with offline_mode.offline_server(config) as server:
        print(f"A server without a network listens on {server.url} ({time.monotonic() - started:.1f} s).\n")
        headers = {"Authorization": f"Bearer {offline_mode.EXAMPLE_KEY}"}
        async with aiohttp.ClientSession(server.url, headers=headers) as client:
            saved = [await _listen_live(client, output), *await _batch(client, output)]
    for line in saved:
        print(line)
    print(f"\n{len(saved)} MP3s are in {output}/. Start your own server with: {program()} serve")
    return 0


async def _listen_live(client: aiohttp.ClientSession, output: Path) -> str:
    """`POST /convert`, then the link of the first answer at once: the MP3 comes while it is being made."""
    print(f"POST /convert        {LIVE}")
    started = time.monotonic()
    job = await _post(client, "/convert", {"url": LIVE})
    follow = asyncio.create_task(_progress(client, job), name="progress")
    try:
        path, first_byte = await _save(client, job, output, started)
        seconds = time.monotonic() - started
        done = await follow
    except aiohttp.ClientError:
        await follow  # raises the reason why the download is incomplete
        raise
    finally:
        follow.cancel()
    return _line(done, path, f"{seconds:.2f} s, first byte after {first_byte:.2f} s, while it was made")


async def _batch(client: aiohttp.ClientSession, output: Path) -> list[str]:
    """`POST /batch-convert`, polled with `GET /status/ID`."""
    print(f"POST /batch-convert  {len(BATCH)} links")
    started = time.monotonic()
    answer = await _post(client, "/batch-convert", {"urls": BATCH, "quality": "medium"})
    lines = []
    for job in answer["jobs"]:
        done = await _progress(client, job)
        path, _ = await _save(client, job, output, started)
        lines.append(_line(done, path, f"{time.monotonic() - started:.2f} s after the batch was sent"))
    print()
    return lines


async def _post(client: aiohttp.ClientSession, path: str, body: dict[str, Any]) -> dict[str, Any]:
    async with client.post(path, json=body) as response:
        answer: dict[str, Any] = await response.json()
    if response.status != 200:
        raise ConfigError(f"{path} was answered {response.status}: {answer['error']['message']}")
    return answer


async def _progress(client: aiohttp.ClientSession, job: dict[str, Any]) -> dict[str, Any]:
    """Poll until it ends, with a bar on a terminal."""
    while True:
        async with client.get(f"/status/{job['conversion_id']}") as response:
            job = await response.json()
        filled = round(_BAR * job["progress"] / 100)
        bar = f"  [{'#' * filled}{'.' * (_BAR - filled)}] {job['progress']:3}%  {printable(job['title'] or '…')[:40]}"
        ended = job["status"] in ("completed", "failed", "cancelled")
        if sys.stdout.isatty() or ended:
            print(f"\r\x1b[K{bar}" if sys.stdout.isatty() else bar, end="\n" if ended else "", flush=True)
        if job["status"] == "failed":
            raise ConfigError(f"the demo failed: {job['error']['message']}")
        if ended:
            return job
        await asyncio.sleep(PAUSE)


async def _save(client: aiohttp.ClientSession, job: dict[str, Any], output: Path, started: float) -> tuple[Path, float]:
    """Download the MP3. Returns its path, and the seconds from `started` to the first byte."""
    async with client.get(job["download_url"], headers={"Authorization": ""}) as response:
        response.raise_for_status()
        disposition = response.content_disposition
        named = (disposition and disposition.filename) or ""
        path = output / f"{naming.safe(named.removesuffix('.mp3')) or job['video_id']}.mp3"
        first_byte = 0.0
        part = path.with_name(path.name + ".part")
        try:
            async with aiofiles.open(part, "wb") as file:
                async for chunk in response.content.iter_any():
                    first_byte = first_byte or time.monotonic() - started
                    await file.write(chunk)
            await aiofiles.os.replace(part, path)
        except BaseException:
            with suppress(FileNotFoundError):
                await aiofiles.os.unlink(part)
            raise
    return path, first_byte


def _line(job: dict[str, Any], path: Path, took: str) -> str:
    minutes, seconds = divmod(round(job["duration"]), 60)
    return (
        f"{path}\n    {printable(job['title'])} · {printable(job['artist'])} · {minutes}:{seconds:02} · "
        f"{job['bitrate_kbps']} kbps · {path.stat().st_size / 1e6:.2f} MB · {took}"
    )
