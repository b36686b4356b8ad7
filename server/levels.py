"""Loudness as it is asked for: LUFS (ITU-R BS.1770), in tenths. Plain values."""

from __future__ import annotations

#: The quietest and the loudest that may be asked for, in LUFS.
QUIETEST, LOUDEST = -30.0, -5.0


def rounded(lufs: float) -> float:
    """To a tenth, so that two requests for the same loudness are equal."""
    return round(float(lufs), 1)


def restored(value: object) -> float:
    """A loudness that was stored. Raises ValueError for anything else."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not QUIETEST <= value <= LOUDEST:
        raise ValueError("no loudness")
    return rounded(value)
