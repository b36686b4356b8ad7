"""What the tests of the player in two browsers share: a long video, of which a part is made, and a jump in that."""

from __future__ import annotations

LONG = "x-4-minutes"
#: In seconds.
LENGTH = 240
#: The share of it that is made before anyone jumps, and the place on the slider that is clicked.
MADE, CLICKED = 0.16, 0.12
#: Two pixels of the slider, in seconds.
COARSE = 2.5
#: Half of the thumb, which the ends of the slider keep free, in pixels.
HALF = 9

IS_MADE = f"document.querySelector('.card progress')?.value >= {MADE * 100}"
SHADED = f"Number(document.querySelector('#player-seek').style.getPropertyValue('--made')) >= {MADE}"
#: What is heard goes on: the second from which the sound was loaded, and how far the page is beyond what is heard.
GOES_ON = """(() => {
    const { src, paused, currentTime } = document.querySelector('#audio');
    const from = Number(new URL(src).searchParams.get('from'));
    const [minutes, seconds] = document.querySelector('#player-now').textContent.split(':').map(Number);
    return !paused && currentTime > 0.3 && from > 5 && [from, minutes * 60 + seconds - from - currentTime];
})()"""
#: The page writes whole seconds, four times in one.
BESIDE = 1.5

#: Its four minutes take two to come.
SLOW = "[offline]\nrate_kbps = 256\n"


def aimed_at(width: float) -> float:
    """The second at CLICKED of a slider of that width in pixels."""
    return (width * CLICKED - HALF) / (width - 2 * HALF) * LENGTH


def seconds(words: str) -> int:
    """Of `1:02:03`."""
    total = 0
    for part in words.split(":"):
        total = total * 60 + int(part)
    return total
