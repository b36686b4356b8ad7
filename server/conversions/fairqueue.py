"""The fair queue: one lane per key, served in turn. One key's batch of 50 never delays another key's single request."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterable

from ..jobs import Conversion, Job


class FairQueue:
    """The waiting conversions. Lanes are served round robin; within a lane, first come, first served.

    A lane whose key may not start anything more now is passed over and keeps its turn. Positions do not know of that.
    """

    def __init__(
        self, on_change: Callable[[], None] = lambda: None, may_start: Callable[[str], bool] = lambda owner: True
    ) -> None:
        """`on_change` is called whenever positions may have changed.

        `may_start` says whether a key may start one more now; call `look_again` when it may.
        """
        self._on_change = on_change
        self._may_start = may_start
        self._lanes: dict[str, dict[Conversion, None]] = {}  # in the order of their turns
        self._size = 0
        self._sources: dict[str, set[Conversion]] = {}  # those that need a kept source, by video
        self._filled = asyncio.Event()
        self._positions: dict[Conversion, int] | None = None
        self._notice: str | None = None

    def __len__(self) -> int:
        return self._size

    def jobs(self) -> list[Job]:
        """The jobs that wait, each once."""
        return list(dict.fromkeys(waiting.job for lane in self._lanes.values() for waiting in lane))

    def awaits_source(self, video_id: str) -> bool:
        """Whether a job waits that will need the source of this video in a file."""
        return video_id in self._sources

    def __contains__(self, conversion: Conversion) -> bool:
        return conversion in self._lanes.get(conversion.owner, ())

    @property
    def notice(self) -> str | None:
        """Why nothing moves; None while it moves."""
        return self._notice

    @notice.setter
    def notice(self, notice: str | None) -> None:
        if notice != self._notice:
            self._notice = notice
            self._on_change()

    def places(self, owner: str) -> dict[Conversion, tuple[int, str | None]]:
        """The waiting conversions of one key, the next one first, each with its position and the notice."""
        return {waiting: (self.position(waiting), self._notice) for waiting in self._lanes.get(owner, ())}

    def push(self, conversion: Conversion) -> None:
        """Join the end of its owner's lane."""
        lane = self._lanes.setdefault(conversion.owner, {})
        before = len(lane)
        lane[conversion] = None
        self._note_source(conversion)
        self._grown(len(lane) - before)

    def push_first(self, conversions: Iterable[Conversion]) -> None:
        """Put them at the heads of their owners' lanes, in order, since they have had a turn before."""
        by_owner: dict[str, dict[Conversion, None]] = {}
        for conversion in conversions:
            by_owner.setdefault(conversion.owner, {})[conversion] = None
            self._note_source(conversion)
        for owner, joining in by_owner.items():
            before = self._lanes.get(owner, {})
            lane = self._lanes[owner] = {**joining, **before}
            self._grown(len(lane) - len(before))

    def _note_source(self, conversion: Conversion) -> None:
        if conversion.job.recipe.needs_source:
            self._sources.setdefault(conversion.video_id, set()).add(conversion)

    def _grown(self, count: int) -> None:
        self._size += count
        self._filled.set()
        self._places_changed()

    def discard(self, conversion: Conversion) -> None:
        lane = self._lanes.get(conversion.owner)
        if lane is None or conversion not in lane:
            return
        del lane[conversion]
        if not lane:
            del self._lanes[conversion.owner]
        self._size -= 1
        if waiting := self._sources.get(conversion.video_id):
            waiting.discard(conversion)
            if not waiting:
                del self._sources[conversion.video_id]
        self._places_changed()

    def _places_changed(self) -> None:
        self._positions = None
        self._on_change()

    async def filled(self) -> None:
        """Return once a conversion waits that may start."""
        while self._next_owner() is None:
            self._filled.clear()
            await self._filled.wait()

    def look_again(self) -> None:
        """Ask again which keys may start something."""
        self._filled.set()

    def _next_owner(self) -> str | None:
        return next((owner for owner in self._lanes if self._may_start(owner)), None)

    async def pop(self) -> Conversion:
        """Wait for a conversion and take the next one."""
        while True:
            await self.filled()
            if (conversion := self.take()) is not None:
                return conversion

    def take(self) -> Conversion | None:
        """Take the next one that may start; None if there is none."""
        owner = self._next_owner()
        if owner is None:
            return None
        conversion = next(iter(self._lanes[owner]))
        self.discard(conversion)
        if owner in self._lanes:
            self._lanes[owner] = self._lanes.pop(owner)  # to the end of the turns
        return conversion

    def position(self, conversion: Conversion) -> int:
        """The next one has 1; so has one that pauses between two attempts."""
        if self._positions is None:
            turns = itertools.zip_longest(*self._lanes.values())
            in_turn = (waiting for turn in turns for waiting in turn if waiting)
            self._positions = {waiting: number for number, waiting in enumerate(in_turn, 1)}
        return self._positions.get(conversion, 1)
