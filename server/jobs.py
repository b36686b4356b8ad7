"""What is being converted: the conversion a client asked for, and the job that several of them may share.

A `Conversion` is one request's own: its id, times and fate. A `Job` is the work behind it, one per video and bitrate,
however many conversions wait for it. Both are plain state; the engine alone moves them.
"""

from __future__ import annotations

import asyncio
import enum
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from .errors import JobError


class Status(enum.StrEnum):
    QUEUED = "queued"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


#: Every arrow there is. queued → completed: the work was already kept; queued → failed: its time ran out in a pause
#: between attempts; processing → queued: a retry, or a restart, begins a new attempt.
TRANSITIONS: dict[Status, frozenset[Status]] = {
    Status.QUEUED: frozenset({Status.PROCESSING, Status.COMPLETED, Status.FAILED, Status.CANCELLED}),
    Status.PROCESSING: frozenset({Status.QUEUED, Status.COMPLETED, Status.FAILED, Status.CANCELLED}),
    Status.COMPLETED: frozenset(),
    Status.FAILED: frozenset(),
    Status.CANCELLED: frozenset(),
}


class Quality(enum.StrEnum):
    """The published names; constant bitrate in kbit/s."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"

    @property
    def bitrate_kbps(self) -> int:
        return {Quality.HIGH: 320, Quality.MEDIUM: 192, Quality.LOW: 128}[self]


@dataclass(frozen=True)
class Source:
    """What the MP3 is made from. `bitrate_kbps` is None when YouTube does not say."""

    codec: str
    bitrate_kbps: int | None


@dataclass(frozen=True)
class Media:
    """What yt-dlp found out about the video before its audio came. `duration` in seconds, `date` as YYYY-MM-DD."""

    title: str
    artist: str
    duration: float
    date: str
    source: Source


@dataclass(frozen=True)
class Artifact:
    """A finished file: one content for ever under one name, so that an ETag or a range never mixes two.

    `cover` is the front cover's path or None; `size` in bytes.
    """

    path: Path
    size: int
    media: Media
    cover: Path | None


class Change:
    """Wakes everybody who waits for the next change. Look at the state again after every wake-up.

    Who awaits anything between looking and waiting notes `count` before looking and waits `since` that count, so that
    no change in between is missed.
    """

    def __init__(self) -> None:
        self.count = 0
        self._waiters: set[asyncio.Future[None]] = set()

    def notify(self) -> None:
        self.count += 1
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._waiters.clear()

    async def wait(self, timeout: float | None = None, *, since: int | None = None) -> bool:
        """True when something changed, False after `timeout` seconds without."""
        if since is not None and since != self.count:
            return True
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter)
        try:
            async with asyncio.timeout(timeout):
                await waiter
        except TimeoutError:
            return False
        finally:
            self._waiters.discard(waiter)
        return True


@dataclass(eq=False)
class Job:
    """The work for one video at one bitrate; `changed` fires on every progress, also when the file merely grew."""

    video_id: str
    bitrate_kbps: int
    origin: str = "-"  # the id of the request that began it
    sharers: dict[Conversion, None] = field(default_factory=dict)  # a set in the order of coming
    status: Status = Status.QUEUED
    attempt: int = 0  # failed or running attempts so far, the first is 1
    interrupted: int = 0  # attempts that ended with the server's own death: no fault of the video's
    progress: int = 0
    media: Media | None = None
    cover: Path | None = None
    audio: Path | None = None  # the growing file, once there is one
    artifact: Artifact | None = None
    error: JobError | None = None
    revision: int = 0  # counts what a client can see change
    changed: Change = field(default_factory=Change)
    on_change: Callable[[Conversion], None] = field(default=lambda conversion: None)

    def __str__(self) -> str:
        """How the log names it."""
        return f"job {self.video_id} {self.bitrate_kbps} id={self.origin}"

    @property
    def key(self) -> tuple[str, int]:
        return self.video_id, self.bitrate_kbps

    def begin_attempt(self) -> None:
        self.attempt += 1
        self.progress = 0

    def end_attempt(self) -> None:
        """What it made is thrown away, if it was not published."""
        self.audio = self.cover = None

    def touch(self) -> None:
        """Something that a client can see has changed."""
        self.revision += 1
        self.changed.notify()
        for conversion in self.sharers:
            self.on_change(conversion)

    def report_progress(self, percent: float) -> None:
        """Never down, and 100 is only for what is completed."""
        self.progress = max(self.progress, min(99, int(percent)))


@dataclass(eq=False)
class Conversion:
    """One request's conversion. Times are aware datetimes in UTC."""

    id: str
    owner: str  # the name of the key that asked
    video_id: str
    quality: Quality
    created_at: datetime
    job: Job
    status: Status = Status.QUEUED
    started_at: datetime | None = None
    finished_at: datetime | None = None
    expires_at: datetime | None = None
    removed: bool = False
    revision: int = 0
    rendered: tuple[tuple[object, ...], bytes] | None = field(default=None, repr=False)  # the answer, by what made it

    def advance(self, status: Status) -> None:
        """Move along one arrow of `TRANSITIONS`; a finished conversion refuses to be written."""
        if status not in TRANSITIONS[self.status]:
            raise AssertionError(f"{self.status} → {status} is no transition")
        self.status = status
        self.revision += 1
        now = utc_now()
        if status is Status.PROCESSING:
            self.started_at = self.started_at or now
        elif status is not Status.QUEUED:
            self.finished_at = now

    @property
    def finished(self) -> bool:
        return not TRANSITIONS[self.status]

    @property
    def place(self) -> tuple[datetime, str]:
        """Where in lists by age; the id tells those of one moment apart."""
        return self.created_at, self.id


def new_id() -> str:
    """144 random bits, URL-safe: knowing one is the right to download."""
    return secrets.token_urlsafe(18)


def short(conversion_id: str) -> str:
    """What of an id may be logged."""
    return conversion_id[:6] + "…"


def utc_now() -> datetime:
    return datetime.now(UTC)
