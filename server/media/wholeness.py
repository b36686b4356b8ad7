"""Whether an MP3 holds every second of its source and nothing else. Pure functions.

What counts is what was written: bytes at a constant bitrate. A timestamp says where the sound ends, not how much of it
there is. Known limit: a hole or a doubling shorter than the tolerance goes unnoticed.
"""

from __future__ import annotations

from dataclasses import dataclass

from .. import errors

#: Seconds by which sound may go on after the picture beside it, whose length is said.
MUXED_EXCESS = 1.0


class Overlong(errors.TooLong):
    """More audio than was announced; unlike a video that is too long for this server, this may pass."""

    retried = True
    text = "YouTube sent more audio than this video has, so it cannot be right. Try again later."
    owner = ""


class Oversized(errors.TooLarge):
    """More bytes than were announced; this, too, may pass."""

    retried = True
    text = "YouTube sent more data than it announced for this video, so it cannot be right. Try again later."
    owner = ""


@dataclass(frozen=True)
class Expectation:
    """How long the sound of a source should be: `seconds` (None where nobody says), within `tolerance`.

    `exact`: it is the sound's own length, against which every other measure is poor. `muxed`: it is that of a picture
    with its sound, which may end before the picture does.
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
    """What came of a source, in seconds: what was `written`, and when its last sound is to be heard (`ends_at`).

    `delivered`: all bytes and fragments came that were announced; None where nothing was. `clean`: the decoder met no
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
    """By the format's `own` length, which is exact, else by the `video`'s, which is in whole seconds.

    An encoder adds up to a tenth of a second, and in a clip of a second more than half a second is too much to miss.
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
    """What is wrong with a source that goes on beyond the limit."""
    return errors.TooLong() if expected.seconds is None else Overlong()


def _difference(expected: Expectation, recording: Recording) -> ValueError:
    said = "an unknown length" if expected.seconds is None else f"{expected.seconds:.3f} s"
    return ValueError(f"{recording.written:.3f} s written of {said}, the last of it at {recording.ends_at:.3f} s")
