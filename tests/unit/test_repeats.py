"""What repeats in the log is written once a second, and counted."""

from __future__ import annotations

import io
import logging
import re
import sys

import pytest
from support.clock import Clock
from support.waiting import until

from server.config import LogConfig
from server.logs import logging_to_stderr
from server.repeats import MOST_TEXTS, MOST_TRACEBACKS, Repeats

log = logging.getLogger("test.repeats")


@pytest.fixture
def repeats(clock: Clock) -> Repeats:
    return Repeats(clock)


def record(
    text: str = "no room", *args: object, level: int = logging.WARNING, line: int = 7, traceback: bool = False
) -> logging.LogRecord:
    error = OSError(24, "Too many open files")
    return logging.LogRecord(
        "test", level, "/a/module.py", line, text, args, (OSError, error, None) if traceback else None
    )


def texts(records: list[logging.LogRecord]) -> list[str]:
    return [one.getMessage() for one in records]


def test_the_same_again_is_written_once_a_second_with_a_count(repeats: Repeats, clock: Clock) -> None:
    assert [repeats.admits(record("full: %d", 3)) for _ in range(341)] == [True] + [False] * 340
    assert repeats.counts() == [], "its second is not over"
    clock.now += 1
    (count,) = repeats.counts()
    assert count.getMessage() == "full: 3 … (repeated 340 times)"
    assert (count.levelno, count.name) == (logging.WARNING, "test")
    assert repeats.counts() == []
    assert repeats.admits(record("full: %d", 3))


def test_a_count_comes_also_when_the_next_record_opens_a_new_window(repeats: Repeats, clock: Clock) -> None:
    for _ in range(3):
        repeats.admits(record())
    clock.now += 1.5
    assert repeats.admits(record())
    assert texts(repeats.counts()) == ["no room … (repeated 2 times)"]


@pytest.mark.parametrize(("traceback", "most"), [(False, MOST_TEXTS), (True, MOST_TRACEBACKS)])
def test_of_one_kind_a_few_different_texts_are_written(
    repeats: Repeats, clock: Clock, traceback: bool, most: int
) -> None:
    admitted = [repeats.admits(record("failed id=%d", n, traceback=traceback)) for n in range(500)]
    assert admitted == [True] * most + [False] * (500 - most)
    clock.now += 1
    (count,) = repeats.counts()
    assert count.getMessage() == f"failed id={most} … (others like it: {500 - most} times)"
    assert count.exc_info is None


def test_other_kinds_have_their_own_room(repeats: Repeats) -> None:
    for _ in range(100):
        repeats.admits(record(line=7))
    assert repeats.admits(record(line=8))
    assert repeats.admits(record("something else", line=7))


def test_below_a_warning_everything_different_is_written(repeats: Repeats) -> None:
    assert all(repeats.admits(record("GET /status id=%d", n, level=logging.INFO)) for n in range(1000))
    assert not repeats.admits(record("GET /status id=%d", 0, level=logging.INFO))


def test_what_is_remembered_is_bounded(repeats: Repeats, clock: Clock) -> None:
    for n in range(10_000):
        repeats.admits(record("a text of its own: %d", n))
        repeats.admits(record("a text of its own: %d", n, level=logging.INFO, line=8))
    assert sum(len(kind.texts) for kind in repeats._kinds.values()) == 2 * MOST_TEXTS
    clock.now += 1
    repeats.counts()
    assert repeats._kinds == {}


def test_a_long_text_is_shortened_in_its_count(repeats: Repeats, clock: Clock) -> None:
    for _ in range(2):
        repeats.admits(record("x" * 5000))
    clock.now += 1
    assert len(texts(repeats.counts())[0]) < 400


def test_the_log_holds_one_line_and_one_count_however_often(capsys: pytest.CaptureFixture[str]) -> None:
    with logging_to_stderr(LogConfig()):
        for _ in range(1001):
            log.warning("accept: %s", OSError(24, "Too many open files"))
    first, count = capsys.readouterr().err.splitlines()
    assert first.endswith("accept: [Errno 24] Too many open files")
    assert count.endswith("accept: [Errno 24] Too many open files … (repeated 1000 times)")


def test_the_count_comes_within_seconds_though_nothing_more_is_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    stderr = io.StringIO()  # pytest's own would lose what the thread writes while it is read
    monkeypatch.setattr(sys, "stderr", stderr)
    with logging_to_stderr(LogConfig()):
        for _ in range(3):
            log.warning("again")
        until(lambda: "(repeated 2 times)" in stderr.getvalue())


def test_tracebacks_are_bounded_in_bytes(capsys: pytest.CaptureFixture[str]) -> None:
    with logging_to_stderr(LogConfig()):
        for n in range(1000):
            try:
                raise RuntimeError(n)
            except RuntimeError:
                log.exception("a request failed id=%d", n)
    written = capsys.readouterr().err
    assert len(written) < 10_000
    assert len(re.findall(r"Traceback", written)) <= 2 * MOST_TRACEBACKS
