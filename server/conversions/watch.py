"""The changes for one watching client: at most one entry per conversion, even if the client reads slowly."""

from __future__ import annotations

from collections.abc import Callable

from ..jobs import Change, Conversion


class Watch:
    """Collects the conversions of one key that changed since `take` was last called."""

    def __init__(self) -> None:
        self._changed: dict[Conversion, None] = {}
        self._queue_moved = False
        self._places: dict[Conversion, int] = {}
        self.woken = Change()

    @property
    def pending(self) -> bool:
        """Whether there are changes to take."""
        return bool(self._changed) or self._queue_moved

    def note(self, conversion: Conversion) -> None:
        self._changed[conversion] = None
        self.woken.notify()

    def note_queue(self) -> None:
        """All places in the queue may have changed."""
        self._queue_moved = True
        self.woken.notify()

    def take(self, places: Callable[[], dict[Conversion, int]]) -> list[Conversion]:
        """The conversions that changed. `places` returns the positions in the queue."""
        if self._queue_moved:
            before, self._places = self._places, places()
            moved = (waiting for waiting, place in self._places.items() if before.get(waiting) != place)
            self._changed |= dict.fromkeys(moved)
        taken, self._changed, self._queue_moved = list(self._changed), {}, False
        return taken
