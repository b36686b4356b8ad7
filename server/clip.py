"""A clip: the part of a video that somebody asks for. Plain values.

Times are seconds in whole milliseconds, so that two requests for the same part are equal.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from . import stored

#: The shortest clip, in seconds.
SHORTEST = 1.0
#: Seconds from which a number is no time in a video.
LONGEST = 1_000_000


@dataclass(frozen=True, slots=True)
class Clip:
    """From `start` to `end` in seconds; without an `end`, or with one beyond the video's, to the end of the video."""

    start: float
    end: float | None = None

    def __str__(self) -> str:
        """As it stands in the log and in file names: milliseconds, so that it is never ambiguous."""
        return f"{milliseconds(self.start)}_{'' if self.end is None else milliseconds(self.end)}"

    @classmethod
    def between(cls, start_ms: int, end_ms: int | None) -> Clip:
        return cls(start_ms / 1000, None if end_ms is None else end_ms / 1000)

    @classmethod
    def restored(cls, table: Any) -> Clip:
        """Restore a clip from `dataclasses.asdict`. Raises KeyError, TypeError or ValueError for anything else."""
        start, end = stored.number(table["start"]), table["end"]
        if start >= LONGEST or (end is not None and not start < stored.number(end) < LONGEST):
            raise ValueError("no clip")
        return cls.between(milliseconds(start), None if end is None else milliseconds(end))

    def length(self, of: float | None) -> float | None:
        """Seconds of the clip in a video of so many seconds, 0 if it starts behind the end; None if nobody knows."""
        ends = [time for time in (self.end, of) if time is not None]
        return max(0.0, round(min(ends) - self.start, 3)) if ends else None

    def named(self, of: float | None) -> str:
        """The clip as people read it, such as `1:05–2:30`. `of` is the video's length in seconds, None if unknown."""
        if self.end is not None and (of is None or self.end <= of):
            return f"{clock(self.start)}–{clock(self.end)}"
        return f"{clock(self.start)}–{'' if of is None else clock(int(of))}"


def milliseconds(seconds: float) -> int:
    return round(seconds * 1000)


def clock(seconds: float) -> str:
    """`1:05`, `1:02:03` or `0:12.5`: a fraction is shown only where there is one."""
    whole, fraction = divmod(milliseconds(seconds), 1000)
    minutes, second = divmod(whole, 60)
    hours, minute = divmod(minutes, 60)
    text = f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"
    return text + f".{fraction:03}".rstrip("0") if fraction else text
