"""`POST /archives`: one link for many conversions. What it answers is made by `archive_download.py`."""

from __future__ import annotations

import json
from typing import Any

from aiohttp import web

from .. import errors, naming
from . import request_body
from .admission import admit
from .api import DEFAULT_NAME, archive_url, as_json, own_one
from .context import ARCHIVES
from .forwarded import base_url
from .request_options import kind

#: Conversions in one archive.
MAX_MEMBERS = 1000
#: Characters of an archive's name.
MAX_NAME = 200


async def create(request: web.Request) -> web.Response:
    """`POST /archives`"""
    key = admit(request)
    ids, name = await request_body.understood(await request_body.read(request), _wanted)
    base = base_url(request)
    conversions = [own_one(request, key, one) for one in ids]
    archive = await request.app[ARCHIVES].create(key.name, conversions, name)
    answer = {"archive_id": archive.id, "archive_url": archive_url(archive, base), "count": len(archive.conversion_ids)}
    return as_json(json.dumps(answer).encode())


def _wanted(fields: dict[str, Any]) -> tuple[list[str], str]:
    """The conversions' ids, and the archive's name. Raises InvalidRequest."""
    ids = request_body.conversion_ids(fields, most=MAX_MEMBERS)
    name = fields.get("name")
    if name is None:
        return ids, DEFAULT_NAME
    if not isinstance(name, str):
        raise errors.InvalidRequest(f'"name" must be a string, not {kind(name)}.')
    if len(name) > MAX_NAME:
        raise errors.InvalidRequest(f'"name" has {len(name)} characters; at most {MAX_NAME} are allowed.')
    return ids, naming.safe(name) or DEFAULT_NAME
