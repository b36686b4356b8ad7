"""Safe retries: the same Idempotency-Key and body answer the first result again (api.md §3). In memory."""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from server import errors
from server.jobs import Conversion

#: How long a result is remembered, in seconds, and how many are at most; beyond, the oldest go.
LIFETIME = 24 * 3600.0
MAX_KEPT = 10_000


@dataclass
class _Kept:
    fingerprint: bytes
    expires: float  # monotonic
    result: asyncio.Future[list[Conversion]]


class Idempotency:
    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, str], _Kept] = OrderedDict()

    async def once(
        self, owner: str, key: str | None, request: bytes, submit: Callable[[], Awaitable[list[Conversion]]]
    ) -> list[Conversion]:
        """What `submit` returns, or what it returned for this `owner` and `key` before.

        A request that comes while the first is still under way waits for it. A failure is not kept: it may be tried
        again. Raises IdempotencyMismatch when `request` differs, InvalidRequest when `key` is malformed.
        """
        if key is None:
            return await submit()
        if not 1 <= len(key) <= 255 or not key.isascii() or not key.isprintable():
            raise errors.InvalidRequest("Idempotency-Key must be 1 to 255 printable ASCII characters.")
        loop = asyncio.get_running_loop()
        fingerprint = hashlib.sha256(request).digest()
        kept = self._kept.get((owner, key))
        if kept and (kept.expires > loop.time() or not kept.result.done()):
            if kept.fingerprint != fingerprint:
                raise errors.IdempotencyMismatch("This Idempotency-Key was used with another request before.")
            return await asyncio.shield(kept.result)
        kept = self._kept[owner, key] = _Kept(fingerprint, loop.time() + LIFETIME, loop.create_future())
        self._kept.move_to_end((owner, key))
        while len(self._kept) > MAX_KEPT:
            self._kept.popitem(last=False)
        try:
            result = await submit()
        except BaseException as error:
            if self._kept.get((owner, key)) is kept:
                del self._kept[owner, key]
            if isinstance(error, Exception):
                kept.result.set_exception(error)
                kept.result.exception()  # nobody else may be waiting for it
            else:
                kept.result.cancel()
            raise
        kept.result.set_result(result)
        return result
