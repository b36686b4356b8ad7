"""Log records that come again and again: each kind at most so often a second, and then a count.

Records are of one kind when one line of the program writes them. Of the same text one is written a second; of different
texts from `WARNING` on, a few. What a client can repeat thus fills no disk, whatever the cause.
"""

from __future__ import annotations

import copy
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field

#: Seconds that a count is about.
WINDOW = 1.0
#: Different texts of one kind in a window, plain and with a traceback; below `WARNING` there is no such bound.
MOST_TEXTS, MOST_TRACEBACKS = 20, 3
#: Characters of a text that a count repeats.
_SHOWN = 300


@dataclass
class _Text:
    record: logging.LogRecord
    left_out: int = 0


@dataclass
class _Kind:
    """What one line of the program wrote in this window."""

    until: float
    texts: dict[str, _Text] = field(default_factory=dict)
    others: _Text | None = None


class Repeats:
    """Not for several threads at a time."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kinds: dict[tuple[str, int], _Kind] = {}
        self._over: list[logging.LogRecord] = []

    def admits(self, record: logging.LogRecord) -> bool:
        """Whether to write `record`; else it is counted."""
        now, place = self._clock(), (record.pathname, record.lineno)
        kind = self._kinds.get(place)
        if kind is None or now >= kind.until:
            if kind is not None:
                self._over += _counts(kind)
            kind = self._kinds[place] = _Kind(now + WINDOW)
        return _admits(kind, record)

    def counts(self, *, all_of_them: bool = False) -> list[logging.LogRecord]:
        """Records that say what was left out in windows that are over, or in all of them."""
        now = self._clock()
        for place, kind in list(self._kinds.items()):
            if all_of_them or now >= kind.until:
                del self._kinds[place]
                self._over += _counts(kind)
        counts, self._over = self._over, []
        return counts


def _admits(kind: _Kind, record: logging.LogRecord) -> bool:
    text = record.getMessage()
    seen = kind.texts.get(text)
    if seen is not None:
        seen.left_out += 1
        return False
    most = MOST_TRACEBACKS if record.exc_info else MOST_TEXTS
    if len(kind.texts) < most:
        kind.texts[text] = _Text(record)
        return True
    if record.levelno < logging.WARNING:
        return True
    if kind.others is None:
        kind.others = _Text(record)
    kind.others.left_out += 1
    return False


def _counts(kind: _Kind) -> list[logging.LogRecord]:
    repeated = [_count(text, "repeated") for text in kind.texts.values() if text.left_out]
    return repeated + ([_count(kind.others, "others like it:")] if kind.others else [])


def _count(text: _Text, what: str) -> logging.LogRecord:
    record = copy.copy(text.record)
    times = f"{text.left_out} {'time' if text.left_out == 1 else 'times'}"
    record.msg = f"{record.getMessage()[:_SHOWN]} … ({what} {times})"
    record.args = record.exc_info = record.exc_text = record.stack_info = None
    record.created = time.time()
    return record
