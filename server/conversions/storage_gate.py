"""The gate in front of the source, closed also while finished files cannot be written."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from .. import errors
from ..gate import Closed, Gate
from ..jobs import Job
from ..storage.artifacts import Artifacts

log = logging.getLogger(__name__)

NOTICE = "This server cannot write its files at the moment, so this conversion waits."


class StorageGate:
    """`look` closes it and opens it again; else it is as open as the gate of the `source`."""

    def __init__(self, source: Gate, artifacts: Artifacts) -> None:
        self._source = source
        self._artifacts = artifacts
        self._shut: Closed | None = None
        self._open = asyncio.Event()
        self._open.set()

    @property
    def on_change(self) -> Callable[[], None]:
        return self._source.on_change

    @on_change.setter
    def on_change(self, told: Callable[[], None]) -> None:
        self._source.on_change = told

    @property
    def closed(self) -> Closed | None:
        return self._shut or self._source.closed

    @property
    def storage_closed(self) -> bool:
        return self._shut is not None

    async def opened(self) -> None:
        while True:
            await self._open.wait()
            await self._source.opened()
            if self._open.is_set():
                return

    def begin(self, job: Job) -> None:
        self._source.begin(job)

    def end(self, job: Job) -> None:
        self._source.end(job)

    def doubt(self) -> None:
        """Let nothing begin until the next `look`."""
        self._open.clear()

    async def look(self) -> None:
        """Close it if the downloads folder cannot be written now, else open it."""
        problem = await self._artifacts.problem()
        if problem is not None and self._shut is None:
            log.error("%s. Check the folder, its rights and its disk; until then conversions wait", problem)
            self._shut = Closed(time.monotonic(), errors.unwritable(), NOTICE)
            self.doubt()
            self.on_change()
        elif problem is None:
            self._open.set()
            if self._shut is not None:
                log.info("the downloads folder can be written again")
                self._shut = None
                self.on_change()
