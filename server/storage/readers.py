"""Keeps track of the readers of each file. A removed file takes its room on disk until its last reader has ended."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ..jobs import Artifact

#: Seconds that a reader of a removed file has for the rest of it, whatever room that takes.
GRACE = 60.0


@dataclass(eq=False)
class _Open:
    bytes: int
    ends: dict[object, Callable[[], None]] = field(default_factory=dict)
    removed: float | None = None
    """When, by the monotonic clock."""


class Readers:
    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.held_bytes = 0
        """Of files that are removed, but open."""
        self._open: dict[Path, _Open] = {}  # of those that are removed, the longest first
        self._clock = clock

    @contextlib.contextmanager
    def reading(self, artifact: Artifact, end: Callable[[], None], *, exists: bool) -> Iterator[None]:
        """A block in which a client reads the file. `end` makes it stop. `exists` is false for a removed file."""
        one = self._open.setdefault(artifact.path, _Open(artifact.size))
        if not exists:
            self.removed(artifact)
        reader = object()
        one.ends[reader] = end
        try:
            yield
        finally:
            del one.ends[reader]
            if not one.ends:
                del self._open[artifact.path]
                self.held_bytes -= one.bytes if one.removed is not None else 0

    def removed(self, artifact: Artifact) -> None:
        """Note that the file was removed. Its readers go on."""
        one = self._open.pop(artifact.path, None)
        if one is None:
            return
        self._open[artifact.path] = one
        if one.removed is None:
            one.removed = self._clock()
            self.held_bytes += one.bytes

    def still_there(self, artifact: Artifact) -> None:
        """Note that the file could not be removed."""
        if (one := self._open.get(artifact.path)) and one.removed is not None:
            one.removed = None
            self.held_bytes -= one.bytes

    def end_readers_of_removed(self, most_bytes: int) -> int:
        """Stop readers of the files removed longest ago, until removed files take no more than the given size.

        Every reader has at least `GRACE` seconds. Returns how many were stopped.
        """
        excess, told = self.held_bytes - most_bytes, 0
        for one in list(self._open.values()):
            if excess <= 0:
                break
            if one.removed is not None and self._clock() - one.removed >= GRACE:
                excess -= one.bytes
                for end in list(one.ends.values()):
                    end()
                    told += 1
        return told
