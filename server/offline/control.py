"""The control API of offline mode: rules, counts, and a fresh start, for the key that asks. It exists offline only.

Every request names its key as any other request does, and concerns that key alone. It counts for no limit.
"""

from __future__ import annotations

import asyncio
import json
import math
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from .. import errors
from ..access.keys import Key
from ..config import LimitsConfig, whole_number
from ..http import request_body
from ..http.admission import admit
from ..http.api import as_json
from ..http.context import ARCHIVES, ENGINE, EXTRA_HEADERS, IDEMPOTENCY, KEY_NAME, KEYS, LIMITER
from ..http.pages import STATIC
from ..http.protocol import held
from ..jobs import Status
from .keys import UNLIMITED, WEBHOOK_SECRET
from .rules import Rule, Rules, parsed
from .shaping import shape

#: Keys that were made here and are accepted; the oldest makes room.
MOST_KEYS = 1000
_DOWNLOADS = "/static/downloads/"
#: What `POST /_offline/reset` can begin anew.
PARTS = ("rules", "limits", "conversions")


def operations() -> dict[str, bool]:
    """Every operation that belongs to a key, and whether it needs one; downloads belong to a key, too. Blocking."""
    paths = json.loads((STATIC / "openapi.json").read_text("utf-8"))["paths"]
    return {
        f"{method.upper()} {path}": bool(one["security"])
        for path, item in paths.items()
        for method, one in item.items()
        if one["security"] or path.startswith(_DOWNLOADS)
    }


class Control:
    def __init__(self, presets: Mapping[str, tuple[Rule, ...]], known: Mapping[str, bool]) -> None:
        """`presets` are rules that keys have from the start; `known` is what `operations` returned."""
        self._rules = Rules(presets)
        self._operations = known
        self._made: OrderedDict[str, LimitsConfig] = OrderedDict()

    @property
    def routes(self) -> tuple[tuple[str, str, Handler], ...]:
        return (
            ("POST", "/_offline/keys", self.make_key),
            ("GET", "/_offline/rules", self.list_rules),
            ("POST", "/_offline/rules", self.add_rule),
            ("DELETE", "/_offline/rules", self.remove_rules),
            ("GET", "/_offline/requests", self.list_requests),
            ("POST", "/_offline/reset", self.reset),
        )

    # ---- the rules at work

    def middleware(self) -> Middleware:
        @web.middleware
        async def ruled(request: web.Request, handler: Handler) -> web.StreamResponse:
            resource = request.match_info.route.resource
            operation = f"{request.method} {resource.canonical}" if resource else ""
            keyed = self._operations.get(operation)
            if keyed is None or request.match_info.http_exception is not None:
                return await handler(request)
            owner = self._owner(request, keyed=keyed)
            rule = self._rules.fired(owner, operation, keyed=keyed) if owner else None
            if rule is None:
                return await handler(request)
            if rule.delay:
                async with held(request):
                    await asyncio.sleep(rule.delay)
            if rule.rate or rule.cut_after is not None:
                shape(request, rule.rate, rule.cut_after)
            if rule.code:
                raise _refusal(request, rule, rule.code, keyed=keyed)
            return await handler(request)

        return ruled

    def _owner(self, request: web.Request, *, keyed: bool) -> str | None:
        """Whose request it is; None if that is nobody whom rules could concern."""
        if keyed:
            try:
                return request.app[KEYS].authenticate(request.headers.get("Authorization")).name
            except (errors.Unauthorized, errors.KeyDisabled):
                return None
        if "archive_id" in request.match_info:
            found = request.app[ARCHIVES].get(request.match_info["archive_id"])
            return found[0].owner if found else None
        conversion = request.app[ENGINE].table.get(request.match_info["conversion_id"])
        return conversion.owner if conversion else None

    # ---- the control API

    async def make_key(self, request: web.Request) -> web.Response:
        """`POST /_offline/keys` with limits, all of them optional: a new key without other limits."""
        _key(request)
        given = await _body(request)
        limits: dict[str, int] = {}
        known = [one.name for one in fields(LimitsConfig)]
        for name, value in given.items():
            if name not in known:
                raise errors.InvalidRequest(f'A key has no "{name}". It may have: {", ".join(known)}.')
            try:
                limits[name] = whole_number(LimitsConfig, name, value)
            except ValueError as expected:
                raise errors.InvalidRequest(f'"{name}" must be {expected}.') from None
        plain = f"test-{secrets.token_hex(8)}"
        keys = request.app[KEYS]
        key = Key(plain, replace(UNLIMITED, **limits), webhook_secret=WEBHOOK_SECRET)
        keys.accept(plain, key)
        self._made[plain] = key.limits
        if len(self._made) > MOST_KEYS:
            oldest, its_limits = self._made.popitem(last=False)
            keys.refuse(oldest)
            self._rules.forget(oldest)
            request.app[LIMITER].forget(oldest, its_limits)
            request.app[IDEMPOTENCY].forget(oldest)
            request.app[ENGINE].seen.forget(oldest)
        return _json({"key": plain})

    async def list_rules(self, request: web.Request) -> web.Response:
        """`GET /_offline/rules`"""
        return _json({"rules": [rule.fields() for rule in self._rules.of(_key(request).name).rules]})

    async def add_rule(self, request: web.Request) -> web.Response:
        """`POST /_offline/rules`"""
        key = _key(request)
        downloads = {name for name, keyed in self._operations.items() if not keyed}
        rule = parsed(await _body(request), self._operations, downloads)
        return _json(self._rules.add(key.name, rule).fields())

    async def remove_rules(self, request: web.Request) -> web.Response:
        """`DELETE /_offline/rules`: all of the key's."""
        rules = self._rules.of(_key(request).name).rules
        removed = len(rules)
        rules.clear()
        return _json({"removed": removed})

    async def list_requests(self, request: web.Request) -> web.Response:
        """`GET /_offline/requests`: how often the key asked for what since its last reset."""
        return _json({"requests": dict(self._rules.of(_key(request).name).asked)})

    async def reset(self, request: web.Request) -> web.Response:
        """`POST /_offline/reset`: the key is as new; with `only`, in these parts."""
        key, app = _key(request), request.app
        given = await _body(request)
        only = given.get("only", list(PARTS))
        if not isinstance(only, list) or not all(one in PARTS for one in only) or given.keys() - {"only"}:
            raise errors.InvalidRequest(f'The body may have "only", an array of some of: {", ".join(PARTS)}.')
        if "rules" in only:
            self._rules.of(key.name).reset()
        if "conversions" in only:
            await app[ENGINE].clear(key.name, set(Status))
            await app[ENGINE].clear(key.name, {Status.CANCELLED})  # what was unfinished
        if "limits" in only:
            app[LIMITER].forget(key.name, key.limits)
            app[IDEMPOTENCY].forget(key.name)
            app[ENGINE].use.forgive(key.name)
        return _json({"reset": only})


