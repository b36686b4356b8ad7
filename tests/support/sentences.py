"""What YouTube and yt-dlp are known to say; see `sentences.toml`."""

from __future__ import annotations

import tomllib
from pathlib import Path

_TABLE = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
#: The yt-dlp whose source was read for this.
SURVEYED: str = _TABLE["surveyed"]
NOTHING_SAID: list[str] = _TABLE["nothing_said"]
#: Each a dict of sentences by the code that they amount to.
YOUTUBE: dict[str, list[str]] = _TABLE["youtube"]
OWN: dict[str, list[str]] = _TABLE["own"]
WARNED: dict[str, list[str]] = _TABLE["warned"]
