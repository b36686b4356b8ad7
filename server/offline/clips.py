"""Clips and thumbnails as files: made by ffmpeg when first asked for, each once, then kept in a folder.

The same id gives the same bytes with the same ffmpeg: one thread for filters, bit-exact muxing, nothing random.
"""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import itertools
import os
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

from ..media import process
from . import sound
from .behaviours import Thumbnail
from .offers import Delivery
from .videos import Clip, Stream

EDITION = 2
"""Part of every file's name: raise it when the same id is to sound or look otherwise."""
TIMEOUT = 60.0
"""Seconds until a run of ffmpeg is given up."""

Make = Callable[[Path], Awaitable[None]]
"""Makes the file or the folder of that name."""


class Studio:
    """Makes the files, each by one task however many ask for it, and no more at once than there are cores."""

    def __init__(self, folder: Path, ffmpeg: str) -> None:
        self._folder = folder
        self._ffmpeg = ffmpeg
        self._tasks: dict[str, asyncio.Task[Path]] = {}
        self._cores = asyncio.BoundedSemaphore(os.cpu_count() or 1)

    def start_clip(self, clip: Clip) -> asyncio.Task[Path]:
        """Begins making the clip unless it is made or being made; the task's result is the file."""
        return self._once(self._name(clip, clip.container), lambda path: self._make_clip(clip, path))

    async def clip(self, clip: Clip) -> Path:
        """Raises process.ChildFailed when ffmpeg does."""
        return await asyncio.shield(self.start_clip(clip))

    async def fragments(self, stream: Stream) -> Path:
        """The folder of a stream's fragments (see ``sound.fragments_command``). Raises process.ChildFailed."""

        async def make(folder: Path) -> None:
            whole = await self.clip(stream.clip)
            await asyncio.to_thread(folder.mkdir)
            await self._run(sound.fragments_command(self._ffmpeg, whole, folder, mp4=mp4))

        mp4 = stream.offer.delivery is Delivery.DASH
        return await asyncio.shield(self._once(self._name(stream.clip, "dash" if mp4 else "hls"), make))

    def start_thumbnail(self, seed: str, thumbnail: Thumbnail = Thumbnail.DRAWN) -> asyncio.Task[Path]:
        """Begins drawing the thumbnail unless it is drawn or being drawn; the task's result is the file."""

        async def make(path: Path) -> None:
            await self._run([*sound.thumbnail_command(self._ffmpeg, seed, thumbnail), str(path)])

        name = self._name(f"{seed} {thumbnail.name}", "webp" if thumbnail is Thumbnail.WEBP else "jpg")
        return self._once(name, make)

    async def thumbnail(self, seed: str, thumbnail: Thumbnail = Thumbnail.DRAWN) -> Path:
        """A picture of 1280 x 720, unless `thumbnail` says otherwise. Raises process.ChildFailed when ffmpeg does."""
        return await asyncio.shield(self.start_thumbnail(seed, thumbnail))

    async def close(self) -> None:
        """Ends what is being made."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _make_clip(self, clip: Clip, path: Path) -> None:
        if clip.seconds <= sound.LONGEST_WHOLE:
            await self._run([*sound.clip_command(self._ffmpeg, clip), str(path)])
        else:
            segment = await asyncio.shield(self._start_segment(dataclasses.replace(clip, seconds=sound.REPEATED)))
            await self._run([*sound.repeat_command(self._ffmpeg, segment, clip), str(path)])
        if clip.size:
            await asyncio.to_thread(pad, path, clip.size)

    def _start_segment(self, clip: Clip) -> asyncio.Task[Path]:
        async def make(path: Path) -> None:
            await self._run([*sound.segment_command(self._ffmpeg, clip), str(path)])

        return self._once(self._name(clip, f"segment.{clip.container}"), make)

    async def _run(self, argv: list[str]) -> None:
        async with self._cores:
            # Not at low priority: yt-dlp waits for it some seconds, as for YouTube, however busy the machine is.
            await process.run(argv, timeout=TIMEOUT, niceness=0)

    def _name(self, subject: Clip | str, suffix: str) -> str:
        digest = hashlib.sha256(repr((EDITION, self._ffmpeg, subject)).encode()).hexdigest()
        return f"{digest[:32]}.{suffix}"

    def _once(self, name: str, make: Make) -> asyncio.Task[Path]:
        task, path = self._tasks.get(name), self._folder / name
        if task is None or (task.done() and not path.exists()):  # somebody may have emptied the folder
            task = asyncio.create_task(self._keep(path, make), name=f"offline clip {name}")
            self._tasks[name] = task
            task.add_done_callback(lambda done: self._forget_failed(name, done))
        return task

    def _forget_failed(self, name: str, task: asyncio.Task[Path]) -> None:
        if task.cancelled() or task.exception() is not None:
            del self._tasks[name]

    async def _keep(self, path: Path, make: Make) -> Path:
        if await asyncio.to_thread(path.exists):
            return path
        await asyncio.to_thread(self._folder.mkdir, parents=True, exist_ok=True)
        partial = path.with_suffix(f".{os.getpid()}.part")  # servers may share the folder
        await make(partial)
        await asyncio.to_thread(_move, partial, path)
        return path


def _move(partial: Path, path: Path) -> None:
    try:
        partial.replace(path)
    except OSError:  # another server was faster with the same folder
        if not path.is_dir():
            raise
        shutil.rmtree(partial)


def pad(mp4: Path, size: int) -> None:
    """Fill up an MP4 in fragments to ``size`` with bytes that mean nothing (ISO/IEC 14496-12, 8.1.2), all over it."""
    content = mp4.read_bytes()
    places, start = [], 0
    while start < len(content):  # a fragment's first box says how far from it its sound is
        if content[start + 4 : start + 8] == b"moof":
            places.append(start)
        start += int.from_bytes(content[start : start + 4], "big")
    share, rest = divmod(size - len(content), len(places))
    padded = [content[: places[0]], _free(share + rest)]
    for begin, end in itertools.pairwise([*places, len(content)]):
        padded += [content[begin:end], _free(share)]
    mp4.write_bytes(b"".join(padded[:-1]))


def _free(size: int) -> bytes:
    return size.to_bytes(4, "big") + b"free" + bytes(size - 8)
