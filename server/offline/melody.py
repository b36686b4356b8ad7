"""The tune of a clip and the picture of it, as ffmpeg filter graphs: pure functions, nothing is run here.

A melody in a pentatonic scale walks over four-chord progressions. It is built from ``sine`` sources with fades,
joined by ``concat``: an order of magnitude cheaper than evaluating an expression per sample.
"""

from __future__ import annotations

import colorsys
from collections.abc import Iterator
from dataclasses import dataclass

from .draw import Draw

PENTATONIC = {"major": (0, 2, 4, 7, 9), "minor": (0, 3, 5, 7, 10)}
PROGRESSIONS = {
    "major": (((0, 4, 7), (7, 11, 14), (9, 12, 16), (5, 9, 12)), ((0, 4, 7), (9, 12, 16), (5, 9, 12), (7, 11, 14))),
    "minor": (((0, 3, 7), (8, 12, 15), (3, 7, 10), (10, 14, 17)), ((0, 3, 7), (5, 8, 12), (8, 12, 15), (10, 14, 17))),
}
BEATS_PER_CHORD = 4


@dataclass(frozen=True)
class Note:
    """A tone of ``semitones`` over middle C, ``seconds`` long."""

    semitones: int
    seconds: float

    @property
    def hertz(self) -> float:
        return float(261.626 * 2 ** (self.semitones / 12))


@dataclass(frozen=True)
class Tune:
    melody: tuple[Note, ...]
    chords: tuple[tuple[Note, ...], ...]
    """The accompaniment's voices, each from the beginning to the end."""


def compose(seed: str, seconds: int) -> Tune:
    """The tune of ``seed``, at least ``seconds`` long; a longer one of the same seed begins with the shorter one."""
    draw = Draw(seed, "melody")
    mode = draw.pick(("major", "major", "minor"))
    root = draw.between(-5, 4)
    scale = PENTATONIC[mode]
    progression = draw.pick(PROGRESSIONS[mode])
    beat = 1 / draw.pick((2, 2.5, 3, 4))

    melody: list[Note] = []
    degree = draw.between(2, 6)
    played = 0.0
    while played < seconds - 1e-6:
        beats = draw.pick((1, 1, 1, 2))
        octave, step = divmod(degree, len(scale))
        melody.append(Note(root + 12 * octave + scale[step], beats * beat))
        played += beats * beat
        degree = min(max(degree + draw.pick((-2, -1, -1, 1, 1, 2)), 0), 2 * len(scale))

    bars = int(seconds / (beat * BEATS_PER_CHORD)) + 1
    voices = tuple(
        tuple(Note(root - 12 + progression[bar % 4][voice], beat * BEATS_PER_CHORD) for bar in range(bars))
        for voice in range(3)
    )
    return Tune(tuple(melody), voices)


def sound_graph(seed: str, seconds: int, sample_rate: int) -> str:
    """The filter graph that plays the tune, stereo, into ``[out]``; it may run on for a moment after ``seconds``."""
    tune = compose(seed, seconds)
    chains = [
        *_voice("m", tune.melody, 1, sample_rate, "afade=d=0.012,afade=t=out:st=0.03:d={rest:.3f}:curve=qua"),
        *_voice("o", tune.melody, 2, sample_rate, "afade=d=0.004,afade=t=out:st=0.01:d={rest:.3f}:curve=cub"),
    ]
    for number, notes in enumerate(tune.chords):
        chains += _voice(f"c{number}", notes, 1, sample_rate, "afade=d=0.15,afade=t=out:st=0.1:d={rest:.3f}")
    chains.append(
        "[m][o][c0][c1][c2]amix=inputs=5:weights=3 1 1 1 1:normalize=0:duration=shortest,"
        "aecho=0.8:0.8:160|290:0.3|0.2,aformat=channel_layouts=stereo,apulsator=hz=0.3:amount=0.25,"
        f"volume=5dB,alimiter=limit=0.9,afade=t=out:st={seconds - 0.3:.1f}:d=0.3[out]"
    )
    return ";".join(chains)


def _voice(label: str, notes: tuple[Note, ...], overtone: int, sample_rate: int, envelope: str) -> Iterator[str]:
    for number, note in enumerate(notes):
        fades = envelope.format(rest=note.seconds - 0.1)
        tone = f"sine=f={overtone * note.hertz:.3f}:r={sample_rate}:d={note.seconds:.6f}"
        yield f"{tone},{fades}[{label}_{number}]"
    yield "".join(f"[{label}_{number}]" for number in range(len(notes))) + f"concat=n={len(notes)}:v=0:a=1[{label}]"


def picture_graph(seed: str) -> str:
    """The filter graph of the 1280x720 thumbnail: the melody's first notes as bars over the seed's two colours."""
    draw = Draw(seed, "picture")
    hue = draw.below(360) / 360
    dark = _hex(hue, 0.75, 0.30)
    light = _hex(hue + draw.pick((0.08, 0.15, 0.45, 0.55)), 0.60, 0.95)
    shape = draw.pick(("linear", "radial"))
    notes = compose(seed, 20).melody[:16]
    lowest = min(note.semitones for note in notes)
    bars = []
    for number, note in enumerate(notes):
        height = 50 + 17 * (note.semitones - lowest)
        bars.append(f"drawbox=x={304 + 42 * number}:y={600 - height}:w=28:h={height}:color=white@0.75:t=fill")
    gradient = f"gradients=s=1280x720:c0={dark}:c1={light}:n=2:x0=0:y0=720:x1=1280:y1=0:seed=1:r=1:d=1:type={shape}"
    return ",".join((gradient, *bars))


def _hex(hue: float, saturation: float, value: float) -> str:
    red, green, blue = colorsys.hsv_to_rgb(hue % 1, saturation, value)
    return f"0x{round(red * 255):02x}{round(green * 255):02x}{round(blue * 255):02x}"
