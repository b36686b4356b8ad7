"""The finished files and those being made: staging, publishing, the disk budget, the cleanup at start.

A name contains a fresh random token, so it never stands for other content. `artifact_files.py` has the files' layout.

The order of use is kept in memory, by events rather than by a clock, which may jump. After a restart it is the order of
the files' modification times. Known limit: nothing here checks that only one server uses the folder.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import math
import secrets
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from .. import completion
from ..errors import DiskFull, JobError, unwritable
from ..jobs import Artifact, Media, Recipe
from . import artifact_files, artifact_names
from .readers import Readers

log = logging.getLogger(__name__)

#: Bytes that `room` keeps free for the state and for unfinished files; on a small disk, a tenth of it.
RESERVE_BYTES = 32 * 1024 * 1024
#: The part of the budget that removed files with readers may take in addition to it.
_SHARE_OF_REMOVED = 4
_FULL = (errno.ENOSPC, errno.EDQUOT)
_STARVED = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN)
#: Seconds for which a measurement of the free space is reused.
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
        self._sources = 0  # bytes
        self._readers = Readers()
        self._disk = (0, 0)  # total and free bytes
        self._disk_asked: float | None = None

    @property
    def used_bytes(self) -> int:
        """The size of all finished files, of removed ones that are still read, and of sources that are kept."""
        return self._kept_bytes + self._readers.held_bytes + self._sources

    @property
    def disk(self) -> tuple[float, float]:
        """Total and free bytes of the disk, as of the last look at it, a few seconds ago; NaN if it cannot be asked."""
        total, free = self._disk
        return (total, free) if total else (math.nan, math.nan)

    async def open(self) -> list[Artifact]:
        """Make the folder, remove incomplete artifacts, and return the complete ones, oldest first.

        Only files with a name of ytmp3d's own are removed, and everything in the staging folder. Raises OSError when
        the folder cannot be used.
        """
        found = await asyncio.to_thread(artifact_files.sweep, self._folder)
        for artifact, size in found:
            self._keep(_Kept(artifact, size))
        await self._ask_disk()
        return [artifact for artifact, _ in found]

    @contextlib.asynccontextmanager
    async def staging(self) -> AsyncIterator[Path]:
        """A fresh private folder for one attempt. It is always removed at the end.

        Raises DiskFull, also where an error in the block is due to the folder's removal.
        """
        folder = self._staging / secrets.token_hex(8)
        try:
            with _explained():
                await completion.finished(asyncio.to_thread(artifact_files.make_private, folder))
            try:
                yield folder
            except Exception as error:
                if await self._is_to_blame(folder, error):
                    raise unwritable() from error
                raise
        finally:
            await completion.finished(asyncio.to_thread(artifact_files.remove_tree, folder))

    def count_source(self, size: int) -> None:
        """Count `size` more bytes, or fewer if negative, of sources that are kept while something is made from them."""
        self._sources += size

    async def publish(self, audio: Path, cover: Path | None, *, recipe: Recipe, media: Media) -> Artifact:
        """Give the finished `audio` (and `cover`) of a staging folder their final names, on disk for good.

        Raises DiskFull; then, and when cancelled, nothing under a final name remains.
        """
        path = self._folder / artifact_names.new(recipe)
        try:
            with _explained():
                work = asyncio.to_thread(artifact_files.publish, audio, cover, path, recipe, media)
                artifact, size = await completion.finished(work)
        except asyncio.CancelledError:
            await completion.finished(asyncio.to_thread(artifact_files.unlink, path))
            raise
        self._keep(_Kept(artifact, size))
        return artifact

    async def remove(self, artifact: Artifact) -> None:
        """Remove the artifact's files. Readers keep their open files. Raises OSError, but not for missing files."""
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
        """The `artifacts` whose MP3 somebody else removed or changed in size."""

        def look() -> list[Artifact]:
            return [artifact for artifact in artifacts if not artifact_files.is_whole(artifact)]

        return await asyncio.to_thread(look)

    @contextlib.contextmanager
    def pinned(self, artifact: Artifact) -> Iterator[None]:
        """A short block during which the budget does not remove `artifact`."""
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
        """A block during which a client downloads `artifact`. If it is removed, its size counts until the block ends.

        `end` makes the client's download stop; see `end_long_readers`.
        """
        self.touch(artifact)
        with self._readers.reading(artifact, end, exists=artifact.path in self._kept):
            yield

    def touch(self, artifact: Artifact) -> None:
        """Count `artifact` as just used."""
        if (kept := self._kept.pop(artifact.path, None)) is not None:
            self._kept[artifact.path] = kept

    def over_budget(self) -> list[Artifact]:
        """The artifacts to remove to keep the budget: the least recently used, even if they are being read.

        Removed files that are still open do not count here: see `end_long_readers`.
        """
        excess = self._kept_bytes + self._sources - self._budget_bytes
        victims = []
        for kept in self._kept.values():
            if excess <= 0:
                break
            if not kept.pins:
                victims.append(kept.artifact)
                excess -= kept.bytes
        return victims

    async def end_long_readers(self) -> None:
        """Stop long readers of removed files, if those files exceed their part of the budget or fill the disk."""
        most = self._budget_bytes // _SHARE_OF_REMOVED if await self.room() else 0
        if told := self._readers.end_readers_of_removed(most):
            log.warning("%d downloads of files that are removed took too long, and are cut: their room is needed", told)

    async def room(self) -> bool:
        """Whether the disk has more than the reserve left; see `RESERVE_BYTES`."""
        await self._ask_disk()
        total, free = self._disk
        return free > min(self._reserve_bytes, total // 10)

    async def problem(self) -> str | None:
        """Why no file can be made in the folder now, with its path. A missing folder is made again."""
        try:
            await asyncio.to_thread(artifact_files.try_to_write, self._staging)
        except OSError as error:
            if error.errno not in _FULL:
                return f"{self._folder} cannot be written: {error.strerror}"
        return None

    async def _is_to_blame(self, folder: Path, error: Exception) -> bool:
        """Whether an attempt failed because its folder is gone. What the source has said of a video stays."""
        if isinstance(error, JobError) and (error.of_storage or not error.retryable):
            return False
        return not await asyncio.to_thread(folder.is_dir)

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
def _explained() -> Iterator[None]:
    """What the disk says, as DiskFull. A lack of descriptors or memory is no fault of the disk's."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise DiskFull from error
        if error.errno in _STARVED:
            raise
        raise unwritable() from error
