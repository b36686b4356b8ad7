"""The conversion API: each handler checks the key, reads the request, calls the engine and renders the result.

A Host that no link can be made of is refused before anything is done or waited for.
"""

from __future__ import annotations

import asyncio
import base64
import functools
import json
import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from aiohttp import web

from .. import errors
from ..access.keys import Key
from ..conversions.archives import Archive
from ..conversions.engine import Engine
from ..jobs import Conversion, Order, Status
from . import request_body
from .admission import admit, waiting
from .context import ARCHIVES, CONFIG, ENGINE, EXTRA_HEADERS, IDEMPOTENCY, REQUEST_ID, WITHOUT_DEADLINE
from .forwarded import base_url
from .representation import to_bytes

#: The longest `Prefer: wait=N` that is honoured, in seconds.
MAX_WAIT = 60
#: Conversions on one page of `GET /status`.
DEFAULT_PAGE, MAX_PAGE = 50, 100
#: The statuses that can be cleared. What runs is cancelled one by one.
CLEARABLE = (Status.COMPLETED, Status.FAILED, Status.CANCELLED, Status.QUEUED)
#: What an archive is called that has no other name.
DEFAULT_NAME = "ytmp3d"
#: Conversions examined before other tasks get a turn.
_STEP = 500
_WAIT = re.compile(r"(?:^|[,;])\s*wait\s*=\s*\"?([0-9]{1,9})\"?\s*(?=$|[,;])", re.IGNORECASE)


async def convert(request: web.Request) -> web.Response:
    """`POST /convert`"""
    key = admit(request)
    raw = await request_body.read(request)
    wanted = await request_body.understood(
        raw, functools.partial(request_body.single, webhook_hosts=webhook_hosts(request))
    )
    base = base_url(request)
    (conversion,) = await once(request, key, b"convert\0" + raw, lambda: accept(request, key, wanted, base))
    await _wait_if_preferred(request, conversion)
    return as_json(to_bytes(conversion, request.app[ENGINE].queue, base))


async def batch_convert(request: web.Request) -> web.Response:
    """`POST /batch-convert`"""
    key = admit(request)
    raw = await request_body.read(request)
    most = request.app[CONFIG].jobs.max_batch
    wanted = await request_body.understood(
        raw, functools.partial(request_body.batch, most=most, webhook_hosts=webhook_hosts(request))
    )
    base = base_url(request)
    conversions = await once(request, key, b"batch\0" + raw, lambda: accept(request, key, wanted, base))
    archive = await request.app[ARCHIVES].create(key.name, conversions, DEFAULT_NAME)
    link = json.dumps(archive_url(archive, base)).encode()
    return as_json(b'{"jobs":[' + _list(request, conversions, base) + b'],"archive_url":' + link + b"}")


async def status(request: web.Request) -> web.Response:
    """`GET /status/{conversion_id}`"""
    conversion = own(request, admit(request))
    base = base_url(request)
    await _wait_if_preferred(request, conversion)
    return as_json(to_bytes(conversion, request.app[ENGINE].queue, base))


async def delete(request: web.Request) -> web.Response:
    """`DELETE /status/{conversion_id}`"""
    conversion = own(request, admit(request))
    base = base_url(request)
    await request.app[ENGINE].remove(conversion)
    return as_json(to_bytes(conversion, request.app[ENGINE].queue, base))


async def list_own(request: web.Request) -> web.Response:
    """`GET /status`"""
    key, base = admit(request), base_url(request)
    query = request.query
    limit = _whole(query.get("limit", str(DEFAULT_PAGE)), '"limit"', 1, MAX_PAGE)
    wanted = query.get("status")
    if wanted is not None and wanted not in {one.value for one in Status}:
        raise errors.InvalidRequest(f'"status" must be one of {", ".join(one.value for one in Status)}.')
    place = _from_cursor(query["cursor"]) if "cursor" in query else None
    found: list[Conversion] = []
    while len(found) <= limit and (some := request.app[ENGINE].table.older(key.name, place, _STEP)):
        found += [one for one in some if wanted in (None, one.status)]
        place = some[-1].place
        await asyncio.sleep(0)  # a key may have a hundred thousand
    page, rest = found[:limit], found[limit:]
    following = b'"' + _to_cursor(page[-1]).encode() + b'"' if rest else b"null"
    head = b'{"key":' + json.dumps(key.name).encode() + b',"jobs":['
    return as_json(head + _list(request, page, base) + b'],"next_cursor":' + following + b"}")


async def clear(request: web.Request) -> web.Response:
    """`DELETE /status`"""
    key, engine = admit(request), request.app[ENGINE]
    if "ids" in request.query:
        if "status" in request.query:
            raise errors.InvalidRequest('Give "status" or "ids", not both.')
        ids = ",".join(request.query.getall("ids")).split(",")
        found = (engine.table.get(one) for one in dict.fromkeys(ids))
        removed = await engine.remove_all([one for one in found if one and one.owner == key.name])
    else:
        removed = await engine.clear(key.name, _clearable(",".join(request.query.getall("status", []))))
    return as_json(b'{"removed":%d}' % removed)


