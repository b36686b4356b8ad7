"""Reserved API keys: faults of the API on demand, for who tests a client. They exist in offline mode only."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from aiohttp import web
from aiohttp.typedefs import Middleware

from .. import errors
from ..access.keys import Key
from ..config import LimitsConfig
from ..http.admission import admit
from ..http.context import ASSETS
from .catalogue import RESERVED
from .playlists import RESERVED_LISTS

#: Every so many requests of the failing key are answered 500.
FAIL_EVERY = 3
#: Seconds added to every answer of the slow key.
LATENCY = 2.0

#: What the webhooks of every key in offline mode are signed with; it is as public as the keys.
WEBHOOK_SECRET = "whsec_eXRtcDNkIG9mZmxpbmUgbW9kZTogbm8gc2VjcmV0IQ=="  # noqa: S105  # on purpose
_PUBLISHED = LimitsConfig(100, 1000, 10_000)
_UNLIMITED = LimitsConfig(*(1_000_000_000,) * 3)
_TINY_QUOTA = replace(_UNLIMITED, conversions_per_day=3)


@dataclass(frozen=True)
class ReservedKey:
    """A key and what happens to who uses it, in a line for the docs."""

    key: str
    limits: LimitsConfig
    behaviour: str
    disabled: bool = False


TABLE = (
    ReservedKey("test-unlimited", _UNLIMITED, "No limits that a test suite could meet."),
    ReservedKey("test-tiny-limits", LimitsConfig(3, 1000, 10_000), "429 RATE_LIMITED after 3 requests in a minute."),
    ReservedKey("test-tiny-quota", _TINY_QUOTA, "429 QUOTA_EXCEEDED after 3 conversions in a day (UTC)."),
    ReservedKey("test-disabled", _PUBLISHED, "403 KEY_DISABLED.", disabled=True),
    ReservedKey("test-failing", _UNLIMITED, f"Every {FAIL_EVERY}rd request is answered 500 INTERNAL_ERROR, unserved."),
    ReservedKey("test-slow", _UNLIMITED, f"Every answer comes {LATENCY:g} seconds late."),
)
RESERVED_KEYS = {one.key: Key(one.key, one.limits, one.disabled, WEBHOOK_SECRET) for one in TABLE}


def offline_faults() -> Middleware:
    """The middleware that makes the failing key fail and the slow one slow, and lists all in the description."""
    asked: Counter[str] = Counter()

    @web.middleware
    async def faults(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        if request.match_info.http_exception is not None:  # no such route: that comes first, as it does online
            return await handler(request)
        if request.path == "/openapi.json":
            return await _description(request)
        key = request.headers.get("Authorization", "").partition(" ")[2].strip()
        if key == "test-slow":
            await asyncio.sleep(LATENCY)
        elif key == "test-failing":
            asked[key] += 1
            if asked[key] % FAIL_EVERY == 0:
                admit(request)
                raise errors.InternalError("This key fails on every third request, as it should.")
        return await handler(request)

    return faults


async def _description(request: web.Request) -> web.Response:
    text = await asyncio.to_thread(request.app[ASSETS]["openapi.json"].path.read_text, "utf-8")
    content = json.dumps({**json.loads(text), "x-reserved": reserved()}).encode()
    etag = hashlib.sha256(content).hexdigest()[:32]
    headers = {"Cache-Control": "no-cache", "ETag": f'"{etag}"'}
    if any(one.value in (etag, "*") for one in request.if_none_match or ()):
        return web.Response(status=304, headers=headers)
    return web.Response(body=content, headers=headers, content_type="application/json")


def reserved() -> dict[str, list[dict[str, str]]]:
    """Every reserved video, playlist and key, as the docs show them."""
    return {
        "videos": [{"id": one.video_id, "outcome": one.outcome, "summary": one.summary} for one in RESERVED.values()],
        "playlists": [
            {"id": one.list_id, "outcome": one.outcome, "summary": one.summary} for one in RESERVED_LISTS.values()
        ],
        "keys": [{"key": one.key, "behaviour": one.behaviour} for one in TABLE],
    }
