"""Clips and thumbnails as files: made by ffmpeg when first asked for, each once, then kept in a folder.

The same id gives the same bytes with the same ffmpeg: one thread for filters, bit-exact muxing, nothing random.
"""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

from ..media import process
from . import melody
from .behaviours import Thumbnail
from .videos import Clip

LONGEST_WHOLE = 30
"""Seconds up to which a clip is one tune from start to end; a longer one repeats its first ``REPEATED`` seconds."""
REPEATED = 20
EDITION = 2
"""Part of every file's name: raise it when the same id is to sound or look otherwise."""
TIMEOUT = 60.0
"""Seconds until a run of ffmpeg is given up."""

QUIET = ("-nostdin", "-hide_banner", "-v", "error", "-y")
REPRODUCIBLE = ("-map_metadata", "-1", "-fflags", "+bitexact", "-flags", "+bitexact", "-threads", "1")
ENCODERS = {
    "opus": ("-c:a", "libopus", "-vbr", "off", "-compression_level", "3"),
    "aac": ("-c:a", "aac"),
}
MUXERS = {
    "webm": ("-f", "webm"),
    # In fragments, as YouTube's own: readable from a pipe.
    "m4a": ("-movflags", "+empty_moov+default_base_moof", "-frag_duration", "2000000", "-f", "mp4"),
}


FRAMES = {"opus": (960, 48_000), "aac": (1024, 0)}
"""Samples in a packet, and how many of them make a second (0: as many as the clip has)."""
TICKS = {"opus": 20, "aac": 1024}
"""The length of a packet in the units of its container."""


def clip_command(ffmpeg: str, clip: Clip) -> list[str]:
    """Everything but the output's path."""
    graph = melody.sound_graph(clip.seed, clip.seconds, clip.sample_rate)
    return [
        *(ffmpeg, *QUIET, "-filter_complex_threads", "1", "-filter_complex", graph, "-map", "[out]"),
        *("-t", str(clip.seconds), "-ar", str(clip.sample_rate), "-ac", str(clip.channels)),
        *(*ENCODERS[clip.codec], "-b:a", f"{clip.kbps}k", *REPRODUCIBLE, *MUXERS[clip.container]),
    ]


def segment_command(ffmpeg: str, clip: Clip) -> list[str]:
    """Everything but the output's path. As a clip, but of whole packets, so that it can be repeated without a gap."""
    *command, muxer, form = clip_command(ffmpeg, clip)
    return [*command, "-bsf:a", f"noise=drop=gte(n\\,{packets(clip)})", muxer, form]


def repeat_command(ffmpeg: str, segment: Path, clip: Clip) -> list[str]:
    """Everything but the output's path; copies packets, encodes nothing."""
    # Whoever goes back to the beginning may miss its first packet.
    rounds = packets(clip) // (packets(dataclasses.replace(clip, seconds=REPEATED)) - 1) + 1
    return [
        *(ffmpeg, *QUIET, "-stream_loop", str(rounds - 1), "-i", str(segment), "-map", "0:a", "-c", "copy"),
        *("-bsf:a", f"setts=ts=N*{TICKS[clip.codec]}", "-frames:a", str(packets(clip))),
        *(*REPRODUCIBLE, *MUXERS[clip.container]),
    ]


def packets(clip: Clip) -> int:
    samples, rate = FRAMES[clip.codec]
    return clip.seconds * (rate or clip.sample_rate) // samples


SHAPES = {
    Thumbnail.LETTERBOXED: "scale=480:270,pad=480:360:0:45",
    Thumbnail.PILLARBOXED: "crop=720:720,pad=1280:720:280:0",
}


