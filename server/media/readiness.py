"""Whether conversions can work right now: what `GET /readyz` answers and `doctor` reports."""

from __future__ import annotations

import asyncio
import logging
import math
import re
import time
from dataclasses import dataclass, field
from datetime import UTC, date, datetime

from ..config import Config
from ..installation import pip_install
from ..storage.artifacts import Artifacts
from ..storage.library import Library
from ..storage.state import State
from . import ffmpeg, process, ytdlp
from .exits import Exits
from .updates import Updates

log = logging.getLogger(__name__)

#: YouTube changes often: yt-dlp itself warns from this age on, in days.
OLD_AFTER_DAYS = 90
#: Seconds for which an answer is given again.
ANSWER_SECONDS = 1.0


@dataclass
class Readiness:
    """The versions that run, and the parts that can fail later."""

    config: Config
    versions: ytdlp.Versions
    ffmpeg_path: str
    artifacts: Artifacts
    state: State
    exits: Exits | None = None
    updates: Updates | None = None
    library: Library | None = None
    lacks: list[str] = field(default_factory=list)
    """What the folders' file systems cannot do."""
    _asking: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)
    _said: tuple[list[str], list[str]] = field(default=([], []), init=False)
    _said_until: float = field(default=-math.inf, init=False)

    async def report(self) -> tuple[list[str], list[str]]:
        """What stops conversions, and what may stop them; each in a sentence that says what to do.

        The same answer is given for `ANSWER_SECONDS`, since anybody may ask, and each new one starts processes.
        """
        async with self._asking:
            if time.monotonic() >= self._said_until:
                self._said = await self._look()
                self._said_until = time.monotonic() + ANSWER_SECONDS
        return self._said

    async def _look(self) -> tuple[list[str], list[str]]:
        problems: list[str] = []
        warnings: list[str] = []
        warnings += ytdlp_warnings(self.versions)
        warnings += self.lacks
        if self.library and (warning := await self.library.warning()) is not None:
            warnings.append(warning)
        if self.updates and self.updates.problem:
            warnings.append(self.updates.problem)
        if self.exits:
            warnings += self.exits.warnings
            for cookies in self.exits.cookies:
                warnings += await cookies.warnings()
        try:
            await ffmpeg.version(self.ffmpeg_path)
        except ffmpeg.Slow as error:
            problems.append(f"{error}. Lower [jobs] slots, or give this machine less other work.")
        except process.ChildFailed as error:
            problems.append(f"ffmpeg does not run: {error}. Set [ffmpeg] path, or {REINSTALL_FFMPEG}.")
        if (problem := await self.artifacts.problem()) is not None:
            log.warning("%s", problem)
            problems.append("The downloads folder cannot be written. Check its owner and rights, and its disk.")
        elif not await self.artifacts.room():
            problems.append("The disk is full. Make room, or lower [storage] disk_budget_mb.")
        if self.state.failing:
            problems.append("The state cannot be written. Check [storage] state: the folder, its rights and its disk.")
        return problems, warnings


REINSTALL_FFMPEG = f"install it again: `{pip_install('--force-reinstall imageio-ffmpeg')}`"
_NEWEST_YTDLP = pip_install("--upgrade 'yt-dlp[default,deno]'")
UPDATE_YTDLP = f"Update it: `{_NEWEST_YTDLP}`; a running server uses it soon."
BROKEN_PLUGIN = "A plugin of yt-dlp cannot be imported; the log of the start names it. Update or remove its package."
NO_RUNTIME = (
    f"yt-dlp finds no JavaScript runtime, so most videos' formats stay locked. Install its own: `{_NEWEST_YTDLP}`."
)


def ytdlp_warnings(versions: ytdlp.Versions) -> list[str]:
    """Problems of yt-dlp and its tools, each in a sentence that says what to do."""
    found = []
    age = ytdlp_age(versions.ytdlp)
    if age is not None and age > OLD_AFTER_DAYS:
        found.append(f"yt-dlp {versions.ytdlp} is {age} days old. {UPDATE_YTDLP}")
    if not versions.runtime:
        found.append(NO_RUNTIME)
    if versions.plugin_errors:
        found.append(BROKEN_PLUGIN)
    return found


def ytdlp_age(version: str) -> int | None:
    """Days since the release that `version` (YYYY.MM.DD…) names."""
    released = _released(version)
    return None if released is None else (datetime.now(UTC).date() - released).days


def ytdlp_released(version: str) -> float:
    """The moment of that release, in seconds since the epoch; NaN if the version names none."""
    released = _released(version)
    return datetime(released.year, released.month, released.day, tzinfo=UTC).timestamp() if released else math.nan


def _released(version: str) -> date | None:
    found = re.match(r"(\d{4})\.(\d{1,2})\.(\d{1,2})", version)
    return date(*map(int, found.groups())) if found else None
