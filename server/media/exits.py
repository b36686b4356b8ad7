"""The exits, which are the ways to YouTube: chooses one for each attempt, and keeps the health of each.

A failure that is the exit's fault, not the video's, closes the exit for a while, which doubles with each further
failure. Then one attempt tries it. If that works, the exit is open again. While all exits are closed, no job starts
(see `gate.py`).
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
import weakref
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from ..config import Config, YtdlpConfig
from ..errors import JobError
from ..gate import Closed
from ..jobs import Job
from .cookies import Cookies
from .exit_settings import configurations

log = logging.getLogger(__name__)

#: Seconds that an exit cools down at most.
LONGEST = 3600.0
#: The part by which a time to cool down is drawn longer or shorter, so that exits are not all tried at once.
JITTER = 0.1

COOKIES = "COOKIES_INVALID"
#: Failures that tell of the exit whatever the video is.
CERTAIN = frozenset({"BOT_CHECK", "SOURCE_RATE_LIMITED", COOKIES})
#: Failures that tell of the exit once two videos in a row have met them there.
LIKELY = frozenset({"SOURCE_FORBIDDEN", "SOURCE_WITHHELD"})
#: Failures that another exit may not meet, though this one is not to blame.
ELSEWHERE = frozenset({"GEO_BLOCKED"})
#: Failures that tell of neither: YouTube says the same to a blocked exit, or nobody knows.
UNCLEAR = frozenset({"VIDEO_UNAVAILABLE", "SOURCE_REFUSED", "NETWORK_ERROR", "TIMEOUT", "TRUNCATED", "ENCODE_FAILED"})
#: Failures of this machine.
OURS = frozenset({"INTERNAL_ERROR", "DISK_FULL"})


@dataclass(eq=False)
class Exit:
    """`ytdlp` are its settings. `until` is by the clock of `Exits`."""

    name: str
    ytdlp: YtdlpConfig
    cookies: Cookies | None = None
    in_use: int = 0
    last_used: int = 0
    #: How often it was closed since something last worked.
    closings: int = 0
    reason: JobError | None = None
    until: float = 0.0
    until_time: datetime = field(default_factory=lambda: datetime.now(UTC))
    #: The attempt that shows whether it works again.
    trial: Job | None = None
    #: The video whose failure would be the exit's fault if another one fails, too.
    suspect: str = ""


@dataclass
class _Use:
    exit: Exit
    closings: int  # of the exit when the attempt began: of failures that come together one counts


class Exits:
    """All exits of a server. It is the `Gate` of the engine."""

    def __init__(
        self,
        exits: tuple[Exit, ...],
        cooldown: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        observe: Callable[[str, str], None] = lambda name, code: None,
    ) -> None:
        """`cooldown` in seconds is how long an exit is first closed for; 0 closes none.

        `observe` is told the exit and the code of each failure that is an exit's fault.
        """
        self.all = exits
        self.on_change: Callable[[], None] = lambda: None
        self._cooldown = cooldown
        self._clock = clock
        self._observe = observe
        self._uses: dict[Job, _Use] = {}
        self._used: weakref.WeakKeyDictionary[Job, set[str]] = weakref.WeakKeyDictionary()
        self._count = 0
        self._closed_since: float | None = None
        self._changed = asyncio.Event()

    # ---- the gate

    @property
    def closed(self) -> Closed | None:
        """None as soon as one exit is open."""
        first = min(self.all, key=lambda one: one.until)
        if self._closed_since is None or first.reason is None:
            return None
        what = "This server cannot reach YouTube" if first.reason.of_proxy else "YouTube refuses this server"
        notice = (
            f"{what} at the moment, so this conversion waits. The next try is at about {first.until_time:%H:%M} UTC."
        )
        return Closed(self._closed_since, first.reason, notice)

    async def opened(self) -> None:
        while not any(self._may_begin(one) for one in self.all):
            self._changed.clear()
            pause = min((one.until for one in self.all if one.trial is None), default=self._clock() + LONGEST)
            try:
                async with asyncio.timeout(max(0.0, pause - self._clock()) + 0.01):
                    await self._changed.wait()
            except TimeoutError:
                continue

    def begin(self, job: Job) -> None:
        self._take(job, self._best(job) or min(self.all, key=lambda one: one.until))

    def end(self, job: Job) -> None:
        if (use := self._uses.pop(job, None)) is not None:
            self._release(job, use.exit)

    # ---- for the attempt

    def of(self, job: Job) -> Exit:
        """The exit that the attempt at `job` takes."""
        if job not in self._uses:
            self.begin(job)
        return self._uses[job].exit

    def heard(self, job: Job) -> None:
        """Audio comes for `job`. That ends a trial, however long the video is.

        Not where audio was what YouTube did not hand out: it may still break off.
        """
        use = self._uses[job]
        if use.exit.reason and use.exit.reason.code not in LIKELY:
            self._open(use)

    def worked(self, job: Job) -> None:
        """The attempt at `job` has brought its audio, or YouTube's answer about the video."""
        use = self._uses[job]
        use.exit.suspect = ""
        self._open(use)

    def failed(self, job: Job, error: JobError) -> bool:
        """Note why the attempt at `job` failed; whether it goes on through another exit, which `of` then gives."""
        use = self._uses[job]
        one = use.exit
        if self._is_at_fault(one, job, error):
            self._observe(one.name, error.code)
            if self._cooldown and one.closings == use.closings and self._may_close(one, error):
                self._close(one, error)
        elif error.code not in CERTAIN | LIKELY | UNCLEAR | OURS:
            self.worked(job)
        elif one.closings and one.trial is job:  # a trial that shows nothing
            self._cool(one, self._cooldown)
        goes_on = error.of_proxy or error.code in CERTAIN | LIKELY | ELSEWHERE
        if not goes_on or job.audio is not None:  # what somebody may have heard is for the engine to begin anew
            return False
        other = self._best(job)
        if other is None or other.name in self._used[job]:
            error.waits = self._closed_since is not None and (error.of_proxy or error.code in CERTAIN - {COOKIES})
            return False
        log.info("%s goes on through exit %s", job, other.name)
        self._release(job, one)
        self._take(job, other)
        return True

    # ---- for looking at a playlist, which is no job and never a trial: it shows nothing of audio

    def open_exit(self, tried: Collection[str]) -> Exit | None:
        """The least used exit that is open, or due for a trial, and not among the `tried` names."""
        able = [one for one in self.all if self._may_begin(one) and one.name not in tried]
        chosen = min(able, key=lambda one: (one.closings > 0, one.in_use, one.last_used), default=None)
        if chosen:
            self._count += 1
            chosen.last_used = self._count
        return chosen

    def refused(self, one: Exit, error: JobError) -> bool:
        """Note what YouTube, or the way to it, said through that exit; whether another one may do better."""
        if error.code in CERTAIN or error.of_proxy:
            self._observe(one.name, error.code)
            if self._cooldown and self._may_begin(one) and self._may_close(one, error):
                self._close(one, error)
        return error.of_proxy or error.code in CERTAIN | LIKELY | ELSEWHERE

    @property
    def next_try(self) -> float:
        """Seconds until a closed exit is tried again; 0 when one may be tried now."""
        return max(0.0, min(one.until for one in self.all) - self._clock())

    # ---- for the owner

    def is_open(self, one: Exit) -> bool:
        return one.closings == 0

    @property
    def warnings(self) -> list[str]:
        """The current problems, each in a sentence."""
        shut = [one for one in self.all if not self.is_open(one)]
        found = [
            f"Exit {one.name} cools down until about {one.until_time:%H:%M:%S} UTC: {one.reason.code}."
            for one in shut
            if one.reason
        ]
        if shut and len(shut) == len(self.all):
            found.append(
                "No exit is open, so conversions wait. The page \u201cYouTube asks for proof\u201d says what helps."
            )
        return found

    @property
    def cookies(self) -> list[Cookies]:
        """The cookies of all exits."""
        return list(dict.fromkeys(one.cookies for one in self.all if one.cookies))

    # ---- inside

    def _may_begin(self, one: Exit) -> bool:
        return one.closings == 0 or (one.trial is None and self._clock() >= one.until)

    def _best(self, job: Job) -> Exit | None:
        """One that `job` has not tried yet comes first, then one that is due for a trial, then the least used."""
        used = self._used.get(job, set())
        able = [one for one in self.all if self._may_begin(one)]
        return min(able, key=lambda one: (one.name in used, one.closings == 0, one.in_use, one.last_used), default=None)

    def _take(self, job: Job, one: Exit) -> None:
        self._count += 1
        one.in_use += 1
        one.last_used = self._count
        if one.closings and one.trial is None:
            one.trial = job
            log.info("exit %s is tried again", one.name)
        self._uses[job] = _Use(one, one.closings)
        self._used.setdefault(job, set()).add(one.name)

    def _release(self, job: Job, one: Exit) -> None:
        one.in_use -= 1
        if one.trial is job:
            one.trial = None
            self._notice()

    def _is_at_fault(self, one: Exit, job: Job, error: JobError) -> bool:
        if error.code in CERTAIN or error.of_proxy:
            return True
        if error.code not in LIKELY:
            return False
        before, one.suspect = one.suspect, job.video_id
        return before not in ("", job.video_id)

    def _may_close(self, one: Exit, error: JobError) -> bool:
        """Cookies are looked at before YouTube is asked, and good at once when the owner replaces them.

        So an exit without good ones is left alone only while there is another.
        """
        return error.code != COOKIES or any(self.is_open(other) for other in self.all if other is not one)

    def _open(self, use: _Use) -> None:
        one = use.exit
        if one.closings and one.closings == use.closings:  # else it began before the exit was closed
            log.info("exit %s is open again", one.name)
            one.closings, one.reason, one.until = 0, None, 0.0
            self._notice()

    def _close(self, one: Exit, error: JobError) -> None:
        one.closings += 1
        one.reason = error
        doubled = 0 if error.code == COOKIES else min(one.closings - 1, 16)
        self._cool(one, min(LONGEST, self._cooldown * 2**doubled))
        log.warning("exit %s cools down until %s: %s", one.name, f"{one.until_time:%H:%M:%S} UTC", error.code)
        self._notice()

    def _cool(self, one: Exit, seconds: float) -> None:
        seconds *= random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311  # no secret
        one.until = self._clock() + seconds
        one.until_time = datetime.now(UTC) + timedelta(seconds=seconds)

    def _notice(self) -> None:
        """Wake who waits, and say whether all are closed, and since when."""
        if any(self.is_open(one) for one in self.all):
            self._closed_since = None
        elif self._closed_since is None:
            self._closed_since = self._clock()
        self._changed.set()
        self.on_change()


def exits_of(config: Config, *, keeps: bool = True) -> tuple[Exit, ...]:
    """The exits that `config` describes. `keeps` is whether what YouTube renews in cookies is written down."""
    files: dict[Path, Cookies] = {}
    made = []
    for name, own in configurations(config):
        path = own.ytdlp.cookies
        if path and path not in files:
            files[path] = Cookies(path, config.storage.state, name, keeps=keeps)
        made.append(Exit(name, own.ytdlp, files[path] if path else None))
    return tuple(made)
