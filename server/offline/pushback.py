"""YouTube that pushes back: answers that take long, and addresses that are taken for bots after some videos."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from ..config import OfflineConfig
from .behaviours import Reserved
from .catalogue import RESERVED

#: What an address that is taken for a bot is shown of every video.
_REFUSAL = RESERVED["x-bot------"]
#: Addresses that are remembered.
MOST_ADDRESSES = 1000


@dataclass
class _Visitor:
    asked: int = 0
    blocked_until: float | None = None


class PushBack:
    """Counts the videos that each address asks for. `settings` say after how many it is blocked, and for how long."""

    def __init__(self, settings: OfflineConfig, clock: Callable[[], float] = time.monotonic) -> None:
        self._after, self._seconds = settings.block_after, settings.block_seconds
        self._clock = clock
        self._visitors: dict[str, _Visitor] = {}

    def count(self, address: str) -> None:
        """One video more is asked for."""
        if not self._after:
            return
        visitor = self._visitor(address)
        visitor.asked += 1
        if visitor.asked > self._after and visitor.blocked_until is None:
            visitor.blocked_until = self._clock() + self._seconds

    def shown(self, address: str, entry: Reserved) -> Reserved:
        """What `address` gets instead of `entry`, if it is blocked now."""
        if self._after and self._visitor(address).blocked_until is not None:
            return dataclasses.replace(_REFUSAL, video_id=entry.video_id)
        return entry

    def _visitor(self, address: str) -> _Visitor:
        visitor = self._visitors.pop(address, None)
        if visitor is None or (visitor.blocked_until is not None and self._clock() >= visitor.blocked_until):
            visitor = _Visitor()
        self._visitors[address] = visitor
        if len(self._visitors) > MOST_ADDRESSES:
            del self._visitors[next(iter(self._visitors))]
        return visitor


def latency(milliseconds: int) -> Middleware:
    """Has each answer begin so much later."""

    @web.middleware
    async def late(request: web.Request, handler: Handler) -> web.StreamResponse:
        await asyncio.sleep(milliseconds / 1000)
        return await handler(request)

    return late
