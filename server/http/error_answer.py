"""A refusal as an answer, in the one form that every error has."""

from __future__ import annotations

import json

from aiohttp import web

from .. import errors
from ..printable import printable

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


def error_response(error: errors.RequestError) -> web.Response:
    return web.Response(
        body=envelope(error), status=error.status, headers=error.headers, content_type="application/json"
    )


def envelope(error: errors.RequestError) -> bytes:
    return json.dumps({"error": {"code": error.code, "message": printable(error.message)}}, ensure_ascii=False).encode()
