"""The table of conversions: by id, by owner, by when they expire; and who watches them change. Plain memory."""

from __future__ import annotations

import asyncio
import bisect
import itertools
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta

from .. import errors
from ..jobs import Conversion, utc_now
from .watch import Watch

#: How many more that are gone than there are conversions may stand in the line to expire.
_FORGOTTEN = 1000


class Table:
    def __init__(self) -> None:
        self._conversions: dict[str, Conversion] = {}
        self._by_owner: dict[str, list[Conversion]] = {}  # each by place: a clock may stand still, or go back
        self._unfinished: dict[str, dict[str, Conversion]] = {}  # by owner and id, in the order of coming
        self._expiring: deque[tuple[float, Conversion]] = deque()  # by the monotonic clock, soonest first
        self._watches: dict[str, set[Watch]] = {}

    def __len__(self) -> int:
        return len(self._conversions)

    def __iter__(self) -> Iterator[Conversion]:
        return iter(list(self._conversions.values()))

    def __contains__(self, conversion: Conversion) -> bool:
        return conversion.id in self._conversions

    def get(self, conversion_id: str) -> Conversion | None:
        return self._conversions.get(conversion_id)

    @property
    def unfinished_count(self) -> int:
        return sum(map(len, self._unfinished.values()))

    def oldest_finished(self, count: int) -> list[Conversion]:
        """So many, of the key that has the most conversions if there are enough. Raises QueueFull if there are none."""
        owners = sorted(self._by_owner.values(), key=len, reverse=True)
        finished = (conversion for owned in owners for conversion in owned if conversion.finished)
        oldest = list(itertools.islice(finished, count))
        if len(oldest) < count:
            raise errors.QueueFull("All places in the server's table are taken. Try again later.", retry_after=30)
        return oldest

    def older(self, owner: str, than: tuple[datetime, str] | None, most: int) -> list[Conversion]:
        """At most so many of `owner`, newest first, beginning after the place `than`, or with the newest of all."""
        owned = self._by_owner.get(owner, [])
        end = len(owned) if than is None else bisect.bisect_left(owned, than, key=_place)
        return owned[max(0, end - most) : end][::-1]

    def unfinished(self, owner: str) -> list[Conversion]:
        """Oldest first."""
        return list(self._unfinished.get(owner, {}).values())

    def enter(self, conversion: Conversion) -> None:
        self._conversions[conversion.id] = conversion
        bisect.insort(self._by_owner.setdefault(conversion.owner, []), conversion, key=_place)
        if not conversion.finished:
            self._unfinished.setdefault(conversion.owner, {})[conversion.id] = conversion

    def leave(self, conversion: Conversion) -> None:
        if self._conversions.pop(conversion.id, None) is None:
            return
        self._has_finished(conversion)
        owned = self._by_owner[conversion.owner]
        del owned[bisect.bisect_left(owned, conversion.place, key=_place)]
        if not owned:
            del self._by_owner[conversion.owner]

    def _has_finished(self, conversion: Conversion) -> None:
        unfinished = self._unfinished.get(conversion.owner, {})
        if unfinished.pop(conversion.id, None) and not unfinished:
            del self._unfinished[conversion.owner]

    # ---- expiry

    def keep(self, conversion: Conversion, seconds: float) -> None:
        """Let a finished one expire in so many seconds. Those kept later must not expire sooner.

        `expires_at` is what the clock on the wall will say; what counts is the monotonic clock, so that a clock that
        jumps expires nothing early.
        """
        self._has_finished(conversion)
        conversion.expires_at = utc_now() + timedelta(seconds=seconds)
        if len(self._expiring) > 2 * len(self) + _FORGOTTEN:
            self._expiring = deque(entry for entry in self._expiring if entry[1] in self)
        self._expiring.append((asyncio.get_running_loop().time() + seconds, conversion))

    def restore(self, conversions: Sequence[Conversion], most_seconds: float) -> None:
        """Take in those of before a restart; the finished ones expire when they were to, at most in so many seconds."""
        now = utc_now()
        latest = now + timedelta(seconds=most_seconds)
        for conversion in conversions:
            self.enter(conversion)
        for conversion in sorted(conversions, key=lambda conversion: conversion.expires_at or latest):
            if conversion.finished:
                expires_at = min(latest, conversion.expires_at or latest)
                self.keep(conversion, max(0.0, (expires_at - now).total_seconds()))
                conversion.expires_at = expires_at

    def expired(self) -> Iterator[Conversion]:
        """Those whose time is up; each is asked for only once."""
        now = asyncio.get_running_loop().time()
        while self._expiring and (self._expiring[0][0] <= now or self._expiring[0][1] not in self):
            conversion = self._expiring.popleft()[1]
            if conversion in self:
                yield conversion

    # ---- watching

    @contextmanager
    def watch(self, owner: str, most: int) -> Iterator[Watch]:
        """Everything of `owner` that changes while the block is open. Raises QueueFull beyond `most` at a time."""
        if len(self._watches.get(owner, ())) >= most:
            raise errors.QueueFull(f"This key has {most} event streams open already. Close one.", retry_after=5)
        watch = Watch()
        self._watches.setdefault(owner, set()).add(watch)
        try:
            yield watch
        finally:
            self._watches[owner].discard(watch)
            if not self._watches[owner]:
                del self._watches[owner]

    def changed(self, conversion: Conversion) -> None:
        for watch in self._watches.get(conversion.owner, ()):
            watch.note(conversion)

    def queue_changed(self) -> None:
        """Tell all who watch: everybody's place in the queue may be another."""
        for watches in self._watches.values():
            for watch in watches:
                watch.note_queue()


def _place(conversion: Conversion) -> tuple[datetime, str]:
    return conversion.place
