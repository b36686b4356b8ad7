"""Tests the installed yt-dlp: converts offline videos, one with JavaScript challenges, in a process of its own."""

from __future__ import annotations

import asyncio
import dataclasses
import sys
from typing import Any

import aiohttp

from ..config import Config, ConfigError, LogConfig
from ..http.context import READINESS
from ..logs import logging_to_stderr
from . import offline_mode, signals

#: An ordinary video, and one whose address takes yt-dlp's challenge solver and a JavaScript runtime.
VIDEO_IDS = ("dQw4w9WgXcQ", "x-js-------")


def run() -> int:
    """Convert, and print the versions used, or the error; the exit status."""
    config = Config(log=LogConfig(level="error"))
    config = dataclasses.replace(config, server=dataclasses.replace(config.server, port=0))
    with logging_to_stderr(config.log):
        try:
            return signals.run(_prove(config))
        except ConfigError as error:
            print(error, file=sys.stderr)
            return 1


async def _prove(config: Config) -> int:
    async with offline_mode.offline_server(config) as server:
        headers = {"Authorization": f"Bearer {offline_mode.EXAMPLE_KEY}", "Prefer": "wait=60"}
        async with aiohttp.ClientSession(server.url, headers=headers) as client:
            for job in await asyncio.gather(*(_converted(client, video_id) for video_id in VIDEO_IDS)):
                if job["status"] != "completed":
                    error = job.get("error") or {"code": job["status"], "message": "it has not ended in time"}
                    print(f"{job['video_id']}: {error['code']}: {error['message']}", file=sys.stderr)
                    return 1
        print(server.app[READINESS].versions)
    return 0


async def _converted(client: aiohttp.ClientSession, video_id: str) -> Any:
    async with client.post("/convert", json={"url": f"https://youtu.be/{video_id}"}) as response:
        return await response.json()


if __name__ == "__main__":
    sys.exit(run())
