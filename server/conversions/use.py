"""What each key has used, by day (UTC), and its quota of conversions a day.

Counting changes memory only. The counts go into the database together with the next accepted conversion, or when
`Use.write` is called every few seconds: a crash loses so many seconds of requests and bytes, but no conversion.
"""

from __future__ import annotations

import dataclasses
import logging
import math
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime

from .. import errors, stored
from ..metrics import Metrics
from ..storage.state import Record, State

log = logging.getLogger(__name__)

#: The state's table of use. A row's id is the day, a space and the name of the key.
TABLE = "daily_use"
#: Days that are kept, the newest.
KEPT_DAYS = 31
_DAY = 86_400
#: No count that is written comes near it.
_MOST = 1 << 62


@dataclass(slots=True)
class Amount:
    """`audio_seconds` are those of completed conversions, `bytes` those of MP3s sent from the key's links."""

    requests: int = 0
    conversions: int = 0
    audio_seconds: float = 0.0
    bytes: int = 0

    def __add__(self, other: Amount) -> Amount:
        return Amount(*(getattr(self, one) + getattr(other, one) for one in self.__slots__))

    def __str__(self) -> str:
        """For people; a megabyte has a million bytes."""
        return (
            f"{self.requests:,} requests, {self.conversions:,} conversions, {self.audio_seconds / 60:,.1f} min, "
            f"{self.bytes / 1e6:,.1f} MB"
        )

    @classmethod
    def restored(cls, record: Record) -> Amount:
        """Raises KeyError, TypeError or ValueError for anything that no server wrote."""
        counts = [record[name] for name in ("requests", "conversions", "bytes")]
        if not all(type(count) is int and 0 <= count < _MOST for count in counts):
            raise ValueError("no counts")
        requests, conversions, sent = counts
        return cls(requests, conversions, stored.number(record["audio_seconds"]), sent)


class Use:
    def __init__(self, state: State, metrics: Metrics, clock: Callable[[], float] = time.time) -> None:
        self._state = state
        self._metrics = metrics
        self._clock = clock
        self._days: dict[str, dict[str, Amount]] = {}  # by day and key
        self._unwritten: set[tuple[str, str]] = set()
        self._today = (-1, "")  # as days since the epoch, and as it stands in the database

    def count(
        self,
        name: str,
        *,
        requests: int = 0,
        conversions: int = 0,
        audio_seconds: float = 0.0,
        sent: int = 0,
        day: str | None = None,
    ) -> str:
        """Add to what the key has used on `day`, or today. Returns the day. Negative numbers take back."""
        day = day or self._day()
        amount = self._days.setdefault(day, {}).setdefault(name, Amount())
        amount.requests += requests
        amount.conversions += conversions
        amount.audio_seconds += audio_seconds
        amount.bytes += sent
        self._unwritten.add((day, name))
        self._metrics.used(name, requests=requests, seconds=audio_seconds, sent=sent)
        return day

    def check_quota(self, name: str, most: int, new: int) -> None:
        """Raise QuotaExceeded unless the key may make `new` more conversions today. No `most` is no limit."""
        used = self._days.get(self._day(), {}).get(name, Amount()).conversions
        if not most or used + new <= most:
            return
        wait = max(1, math.ceil(_DAY - self._clock() % _DAY))
        asked = f", and this request asks for {new}" if new > 1 else ""
        raise errors.QuotaExceeded(
            f"This key may make {most} conversions a day. {max(0, most - used)} are left until 00:00 UTC{asked}. "
            "Try again after that.",
            retry_after=wait,
        )

    def forgive(self, name: str) -> None:
        """Give the key back all its conversions of today."""
        self.count(name, conversions=-self._days.get(self._day(), {}).get(name, Amount()).conversions)

    def write(self) -> None:
        """Let the next commit write what was counted since the last time."""
        if self._unwritten:
            changes = {_id(day, name): self._record(day, name) for day, name in self._unwritten}
            self._unwritten.clear()
            self._state.note(TABLE, changes)

    def restore(self, rows: Iterable[tuple[str, Record]]) -> None:
        """Go on counting after a restart."""

        def read(key: str, record: Record) -> tuple[tuple[str, str], Amount]:
            return _parsed(key), Amount.restored(record)

        for (day, name), amount in self._state.understood(TABLE, rows, read, "what keys have used"):
            self._days.setdefault(day, {})[name] = amount
        self._forget_old_days()
        self._state.written_anew_from(TABLE, self._snapshots)

    def _snapshots(self) -> Iterator[tuple[str, Record]]:
        for day, by_name in list(self._days.items()):
            for name, amount in list(by_name.items()):
                yield _id(day, name), dataclasses.asdict(amount)

    def _record(self, day: str, name: str) -> Record | None:
        amount = self._days.get(day, {}).get(name)
        return dataclasses.asdict(amount) if amount else None

    def _day(self) -> str:
        number = int(self._clock() // _DAY)
        if number != self._today[0]:
            self._today = number, datetime.fromtimestamp(number * _DAY, UTC).date().isoformat()
            self._days.setdefault(self._today[1], {})
            self._forget_old_days()
        return self._today[1]

    def _forget_old_days(self) -> None:
        for day in sorted(self._days)[:-KEPT_DAYS]:
            self._unwritten |= {(day, name) for name in self._days.pop(day)}


def described(rows: Iterable[tuple[str, Record]], name: str, now: float) -> str:
    """What the key has used today and in all the days that are kept, in words. `rows` are those of the table."""
    today = datetime.fromtimestamp(now, UTC).date().isoformat()
    of_today, of_all = Amount(), Amount()
    for key, record in rows:
        with suppress(KeyError, TypeError, ValueError):
            day, owner = _parsed(key)
            if owner == name:
                amount = Amount.restored(record)
                of_all += amount
                of_today = amount if day == today else of_today
    return f"today {of_today}; {KEPT_DAYS} days {of_all}" if of_all != Amount() else f"not used in {KEPT_DAYS} days"


def _id(day: str, name: str) -> str:
    return f"{day} {name}"


def _parsed(key: str) -> tuple[str, str]:
    """The day and the name of the key. Raises ValueError."""
    day, _, name = key.partition(" ")
    if date.fromisoformat(day).isoformat() != day or not name:
        raise ValueError("no day of a key")
    return day, name