def _key(request: web.Request) -> Key:
    """The key that asks. Raises Unauthorized or KeyDisabled."""
    key = request.app[KEYS].authenticate(request.headers.get("Authorization"))
    request[KEY_NAME] = key.name
    return key


async def _body(request: web.Request) -> dict[str, Any]:
    """The JSON object that was sent; nothing is an empty one."""
    raw = await request_body.read(request)
    return await request_body.understood(raw, dict) if raw else {}


def _json(value: Any) -> web.Response:
    return as_json(json.dumps(value, ensure_ascii=False).encode())


def _refusal(request: web.Request, rule: Rule, code: str, *, keyed: bool) -> errors.RequestError:
    """The error, with the headers that it has in earnest; it is charged to the key where it would be."""
    error: type[errors.RequestError] = errors.REQUEST_ERRORS[code]
    if code == "RATE_LIMITED":
        request[EXTRA_HEADERS] = _used_up(request, rule.retry_after)
    elif keyed and code not in ("UNAUTHORIZED", "KEY_DISABLED"):
        admit(request)
    make: Callable[..., errors.RequestError] = error
    if issubclass(error, errors.Unavailable | errors.QuotaExceeded):
        return make(rule.message, retry_after=rule.retry_after)
    return make(rule.message)


def _used_up(request: web.Request, seconds: int) -> dict[str, str]:
    limits = request.app[KEYS].authenticate(request.headers.get("Authorization")).limits
    return {
        "X-RateLimit-Limit": str(limits.per_minute),
        "X-RateLimit-Remaining": "0",
        "X-RateLimit-Reset": str(math.ceil(time.time() + seconds)),
        "Retry-After": str(seconds),
    }
