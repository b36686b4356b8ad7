"""A refusal as an answer: in the one form that every error has, or as a page to a person."""

from __future__ import annotations

import json

from aiohttp import web

from .. import errors
from ..printable import printable
from .error_page import page, prefers_html

#: For every answer; the page loads nothing but its own files. Whoever looks for a weak version learns none.
SECURITY_HEADERS = {
    "Server": "ytmp3d",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
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
