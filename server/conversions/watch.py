"""The changes for one watching client: at most one entry per conversion, even if the client reads slowly."""

from __future__ import annotations

from collections.abc import Callable

from ..jobs import Change, Conversion

#: Position in the queue, and why nothing moves, of each conversion that waits.
Places = dict[Conversion, tuple[int, str | None]]


class Watch:
    """Collects the conversions of one key that changed since `take` was last called."""

    def __init__(self) -> None:
        self._changed: dict[Conversion, None] = {}
        self._queue_moved = False
        self._places: Places = {}
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

    def take(self, places: Callable[[], Places]) -> list[Conversion]:
        """The conversions that changed. `places` returns what the queue says of each that waits."""
        if self._queue_moved:
            before, self._places = self._places, places()
            moved = (waiting for waiting, place in self._places.items() if before.get(waiting) != place)
            self._changed |= dict.fromkeys(moved)
        taken, self._changed, self._queue_moved = list(self._changed), {}, False
        return taken
