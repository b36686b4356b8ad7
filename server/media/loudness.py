"""Loudness: what an MP3 would measure without a change (ITU-R BS.1770), and the one gain that brings it to a target.

The MP3 itself is measured: it is encoded, decoded again and heard, since a lossy codec changes peaks and now and then
loudness. Known limit: with the gain the encoder decides a little differently, which is not measured again. That changes
the loudness by less than a tenth, and the peak of noise by up to 0.4 dB at 128 kbit/s, for which there is a margin.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass

from .. import errors
from ..clip import Clip
from . import clipping, ffmpeg, tools
from .confinement import Confinement
from .encoding import OVERRUN, Sound, failure_of

#: The true peak that is never exceeded, in dB of full scale, and how far below it a gain stays.
HIGHEST_PEAK, PEAK_MARGIN = -1.0, 0.5
#: The per cent of a job's progress that measuring is: it takes somewhat longer than encoding.
MEASURING_PERCENT = 55
#: LUFS of silence: below BS.1770's absolute gate nothing is heard.
GATE = -70.0
#: What players that read ReplayGain 2.0 tags bring sound to, in LUFS.
_REPLAYGAIN_REFERENCE = -18.0

_INTEGRATED = re.compile(r"\bI:\s+(\S+) LUFS")
_PEAK = re.compile(r"\bPeak:\s+(\S+) dBFS")


@dataclass(frozen=True)
class Measured:
    """`integrated` loudness in LUFS and true `peak` in dB of full scale; -inf for silence."""

    integrated: float
    peak: float


@dataclass(frozen=True)
class Change:
    """What is done to a sound: it was as `before`, and gets `gain` dB."""

    before: Measured
    gain: float

    @property
    def tags(self) -> list[tuple[str, str]]:
        """What was done, and what players need to know of the result (ReplayGain 2.0); by the names of TXXX frames."""
        if not self.before.integrated > GATE:
            return []
        loudness, peak = self.before.integrated + self.gain, self.before.peak + self.gain
        return [
            ("REPLAYGAIN_TRACK_GAIN", f"{_REPLAYGAIN_REFERENCE - loudness:+.2f} dB"),
            ("REPLAYGAIN_TRACK_PEAK", f"{10 ** (peak / 20):.6f}"),
            ("REPLAYGAIN_REFERENCE_LOUDNESS", f"{_REPLAYGAIN_REFERENCE:.2f} LUFS"),
            ("LOUDNESS", f"{loudness:.1f} LUFS; changed by {self.gain:+.1f} dB from {self.before.integrated:.1f} LUFS"),
        ]


def change(before: Measured, target: float) -> Change:
    """The one gain that brings a sound to `target` LUFS, or as near to it as its peaks allow. Silence stays."""
    if not before.integrated > GATE:
        return Change(before, 0.0)
    return Change(before, round(min(target - before.integrated, HIGHEST_PEAK - PEAK_MARGIN - before.peak), 2))


async def measure(
    program: str,
    confinement: Confinement,
    sound: Sound,
    *,
    bitrate_kbps: int,
    clip: Clip | None,
    max_duration: float,
    report: Callable[[float], None],
) -> Measured:
    """Measure the MP3 of `sound`, or of its `clip`; `report` is told the per cent that is done.

    Raises the first real cause of a failure. Whether the sound is whole is for the encoding to say.
    """
    expected = clipping.expectation(sound.expectation, clip) if clip else sound.expectation
    argv = ffmpeg.measure_command(
        program,
        bitrate_kbps=bitrate_kbps,
        seconds=expected.limit(max_duration) + OVERRUN,
        sample_rate=sound.sample_rate,
        trim=clipping.trim(clip) if clip else "",
        mixing=ffmpeg.mixing(sound.channels, ambisonic=sound.ambisonic),
    )
    async with tools.spawn(argv, confinement, stdin=sound.output.fileno(), group=sound.group) as child:
        sound.output.close()
        encoder = ffmpeg.Encoder(child)
        async for done in encoder.progress():
            if expected.seconds and done.seconds:
                report(min(100.0, 100 * done.seconds / expected.seconds))
        if failure := await failure_of(sound, encoder):
            raise failure
        return _read(child.stderr)


def _read(said: str) -> Measured:
    """The summary of ffmpeg's `ebur128` filter. Raises EncodeFailed where there is none."""
    integrated, peak = _INTEGRATED.findall(said), _PEAK.findall(said)
    if not integrated or not peak:
        raise errors.EncodeFailed() from ValueError(f"no measurement: {said[-500:]}")
    return Measured(_number(integrated[-1]), _number(peak[-1]))


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        return -math.inf
    return number if math.isfinite(number) else -math.inf
