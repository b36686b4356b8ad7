"""What is to be heard in a file, measured in what ffmpeg decodes of it."""

from __future__ import annotations

import array
import math
import operator
import re
import subprocess
from pathlib import Path

import imageio_ffmpeg

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
#: Samples a second at which sounds are compared, the window in which they are, and how far one may lag, in samples.
RATE, WINDOW, LAG = 4_000, 1_000, 250
#: Windows quieter than this tell nothing, in units of a sample of 16 bits.
QUIET = 60.0


def heard(content: bytes | Path, rate: int = RATE) -> array.array[int]:
    """The samples of the first channel, decoded without a complaint; those of silence where there are none."""
    path = str(content) if isinstance(content, Path) else "pipe:0"
    sound = ["-map", "0:a:0", "-af", "pan=mono|c0=c0", "-ar", str(rate), "-f", "s16le", "-"]
    command = [FFMPEG, "-v", "error", "-i", path, *sound]
    data = content if isinstance(content, bytes) else b""
    done = subprocess.run(command, input=data, capture_output=True, timeout=120, check=True)
    assert not done.stderr, done.stderr.decode()
    return array.array("h", done.stdout)


def seconds(content: bytes | Path) -> float:
    return len(heard(content)) / RATE


def likeness(made: array.array[int], original: array.array[int]) -> float:
    """How alike two sounds are in the least alike quarter of a second, from 1 to -1, but for one lag for the whole.

    A part that is missing or stands there twice shifts all that follows, which is then alike no more.
    """
    windows = range(LAG, min(len(made), len(original)) - WINDOW - LAG, WINDOW)
    telling = [start for start in windows if _loudness(original, start) > QUIET]
    # A tune repeats itself, so one place does not tell the lag.
    places = telling[:: len(telling) // 4 + 1]
    lag = max(range(-LAG, LAG), key=lambda shift: sum(_alike(made, original, start, shift) for start in places))
    return min(_alike(made, original, start, lag) for start in telling)


def _alike(made: array.array[int], original: array.array[int], start: int, lag: int) -> float:
    ours, theirs = made[start + lag : start + lag + WINDOW], original[start : start + WINDOW]
    product = sum(map(operator.mul, ours, theirs))
    power = math.sqrt(sum(map(operator.mul, ours, ours)) * sum(map(operator.mul, theirs, theirs)))
    return product / power if power else 0.0


def _loudness(sound: array.array[int], start: int) -> float:
    window = sound[start : start + WINDOW]
    return math.sqrt(sum(map(operator.mul, window, window)) / WINDOW)


def levels(content: bytes | Path) -> list[tuple[float, float]]:
    """Peak and mean of each channel in dB of full scale, which what a decoder makes can exceed."""
    measure = "aformat=sample_fmts=flt,astats=measure_overall=none:measure_perchannel=Peak_level+RMS_level"
    path = str(content) if isinstance(content, Path) else "pipe:0"
    command = [FFMPEG, "-i", path, "-map", "0:a:0", "-af", measure, "-f", "null", "-"]
    data = content if isinstance(content, bytes) else b""
    done = subprocess.run(command, input=data, capture_output=True, timeout=120, check=True)
    peaks = re.findall(rb"Peak level dB: (\S+)", done.stderr)
    means = re.findall(rb"RMS level dB: (\S+)", done.stderr)
    return [(float(peak), float(mean)) for peak, mean in zip(peaks, means, strict=True)]
