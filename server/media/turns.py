"""Lets so many callers work at a time, and one of each owner. The others wait in the order in which they came."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class NoRoom(Exception):
    """Too many wait already."""


class Turns:
    """`most` may have a turn at a time; `most_waiting` may wait for one, of one owner `most_of_one`."""

    def __init__(self, most: int, *, most_waiting: int, most_of_one: int) -> None:
        self._most = most
        self._most_waiting = most_waiting
        self._most_of_one = most_of_one
        self._running: set[str] = set()
        self._waiting: list[tuple[str, asyncio.Future[None]]] = []

    @asynccontextmanager
    async def turn(self, owner: str) -> AsyncIterator[None]:
        """A block that begins when the owner's turn comes. Raises NoRoom."""
        place = owner, asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        self._begin()
        try:
            if place in self._waiting and self._is_crowded(owner):
                raise NoRoom
            await place[1]
            yield
        finally:
            if place in self._waiting:
                self._waiting.remove(place)
            else:
                self._running.remove(owner)
            self._begin()

    def _is_crowded(self, owner: str) -> bool:
        own = sum(one == owner for one, _ in self._waiting)
        return len(self._waiting) > self._most_waiting or own > self._most_of_one

    def _begin(self) -> None:
        """Give turns to those who may have one now."""
        for place in list(self._waiting):
            owner, turn = place
            if len(self._running) < self._most and owner not in self._running and not turn.done():
                self._waiting.remove(place)
                self._running.add(owner)
                turn.set_result(None)
