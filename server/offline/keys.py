"""Reserved API keys: faults of the API on demand, for who tests a client. They exist in offline mode only."""

from __future__ import annotations

import asyncio
import hashlib
import json
from dataclasses import dataclass, replace

from aiohttp import web
from aiohttp.typedefs import Handler

from ..access.keys import Key
from ..config import LimitsConfig
from ..http.context import ASSETS
from .catalogue import RESERVED
from .playlists import RESERVED_LISTS
from .rules import Rule

#: Every so many requests of the failing key are answered 500.
FAIL_EVERY = 3
#: Seconds added to every answer of the slow key.
LATENCY = 2.0

#: What the webhooks of every key in offline mode are signed with; it is as public as the keys.
WEBHOOK_SECRET = "whsec_eXRtcDNkIG9mZmxpbmUgbW9kZTogbm8gc2VjcmV0IQ=="  # noqa: S105  # on purpose
_PUBLISHED = LimitsConfig(100, 1000, 10_000)
UNLIMITED = LimitsConfig(*(1_000_000_000,) * 3)
_TINY_QUOTA = replace(UNLIMITED, conversions_per_day=3)


@dataclass(frozen=True)
class ReservedKey:
    """A key and what happens to who uses it, in a line for the docs."""

    key: str
    limits: LimitsConfig
    behaviour: str
    disabled: bool = False
    rules: tuple[Rule, ...] = ()


_FAILING = Rule(
    when="every",
    number=FAIL_EVERY,
    code="INTERNAL_ERROR",
    message="This key fails on every third request, as it should.",
)
TABLE = (
    ReservedKey("test-unlimited", UNLIMITED, "No limits that a test suite could meet."),
    ReservedKey("test-tiny-limits", LimitsConfig(3, 1000, 10_000), "429 RATE_LIMITED after 3 requests in a minute."),
    ReservedKey("test-tiny-quota", _TINY_QUOTA, "429 QUOTA_EXCEEDED after 3 conversions in a day (UTC)."),
    ReservedKey("test-disabled", _PUBLISHED, "403 KEY_DISABLED.", disabled=True),
    ReservedKey(
        "test-failing",
        UNLIMITED,
        f"Every {FAIL_EVERY}rd request is answered 500 INTERNAL_ERROR, unserved.",
        rules=(_FAILING,),
    ),
    ReservedKey(
        "test-slow",
        UNLIMITED,
        f"Every answer comes {LATENCY:g} seconds late.",
        rules=(Rule(when="every", delay=LATENCY),),
    ),
)
RESERVED_KEYS = {one.key: Key(one.key, one.limits, one.disabled, WEBHOOK_SECRET) for one in TABLE}


#: The rules that keys have from the start.
PRESETS = {one.key: one.rules for one in TABLE if one.rules}


@web.middleware
async def described(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Lists everything reserved in the description."""
    if request.path == "/openapi.json" and request.match_info.http_exception is None:
        return await _description(request)
    return await handler(request)


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
