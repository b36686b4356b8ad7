"""`POST /playlist`: looks at a list of videos and converts nothing."""

from __future__ import annotations

import asyncio
import functools
import json
from typing import Any

from aiohttp import web

from .. import errors, youtube_url
from ..media.playlists import Playlist
from . import request_body
from .admission import admit, waiting
from .context import CONFIG, ENGINE, PLAYLISTS, WITHOUT_DEADLINE
from .request_options import kind

#: Videos of which more are rendered in a thread: five hundred would block the loop for milliseconds.
_MANY = 50


async def playlist(request: web.Request) -> web.Response:
    """`POST /playlist`"""
    key = admit(request)
    raw = await request_body.read(request)
    ask = functools.partial(_wanted, most=request.app[CONFIG].jobs.max_playlist)
    link, limit = await request_body.understood(raw, ask)
    if request.app[ENGINE].draining:
        raise errors.ShuttingDown("The server is shutting down. Try again in a moment.", retry_after=5)
    request[WITHOUT_DEADLINE] = True
    async with waiting(request):
        found = await request.app[PLAYLISTS].listed(key.name, link, limit)
    body = _rendered(found) if len(found.videos) <= _MANY else await asyncio.to_thread(_rendered, found)
    return web.Response(body=body, content_type="application/json", headers={"Cache-Control": "no-store"})


def _wanted(fields: dict[str, Any], *, most: int) -> tuple[youtube_url.ListLink, int]:
    """The list, and how many of its videos. Raises InvalidRequest or InvalidUrl."""
    url, limit = fields.get("url"), fields.get("limit")
    if url is None:
        raise errors.InvalidRequest('"url" is missing: a link to a playlist, an album, a channel or a mix.')
    if not isinstance(url, str):
        raise errors.InvalidRequest(f'"url" must be a string, not {kind(url)}.')
    if limit is None:
        limit = most
    elif isinstance(limit, float) and limit.is_integer():
        limit = int(limit)  # in JSON 5.0 is the number 5
    if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= most:
        raise errors.InvalidRequest(f'"limit" must be a whole number from 1 to {most}.')
    return youtube_url.playlist(url), limit


def _rendered(found: Playlist) -> bytes:
    answer = {
        "playlist_id": found.list_id,
        "title": found.title,
        "channel": found.channel,
        "count": found.count,
        "truncated": found.truncated,
        "videos": [{"url": youtube_url.canonical_url(one["video_id"]), **one} for one in found.videos],
    }
    return json.dumps(answer, ensure_ascii=False, separators=(",", ":")).encode()
