"""A bounded number of encoders. Keys that wait for one take turns, as they do in the queue."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Encoders:
    """`count` may be in use at a time, and `busy` are. Within a key, first come, first served."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.busy = 0
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}  # by key, in the order of their turns

    @asynccontextmanager
    async def one(self, owner: str, *, at_once: bool = False) -> AsyncIterator[None]:
        """A block that begins once there is an encoder for this key, or `at_once` with one more than there are."""
        if at_once or self.busy < self.count:
            self.busy += 1
        else:
            await self._turn(owner)
        try:
            yield
        finally:
            self._free()

    async def _turn(self, owner: str) -> None:
        turn = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(owner, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # it came in the same moment
                self._free()
            raise

    def _free(self) -> None:
        self.busy -= 1
        self._hand_on(self.count)

    def lend(self) -> None:
        """Let the next one that waits begin, with one encoder more than there are."""
        self._hand_on(self.count + 1)

    def _hand_on(self, count: int) -> None:
        """Let those who wait begin while fewer than `count` are in use. Whoever was cancelled is passed over."""
        while self._waiting and self.busy < count:
            owner = next(iter(self._waiting))
            lane = self._waiting.pop(owner)
            turn = lane.popleft()
            if lane:
                self._waiting[owner] = lane  # to the end of the turns
            if not turn.done():
                self.busy += 1
                turn.set_result(None)
