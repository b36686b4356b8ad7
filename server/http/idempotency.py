"""Safe retries: the same Idempotency-Key and body answer the first result again (api.md §3). In memory."""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from .. import errors
from ..jobs import Conversion

#: How many seconds a result is remembered, and how many conversions per API key; beyond that the oldest are forgotten.
LIFETIME = 24 * 3600.0
MAX_KEPT = 50_000


@dataclass(eq=False)
class _Kept:
    fingerprint: bytes
    expires: float  # monotonic
    result: asyncio.Future[list[Conversion]]


class _Results:
    """The results of one API key, oldest first."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._conversions = 0

    def get(self, key: str) -> _Kept | None:
        return self._kept.get(key)

    def put(self, key: str, kept: _Kept) -> None:
        if old := self._kept.pop(key, None):
            self._conversions -= len(old.result.result())
        self._kept[key] = kept

    def drop(self, key: str, kept: _Kept) -> None:
        """Its request has failed."""
        if self._kept.get(key) is kept:
            del self._kept[key]

    def shrink(self, added: int) -> None:
        """Make room for a result of `added` conversions. Unfinished requests are kept."""
        self._conversions += added
        while self._conversions > MAX_KEPT:
            key = next(key for key, kept in self._kept.items() if kept.result.done())
            self._conversions -= len(self._kept.pop(key).result.result())


class Idempotency:
    def __init__(self) -> None:
        self._owners: dict[str, _Results] = {}  # at most one per API key

    def forget(self, owner: str) -> None:
        """Take what `owner` sends next for new."""
        self._owners.pop(owner, None)

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
        results = self._owners.setdefault(owner, _Results())
        kept = results.get(key)
        if kept and (kept.expires > loop.time() or not kept.result.done()):
            if kept.fingerprint != fingerprint:
                raise errors.IdempotencyMismatch("This Idempotency-Key was used with another request before.")
            return await asyncio.shield(kept.result)
        kept = _Kept(fingerprint, loop.time() + LIFETIME, loop.create_future())
        results.put(key, kept)
        try:
            result = await submit()
        except BaseException as error:
            results.drop(key, kept)
            if isinstance(error, Exception):
                kept.result.set_exception(error)
                kept.result.exception()  # nobody else may be waiting for it
            else:
                kept.result.cancel()
            raise
        kept.result.set_result(result)
        results.shrink(len(result))
        return result
