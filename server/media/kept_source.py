"""The audio of one video in a file that grows while yt-dlp fetches it, for any number of readers at once.

Clips are made from it. The fetch keeps a little ahead of the furthest reader, so a source of which only the beginning
is wanted is not read to its end. While more clips of the same video wait, it is fetched whole and kept for them. Known
limit: a clip is reached by reading the source from its start, since yt-dlp cannot enter a format at a time.
"""

from __future__ import annotations

import asyncio
import copy
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from io import FileIO
from pathlib import Path
from typing import TypeVar

from .. import completion, errors
from ..jobs import Change, Media
from ..storage.artifacts import Artifacts
from . import wholeness, ytdlp
from .feeding import PIECE_BYTES, Feed, incoming

#: Bytes that are fetched ahead of the furthest reader.
AHEAD_BYTES = 256 << 10
#: Seconds between two looks at whether a source without readers is still wanted.
CHECK_WANTED = 2.0

T = TypeVar("T")
#: Starts yt-dlp, working in the given folder.
Start = Callable[[Path], AbstractAsyncContextManager[ytdlp.Run]]


class KeptSource:
    """One fetch and its file. Ask in the order of the methods; each raises what the fetch raised.

    `users` counts the jobs that hold it, and `failure` is why the fetch broke off. After `media`: `expectation` is how
    long the whole audio should be.
    """

    def __init__(
        self, start: Start, artifacts: Artifacts, *, is_wanted: Callable[[], bool], cover_timeout: float
    ) -> None:
        """`is_wanted` says whether jobs wait that will need it. `cover_timeout` in seconds is for its thumbnail."""
        self.users = 0
        self.failure: Exception | None = None
        self.is_wanted = is_wanted
        self.changed = Change()
        self._start = start
        self._artifacts = artifacts
        self._cover_timeout = cover_timeout
        self.expectation = wholeness.expectation(None, None)
        self._media: Media | None = None
        self._cover: tuple[Path | None] | None = None  # once it is known whether there is one
        self._audio: tuple[Path, ytdlp.Run] | None = None  # once it comes
        self._size = 0
        self._whole = False
        self._readers: set[Reader] = set()

    async def fetch(self, leave: Callable[[], None]) -> None:
        """Fetch, and keep the file as long as it is held or wanted. `leave` is called when it can be had no more."""
        try:
            async with self._artifacts.staging() as folder:
                try:
                    await self._fetch(folder)
                except Exception as error:
                    leave()
                    self._fail(error)
                while self.users or (not self.failure and self.is_wanted()):
                    await self.changed.wait(CHECK_WANTED)
                leave()
        except (errors.JobError, OSError) as error:  # the folder could not be made
            self._fail(error)
        finally:
            leave()
            self._artifacts.count_source(-self._size)

    async def media(self) -> Media:
        """The description of the whole video."""
        return await self._known(lambda: self._media)

    async def cover(self) -> Path | None:
        """The thumbnail as received, or None."""
        (found,) = await self._known(lambda: self._cover)
        return found

    async def flows(self) -> None:
        """Return once there is audio in the file."""
        await self._known(lambda: self._size or self._whole or None)

    @asynccontextmanager
    async def sound(self) -> AsyncIterator[Reader]:
        """The audio from its start, for one encoder."""
        path, run = await self._known(lambda: self._audio)
        opening = asyncio.to_thread(path.open, "rb", buffering=0)
        reader = Reader(run, await completion.started(opening, _close), self._come)
        self._readers.add(reader)
        try:
            yield reader
        finally:
            self._readers.discard(reader)
            await reader.close()
            self.changed.notify()

    async def _come(self, position: int) -> bool:
        """Wait until there are more than `position` bytes; False at the end of the audio."""
        self.changed.notify()  # a reader went on
        await self._known(lambda: self._size > position or self._whole or None)
        return self._size > position

    async def _known(self, ask: Callable[[], T | None]) -> T:
        """Wait until `ask` knows. Raises what the fetch raised if it broke off before."""
        while (known := ask()) is None:
            if self.failure:
                raise _again(self.failure) from self.failure.__cause__
            await self.changed.wait()
        return known

    def _fail(self, error: Exception) -> None:
        self.failure = error
        self.changed.notify()

    async def _fetch(self, folder: Path) -> None:
        async with self._start(folder) as run:
            media, self.expectation = await run.media(), run.expectation
            self._media = media
            self.changed.notify()
            found = None
            with suppress(TimeoutError):
                async with asyncio.timeout(self._cover_timeout):
                    found = await run.cover()
            self._cover = (found,)
            self.changed.notify()
            await run.look()
            path = folder / "source"
            opening = asyncio.to_thread(path.open, "wb", buffering=0)
            with await completion.started(opening, _close) as file:
                self._audio = path, run
                self.changed.notify()
                await self._receive(run, file)
            await run.finish()
        self._whole = True
        self.changed.notify()

    async def _receive(self, run: ytdlp.Run, file: FileIO) -> None:
        async with incoming(run.output) as stream:
            while piece := await stream.read(PIECE_BYTES):
                await completion.finished(asyncio.to_thread(_write, file, piece))
                self._size += len(piece)
                self._artifacts.count_source(len(piece))
                self.changed.notify()
                while not self._may_fetch():
                    await self.changed.wait(CHECK_WANTED)

    def _may_fetch(self) -> bool:
        furthest = max((reader.position for reader in self._readers), default=0)
        return self._size < furthest + AHEAD_BYTES or self.is_wanted()


class Reader:
    """The audio as an encoder takes it; see `encoding.Sound`. `delivered` is None, too, if the encoder left earlier."""

    group = None

    def __init__(self, run: ytdlp.Run, file: FileIO, come: Callable[[int], Awaitable[bool]]) -> None:
        self.expectation = run.expectation
        self.sample_rate, self.channels, self.ambisonic = run.sample_rate, run.channels, run.ambisonic
        self.delivered: bool | None = None
        self._run = run
        reading, writing = os.pipe()
        self.output = os.fdopen(reading, "rb", buffering=0)
        self._feed = Feed(file, writing, come)

    @property
    def position(self) -> int:
        """Bytes given to the encoder."""
        return self._feed.position

    async def finish(self) -> None:
        """Call once the encoder has ended. Raises the reason why the audio broke off."""
        if await self._feed.ended():
            self.delivered = self._run.delivered

    async def close(self) -> None:
        self.output.close()
        await self._feed.close()


def _write(file: FileIO, piece: bytes) -> None:
    rest = memoryview(piece)
    while rest:
        rest = rest[file.write(rest) :]


async def _close(file: FileIO) -> None:
    file.close()


def _again(error: Exception) -> Exception:
    """The same failure for one more job, whose own marks it gets."""
    return copy.copy(error) if isinstance(error, errors.JobError) else error
