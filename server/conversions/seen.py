"""When each key was last used, for `keys list`. It is written seldom: a crash loses the last minute of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime

from .. import stored
from ..storage.state import Record, State

#: The state's table. A row's id is the name of the key.
TABLE = "last_seen"
#: A newer moment is written only when the written one is so many seconds older.
_STEP = 60.0


class Seen:
    def __init__(self, state: State, clock: Callable[[], float] = time.time) -> None:
        self._state = state
        self._clock = clock
        self._moments: dict[str, float] = {}  # by the key's name
        self._written: dict[str, float] = {}

    def note(self, name: str) -> None:
        """The key is used now. This changes memory only."""
        self._moments[name] = self._clock()

    def write(self, *, all_of_it: bool = False) -> None:
        """Let the next commit write what is new by a minute, or `all_of_it`."""
        step = 0.0 if all_of_it else _STEP
        new = {
            name: moment for name, moment in self._moments.items() if abs(moment - self._written.get(name, 0.0)) > step
        }
        if new:
            self._written |= new
            self._state.note(TABLE, {name: _record(moment) for name, moment in new.items()})

    def restore(self, rows: Iterable[tuple[str, Record]]) -> None:
        read = self._state.understood(TABLE, rows, lambda name, record: (name, _moment(record)), "when keys were used")
        self._moments = dict(read)
        self._written = dict(self._moments)
        self._state.written_anew_from(TABLE, self._snapshots)

    def forget(self, name: str) -> None:
        """There is no such key any more."""
        if self._moments.pop(name, None) is not None:
            self._written.pop(name, None)
            self._state.note(TABLE, {name: None})

    def _snapshots(self) -> Iterator[tuple[str, Record]]:
        for name, moment in list(self._moments.items()):
            yield name, _record(moment)


def described(rows: Iterable[tuple[str, Record]], name: str) -> str:
    """When the key was last used, in words; empty if that is not known. `rows` are those of the table."""
    for owner, record in rows:
        if owner == name:
            try:
                return f"last used {datetime.fromtimestamp(_moment(record)).astimezone():%Y-%m-%d %H:%M}"
            except (KeyError, TypeError, ValueError, OverflowError):
                break
    return ""


def _record(moment: float) -> Record:
    return {"at": datetime.fromtimestamp(moment, UTC).isoformat(timespec="seconds")}


def _moment(record: Record) -> float:
    return stored.moment(record["at"]).timestamp()
