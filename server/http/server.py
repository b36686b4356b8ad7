"""The HTTP server: it turns every exception into the JSON error response and adds the headers every answer has.

The error boundary wraps the application from outside, because aiohttp answers some errors (no such route, wrong method,
a malformed request, an Expect it does not know) without asking a middleware. It also gives each request its id and its
log line.
"""

from __future__ import annotations

import asyncio
import logging
import random
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web

from .. import errors
from ..jobs import new_id
from ..metrics import Metrics
from .connections import KEEP_ALIVE_TIMEOUT
from .context import CONFIG, CONNECTIONS, ENGINE, EXTRA_HEADERS, METRICS, REQUEST_ID, WITHOUT_DEADLINE
from .error_answer import SECURITY_HEADERS, error_response
from .forwarded import client
from .listener import Listener
from .protocol import Server, give_way
from .request_log import RequestLog
from .wrong_keys import WrongKeys

log = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

#: Answer headers a browser's script may read from another origin.
_EXPOSED = (
    "X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset, Retry-After, X-Request-ID, "
    "Preference-Applied, Content-Disposition, Content-Range, ETag, WWW-Authenticate"
)
_ALLOWED_HEADERS = "Authorization, Content-Type, Idempotency-Key, Prefer, Last-Event-ID, Range, X-Request-ID"
_ALLOWED_METHODS = "GET, HEAD, POST, DELETE, OPTIONS"
_SANE_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_ID_LENGTH = len(new_id())
#: For request ids: they only tell one request from another, and the system's generator costs a call of the kernel.
_random = random.Random()  # noqa: S311  # as said

#: What the log and the metrics call a request that found no route.
_NO_ROUTE = "unmatched"


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """The application's `on_response_prepare`: for every answer, streams included."""
    headers = response.headers
    headers.update(SECURITY_HEADERS)
    headers["X-Request-ID"] = request.get(REQUEST_ID, "")
    if extra := request.get(EXTRA_HEADERS):
        headers.update(extra)
    if origins := request.app[CONFIG].server.cors_origins:
        # Also on answers to requests without an origin: a cache may reuse them for one with an origin (Fetch Standard,
        # "CORS protocol and HTTP caches").
        headers["Vary"] = ", ".join([*headers.getall("Vary", ()), "Origin"])
        origin = request.headers.get("Origin", "")
        if origin and (origin in origins or "*" in origins):
            headers["Access-Control-Allow-Origin"] = origin
            headers["Access-Control-Expose-Headers"] = _EXPOSED


class Runner(web.AppRunner):
    """aiohttp's runner, with the error boundary around the application."""

    @property
    def own_server(self) -> Server:
        if not isinstance(self.server, Server):
            raise AssertionError("the runner is not set up")
        return self.server

    async def _make_server(self) -> web.Server:
        server = await super()._make_server()
        kwargs: dict[str, Any] = server._kwargs
        boundary = ErrorBoundary(self.app, server.request_handler)
        return Server(
            boundary.handle,
            connections=self.app[CONNECTIONS],
            trusted=self.app[CONFIG].server.trusted_proxies,
            request_factory=server.request_factory,
            loop=server._loop,
            **kwargs,
        )


def make_runner(app: web.Application) -> Runner:
    """aiohttp's runner with this project's limits; a comment gives the reason for each."""
    return Runner(
        app,
        access_log=None,  # it doubles the cost of a request; the request log has its own line
        auto_decompress=False,  # no compressed body is accepted, so none is ever unpacked
        keepalive_timeout=KEEP_ALIVE_TIMEOUT,
        lingering_time=1.0,  # a refused body is not read for long
        shutdown_timeout=1.0,  # aiohttp waits twice this long for clients that do not read
    )


@asynccontextmanager
async def listening(runner: Runner, sockets: Sequence[socket.socket]) -> AsyncIterator[Listener]:
    """Accept connections on `sockets` while the block is open. Open connections end with the runner."""
    listener = Listener(runner.own_server, sockets)
    try:
        yield listener
    finally:
        await listener.stop()


