"""Names of finished files: `{video_id}-{bitrate}-{token}.mp3`, with what else was asked for before the token.

A clip is written in milliseconds: `65000_150000`, or `65000_` up to the end of the video. A loudness is
written in tenths of a LUFS below full scale: `L140`. The token is fresh and random, so a name never stands for other
content.
"""

from __future__ import annotations

import re
import secrets

from ..clip import LONGEST, Clip
from ..jobs import Recipe

_NAME = re.compile(
    r"(?P<video_id>[A-Za-z0-9_-]{11})-(?P<bitrate>[0-9]{2,3})"
    r"(?:-(?P<start>[0-9]{1,9})_(?P<end>[0-9]{0,9}))?(?:-L(?P<loudness>[0-9]{2,3}))?-[0-9a-f]{16}\.(?:mp3|json|jpg|part)"
)


def new(recipe: Recipe) -> str:
    """A fresh name for an MP3."""
    clip = f"-{recipe.clip}" if recipe.clip else ""
    loudness = "" if recipe.loudness is None else f"-L{round(-10 * recipe.loudness)}"
    return f"{recipe.video_id}-{recipe.bitrate_kbps}{clip}{loudness}-{secrets.token_hex(8)}.mp3"


def recipe(name: str) -> Recipe | None:
    """What a file of this name was made by; None for a name that is none of ours."""
    if not (found := _NAME.fullmatch(name)):
        return None
    clip = None
    if found["start"]:
        start, end = int(found["start"]), int(found["end"]) if found["end"] else None
        if start >= LONGEST * 1000 or (end is not None and end <= start):
            return None
        clip = Clip.between(start, end)
    loudness = -int(found["loudness"]) / 10 if found["loudness"] else None
    return Recipe(found["video_id"], int(found["bitrate"]), clip, loudness)
