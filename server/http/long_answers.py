"""Answers that take long: a revoked key ends them, too."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from .. import errors
from ..access.keys import Keys


@dataclass(eq=False)
class _Answer:
    authorization: str | None
    scope: asyncio.Timeout = field(default_factory=lambda: asyncio.timeout(None))
    refusal: errors.RequestError | None = None


class LongAnswers:
    """The long answers in progress. Each ends when its key is no longer accepted."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self._under_way: set[_Answer] = set()
        keys.listeners.append(self._look_again)

    @asynccontextmanager
    async def one(self, authorization: str | None) -> AsyncIterator[None]:
        """A block that ends with Unauthorized or KeyDisabled when the key in `authorization` is revoked."""
        answer = _Answer(authorization)
        self._under_way.add(answer)
        try:
            async with answer.scope:
                yield
        except TimeoutError:
            if answer.refusal is None:
                raise
            raise answer.refusal from None
        finally:
            self._under_way.discard(answer)

    def _look_again(self) -> None:
        now = asyncio.get_running_loop().time()
        for answer in list(self._under_way):
            try:
                self._keys.authenticate(answer.authorization)
            except errors.RequestError as error:
                self._under_way.discard(answer)
                answer.refusal = error
                answer.scope.reschedule(now)
