"""The table of conversions by id and by owner, and the clients that watch them change. Plain memory."""

from __future__ import annotations

import bisect
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from .. import errors, naming
from ..jobs import Conversion
from .names import Names
from .watch import Watch


class Table:
    def __init__(self, file_name: str = naming.DEFAULT) -> None:
        """`file_name` is the template of downloads' names."""
        self.names = Names(file_name)
        self._conversions: dict[str, Conversion] = {}
        self._by_owner: dict[str, list[Conversion]] = {}  # sorted by `place`: a clock may go back
        self._unfinished: dict[str, dict[str, Conversion]] = {}  # by owner and id, in the order of coming
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

    def by_owner(self) -> list[list[Conversion]]:
        """All conversions, one list per key, the longest list first; within a list the oldest first."""
        return sorted(self._by_owner.values(), key=len, reverse=True)

    def older(self, owner: str, than: tuple[datetime, str] | None, most: int) -> list[Conversion]:
        """At most so many of `owner`, newest first, beginning after the place `than`, or with the newest of all."""
        owned = self._by_owner.get(owner, [])
        end = len(owned) if than is None else bisect.bisect_left(owned, than, key=_place)
        return owned[max(0, end - most) : end][::-1]

    def unfinished(self, owner: str) -> list[Conversion]:
        """Its unfinished conversions, oldest first."""
        return list(self._unfinished.get(owner, {}).values())

    def enter(self, conversion: Conversion) -> None:
        self._conversions[conversion.id] = conversion
        self.names.claim(conversion)
        bisect.insort(self._by_owner.setdefault(conversion.owner, []), conversion, key=_place)
        if not conversion.finished:
            self._unfinished.setdefault(conversion.owner, {})[conversion.id] = conversion

    def leave(self, conversion: Conversion) -> None:
        if self._conversions.pop(conversion.id, None) is None:
            return
        self.note_finished(conversion)
        self.names.release(conversion)
        owned = self._by_owner[conversion.owner]
        del owned[bisect.bisect_left(owned, conversion.place, key=_place)]
        if not owned:
            del self._by_owner[conversion.owner]

    def note_finished(self, conversion: Conversion) -> None:
        unfinished = self._unfinished.get(conversion.owner, {})
        if unfinished.pop(conversion.id, None) and not unfinished:
            del self._unfinished[conversion.owner]

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
        """Tell all watching clients that queue positions have changed, or that the server is shutting down."""
        for watches in self._watches.values():
            for watch in watches:
                watch.note_queue()


def _place(conversion: Conversion) -> tuple[datetime, str]:
    return conversion.place
