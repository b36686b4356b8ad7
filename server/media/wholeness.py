"""Whether an MP3 holds every second of its source and nothing else. Pure functions.

It measures the written bytes at a constant bitrate. A timestamp says where the sound ends, not how much of it there is.
Known limit: a hole or a repetition shorter than the tolerance goes unnoticed.
"""

from __future__ import annotations

from dataclasses import dataclass

from .. import errors

#: Seconds that sound may go on after its picture, if only the picture's length is known.
MUXED_EXCESS = 1.0


class Overlong(errors.TooLong):
    """More audio than was announced. Unlike a video that is too long for this server, a retry may help."""

    retried = True
    text = "YouTube sent more audio than this video has, so it cannot be right. Try again later."
    owner = ""


class Oversized(errors.TooLarge):
    """More bytes than were announced. A retry may help."""

    retried = True
    text = "YouTube sent more data than it announced for this video, so it cannot be right. Try again later."
    owner = ""


@dataclass(frozen=True)
class Expectation:
    """How long the sound of a source should be: `seconds` (None if unknown), within `tolerance`.

    `exact`: `seconds` is the sound's own length, which no other measure overrides. `muxed`: it is the length of a
    picture with sound, and the sound may end earlier.
    """

    seconds: float | None
    tolerance: float
    exact: bool = False
    muxed: bool = False

    def limit(self, max_duration: float) -> float:
        """Seconds beyond which nothing is written."""
        if self.seconds is None:
            return max_duration
        return self.seconds + self.tolerance + (MUXED_EXCESS if self.muxed else 0)


@dataclass(frozen=True)
class Recording:
    """What came of a source: the seconds `written`, and the time at which its last sound ends (`ends_at`).

    `delivered`: all announced bytes and fragments came; None if none were announced. `clean`: the decoder found no
    damage.
    """

    written: float
    ends_at: float
    delivered: bool | None = True
    clean: bool = True

    @property
    def gap(self) -> float:
        """Seconds by which the timeline is longer than what was written: holes."""
        return self.ends_at - self.written


def expectation(own: float | None, video: float | None, *, muxed: bool = False) -> Expectation:
    """The expected length: the format's `own`, which is exact, else the `video`'s, which is in whole seconds.

    An encoder adds up to a tenth of a second. In a clip of one second, half a second would be too much to miss.
    """
    if own:
        return Expectation(own, _tolerance(own), exact=not muxed, muxed=muxed)
    if video:
        return Expectation(video, _tolerance(video) + 0.6, muxed=muxed)
    return Expectation(None, 0.5, muxed=muxed)


def _tolerance(seconds: float) -> float:
    return max(min(0.5, 0.1 + seconds / 20), seconds / 1000)


def seconds_written(size: int, bitrate_kbps: int) -> float:
    """The length of `size` bytes of MP3 frames at a constant bitrate."""
    return size / (bitrate_kbps * 125)


def bytes_written(seconds: float, bitrate_kbps: int) -> int:
    """The size of `seconds` of MP3 frames at a constant bitrate."""
    return int(seconds * bitrate_kbps * 125)


def check(expected: Expectation, recording: Recording, max_duration: float) -> None:
    """Raise the job error that says why `recording` is not whole: Truncated, Overlong or TooLong."""
    written = recording.written
    if written > expected.limit(max_duration):
        raise beyond_limit(expected) from _difference(expected, recording)
    if not written:
        raise errors.Truncated() from ValueError("no audio was written")
    if expected.seconds is None:
        missing = recording.gap
    else:
        missing = expected.seconds - written
        if expected.muxed and missing > expected.tolerance and recording.delivered and recording.clean:
            missing = recording.gap  # the picture is longer than its sound
    if missing > expected.tolerance or (recording.delivered is False and not expected.exact):
        raise errors.Truncated() from _difference(expected, recording)


def beyond_limit(expected: Expectation) -> errors.JobError:
    """The error for a source that goes on beyond the limit."""
    return errors.TooLong() if expected.seconds is None else Overlong()


def _difference(expected: Expectation, recording: Recording) -> ValueError:
    said = "an unknown length" if expected.seconds is None else f"{expected.seconds:.3f} s"
    return ValueError(f"{recording.written:.3f} s written of {said}, the last of it at {recording.ends_at:.3f} s")
