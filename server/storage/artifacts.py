"""The finished files and those being made: staging, publishing, the disk budget, the sweep at start.

A name carries a fresh random token: one content for ever under one name. What an artifact is on disk is in
`artifact_files.py`.

Use is counted in memory and ordered by events, not by a clock, which may jump; after a restart the order is that of the
files' modification times. Known limit: one server per folder, which nothing here checks.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import secrets
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from .. import completion
from ..errors import DiskFull
from ..jobs import Artifact, Media, Recipe
from . import artifact_files
from .readers import Readers

log = logging.getLogger(__name__)

#: Bytes that `room` keeps free for the state and what is being made; a tenth of a disk smaller than ten times that.
RESERVE_BYTES = 32 * 1024 * 1024
#: Removed files that are still read may take this part of the budget, beside it.
_SHARE_OF_REMOVED = 4
#: Seconds for which an answer about the disk's free space holds.
FREE_SPACE_SECONDS = 1.0


@dataclass(eq=False)
class _Kept:
    artifact: Artifact
    bytes: int  # of all its files
    pins: int = 0


class Artifacts:
    """The folder of finished files. Call `open` before anything else."""

    def __init__(self, folder: Path, *, budget_bytes: int, reserve_bytes: int = RESERVE_BYTES) -> None:
        self._folder = folder
        self._staging = folder / artifact_files.STAGING
        self._budget_bytes = budget_bytes
        self._reserve_bytes = reserve_bytes
        self._kept: dict[Path, _Kept] = {}  # least recently used first
        self._kept_bytes = 0
        self._readers = Readers()
        self._disk = (0, 0)  # total and free bytes
        self._disk_asked: float | None = None

    @property
    def used_bytes(self) -> int:
        """Of all finished files, and of those that are removed while somebody still reads them."""
        return self._kept_bytes + self._readers.held_bytes

    async def open(self) -> list[Artifact]:
        """Make the folder, sweep what is no part of a complete artifact, and say what is there, oldest first.

        Only what has a name of our own is ever removed, and everything in the
        staging folder. Raises OSError when the folder cannot be used.
        """
        found = await asyncio.to_thread(artifact_files.sweep, self._folder)
        for artifact, size in found:
            self._keep(_Kept(artifact, size))
        await self._ask_disk()
        return [artifact for artifact, _ in found]

    @contextlib.asynccontextmanager
    async def staging(self) -> AsyncIterator[Path]:
        """A fresh private folder for one attempt, gone with all in it at the end, however that comes.

        Raises DiskFull, or OSError.
        """
        folder = self._staging / secrets.token_hex(8)
        try:
            with _disk_full():
                await completion.finished(asyncio.to_thread(artifact_files.make_private, folder))
            yield folder
        finally:
            await completion.finished(asyncio.to_thread(artifact_files.remove_tree, folder))

    async def publish(self, audio: Path, cover: Path | None, *, recipe: Recipe, media: Media) -> Artifact:
        """Give the finished `audio` (and `cover`) of a staging folder their final names, on disk for good.

        Raises DiskFull, or OSError; then, and when cancelled, nothing under a final name remains.
        """
        path = self._folder / f"{recipe.video_id}-{recipe.bitrate_kbps}-{secrets.token_hex(8)}.mp3"
        try:
            with _disk_full():
                work = asyncio.to_thread(artifact_files.publish, audio, cover, path, recipe, media)
                artifact, size = await completion.finished(work)
        except asyncio.CancelledError:
            await completion.finished(asyncio.to_thread(artifact_files.unlink, path))
            raise
        self._keep(_Kept(artifact, size))
        return artifact

    async def remove(self, artifact: Artifact) -> None:
        """Remove its files, whoever reads them (a reader keeps what it has open). Raises OSError, not for missing."""
        kept = self._kept.pop(artifact.path, None)
        if kept is not None:
            self._kept_bytes -= kept.bytes
        self._readers.removed(artifact)
        try:
            await completion.finished(asyncio.to_thread(artifact_files.unlink, artifact.path))
        except OSError:
            if kept is not None:
                self._keep(kept)
                self._readers.still_there(artifact)
            raise
        self._disk_asked = None

    async def damaged(self, artifacts: Collection[Artifact]) -> list[Artifact]:
        """Those of `artifacts` whose MP3 somebody else removed or changed in size."""

        def look() -> list[Artifact]:
            return [artifact for artifact in artifacts if not artifact_files.is_whole(artifact)]

        return await asyncio.to_thread(look)

    @contextlib.contextmanager
    def pinned(self, artifact: Artifact) -> Iterator[None]:
        """While this lasts, which is not for long, the budget leaves `artifact` alone."""
        kept = self._kept.get(artifact.path)
        self.touch(artifact)
        if kept is not None:
            kept.pins += 1
        try:
            yield
        finally:
            if kept is not None:
                kept.pins -= 1

    @contextlib.contextmanager
    def reading(self, artifact: Artifact, end: Callable[[], None]) -> Iterator[None]:
        """While somebody downloads `artifact`: that keeps no file, but its room counts until they have ended.

        `end` makes them stop; see `end_long_readers`.
        """
        self.touch(artifact)
        with self._readers.reading(artifact, end, exists=artifact.path in self._kept):
            yield

    def touch(self, artifact: Artifact) -> None:
        """Count `artifact` as just used."""
        if (kept := self._kept.pop(artifact.path, None)) is not None:
            self._kept[artifact.path] = kept

    def over_budget(self) -> list[Artifact]:
        """What to remove so that the rest is within the budget: the least recently used, whoever reads it.

        Files that are removed but open never cost others their place: see `end_long_readers`.
        """
        excess = self._kept_bytes - self._budget_bytes
        victims = []
        for kept in self._kept.values():
            if excess <= 0:
                break
            if not kept.pins:
                victims.append(kept.artifact)
                excess -= kept.bytes
        return victims

    async def end_long_readers(self) -> None:
        """Stop those who read removed files for long, where these take too much beside the budget, or all room."""
        most = self._budget_bytes // _SHARE_OF_REMOVED if await self.room() else 0
        if told := self._readers.end_readers_of_removed(most):
            log.warning("%d downloads of files that are removed took too long, and are cut: their room is needed", told)

    async def free_bytes(self) -> int:
        """What is free on the disk, at most `FREE_SPACE_SECONDS` old; 0 when the folder cannot be asked."""
        await self._ask_disk()
        return self._disk[1]

    async def room(self) -> bool:
        """Whether the disk has more than the reserve left; see `RESERVE_BYTES`."""
        await self._ask_disk()
        total, free = self._disk
        return free > min(self._reserve_bytes, total // 10)

    async def writable(self) -> bool:
        """Whether files can be made in the folder now."""
        try:
            await asyncio.to_thread(artifact_files.try_to_write, self._staging)
        except OSError as error:
            log.warning("%s: cannot be written: %s", self._folder, error)
            return False
        return True

    async def _ask_disk(self) -> None:
        if self._disk_asked is not None and time.monotonic() - self._disk_asked < FREE_SPACE_SECONDS:
            return
        self._disk_asked = time.monotonic()
        try:
            self._disk = await asyncio.to_thread(artifact_files.disk_usage, self._staging)
        except OSError as error:
            log.warning("%s: cannot be asked for its free space: %s", self._folder, error)
            self._disk = (0, 0)

    def _keep(self, kept: _Kept) -> None:
        self._kept[kept.artifact.path] = kept
        self._kept_bytes += kept.bytes


@contextlib.contextmanager
def _disk_full() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull from error
        raise
