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
from server.forwarded import client

#: No line is longer, in characters.
MAX_LINE = 2000
#: Requests a second that get a line of their own though they were refused or came without a key, which nothing else
#: bounds; the rest are counted in one line.
UNKEYED_PER_SECOND = 50
#: Lines that wait for a slow disk or terminal; beyond, new ones are dropped.
MAX_WAITING = 10_000

#: In a text: a request's id, which stays; a key, or who uses a proxy; a conversion's id or any other long token.
_SECRET = re.compile(
    r"""(?P<stays>\sid=[A-Za-z0-9._-]{1,64})|(?P<before>Bearer\s+|key=)(?P<key>[^\s"',&]+)|"""
    r"""(?<=://)(?P<user>[^\s"'/]+)(?=@)|[A-Za-z0-9_-]{24,}""",
    re.I,
)

log = logging.getLogger("server.requests")


@contextmanager
def logging_to_stderr(settings: LogConfig) -> Iterator[None]:
    """Set up logging while the block lasts; what waits is written at its end."""
    waiting: queue.Queue[logging.LogRecord] = queue.Queue(MAX_WAITING)
    stderr = logging.StreamHandler(sys.stderr)
    stderr.setFormatter(_JsonFormatter() if settings.format == "json" else _TextFormatter())
    listener = _PatientListener(waiting, stderr)
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


class _PatientListener(logging.handlers.QueueListener):
    """Ends also when the queue is full in that moment."""

    def enqueue_sentinel(self) -> None:
        while True:
            try:
                return super().enqueue_sentinel()
            except queue.Full:
                time.sleep(0.01)


class _TextFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        # Indented, so that nothing within a message looks like a line of its own.
        message = _clean(super().format(record)).replace("\n", "\n    ")
        return f"{moment[:-6]}Z {record.levelname.lower():7} {message}"


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
    """One bounded piece of text without secrets; a traceback keeps its lines, its end above all."""
    if len(text) > MAX_LINE:
        text = f"{text[: MAX_LINE // 2]} … {text[-MAX_LINE // 2 :]}"
    text = "".join(c if c.isprintable() or c == "\n" else "�" for c in text)
    return _SECRET.sub(_shortened, text)


def _shortened(found: re.Match[str]) -> str:
    if found["stays"]:
        return found[0]
    return f"{found['before'] or ''}…" if found["key"] or found["user"] else f"{found[0][:6]}…"


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
            # What a trusted proxy passes on may be anything; an address has no blanks, and none looks like the id.
            "client": _clean("".join(client(request).split())),
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
