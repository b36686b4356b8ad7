"""Three fixed windows per key, charged together.

A window starts with the first request in it and ends a minute, an hour or a day later: a real instant, as the published
headers want. The counts live in memory, so a restart forgets them; a key whose numbers change begins new windows. The
windows follow the wall clock: one that is set back makes them last that much longer.
"""

from __future__ import annotations

import functools
import math
import threading
import time
from dataclasses import dataclass

from limits import RateLimitItemPerDay, RateLimitItemPerHour, RateLimitItemPerMinute
from limits.storage import MemoryStorage

from ..config import LimitsConfig


@dataclass(frozen=True)
class Verdict:
    """Whether a request may go on, and the one window that its answer reports.

    `window` is "minute", "hour" or "day"; `reset` is its end in whole UTC epoch seconds, rounded up so that it has
    ended by then; `retry_after` is how many seconds that is from now: at least 1 when refused, 0 when allowed.
    """

    allowed: bool
    limit: int
    window: str
    remaining: int
    reset: int
    retry_after: int


class RateLimiter:
    """Synchronous, so that no other task runs between testing the windows and charging them.

    This is the library's fixed-window strategy, applied to its storage directly: the strategy builds each window's key
    four times a request, which costs more than all the rest.
    """

    def __init__(self) -> None:
        self._counts = MemoryStorage()
        self._counts.timer = _NoTimer()

    def charge(self, key_name: str, limits: LimitsConfig) -> Verdict:
        """Take one request from each window, or none from any when one is used up.

        Reports the window with the fewest requests left (of equals the one that resets last); on refusal the used-up
        one that resets last.
        """
        counts = self._counts
        windows = _windows(limits, key_name)
        exceeded = [window for window in windows if counts.get(window.key) >= window.limit]
        if exceeded:
            reset, _, window = max((counts.get_expiry(window.key), window.seconds, window) for window in exceeded)
            wait = max(1, math.ceil(reset - time.time()))
            return Verdict(False, window.limit, window.name, 0, math.ceil(reset), wait)
        left = [(window.limit - counts.incr(window.key, window.seconds), window) for window in windows]
        fewest = min(remaining for remaining, _ in left)
        reset, _, window = max(
            (counts.get_expiry(window.key), window.seconds, window) for remaining, window in left if remaining == fewest
        )
        return Verdict(True, window.limit, window.name, fewest, math.ceil(reset), 0)

    def forget(self, key_name: str, limits: LimitsConfig) -> None:
        """Begin all windows of the key anew."""
        for window in _windows(limits, key_name):
            self._counts.clear(window.key)


class _NoTimer(threading.Timer):
    """Stands for the timer of the storage, which starts a thread up to 100 times a second to forget old windows.

    It forgets a window as well when that is asked for next, and there are three for each key at most.
    """

    def __init__(self) -> None:
        super().__init__(0, lambda: None)

    def is_alive(self) -> bool:
        return True


@dataclass(frozen=True)
class _Window:
    key: str
    name: str
    limit: int
    seconds: int


@functools.lru_cache(maxsize=4096)
def _windows(limits: LimitsConfig, key_name: str) -> tuple[_Window, ...]:
    items = (
        RateLimitItemPerMinute(limits.per_minute),
        RateLimitItemPerHour(limits.per_hour),
        RateLimitItemPerDay(limits.per_day),
    )
    return tuple(
        _Window(item.key_for(key_name), item.GRANULARITY.name, item.amount, item.get_expiry()) for item in items
    )
