"""Logging: one line per request and per stage of a conversion, as text or JSON, written by a thread of its own.

No line holds a whole key, a whole conversion id or more than a bounded piece of what a client sent.
"""

from __future__ import annotations

import functools
import json
import logging
import re
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from datetime import UTC, datetime
from typing import Any, TextIO

from .config import LogConfig
from .printable import printable
from .repeats import WINDOW, Repeats

#: No line is longer, in characters.
MAX_LINE = 2000
#: Lines that wait for a slow disk or terminal; beyond, new ones are dropped.
MAX_WAITING = 10_000
#: Seconds that a line waits at most for others to be written with it, and how many are written at once.
BATCH, _PIECE = 0.05, 100

#: What no line shows, though finding it out costs a call for each.
_UNUSED = ("logThreads", "logProcesses", "logMultiprocessing", "logAsyncioTasks")
#: In a text: a request's id, which stays; a key, or who uses a proxy; a conversion's id or any other long token.
_SECRET = re.compile(
    r"""(?P<stays>\sid=[A-Za-z0-9._-]{1,64})|(?P<before>Bearer\s+|key=)(?P<key>[^\s"',&]+)|"""
    r"""(?<=://)(?P<user>[^\s"'/]+)(?=@)|[A-Za-z0-9_-]{24,}""",
    re.I,
)


@contextmanager
def logging_to_stderr(settings: LogConfig) -> Iterator[None]:
    """Set up logging while the block lasts; what waits is written at its end."""
    handler = _BatchHandler(sys.stderr, _JsonFormatter() if settings.format == "json" else _TextFormatter())
    root = logging.getLogger()
    root.addHandler(handler)
    before = root.level
    root.setLevel(settings.level.upper())
    for noisy in ("asyncio", "aiohttp"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, root.level))
    for unused in _UNUSED:
        setattr(logging, unused, False)
    handler.start()
    try:
        yield
    finally:
        for unused in _UNUSED:
            setattr(logging, unused, True)
        root.removeHandler(handler)
        root.setLevel(before)
        handler.close()


class CleanRecord(logging.LogRecord):
    """A record of level `INFO` whose text is written as it is: one short line without secrets.

    `Logger.handle` takes it. It costs a quarter of what `Logger.info` does, for a line that comes with each request.
    """

    def __init__(self, logger: str, text: str, fields: dict[str, Any]) -> None:
        super().__init__(logger, logging.INFO, "", 0, text, None, None)
        self.fields = fields


class _BatchHandler(logging.Handler):
    """Never blocks, and never fails: a log line is worth less than an answer. What repeats is counted.

    A thread writes the lines: the first at once, then those of `BATCH` seconds together, since waking it for each would
    cost more than the line.
    """

    def __init__(self, stream: TextIO, formatter: logging.Formatter) -> None:
        super().__init__()
        self.setFormatter(formatter)
        self._stream = stream
        self._repeats = Repeats()
        self._lines: deque[str] = deque()
        self._some, self._ending = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._write_until_closed, name="log", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        try:
            if self._repeats.admits(record):
                self._put(record)
        except Exception:
            self.handleError(record)

    def close(self) -> None:
        """Write what waits, and end."""
        self._ending.set()
        self._some.set()
        self._thread.join()
        self._put_counts(all_of_them=True)
        self._write()
        super().close()

    def _put(self, record: logging.LogRecord) -> None:
        if len(self._lines) < MAX_WAITING:
            self._lines.append(self.format(record))
            if not self._some.is_set():
                self._some.set()

    def _put_counts(self, *, all_of_them: bool = False) -> None:
        with self.lock or nullcontext():
            for record in self._repeats.counts(all_of_them=all_of_them):
                self._put(record)

    def _write_until_closed(self) -> None:
        counted = time.monotonic()
        while not self._ending.is_set():
            if self._some.wait(WINDOW):
                self._some.clear()
                self._write()
                self._ending.wait(BATCH)
            if time.monotonic() - counted >= WINDOW:
                counted = time.monotonic()
                self._put_counts()

    def _write(self) -> None:
        """Each piece is small, so that other threads run between two."""
        while lines := [self._lines.popleft() for _ in range(min(len(self._lines), _PIECE))]:
            with suppress(OSError, ValueError):
                self._stream.write("".join(f"{line}\n" for line in lines))
                self._stream.flush()


class _Formatter(logging.Formatter):
    def message(self, record: logging.LogRecord) -> str:
        return str(record.msg) if isinstance(record, CleanRecord) else clean(super().format(record))


class _TextFormatter(_Formatter):
    def format(self, record: logging.LogRecord) -> str:
        # Indented, so that nothing within a message looks like a line of its own.
        message = self.message(record).replace("\n", "\n    ")
        return f"{_moment(record)}Z {record.levelname.lower():7} {message}"


class _JsonFormatter(_Formatter):
    def format(self, record: logging.LogRecord) -> str:
        fields = {
            "time": f"{_moment(record)}+00:00",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": self.message(record),
            **getattr(record, "fields", {}),
        }
        return json.dumps(fields, ensure_ascii=False)


def _moment(record: logging.LogRecord) -> str:
    """When it was made (RFC 3339, UTC), to the millisecond, without the zone."""
    return f"{_second(int(record.created))}.{int(record.created % 1 * 1000):03}"


@functools.lru_cache(maxsize=1)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None).isoformat()


def clean(text: str) -> str:
    """One bounded piece of text without secrets; a traceback keeps its lines, its end above all."""
    if len(text) > MAX_LINE:
        text = f"{text[: MAX_LINE // 2]} … {text[-MAX_LINE // 2 :]}"
    return _SECRET.sub(_shortened, printable(text, keep="\n"))


def _shortened(found: re.Match[str]) -> str:
    if found["stays"]:
        return found[0]
    return f"{found['before'] or ''}…" if found["key"] or found["user"] else f"{found[0][:6]}…"
