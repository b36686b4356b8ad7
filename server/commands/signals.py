"""What SIGINT, SIGTERM and SIGHUP do to a command."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any


class Broken(Exception):
    """A part of the server broke at its start, and the log says which. The exit status is 1."""


def run(work: Coroutine[Any, Any, int]) -> int:
    """The exit status of `work`.

    The first SIGINT or SIGTERM cancels it, unless it has its own use for that, and then the status is 128 and the
    signal's number, as in a shell. The second ends the process at once: the children end with it.
    """

    async def until_signal() -> int:
        cancelled_by: list[signal.Signals] = []
        task = asyncio.current_task()

        def cancel(number: signal.Signals) -> None:
            cancelled_by.append(number)
            if task:
                task.cancel()

        on_first_signal(cancel)
        try:
            return await work
        except Broken:
            return 1
        except asyncio.CancelledError:
            if not cancelled_by:
                raise
            return 128 + cancelled_by[0]

    return asyncio.run(until_signal())


def on_first_signal(act: Callable[[signal.Signals], None]) -> None:
    """Call `act` on the first SIGINT or SIGTERM; end the process on the second."""
    seen: list[signal.Signals] = []

    def handle(number: signal.Signals) -> None:
        if seen:
            os._exit(128 + number)
        seen.append(number)
        act(number)

    for one in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(one, handle, one)


@asynccontextmanager
async def on_hangup(act: Callable[[], Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
    """Run `act` after each SIGHUP while the block is open, one at a time; those that come meanwhile are one more."""
    called, loop = asyncio.Event(), asyncio.get_running_loop()

    async def acting() -> None:
        while await called.wait():
            called.clear()
            await act()

    task = asyncio.create_task(acting(), name="hangup")
    loop.add_signal_handler(signal.SIGHUP, called.set)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGHUP)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
