"""`[ytdlp] update = "daily"`: runs `update` once a day, at a moment without conversions."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

log = logging.getLogger(__name__)

DAY = 86_400.0
#: Seconds that an update may take.
TIMEOUT = 1800.0
#: Seconds over which many servers spread their look for updates.
SPREAD = 3600.0
#: Seconds between two looks whether nothing runs.
LOOK = 20.0
#: Seconds after which it is done all the same: running conversions are not disturbed, only slowed.
PATIENCE = 6 * 3600.0


async def update_daily(stamp: Path, busy: Callable[[], bool], update: Callable[[], Awaitable[None]]) -> None:
    """For ever. The time of `stamp`, a file, is when the last update was tried, also across restarts."""
    while True:
        last = await asyncio.to_thread(_last, stamp)
        await asyncio.sleep(max(0.0, last + DAY - time.time()) + random.uniform(0, SPREAD))  # noqa: S311  # no secret
        waited = 0.0
        while busy() and waited < PATIENCE:
            await asyncio.sleep(LOOK)
            waited += LOOK
        await asyncio.to_thread(stamp.touch)
        await update()


def _last(stamp: Path) -> float:
    try:
        return stamp.stat().st_mtime
    except OSError:
        return 0.0
