"""Whose turn it is: so many at a time, one for each owner, in the order of their coming."""

from __future__ import annotations

import asyncio

import pytest

from server.media.turns import NoRoom, Turns


class Visit:
    """One who wants a turn, and keeps it until told to go."""

    def __init__(self, turns: Turns, owner: str) -> None:
        self.has_begun = False
        self._leaving = asyncio.Event()
        self._turns, self._owner = turns, owner
        self.task = asyncio.create_task(self._visit())

    async def _visit(self) -> None:
        async with self._turns.turn(self._owner):
            self.has_begun = True
            await self._leaving.wait()

    async def leave(self) -> None:
        self._leaving.set()
        await self.task
        await settled()


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def visits(turns: Turns, *owners: str) -> list[Visit]:
    made = [Visit(turns, owner) for owner in owners]
    await settled()
    return made


async def ended(*all_visits: Visit) -> None:
    for one in all_visits:
        one.task.cancel()
    await asyncio.gather(*(one.task for one in all_visits), return_exceptions=True)


async def test_two_at_a_time_and_one_of_each_owner() -> None:
    turns = Turns(2, most_waiting=9, most_of_one=9)
    made = anna, again, ben, carl = await visits(turns, "anna", "anna", "ben", "carl")
    assert [one.has_begun for one in made] == [True, False, True, False]
    await ben.leave()
    assert (again.has_begun, carl.has_begun) == (False, True), "nobody waits for an owner's second turn"
    await anna.leave()
    assert again.has_begun
    await ended(again, carl)


async def test_whoever_leaves_the_queue_or_is_cancelled_in_a_turn_gives_it_up() -> None:
    turns = Turns(1, most_waiting=9, most_of_one=9)
    anna, ben, carl = await visits(turns, "anna", "ben", "carl")
    await ended(ben)
    await ended(anna)
    await settled()
    assert carl.has_begun
    (again,) = await visits(turns, "anna")
    await carl.leave()
    assert again.has_begun
    await ended(again)


async def test_a_turn_granted_to_one_who_is_cancelled_at_that_moment_passes_on() -> None:
    turns = Turns(1, most_waiting=9, most_of_one=9)
    async with turns.turn("anna"):
        ben, carl = await visits(turns, "ben", "carl")
    ben.task.cancel()  # its turn is granted, and it has not run since
    await settled()
    assert not ben.has_begun and carl.has_begun
    await ended(carl)


async def test_too_many_who_wait_are_refused_and_none_who_need_not_wait() -> None:
    turns = Turns(2, most_waiting=3, most_of_one=2)
    made = await visits(turns, "anna", "anna", "anna", "anna")
    assert isinstance(made[3].task.exception(), NoRoom), "of one owner"
    more = await visits(turns, "ben", "carl", "dora")
    assert more[0].has_begun and not more[1].has_begun
    assert isinstance(more[2].task.exception(), NoRoom), "in all"
    with pytest.raises(NoRoom):
        async with turns.turn("anna"):
            pass
    await ended(*made[:3], *more[:2])
