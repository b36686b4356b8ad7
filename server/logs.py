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
from contextlib import contextmanager, nullcontext, suppress
from datetime import UTC, datetime

from .config import LogConfig
from .printable import printable
from .repeats import WINDOW, Repeats

#: No line is longer, in characters.
MAX_LINE = 2000
#: Lines that wait for a slow disk or terminal; beyond, new ones are dropped.
MAX_WAITING = 10_000

#: In a text: a request's id, which stays; a key, or who uses a proxy; a conversion's id or any other long token.
_SECRET = re.compile(
    r"""(?P<stays>\sid=[A-Za-z0-9._-]{1,64})|(?P<before>Bearer\s+|key=)(?P<key>[^\s"',&]+)|"""
    r"""(?<=://)(?P<user>[^\s"'/]+)(?=@)|[A-Za-z0-9_-]{24,}""",
    re.I,
)


@contextmanager
def logging_to_stderr(settings: LogConfig) -> Iterator[None]:
    """Set up logging while the block lasts; what waits is written at its end."""
    waiting: queue.Queue[logging.LogRecord] = queue.Queue(MAX_WAITING)
    stderr = logging.StreamHandler(sys.stderr)
    stderr.setFormatter(_JsonFormatter() if settings.format == "json" else _TextFormatter())
    handler = _DroppingHandler(waiting)
    listener = _EndingListener(waiting, stderr, handler)
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
        handler.write_counts(all_of_them=True)
        listener.stop()


class _DroppingHandler(logging.handlers.QueueHandler):
    """Never blocks, and never fails: a log line is worth less than an answer. What repeats is counted."""

    def __init__(self, waiting: queue.Queue[logging.LogRecord]) -> None:
        super().__init__(waiting)
        self._repeats = Repeats()

    def emit(self, record: logging.LogRecord) -> None:
        if self._repeats.admits(record):
            super().emit(record)

    def write_counts(self, *, all_of_them: bool = False) -> None:
        with self.lock or nullcontext():
            for record in self._repeats.counts(all_of_them=all_of_them):
                super().emit(record)

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        """As the base class does, for a third of the time: this is on the way of every request."""
        text = self.format(record) if record.exc_info or record.stack_info else record.getMessage()
        prepared = logging.LogRecord.__new__(logging.LogRecord)
        vars(prepared).update(vars(record), msg=text, message=text, args=None)
        prepared.exc_info = prepared.exc_text = prepared.stack_info = None
        return prepared

    def enqueue(self, record: logging.LogRecord) -> None:
        with suppress(queue.Full):
            self.queue.put_nowait(record)


class _EndingListener(logging.handlers.QueueListener):
    """Ends also when the queue is full in that moment, and has the counts of repeated records written."""

    def __init__(
        self, waiting: queue.Queue[logging.LogRecord], stderr: logging.Handler, handler: _DroppingHandler
    ) -> None:
        super().__init__(waiting, stderr)
        self._waiting = waiting
        self._handler = handler
        self._counted = time.monotonic()

    def dequeue(self, block: bool) -> logging.LogRecord:
        while True:
            if time.monotonic() - self._counted >= WINDOW:
                self._counted = time.monotonic()
                self._handler.write_counts()
            try:
                return self._waiting.get(block, WINDOW)
            except queue.Empty:
                if not block:
                    raise

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
        message = clean(super().format(record)).replace("\n", "\n    ")
        return f"{moment[:-6]}Z {record.levelname.lower():7} {message}"


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        fields = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": clean(super().format(record)),
            **getattr(record, "fields", {}),
        }
        return json.dumps(fields, ensure_ascii=False)


def clean(text: str) -> str:
    """One bounded piece of text without secrets; a traceback keeps its lines, its end above all."""
    if len(text) > MAX_LINE:
        text = f"{text[: MAX_LINE // 2]} … {text[-MAX_LINE // 2 :]}"
    return _SECRET.sub(_shortened, printable(text, keep="\n"))


def _shortened(found: re.Match[str]) -> str:
    if found["stays"]:
        return found[0]
    return f"{found['before'] or ''}…" if found["key"] or found["user"] else f"{found[0][:6]}…"
