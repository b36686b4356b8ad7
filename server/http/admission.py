"""Authentication, then limits: every API handler's first line."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from .. import errors
from ..access.keys import Key
from ..access.ratelimit import Verdict
from .context import ENGINE, EXTRA_HEADERS, KEY_NAME, KEYS, LIMITER, LONG_ANSWERS
from .protocol import held


def admit(request: web.Request) -> Key:
    """The key that asks, charged with one request; the rate-limit headers go on whatever is answered.

    Raises Unauthorized, KeyDisabled or RateLimited. Synchronous, so that a burst cannot slip in between.
    """
    app = request.app
    key = app[KEYS].authenticate(request.headers.get("Authorization"))
    request[KEY_NAME] = key.name
    verdict = app[LIMITER].charge(key.name, key.limits)
    headers = request[EXTRA_HEADERS] = _headers(verdict)
    if not verdict.allowed:
        headers["Retry-After"] = str(verdict.retry_after)
        raise errors.RateLimited(
            f"This key's limit of {verdict.limit} requests a {verdict.window} is reached. "
            f"Try again in {verdict.retry_after} s."
        )
    app[ENGINE].use.count(key.name, requests=1)
    app[ENGINE].seen.note(key.name)
    return key


@asynccontextmanager
async def waiting(request: web.Request) -> AsyncIterator[None]:
    """A block that may take long while an admitted request is answered.

    It ends with ConnectionResetError when the client has gone, with Unauthorized or KeyDisabled when its key is
    revoked.
    """
    try:
        async with request.app[LONG_ANSWERS].one(request.headers.get("Authorization")), held(request):
            yield
    except (errors.Unauthorized, errors.KeyDisabled):
        request[EXTRA_HEADERS] = {}  # those of a key that was accepted
        raise


def _headers(verdict: Verdict) -> dict[str, str]:
    return {
        "X-RateLimit-Limit": str(verdict.limit),
        "X-RateLimit-Remaining": str(verdict.remaining),
        "X-RateLimit-Reset": str(verdict.reset),
    }
