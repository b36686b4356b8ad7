"""Three fixed windows per key, charged together.

A window starts with the first request in it and ends a minute, an hour or a day later: a real instant, as the published
headers want. The counts live in memory, so a restart forgets them; a key whose numbers change begins new windows. The
windows follow the wall clock: one that is set back makes them last that much longer.
"""

from __future__ import annotations

import functools
import math
import time
from dataclasses import dataclass

from limits import RateLimitItem, RateLimitItemPerDay, RateLimitItemPerHour, RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter


@dataclass(frozen=True)
class Limits:
    """Requests a key may make in each window."""

    per_minute: int
    per_hour: int
    per_day: int


@dataclass(frozen=True)
class Verdict:
    """Whether a request may go on, and the one window that its answer reports.

    `reset` is that window's end in whole UTC epoch seconds, rounded up so that it has ended by then; `retry_after` is
    how many seconds that is from now: at least 1 when refused, 0 when allowed.
    """

    allowed: bool
    limit: int
    remaining: int
    reset: int
    retry_after: int


class RateLimiter:
    """Synchronous, so that between looking at the windows and charging them nothing else of the loop can run."""

    def __init__(self) -> None:
        self._windows = FixedWindowRateLimiter(MemoryStorage())

    def charge(self, key_name: str, limits: Limits) -> Verdict:
        """Take one request from each window, or none from any when one is used up.

        Reports the window with the fewest requests left (of equals the one that resets last); on refusal the used-up
        one that resets last.
        """
        windows = self._windows
        items = _items(limits)
        exceeded = [item for item in items if not windows.test(item, key_name)]
        if exceeded:
            reset, limit = max((windows.get_window_stats(item, key_name).reset_time, item.amount) for item in exceeded)
            return Verdict(False, limit, 0, math.ceil(reset), max(1, math.ceil(reset - time.time())))
        for item in items:
            windows.hit(item, key_name)
        stats = [(windows.get_window_stats(item, key_name), item.amount) for item in items]
        (reset, remaining), limit = min(stats, key=lambda one: (one[0].remaining, -one[0].reset_time))
        return Verdict(True, limit, remaining, math.ceil(reset), 0)


@functools.lru_cache(maxsize=1024)
def _items(limits: Limits) -> tuple[RateLimitItem, ...]:
    return (
        RateLimitItemPerMinute(limits.per_minute),
        RateLimitItemPerHour(limits.per_hour),
        RateLimitItemPerDay(limits.per_day),
    )
