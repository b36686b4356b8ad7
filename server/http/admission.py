"""Authentication, then limits: every API handler's first line."""

from __future__ import annotations

from aiohttp import web

from .. import errors
from ..access.keys import Key
from ..access.ratelimit import Verdict
from .context import EXTRA_HEADERS, KEY_NAME, KEYS, LIMITER


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
    return key


def _headers(verdict: Verdict) -> dict[str, str]:
    return {
        "X-RateLimit-Limit": str(verdict.limit),
        "X-RateLimit-Remaining": str(verdict.remaining),
        "X-RateLimit-Reset": str(verdict.reset),
    }
