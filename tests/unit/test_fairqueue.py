"""The fair queue: lanes served in turn, first come first served within a lane."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.waiting import SOON

from server.clip import Clip
from server.conversions.fairqueue import FairQueue
from server.jobs import Conversion, Job, Quality, Recipe, new_id, utc_now


def conversion(owner: str, video_id: str = "some-video-", clip: Clip | None = None) -> Conversion:
    return Conversion(new_id(), owner, Quality.HIGH, utc_now(), Job(Recipe(video_id, 320, clip)))


async def drained(queue: FairQueue) -> list[Conversion]:
    return [await queue.pop() for _ in range(len(queue))]


async def test_one_keys_batch_does_not_make_anothers_single_wait_for_all_of_it() -> None:
    queue = FairQueue()
    batch = [conversion("anna") for _ in range(50)]
    single = conversion("ben")
    for one in [*batch, single]:
        queue.push(one)
    order = await drained(queue)
    assert order.index(single) == 1
    assert [one for one in order if one is not single] == batch, "first come, first served within a key"


async def test_keys_take_turns() -> None:
    queue = FairQueue()
    for owner, count in (("anna", 3), ("ben", 2), ("cleo", 1)):
        for _ in range(count):
            queue.push(conversion(owner))
    assert [one.owner for one in await drained(queue)] == ["anna", "ben", "cleo", "anna", "ben", "anna"]


async def test_a_key_that_comes_back_goes_to_the_end_of_the_turns() -> None:
    queue = FairQueue()
    for owner in ("anna", "ben"):
        queue.push(conversion(owner))
    assert (await queue.pop()).owner == "anna"
    queue.push(conversion("anna"))
    assert [one.owner for one in await drained(queue)] == ["ben", "anna"]


async def test_a_second_attempt_comes_first_in_its_lane_only() -> None:
    queue = FairQueue()
    waiting, again, shared, other = (conversion(owner) for owner in ("anna", "anna", "anna", "ben"))
    queue.push(other)
    queue.push(waiting)
    queue.push_first([again, shared])
    assert await drained(queue) == [other, again, shared, waiting]


async def test_a_conversion_waits_once_however_often_it_is_pushed() -> None:
    queue = FairQueue()
    one = conversion("anna")
    queue.push(one)
    queue.push_first([one])
    assert len(queue) == 1 and one in queue
    assert await queue.pop() is one
    assert len(queue) == 0 and one not in queue


async def test_what_is_discarded_never_comes() -> None:
    queue = FairQueue()
    gone, stays = conversion("anna"), conversion("anna")
    for one in (gone, stays):
        queue.push(one)
    queue.discard(gone)
    queue.discard(gone)
    queue.discard(conversion("nobody"))
    assert len(queue) == 1 and await drained(queue) == [stays]


async def test_who_pops_an_empty_queue_waits_for_the_next() -> None:
    queue = FairQueue()
    popping = asyncio.create_task(queue.pop())
    await asyncio.sleep(0)
    one = conversion("anna")
    queue.push(one)
    queue.discard(one)
    await asyncio.sleep(0.01)
    assert not popping.done(), "woken for nothing, it waits on"
    two = conversion("anna")
    queue.push(two)
    async with asyncio.timeout(SOON):
        assert await popping is two


async def test_a_key_that_may_start_nothing_is_passed_over_and_keeps_its_turn() -> None:
    held = {"anna"}
    queue = FairQueue(may_start=lambda owner: owner not in held)
    first, second, other, another = (conversion(owner) for owner in ("anna", "anna", "ben", "ben"))
    for one in (first, second, other, another):
        queue.push(one)
    assert queue.take() is other
    held.clear()
    assert [queue.take() for _ in range(4)] == [first, another, second, None]


async def test_who_waits_for_a_key_that_may_start_nothing_is_woken_when_it_may() -> None:
    held = {"anna"}
    queue = FairQueue(may_start=lambda owner: owner not in held)
    one = conversion("anna")
    queue.push(one)
    popping = asyncio.create_task(queue.pop())
    for _ in range(5):
        queue.look_again()
        await asyncio.sleep(0)
    assert not popping.done() and queue.take() is None
    held.clear()
    queue.look_again()
    async with asyncio.timeout(SOON):
        assert await popping is one


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("push"), st.sampled_from("abc")),
            st.tuples(st.just("first"), st.sampled_from("abc")),
            st.tuples(st.just("discard"), st.integers(0, 20)),
            st.tuples(st.just("pop"), st.none()),
        ),
        max_size=40,
    )
)
def test_positions_say_in_which_order_they_will_come(steps: list[tuple[str, str | int | None]]) -> None:
    async def check() -> None:
        queue = FairQueue()
        pushed: list[Conversion] = []
        for step, what in steps:
            if step in ("push", "first"):
                pushed.append(conversion(str(what)))
                if step == "first":
                    queue.push_first([pushed[-1]])
                else:
                    queue.push(pushed[-1])
            elif step == "discard" and isinstance(what, int) and what < len(pushed):
                queue.discard(pushed[what])
            elif step == "pop" and len(queue):
                await queue.pop()
            waiting = [one for one in pushed if one in queue]
            assert len(waiting) == len(queue)
            assert sorted(queue.position(one) for one in waiting) == list(range(1, len(waiting) + 1))
        waiting = sorted((one for one in pushed if one in queue), key=queue.position)
        assert await drained(queue) == waiting

    asyncio.run(check())


@pytest.mark.parametrize("count", [1, 5])
def test_what_is_in_a_pause_between_attempts_is_next(count: int) -> None:
    queue = FairQueue()
    for _ in range(count):
        queue.push(conversion("anna"))
    assert queue.position(conversion("anna")) == 1


async def test_it_knows_which_videos_will_be_needed_in_a_file() -> None:
    queue = FairQueue()
    whole, *parts = conversion("anna"), *(conversion("anna", clip=Clip(float(number))) for number in range(1, 4))
    for one in (whole, parts[0], parts[0]):
        queue.push(one)
    queue.push_first(parts)
    assert queue.awaits_source("some-video-") and not queue.awaits_source("other-video")
    queue.discard(parts[1])
    assert [await queue.pop(), await queue.pop()] == [parts[0], parts[2]]
    assert len(queue) == 1 and not queue.awaits_source("some-video-"), "the whole one goes straight to the encoder"
