"""Slows down clients that try keys: after a few refusals, each further one is delayed."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

from .addresses import customer

#: Refusals that an address gets without delay, and the seconds after which it gets one more.
AT_ONCE, PERIOD = 20, 0.5
#: A refusal takes no longer than this, in seconds.
MOST_DELAY = 2.0
#: Addresses that are remembered, the most recently refused.
MOST_ADDRESSES = 4096


class WrongKeys:
    """Counts refusals by address."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._paid_until: OrderedDict[str, float] = OrderedDict()

    def delay(self, address: str) -> float:
        """Seconds to wait before the refusal that `address` gets now."""
        whose, now = customer(address), self._clock()
        paid = max(self._paid_until.pop(whose, now), now) + PERIOD
        delay = min(MOST_DELAY, max(0.0, paid - now - AT_ONCE * PERIOD))
        self._paid_until[whose] = min(paid, now + AT_ONCE * PERIOD + MOST_DELAY)
        if len(self._paid_until) > MOST_ADDRESSES:
            self._paid_until.popitem(last=False)
        return delay
