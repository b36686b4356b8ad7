"""One log line per request. No line holds more than a bounded piece of what a client sent."""

from __future__ import annotations

import functools
import logging
import time

from aiohttp import web

from ..logs import CleanRecord, clean
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
        method, ms = request.method[:10], seconds * 1000
        request_id, key, address = request.get(REQUEST_ID, ""), request.get(KEY_NAME), _address(client(request))
        text = f"{method} {route} {status} {ms:.1f} ms {address} {_name(key) if key else '-'} id={request_id}"
        fields = {
            "request_id": request_id,
            "method": method,
            "route": route,
            "status": status,
            "ms": round(ms, 1),
            "client": address,
            "key": key,
        }
        log.handle(CleanRecord(log.name, text, fields))

    def _too_many(self) -> bool:
        now = int(time.monotonic())
        if now != self._second:
            if self._unkeyed > UNKEYED_PER_SECOND:
                more = self._unkeyed - UNKEYED_PER_SECOND
                log.warning("%d more requests in a second that were refused or had no key", more)
            self._second, self._unkeyed = now, 0
        self._unkeyed += 1
        return self._unkeyed > UNKEYED_PER_SECOND


#: A key's name as a line shows it.
_name = functools.lru_cache(maxsize=1024)(clean)


@functools.lru_cache(maxsize=1024)
def _address(client: str) -> str:
    """A trusted proxy may pass on anything. An address has no blanks, so that none looks like the id."""
    return clean("".join(client.split()))
