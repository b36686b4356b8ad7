"""What a clip is, measured by the whole video: its length, its description and its place in the audio. Pure functions.

The times of a clip are those of the audio's own timeline, as a player shows it.
"""

from __future__ import annotations

import dataclasses
import math

from .. import errors
from ..clip import Clip
from ..jobs import Chapter, Media
from .wholeness import Expectation, Recording

#: Seconds that an encoder may add to what it is given: its delay, and the rest of the last frame.
ENCODER_PADDING = 0.1


def media(whole: Media, clip: Clip, source: Expectation) -> Media:
    """The description of the clip of the video that `whole` describes. `source` is the length of its sound.

    Raises ClipOutOfRange if the clip starts where the video has ended.
    """
    length = source.seconds or whole.duration or None
    if length is not None and clip.start >= length:
        raise errors.ClipOutOfRange() from ValueError(f"{clip.start:.3f} s of {length:.3f} s")
    duration = clip.length(length)
    return dataclasses.replace(
        whole,
        duration=duration or 0.0,
        clip=clip if duration is None else Clip(clip.start, round(clip.start + duration, 3)),
        chapters=chapters(whole.chapters, clip),
        part=clip.named(length),
    )


def chapters(found: tuple[Chapter, ...], clip: Clip) -> tuple[Chapter, ...]:
    """The chapters that are heard in the clip, as far as they are, in seconds from its start."""
    end = math.inf if clip.end is None else clip.end
    cut = []
    for one in found:
        open_end = one.start == one.end  # nobody knows where it ends
        first, last = max(one.start, clip.start), end if open_end else min(one.end, end)
        if first < last:
            start = round(first - clip.start, 3)
            cut.append(Chapter(one.title, start, round(last - clip.start, 3) if math.isfinite(last) else start))
    return tuple(cut)


def expectation(source: Expectation, clip: Clip) -> Expectation:
    """How long the clip should be, for a source that should be as long as `source` says.

    Well before the end of the sound, a clip is as long as was asked for. Near the end, what nobody knows exactly of the
    source nobody knows of the clip.
    """
    length = clip.length(source.seconds)
    if source.seconds is None or length is None:
        return Expectation(None, source.tolerance, muxed=source.muxed)
    if clip.end is not None and clip.end <= source.seconds - source.tolerance:
        return Expectation(length, ENCODER_PADDING, exact=not source.muxed, muxed=source.muxed)
    return dataclasses.replace(source, seconds=length)


def starts_behind(recording: Recording, source: Expectation, clip: Clip) -> bool:
    """Whether nothing was recorded because the whole sound, shorter than announced, ends before the clip starts."""
    may_be = source.seconds is None or clip.start >= source.seconds - source.tolerance or source.muxed
    return not recording.written and may_be and recording.delivered is not False and recording.clean


def trim(clip: Clip) -> str:
    """The filter that cuts the clip out, exact to a sample, followed by a comma. It ends the decoding at the end."""
    end = "" if clip.end is None else f":end={clip.end:.3f}"
    return f"atrim=start={clip.start:.3f}{end},asetpts=PTS-STARTPTS,"
