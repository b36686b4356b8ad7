"""Renders an error: as JSON, or as a page for a person's browser."""

from __future__ import annotations

import json

from aiohttp import web

from .. import errors
from ..printable import printable
from .error_page import page, prefers_html

#: Headers of every answer. The page loads only its own files. `Server` names no version, which would help attackers.
SECURITY_HEADERS = {
    "Server": "ytmp3d",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self'; "
        "connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
}


def error_response(error: errors.RequestError, *, accept: str = "", root: str = "") -> web.Response:
    """As JSON, or as a page where the client's Accept header prefers that; `root` is what the page's links begin with.

    No cache keeps it, for who asks next may want the other.
    """
    headers = {"Cache-Control": "no-store", **error.headers}
    if prefers_html(accept):
        content = page(error, root)
        return web.Response(
            body=content, status=error.status, headers=headers, content_type="text/html", charset="utf-8"
        )
    return web.Response(body=envelope(error), status=error.status, headers=headers, content_type="application/json")


def envelope(error: errors.RequestError) -> bytes:
    return json.dumps({"error": {"code": error.code, "message": printable(error.message)}}, ensure_ascii=False).encode()
