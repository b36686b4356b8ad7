"""Work that is finished whatever cancellations arrive, so that no child, file or folder is lost half way."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")


async def finished(work: Awaitable[T]) -> T:
    """What `work` returns or raises. It runs to its end even when the caller is cancelled, who hears of that then."""
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        if not task.cancelled():
            task.exception()  # fetched, so that nobody logs it as forgotten
        raise cancelled
    return task.result()


async def started(start: Coroutine[Any, Any, T], undo: Callable[[T], Coroutine[Any, Any, None]]) -> T:
    """What `start` returns; when the caller is cancelled meanwhile, it is let finish and undone."""
    task = asyncio.ensure_future(start)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        with suppress(Exception):
            await finished(undo(await finished(task)))
        raise
