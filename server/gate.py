"""Whether work may begin now: every way to the source may be closed for a while.

The engine asks a gate before each attempt, and knows nothing of what is behind it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from .errors import JobError
from .jobs import Job


@dataclass(frozen=True)
class Closed:
    """Nothing may begin now.

    `since` is by time.monotonic(). `reason` is what a job fails with that has waited too long. `notice` tells whoever
    waits, in one sentence.
    """

    since: float
    reason: JobError
    notice: str


class Gate(Protocol):
    """`on_change` is called whenever `closed` may have changed."""

    on_change: Callable[[], None]

    @property
    def closed(self) -> Closed | None: ...

    async def opened(self) -> None:
        """Return once an attempt may begin. `begin` must follow without an await in between."""

    def begin(self, job: Job) -> None:
        """An attempt at `job` begins; `end` follows, however it ends."""

    def end(self, job: Job) -> None: ...


class AlwaysOpen:
    """The gate in front of a source that is never closed."""

    closed: Closed | None = None

    def __init__(self) -> None:
        self.on_change: Callable[[], None] = lambda: None

    async def opened(self) -> None:
        return

    def begin(self, job: Job) -> None:
        pass

    def end(self, job: Job) -> None:
        pass
