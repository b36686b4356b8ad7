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
#: Seconds over which the updates of many servers are spread.
SPREAD = 3600.0
#: Seconds between two checks whether the server is idle.
LOOK = 20.0
#: Seconds after which the update runs anyway: it slows running conversions but does not disturb them.
PATIENCE = 6 * 3600.0


async def update_daily(stamp: Path, busy: Callable[[], bool], update: Callable[[], Awaitable[None]]) -> None:
    """Update daily until cancelled. The time of the file `stamp` is that of the last update, also across restarts."""
    while True:
        last = await asyncio.to_thread(_last, stamp)
        await asyncio.sleep(max(0.0, last + DAY - time.time()) + random.uniform(0, SPREAD))  # noqa: S311  # no secret
        waited = 0.0
        while busy() and waited < PATIENCE:
            await asyncio.sleep(LOOK)
            waited += LOOK
        try:
            await asyncio.to_thread(stamp.touch)
        except OSError as error:
            log.warning("no update: %s cannot be written: %s", stamp, error.strerror)
            continue
        await update()


def _last(stamp: Path) -> float:
    try:
        return stamp.stat().st_mtime
    except OSError:
        return 0.0
