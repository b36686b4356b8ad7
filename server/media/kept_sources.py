"""The sources that are kept in files while something is made from them: at most one fetch per video and exit."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from .. import completion
from ..storage.artifacts import Artifacts
from .kept_source import KeptSource, Start

#: How many sources are kept that nobody reads at the moment, for jobs in the queue.
MOST_IDLE = 4


class KeptSources:
    """Each source has a task, which ends with the last job that holds it or waits for it."""

    def __init__(self, artifacts: Artifacts, observe: Callable[[], None] = lambda: None) -> None:
        """`observe` is called at each fetch."""
        #: Whether a job in the queue will need the source of a video. The engine says so.
        self.is_awaited: Callable[[str], bool] = lambda video_id: False
        self._artifacts = artifacts
        self._observe = observe
        self._open: dict[tuple[str, str], KeptSource] = {}  # those that can be joined, the oldest first
        self._tasks: dict[KeptSource, asyncio.Task[None]] = {}

    @asynccontextmanager
    async def source(
        self, video_id: str, exit_name: str, start: Start, *, cover_timeout: float
    ) -> AsyncIterator[KeptSource]:
        """The source of a video through an exit: one that is there already, or one that `start` fetches."""
        key = video_id, exit_name
        source = self._open.get(key) or self._begin(key, start, cover_timeout)
        source.users += 1
        try:
            yield source
        finally:
            source.users -= 1
            if not source.users:
                await self._release(source)

    async def close(self) -> None:
        """End all fetches and remove all files."""
        await self._end(list(self._tasks))

    def _begin(self, key: tuple[str, str], start: Start, cover_timeout: float) -> KeptSource:
        self._observe()
        source = self._open[key] = KeptSource(
            start, self._artifacts, is_wanted=lambda: self.is_awaited(key[0]), cover_timeout=cover_timeout
        )

        def leave() -> None:
            if self._open.get(key) is source:
                del self._open[key]

        task = self._tasks[source] = asyncio.create_task(source.fetch(leave), name=f"source {key[0]}")
        task.add_done_callback(lambda _: self._tasks.pop(source))
        return source

    async def _release(self, source: KeptSource) -> None:
        """End a source that nobody holds, unless a job waits for it; then end the oldest of too many such."""
        if source.failure or not source.is_wanted():
            await self._end([source])
        idle = [one for one in self._open.values() if not one.users]
        await self._end(idle[:-MOST_IDLE])

    async def _end(self, sources: list[KeptSource]) -> None:
        """Its process has ended and its file is removed when this returns."""
        self._open = {key: one for key, one in self._open.items() if one not in sources}
        tasks = [task for source in sources if (task := self._tasks.get(source))]
        for task in tasks:
            task.cancel()
        if tasks:
            await completion.finished(asyncio.wait(tasks))