def _clearable(text: str) -> set[Status]:
    wanted = text.split(",")
    if not set(wanted) <= {one.value for one in CLEARABLE}:
        raise errors.InvalidRequest(
            f'"status" must be one or several of {", ".join(CLEARABLE)}, with commas between them.'
        )
    return {Status(one) for one in wanted}


def own(request: web.Request, key: Key) -> Conversion:
    """The key's conversion with the id in the path. Another key's conversion counts as unknown."""
    conversion = request.app[ENGINE].table.get(request.match_info["conversion_id"])
    if conversion is None or conversion.owner != key.name:
        raise errors.ConversionNotFound("There is no conversion with this id, or it has expired.")
    return conversion


def own_one(request: web.Request, key: Key, conversion_id: str) -> Conversion:
    """As `own`, of several that a body names."""
    conversion = request.app[ENGINE].table.get(conversion_id)
    if conversion is None or conversion.owner != key.name or conversion.removed:
        raise errors.ConversionNotFound(f"There is no conversion {conversion_id[:64]!r}, or it has expired.")
    return conversion


def webhook_hosts(request: web.Request) -> tuple[str, ...]:
    return request.app[CONFIG].server.webhook_hosts


async def once(
    request: web.Request, key: Key, fingerprint: bytes, work: Callable[[], Awaitable[list[Conversion]]]
) -> list[Conversion]:
    """What `work` returns, or what it returned to the same request with the same Idempotency-Key."""
    idempotency_key = request.headers.get("Idempotency-Key")
    return await request.app[IDEMPOTENCY].once(key.name, idempotency_key, fingerprint, work)


async def accept(request: web.Request, key: Key, wanted: list[Order], base: str) -> list[Conversion]:
    """All of `wanted`, or nothing. Raises InvalidOption for a webhook that can't be signed, and as `Engine.submit`."""
    if any(order.webhook_url for order in wanted) and not key.webhook_secret:
        raise errors.InvalidOption(
            'This key has no secret to sign webhooks with. Tell the owner: "ytmp3d keys secret NAME" makes one.'
        )
    engine, origin, quota = request.app[ENGINE], request[REQUEST_ID], key.limits.conversions_per_day
    return await engine.submit(key.name, wanted, origin=origin, most_a_day=quota, base_url=base)


async def _wait_if_preferred(request: web.Request, conversion: Conversion) -> None:
    """`Prefer: wait=N` (RFC 7240 §4.3): hold the answer until the conversion ends or N seconds have passed."""
    if "Prefer" not in request.headers:
        return
    found = _WAIT.search(",".join(request.headers.getall("Prefer")))
    if not found:
        return
    seconds = min(int(found[1]), MAX_WAIT)
    request[EXTRA_HEADERS]["Preference-Applied"] = f"wait={seconds}"
    request[WITHOUT_DEADLINE] = True
    async with waiting(request):
        await until_finished(request.app[ENGINE], conversion, seconds)


async def until_finished(engine: Engine, conversion: Conversion, seconds: float) -> None:
    """Return when `conversion` has ended, the server shuts down, or `seconds` have passed."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while not (conversion.finished or engine.draining):
        left = deadline - loop.time()
        if left <= 0 or not await conversion.job.changed.wait(left):
            return


def _list(request: web.Request, conversions: list[Conversion], base: str) -> bytes:
    queue = request.app[ENGINE].queue
    return b",".join(to_bytes(conversion, queue, base) for conversion in conversions)


def as_list(request: web.Request, conversions: list[Conversion], base: str) -> web.Response:
    return as_json(b'{"jobs":[' + _list(request, conversions, base) + b"]}")


def archive_url(archive: Archive, base: str) -> str:
    return f"{base}/static/downloads/{archive.id}.zip"


def as_json(content: bytes) -> web.Response:
    return web.Response(body=content, content_type="application/json", headers={"Cache-Control": "no-store"})


def _to_cursor(conversion: Conversion) -> str:
    moment, conversion_id = conversion.place
    return base64.urlsafe_b64encode(f"{moment.isoformat()} {conversion_id}".encode()).decode().rstrip("=")


def _from_cursor(cursor: str) -> tuple[datetime, str]:
    try:
        moment, _, conversion_id = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode().partition(" ")
        return datetime.fromisoformat(moment).astimezone(UTC), conversion_id
    except (ValueError, OverflowError):
        raise errors.InvalidRequest('"cursor" must be the next_cursor of an earlier answer.') from None


def _whole(text: str, name: str, low: int, high: int) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 9 or not low <= int(text) <= high:
        raise errors.InvalidRequest(f"{name} must be a whole number from {low} to {high}.")
    return int(text)