def thumbnail_command(ffmpeg: str, seed: str, thumbnail: Thumbnail) -> list[str]:
    """Everything but the output's path."""
    graph = melody.picture_graph(seed)
    if shape := SHAPES.get(thumbnail):
        graph += "," + shape
    webp = thumbnail is Thumbnail.WEBP
    picture = ("-c:v", "libwebp") if webp else ("-q:v", "4", "-c:v", "mjpeg", "-pix_fmt", "yuvj420p")
    return [
        *(ffmpeg, *QUIET, "-filter_complex_threads", "1", "-filter_complex", graph, "-frames:v", "1"),
        *(*REPRODUCIBLE, *picture, "-f", "webp" if webp else "image2", *(() if webp else ("-update", "1"))),
    ]


class Studio:
    """Makes the files, each by one task however many ask for it, and no more at once than there are cores."""

    def __init__(self, folder: Path, ffmpeg: str) -> None:
        self._folder = folder
        self._ffmpeg = ffmpeg
        self._tasks: dict[str, asyncio.Task[Path]] = {}
        self._cores = asyncio.BoundedSemaphore(os.cpu_count() or 1)

    def start_clip(self, clip: Clip) -> asyncio.Task[Path]:
        """Begins making the clip unless it is made or being made; the task's result is the file."""
        return self._once(self._name(clip, clip.container), lambda: self._clip_command(clip))

    async def clip(self, clip: Clip) -> Path:
        """Raises process.ChildFailed when ffmpeg does."""
        return await asyncio.shield(self.start_clip(clip))

    def start_thumbnail(self, seed: str, thumbnail: Thumbnail = Thumbnail.DRAWN) -> asyncio.Task[Path]:
        """Begins drawing the thumbnail unless it is drawn or being drawn; the task's result is the file."""

        async def command() -> list[str]:
            return thumbnail_command(self._ffmpeg, seed, thumbnail)

        name = self._name(f"{seed} {thumbnail.name}", "webp" if thumbnail is Thumbnail.WEBP else "jpg")
        return self._once(name, command)

    async def thumbnail(self, seed: str, thumbnail: Thumbnail = Thumbnail.DRAWN) -> Path:
        """A picture of 1280 x 720, unless `thumbnail` says otherwise. Raises process.ChildFailed when ffmpeg does."""
        return await asyncio.shield(self.start_thumbnail(seed, thumbnail))

    async def close(self) -> None:
        """Ends what is being made."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _clip_command(self, clip: Clip) -> list[str]:
        if clip.seconds <= LONGEST_WHOLE:
            return clip_command(self._ffmpeg, clip)
        segment = await asyncio.shield(self._start_segment(dataclasses.replace(clip, seconds=REPEATED)))
        return repeat_command(self._ffmpeg, segment, clip)

    def _start_segment(self, clip: Clip) -> asyncio.Task[Path]:
        async def command() -> list[str]:
            return segment_command(self._ffmpeg, clip)

        return self._once(self._name(clip, f"segment.{clip.container}"), command)

    def _name(self, subject: Clip | str, suffix: str) -> str:
        digest = hashlib.sha256(repr((EDITION, self._ffmpeg, subject)).encode()).hexdigest()
        return f"{digest[:32]}.{suffix}"

    def _once(self, name: str, command: Callable[[], Awaitable[list[str]]]) -> asyncio.Task[Path]:
        task = self._tasks.get(name)
        if task is None:
            task = asyncio.create_task(self._make(self._folder / name, command), name=f"offline clip {name}")
            self._tasks[name] = task
            task.add_done_callback(lambda done: self._forget_failed(name, done))
        return task

    def _forget_failed(self, name: str, task: asyncio.Task[Path]) -> None:
        if task.cancelled() or task.exception() is not None:
            del self._tasks[name]

    async def _make(self, path: Path, command: Callable[[], Awaitable[list[str]]]) -> Path:
        if await asyncio.to_thread(path.exists):
            return path
        argv = await command()
        partial = path.with_suffix(f".{os.getpid()}.part")  # servers may share the folder
        async with self._cores:
            await process.run([*argv, str(partial)], timeout=TIMEOUT)
        await asyncio.to_thread(partial.replace, path)
        return path
