"""`POST /retry`: ask again for what failed or was cancelled. The new conversions take the place of the old."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from ..jobs import Conversion, Order, Status
from . import request_body
from .admission import admit
from .api import MAX_PAGE, accept, as_list, once, own_one, webhook_hosts
from .context import ENGINE
from .forwarded import base_url
from .request_options import webhook_url

_AGAIN = (Status.FAILED, Status.CANCELLED)


async def retry(request: web.Request) -> web.Response:
    """`POST /retry`"""
    key = admit(request)
    raw = await request_body.read(request)

    def wanted(fields: dict[str, Any]) -> tuple[list[str], str]:
        return request_body.conversion_ids(fields, most=MAX_PAGE), webhook_url(fields, webhook_hosts(request))

    ids, webhook = await request_body.understood(raw, wanted)
    base = base_url(request)

    async def again() -> list[Conversion]:
        named = [own_one(request, key, one) for one in ids]
        old = [one for one in dict.fromkeys(named) if one.status in _AGAIN]
        fresh = await accept(request, key, [_order(one, webhook) for one in old], base) if old else []
        await request.app[ENGINE].remove_all(old)  # what a crash leaves here is there twice, and nothing is lost
        instead = dict(zip(old, fresh, strict=True))
        return [instead.get(one, one) for one in named]

    return as_list(request, await once(request, key, b"retry\0" + raw, again), base)


def _order(old: Conversion, webhook: str) -> Order:
    recipe = old.job.recipe
    return Order(recipe.video_id, old.quality, recipe.clip, recipe.loudness, webhook)
