"""Values that were written as JSON and come back: each as what it was, or ValueError, whatever somebody made of it."""

from __future__ import annotations

from datetime import UTC, datetime

#: No count or length that is written comes near it.
_MOST = 1_000_000_000


def text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("no text")
    value.encode()  # UnicodeEncodeError is a ValueError: half a surrogate pair could not be sent
    return value


def count(value: object) -> int:
    if type(value) is not int or not 0 <= value <= _MOST:
        raise ValueError("no count")
    return value


def number(value: object) -> int | float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= _MOST:  # nor is NaN
        raise ValueError("no number")
    return value


def moment(value: object) -> datetime:
    """In UTC; a time without a zone is local."""
    try:
        return datetime.fromisoformat(text(value)).astimezone(UTC)
    except (OverflowError, OSError) as error:  # too early or too late for the zone, or for the system's clock
        raise ValueError("no time") from error
