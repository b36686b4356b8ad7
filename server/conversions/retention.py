"""How long conversions are kept. It returns the ones to forget; the engine forgets them."""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import Iterator, Sequence
from datetime import timedelta

from .. import errors
from ..jobs import Conversion, utc_now
from .table import Table

#: Rebuild the line beyond this many stale entries more than there are conversions.
MAX_STALE = 1000


class Retention:
    def __init__(self, table: Table, keep_seconds: float) -> None:
        self._table = table
        self._keep_seconds = keep_seconds
        self._expiring: deque[tuple[float, Conversion]] = deque()  # by the monotonic clock, soonest first

    def keep(self, conversion: Conversion) -> None:
        """Let a conversion that has just finished expire when its time is up."""
        self._keep(conversion, self._keep_seconds)

    def restore(self, conversions: Sequence[Conversion]) -> None:
        """Keep the expiry of conversions finished before a restart, but never later than that of fresh ones."""
        now = utc_now()
        latest = now + timedelta(seconds=self._keep_seconds)
        finished = [conversion for conversion in conversions if conversion.finished]
        for conversion in sorted(finished, key=lambda conversion: conversion.expires_at or latest):
            expires_at = min(latest, conversion.expires_at or latest)
            self._keep(conversion, max(0.0, (expires_at - now).total_seconds()))
            conversion.expires_at = expires_at

    def _keep(self, conversion: Conversion, seconds: float) -> None:
        """Conversions kept later must not expire sooner.

        `expires_at` is what the wall clock will say. The monotonic clock decides, so that a clock that jumps expires
        nothing early.
        """
        conversion.expires_at = utc_now() + timedelta(seconds=seconds)
        if len(self._expiring) > 2 * len(self._table) + MAX_STALE:
            self._expiring = deque(entry for entry in self._expiring if entry[1] in self._table)
        self._expiring.append((asyncio.get_running_loop().time() + seconds, conversion))

    def expired(self) -> Iterator[Conversion]:
        """Conversions whose time is up. Each is returned only once."""
        now = asyncio.get_running_loop().time()
        while self._expiring and (self._expiring[0][0] <= now or self._expiring[0][1] not in self._table):
            conversion = self._expiring.popleft()[1]
            if conversion in self._table:
                yield conversion

    def oldest_finished(self, count: int) -> list[Conversion]:
        """The `count` oldest, of the key with the most conversions if it has enough. Raises QueueFull when too few."""
        finished = (conversion for owned in self._table.by_owner() for conversion in owned if conversion.finished)
        oldest = list(itertools.islice(finished, count))
        if len(oldest) < count:
            raise errors.QueueFull("All places in the server's table are taken. Try again later.", retry_after=30)
        return oldest
