"""Work that must come to its end, and a caller who is cancelled meanwhile."""

from __future__ import annotations

import asyncio

import pytest

from server import completion


async def test_what_it_returns_or_raises_comes_through() -> None:
    async def fail() -> None:
        raise OSError("broken")

    assert await completion.finished(asyncio.sleep(0, "done")) == "done"
    with pytest.raises(OSError, match="broken"):
        await completion.finished(fail())


@pytest.mark.parametrize("fails", [False, True])
async def test_however_often_the_caller_is_cancelled_it_ends_first(fails: bool) -> None:
    begun, go_on, ended = asyncio.Event(), asyncio.Event(), False

    async def work() -> None:
        nonlocal ended
        begun.set()
        await go_on.wait()
        ended = True
        if fails:
            raise OSError("broken")

    caller = asyncio.create_task(completion.finished(work()))
    await begun.wait()
    for _ in range(3):
        caller.cancel()
        await asyncio.sleep(0)
    assert not caller.done() and not ended
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert ended


async def test_what_was_started_for_nobody_is_undone() -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()
    undone: list[str] = []

    async def start() -> str:
        begun.set()
        await go_on.wait()
        return "child"

    async def undo(child: str) -> None:
        undone.append(child)

    caller = asyncio.create_task(completion.started(start(), undo))
    await begun.wait()
    caller.cancel()
    await asyncio.sleep(0)
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert undone == ["child"]
    assert await completion.started(asyncio.sleep(0, "kept"), undo) == "kept" and undone == ["child"]
