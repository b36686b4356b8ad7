"""Waiting for what happens, as long as a busy machine may need, and no longer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

#: No test waits longer for anything, in seconds. What takes its time by itself names that time beside it.
SOON = 120

#: How long to pause before the next look, as a share of the time waited so far, and at most so many seconds: a look at
#: all processes costs a busy machine more than the answer is late.
_SHARE, _PAUSE = 0.1, 0.2


def until(happened: Callable[[], Any], seconds: float = SOON, what: str = "") -> Any:
    """What `happened` answers once that is true; fails the test after `seconds`."""
    began = time.monotonic()
    while not (answer := happened()):
        waited = time.monotonic() - began
        assert waited < seconds, f"not within {seconds:g} s: {what or happened}"
        time.sleep(min(max(0.02, _SHARE * waited), _PAUSE))
    return answer


async def eventually(happens: Callable[[], Any]) -> None:
    """Return once `happens` is true, with the loop free meanwhile."""
    async with asyncio.timeout(SOON):
        while not happens():
            await asyncio.sleep(0.005)
