"""The deliveries in memory: which are known, which are due, and which may be tried now. Plain memory.

A lane is the deliveries of one key to one host. Lanes take turns, and a lane, a key and all together may have only so
many attempts at a time. So a receiver that lets every attempt wait for its timeout takes a few places, and never all.
"""

from __future__ import annotations

import heapq
import itertools
from collections import Counter, deque
from collections.abc import Hashable, Iterator
from typing import TypeVar

from .delivery import Delivery

K = TypeVar("K", bound=Hashable)
#: Attempts at a time: to one host for one key, for one key, and in all.
PER_LANE, PER_KEY, IN_ALL = 2, 4, 32


class Waiting:
    def __init__(self) -> None:
        self._known: dict[str, Delivery] = {}
        self._undelivered: Counter[str] = Counter()  # by key
        self._later: list[tuple[float, int, Delivery]] = []  # a heap by time
        self._lanes: dict[tuple[str, str], deque[Delivery]] = {}  # those that are due, in turn
        self._in_lanes: set[Delivery] = set()
        self._busy: set[Delivery] = set()
        self._busy_lanes: Counter[tuple[str, str]] = Counter()
        self._busy_keys: Counter[str] = Counter()
        self._numbers = itertools.count()

    def __len__(self) -> int:
        """Those that are not given up."""
        return self._undelivered.total()

    def __iter__(self) -> Iterator[Delivery]:
        return iter(list(self._known.values()))

    def get(self, key: str) -> Delivery | None:
        return self._known.get(key)

    def of_owner(self, owner: str) -> int:
        """How many of this key are not given up."""
        return self._undelivered[owner]

    def enter(self, delivery: Delivery) -> None:
        self._known[delivery.id] = delivery
        if not delivery.given_up:
            self._undelivered[delivery.owner] += 1
            self.schedule(delivery)

    def schedule(self, delivery: Delivery) -> None:
        """Try it when it is due. An older entry for another time counts no more."""
        heapq.heappush(self._later, (delivery.due, next(self._numbers), delivery))

    def forget(self, delivery: Delivery) -> None:
        if self._known.pop(delivery.id, None) is not None and not delivery.given_up:
            self._count(delivery.owner, -1)

    def give_up(self, delivery: Delivery) -> None:
        """Keep it for the owner to see; it is tried no more."""
        self._count(delivery.owner, -1)

    def take_up(self, delivery: Delivery, now: float) -> bool:
        """Try it as soon as possible. False if it is under way, or due already."""
        if delivery in self._busy or delivery in self._in_lanes:
            return False
        if delivery.given_up:
            self._count(delivery.owner, 1)
        delivery.begin_anew(now)
        self.schedule(delivery)
        return True

    def next(self, now: float) -> Delivery | None:
        """A delivery to try at once, or None. `done` must follow it."""
        self._move_due(now)
        if len(self._busy) >= IN_ALL:
            return None
        for lane in self._lanes:
            if self._busy_lanes[lane] < PER_LANE and self._busy_keys[lane[0]] < PER_KEY:
                break
        else:
            return None
        due = self._lanes.pop(lane)
        delivery = due.popleft()
        if due:
            self._lanes[lane] = due  # behind the others
        self._in_lanes.discard(delivery)
        self._busy.add(delivery)
        self._busy_lanes[lane] += 1
        self._busy_keys[lane[0]] += 1
        return delivery

    def done(self, delivery: Delivery) -> None:
        """The attempt has ended, however."""
        self._busy.discard(delivery)
        _less(self._busy_lanes, delivery.lane)
        _less(self._busy_keys, delivery.owner)

    def seconds_to_next(self, now: float) -> float | None:
        """Until another delivery is due; None if none is."""
        return max(0.0, self._later[0][0] - now) if self._later else None

    def _move_due(self, now: float) -> None:
        while self._later and self._later[0][0] <= now:
            due, _, delivery = heapq.heappop(self._later)
            known = self._known.get(delivery.id) is delivery and not delivery.given_up
            if known and due == delivery.due and delivery not in self._busy and delivery not in self._in_lanes:
                self._in_lanes.add(delivery)
                self._lanes.setdefault(delivery.lane, deque()).append(delivery)

    def _count(self, owner: str, more: int) -> None:
        self._undelivered[owner] += more
        if not self._undelivered[owner]:
            del self._undelivered[owner]


def _less(counter: Counter[K], key: K) -> None:
    counter[key] -= 1
    if not counter[key]:
        del counter[key]
