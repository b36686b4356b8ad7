"""What yt-dlp posts to YouTube's API."""

from __future__ import annotations

import socket
from typing import Any

from aiohttp import web


async def posted(request: web.Request) -> dict[str, Any]:
    """The JSON object in the body. It may be asked for several times."""
    _acknowledge(request)
    try:
        body = await request.json()
    except ValueError:
        raise web.HTTPBadRequest from None
    if not isinstance(body, dict):
        raise web.HTTPBadRequest
    return body


def _acknowledge(request: web.Request) -> None:
    """Has the headers acknowledged at once, where the system can.

    Behind a proxy urllib3 leaves Nagle's algorithm on, so it sends the body only after that acknowledgement, which
    Linux would delay for 40 ms: a third of an extraction.
    """
    connection = request.get_extra_info("socket")
    if connection is not None and hasattr(socket, "TCP_QUICKACK"):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
