"""Logging: one line per request and per stage of a conversion, as text or JSON, written by a thread of its own.

No line holds a whole key, a whole conversion id or more than a bounded piece of what a client sent.
"""

from __future__ import annotations

import json
import logging
import logging.handlers
import queue
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime

from aiohttp import web

from server.appkeys import KEY_NAME, REQUEST_ID
from server.config import LogConfig

#: No line is longer, in characters.
MAX_LINE = 2000
#: Refused requests that get a line of their own per second; the rest are counted in one.
REFUSALS_PER_SECOND = 20
#: Lines that wait for a slow disk or terminal; beyond, new ones are dropped.
MAX_WAITING = 10_000

#: In a text: a key, a conversion's id, or any other long token.
_SECRET = re.compile(r"\b(Bearer\s+|key=)?[A-Za-z0-9_-]{24,}\b")

log = logging.getLogger("server.requests")


@contextmanager
def logging_to_stderr(settings: LogConfig) -> Iterator[None]:
    """Set up logging while the block lasts; what waits is written at its end."""
    waiting: queue.Queue[logging.LogRecord] = queue.Queue(MAX_WAITING)
    stderr = logging.StreamHandler(sys.stderr)
    stderr.setFormatter(_JsonFormatter() if settings.format == "json" else _TextFormatter())
    listener = logging.handlers.QueueListener(waiting, stderr)
    handler = _DroppingHandler(waiting)
    root = logging.getLogger()
    root.addHandler(handler)
    before = root.level
    root.setLevel(settings.level.upper())
    for noisy in ("asyncio", "aiohttp"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, root.level))
    listener.start()
    try:
        yield
    finally:
        root.removeHandler(handler)
        root.setLevel(before)
        listener.stop()


class _DroppingHandler(logging.handlers.QueueHandler):
    """Never blocks, and never fails: a log line is worth less than an answer."""

    def enqueue(self, record: logging.LogRecord) -> None:
        with suppress(queue.Full):
            self.queue.put_nowait(record)


class _TextFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        return f"{moment[:-6]}Z {record.levelname.lower():7} {_clean(super().format(record))}"


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        fields = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _clean(super().format(record)),
            **getattr(record, "fields", {}),
        }
        return json.dumps(fields, ensure_ascii=False)


def _clean(text: str) -> str:
    """One bounded piece of text without secrets; a traceback keeps its lines."""
    text = "".join(c if c.isprintable() or c == "\n" else "�" for c in text[:MAX_LINE])
    return _SECRET.sub(lambda found: (found[1] or "") + found[0][len(found[1] or "") :][:6] + "…", text)


class RequestLog:
    """A line per request: method, route, status, duration, request id, client. Refusals have a ceiling per second."""

    def __init__(self) -> None:
        self._second = 0
        self._refusals = 0

    def line(self, request: web.Request, route: str, status: int, seconds: float) -> None:
        if not log.isEnabledFor(logging.INFO) or (status >= 400 and self._too_many()):
            return
        request_id = request.get(REQUEST_ID, "")
        fields = {
            "request_id": request_id,
            "method": request.method[:10],
            "route": route,
            "status": status,
            "ms": round(seconds * 1000, 1),
            "client": request.remote,
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
            if self._refusals > REFUSALS_PER_SECOND:
                log.warning("%d more refused requests in a second", self._refusals - REFUSALS_PER_SECOND)
            self._second, self._refusals = now, 0
        self._refusals += 1
        return self._refusals > REFUSALS_PER_SECOND
