"""One log line per request. No line holds more than a bounded piece of what a client sent."""

from __future__ import annotations

import functools
import logging
import time

from aiohttp import web

from ..logs import clean
from .context import KEY_NAME, REQUEST_ID
from .forwarded import client

#: Refused requests and requests without a key that get their own line each second; nothing else bounds their number.
#: The rest are counted in one line.
UNKEYED_PER_SECOND = 50

log = logging.getLogger(__name__)


class RequestLog:
    """A line per request: method, route, status, duration, request id, client. See `UNKEYED_PER_SECOND`."""

    def __init__(self) -> None:
        self._second = 0
        self._unkeyed = 0

    def line(self, request: web.Request, route: str, status: int, seconds: float) -> None:
        if not log.isEnabledFor(logging.INFO):
            return
        if (status >= 400 or KEY_NAME not in request) and self._too_many():
            return
        request_id = request.get(REQUEST_ID, "")
        fields = {
            "request_id": request_id,
            "method": request.method[:10],
            "route": route,
            "status": status,
            "ms": round(seconds * 1000, 1),
            "client": _shown(client(request)),
            "key": request.get(KEY_NAME),
        }
        log.info(
            "%s %s %d %.1f ms %s %s id=%s",
            fields["method"], route, status, seconds * 1000, fields["client"], fields["key"] or "-", request_id,
            extra={"fields": fields},
        )  # fmt: skip

    def _too_many(self) -> bool:
        now = int(time.monotonic())
        if now != self._second:
            if self._unkeyed > UNKEYED_PER_SECOND:
                more = self._unkeyed - UNKEYED_PER_SECOND
                log.warning("%d more requests in a second that were refused or had no key", more)
            self._second, self._unkeyed = now, 0
        self._unkeyed += 1
        return self._unkeyed > UNKEYED_PER_SECOND


@functools.lru_cache(maxsize=1024)
def _shown(client: str) -> str:
    """A trusted proxy may pass on anything. An address has no blanks, so that none looks like the id."""
    return clean("".join(client.split()))
