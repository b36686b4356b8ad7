"""One connection: aiohttp's, except for what it answers to what is not HTTP, and what it logs of clients that leave."""

from __future__ import annotations

import logging
import secrets

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from .. import errors
from .error_answer import SECURITY_HEADERS, error_response

log = logging.getLogger(__name__)


class Server(web.Server):
    def __call__(self) -> RequestHandler:
        return Protocol(self, loop=self._loop, **self._kwargs)


class Protocol(RequestHandler):
    """aiohttp's connection, except for the text it answers to what is not HTTP."""

    __slots__ = ()

    def connection_lost(self, exc: BaseException | None) -> None:
        if isinstance(exc, OSError) and not isinstance(exc, ConnectionError):
            lost = ConnectionResetError(f"the connection was lost: {exc.strerror}")
            lost.__cause__ = exc  # such as no route to the client any more, which is no fault of the handler's
            exc = lost
        super().connection_lost(exc)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if isinstance(exc, ConnectionError):
            log.debug("the client %s left in the middle of its request", request.remote)
            raise exc
        if request.writer.output_size > 0:
            raise ConnectionResetError("failed in mid-answer")
        error: errors.RequestError
        if status < 500:
            log.debug("malformed HTTP from %s", request.remote)
            error = errors.MalformedRequest("This is not well-formed HTTP, or its line or headers are too long.")
        else:
            log.error("a request failed", exc_info=exc)
            error = errors.InternalError("Something went wrong in the server. Try again later.")
        response = error_response(error)
        response.headers.update(SECURITY_HEADERS)
        response.headers["X-Request-ID"] = secrets.token_hex(8)
        response.force_close()
        return response
