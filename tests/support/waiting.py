"""Waiting for what happens, as long as a busy machine may need, and no longer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

#: No test waits longer for anything, in seconds. What takes its time by itself names that time beside it.
SOON = 120


def until(happened: Callable[[], Any], seconds: float = SOON, what: str = "") -> Any:
    """What `happened` answers once that is true; fails the test after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (answer := happened()):
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what or happened}"
        time.sleep(0.02)
    return answer


async def eventually(happens: Callable[[], Any]) -> None:
    """Return once `happens` is true, with the loop free meanwhile."""
    async with asyncio.timeout(SOON):
        while not happens():
            await asyncio.sleep(0.005)