class ErrorBoundary:
    def __init__(self, app: web.Application, handler: Any) -> None:
        self._app = app
        self._handler: Handler = handler
        self._metrics: Metrics = app[METRICS]
        self._log = RequestLog()
        self._wrong_keys = WrongKeys()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if not isinstance(request, web.Request):
            raise AssertionError("the application makes its own requests")
        started = asyncio.get_running_loop().time()
        given = request.headers.get("X-Request-ID", "")
        request[REQUEST_ID] = given if self._is_sane(given) else f"{_random.getrandbits(64):016x}"
        try:
            response = await self._answer(request)
        except (asyncio.CancelledError, ConnectionError):
            self._note(request, 499, started)  # the client left; nginx's number for it, never sent
            raise
        self._note(request, response.status, started)
        return response

    def _is_sane(self, request_id: str) -> bool:
        """Whether the request id may be logged. It must not hold a conversion's id, which opens a download."""
        if not _SANE_ID.fullmatch(request_id):
            return False
        table = self._app[ENGINE].table
        return all(
            table.get(request_id[at : at + _ID_LENGTH]) is None for at in range(len(request_id) - _ID_LENGTH + 1)
        )

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        try:
            if request.method == "OPTIONS" and (preflight := self._preflight(request)):
                return preflight
            return await self._handler(request)
        except (errors.Unauthorized, errors.KeyDisabled) as error:
            if seconds := self._wrong_keys.delay(client(request)):
                await give_way(request, seconds)
            return self._refusal(request, error)
        except errors.RequestError as error:
            return self._refusal(request, error)
        except web.HTTPException as refusal:
            return self._refusal(request, _translated(request, refusal))
        except ConnectionError:
            raise
        except Exception:
            log.exception("a request failed id=%s", request[REQUEST_ID])
            if request.writer.output_size > 0:  # too late for an error answer
                raise ConnectionResetError("failed in mid-answer") from None
            return self._refusal(request, errors.InternalError("Something went wrong in the server. Try again later."))

    def _refusal(self, request: web.Request, error: errors.RequestError) -> web.Response:
        root = urlsplit(self._app[CONFIG].server.public_url).path
        return error_response(error, accept=",".join(request.headers.getall("Accept", ())), root=root)

    def _preflight(self, request: web.Request) -> web.Response | None:
        """The answer to a browser's CORS preflight request (Fetch Standard)."""
        origins = self._app[CONFIG].server.cors_origins
        origin = request.headers.get("Origin")
        if not origin or "Access-Control-Request-Method" not in request.headers:
            return None
        if origin not in origins and "*" not in origins:
            return None
        return web.Response(
            status=204,
            headers={
                **SECURITY_HEADERS,
                "X-Request-ID": request[REQUEST_ID],
                "Access-Control-Allow-Origin": origin,
                "Access-Control-Allow-Methods": _ALLOWED_METHODS,
                "Access-Control-Allow-Headers": _ALLOWED_HEADERS,
                "Access-Control-Max-Age": "600",
                "Vary": "Origin",
            },
        )

    def _note(self, request: web.Request, status: int, started: float) -> None:
        seconds = asyncio.get_running_loop().time() - started
        try:
            resource = request.match_info.route.resource
        except (AttributeError, AssertionError):
            resource = None
        route = resource.canonical if resource else _NO_ROUTE
        self._metrics.request(route, status, None if request.get(WITHOUT_DEADLINE) else seconds)
        self._log.line(request, route, status, seconds)


def _translated(request: web.Request, refusal: web.HTTPException) -> errors.RequestError:
    """Translate aiohttp's own errors into this project's."""
    if isinstance(refusal, web.HTTPMethodNotAllowed):
        allowed = ", ".join(sorted(refusal.allowed_methods))
        return errors.MethodNotAllowed(
            f"{request.method} is not for this address; it takes {allowed}.", headers={"Allow": allowed}
        )
    if isinstance(refusal, web.HTTPNotFound):
        return errors.NotFound("There is nothing at this address. GET /docs lists what there is.")
    if isinstance(refusal, web.HTTPRequestEntityTooLarge):
        return errors.PayloadTooLarge("The body is too large.")
    if isinstance(refusal, web.HTTPExpectationFailed):
        return errors.ExpectationFailed('Only "Expect: 100-continue" is understood.')
    if refusal.status < 500:
        return errors.MalformedRequest("The request could not be understood.")
    return errors.InternalError("Something went wrong in the server. Try again later.")
