"""Conversions and jobs: the clients' requests, and the work that several of them may share.

A `Conversion` is one request: its id, its times, and whether it was cancelled or removed. A `Job` is the work behind
it, one per recipe; several conversions may share it. The job owns the status; a conversion derives its own from it.
"""

from __future__ import annotations

import asyncio
import enum
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from . import stored
from .clip import Clip
from .errors import JobError


class Status(enum.StrEnum):
    QUEUED = "queued"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


#: Every change of a job's status. queued → completed: a restart found the finished file. queued → failed: the job's
#: time ran out between two attempts. processing → queued: a retry or a restart begins a new attempt. A job is never
#: cancelled; a conversion may be, at any time before its job has ended.
TRANSITIONS: dict[Status, frozenset[Status]] = {
    Status.QUEUED: frozenset({Status.PROCESSING, Status.COMPLETED, Status.FAILED}),
    Status.PROCESSING: frozenset({Status.QUEUED, Status.COMPLETED, Status.FAILED}),
    Status.COMPLETED: frozenset(),
    Status.FAILED: frozenset(),
}


class Quality(enum.StrEnum):
    """The published names; constant bitrate in kbit/s."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"

    @property
    def bitrate_kbps(self) -> int:
        return {Quality.HIGH: 320, Quality.MEDIUM: 192, Quality.LOW: 128}[self]


class Recipe(NamedTuple):
    """What is made. Requests for the same recipe share one job and one file.

    `clip` is the part of the video, `loudness` in LUFS what the sound is brought to; None leaves it as it is.
    """

    video_id: str
    bitrate_kbps: int
    clip: Clip | None = None
    loudness: float | None = None

    @property
    def needs_source(self) -> bool:
        """Whether it is made from a source that is kept in a file meanwhile."""
        return self.clip is not None or self.loudness is not None

    def __str__(self) -> str:
        """As it stands in the log."""
        clip = f" clip={self.clip}" if self.clip else ""
        loudness = "" if self.loudness is None else f" loudness={self.loudness}"
        return f"{self.video_id} {self.bitrate_kbps}{clip}{loudness}"


class Webhook(NamedTuple):
    """Where a conversion's end is told. `base_url` is what links in it begin with."""

    url: str
    base_url: str


class Order(NamedTuple):
    """What one request asks for. `webhook_url` is where the end is told; empty is nowhere."""

    video_id: str
    quality: Quality
    clip: Clip | None = None
    loudness: float | None = None
    webhook_url: str = ""

    @property
    def recipe(self) -> Recipe:
        return Recipe(self.video_id, self.quality.bitrate_kbps, self.clip, self.loudness)


@dataclass(frozen=True)
class Source:
    """What the MP3 is made from. `bitrate_kbps` is None when YouTube does not say."""

    codec: str
    bitrate_kbps: int | None


@dataclass(frozen=True, slots=True)
class Chapter:
    """One chapter of a video. `start` and `end` in seconds."""

    title: str
    start: float
    end: float


@dataclass(frozen=True)
class Media:
    """yt-dlp's description of the video, known before its audio comes.

    `duration` in seconds, `date` as YYYY-MM-DD or YYYY. An unknown text is empty, an unknown number None. `track` is
    the song's own title, if YouTube knows that the video is one song. Of a clip, `duration` and `chapters` are its own,
    `clip` is its place in the video, and `part` is the same for people.
    """

    title: str
    artist: str
    duration: float
    date: str
    source: Source
    album: str = ""
    album_artist: str = ""
    track: str = ""
    track_number: int | None = None
    disc_number: int | None = None
    genre: str = ""
    chapters: tuple[Chapter, ...] = ()
    clip: Clip | None = None
    part: str = ""

    @classmethod
    def restored(cls, table: Any) -> Media:
        """Restore a `Media` from `dataclasses.asdict`, also from an earlier version with fewer fields.

        Raises KeyError, TypeError or ValueError for anything else.
        """
        if not isinstance(table, dict):
            raise TypeError("no table")
        chapters = tuple(Chapter(**chapter) for chapter in table.get("chapters", ()))
        clip = Clip.restored(table["clip"]) if table.get("clip") else None
        media = cls(**{**table, "source": Source(**table["source"]), "chapters": chapters, "clip": clip})
        texts = [media.title, media.artist, media.date, media.source.codec, media.album, media.album_artist]
        texts += [media.track, media.genre, media.part, *(one.title for one in chapters)]
        numbers = [media.duration, media.source.bitrate_kbps or 0, media.track_number or 0, media.disc_number or 0]
        numbers += [time for one in chapters for time in (one.start, one.end)]
        for text in texts:
            stored.text(text)
        for number in numbers:
            stored.number(number)
        return media


@dataclass(frozen=True)
class Artifact:
    """A finished file. Its name never stands for other content, so an ETag or a range never mixes two files.

    `cover` is the front cover's path or None; `size` in bytes.
    """

    recipe: Recipe
    path: Path
    size: int
    media: Media
    cover: Path | None


class Change:
    """Wakes all tasks that wait for the next change. Look at the state again after every wake-up.

    A task that awaits something else between looking and waiting notes `count` before it looks and waits `since` that
    count; then it misses no change in between.
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
    """The work for one recipe. `changed` fires on every progress, also when the file merely grew.

    Its methods are the only way to change its status.
    """

    recipe: Recipe
    origin: str = "-"  # the id of the request that began it
    sharers: dict[Conversion, None] = field(default_factory=dict)  # a set, in order of arrival
    attempt: int = 0  # counts the attempts begun since the server started; the first is 1
    failures: int = 0  # attempts that failed by the source's or the video's fault
    displaced: int = 0  # attempts whose files somebody else took away
    interrupted: int = 0  # attempts that ended with the server's own death: no fault of the video's
    progress: int = 0
    media: Media | None = None
    cover: Path | None = None
    audio: Path | None = None  # the growing file, once there is one
    artifact: Artifact | None = None
    error: JobError | None = None
    revision: int = 0  # counts what a client can see change
    begun: float = field(default_factory=time.monotonic)  # when it was first wanted, in this process
    changed: Change = field(default_factory=Change)
    on_change: Callable[[Conversion], None] = field(default=lambda conversion: None)
    _status: Status = Status.QUEUED

    def __str__(self) -> str:
        """The job's name in the log."""
        return f"job {self.recipe} id={self.origin}"

    @property
    def video_id(self) -> str:
        return self.recipe.video_id

    @property
    def bitrate_kbps(self) -> int:
        return self.recipe.bitrate_kbps

    @property
    def status(self) -> Status:
        return self._status

    @property
    def finished(self) -> bool:
        return not TRANSITIONS[self._status]

    def join(self, conversion: Conversion) -> None:
        """Let one more conversion share this job."""
        self.sharers[conversion] = None
        conversion.note_times()

    def begin_attempt(self) -> None:
        self._check(Status.PROCESSING)
        self.attempt += 1
        self.progress = 0
        self._advance(Status.PROCESSING)

    def put_back(self) -> None:
        """End the attempt and discard its files; another will follow."""
        self._check(Status.QUEUED)
        self.audio = self.cover = None
        self._advance(Status.QUEUED)

    def complete(self, artifact: Artifact) -> None:
        self._check(Status.COMPLETED)
        self.artifact, self.media, self.progress = artifact, artifact.media, 100
        self._advance(Status.COMPLETED)

    def fail(self, error: JobError) -> None:
        self._check(Status.FAILED)
        self.error = error
        self._advance(Status.FAILED)

    def _check(self, status: Status) -> None:
        """Refuse a change that is not in `TRANSITIONS`; a finished job never changes."""
        if status not in TRANSITIONS[self._status]:
            raise AssertionError(f"{self._status} → {status} is no transition")

    def _advance(self, status: Status) -> None:
        self._status = status
        for sharer in self.sharers:
            sharer.note_times()
        self.touch()

    def touch(self) -> None:
        """Announce a change that a client can see."""
        self.revision += 1
        self.changed.notify()
        for conversion in self.sharers:
            self.on_change(conversion)

    def report_progress(self, percent: float) -> None:
        """Progress never goes down within an attempt, and 100 is only for completed work."""
        self.progress = max(self.progress, min(99, int(percent)))


@dataclass(eq=False)
class Conversion:
    """One request's conversion. Times are aware datetimes in UTC and the request's own, also for shared work."""

    id: str
    owner: str  # the name of the key that asked
    quality: Quality
    created_at: datetime
    job: Job
    started_at: datetime | None = None
    finished_at: datetime | None = None
    expires_at: datetime | None = None
    cancelled_at: int | None = None  # the progress in per cent at which its owner cancelled it
    name: str = ""  # of its download, without an extension, once it is decided
    webhook: Webhook | None = None  # until the end has been handed over to be told
    removed: bool = False
    revision: int = 0
    rendered: tuple[tuple[object, ...], bytes] | None = field(default=None, repr=False)  # the answer, by what made it

    @property
    def video_id(self) -> str:
        return self.job.video_id

    @property
    def status(self) -> Status:
        return self.job.status if self.cancelled_at is None else Status.CANCELLED

    @property
    def finished(self) -> bool:
        return self.cancelled_at is not None or self.job.finished

    @property
    def progress(self) -> int:
        """In per cent."""
        return self.job.progress if self.cancelled_at is None else self.cancelled_at

    def cancel(self) -> None:
        """Leave the job, which goes on for its other sharers."""
        if self.finished:
            raise AssertionError(f"{self.status} → {Status.CANCELLED} is no transition")
        self.cancelled_at = self.job.progress
        self.note_times()

    def note_times(self) -> None:
        """Note when it started and ended, each once."""
        if self.finished:
            self.finished_at = self.finished_at or utc_now()
        elif self.status is Status.PROCESSING:
            self.started_at = self.started_at or utc_now()
        self.revision += 1

    @property
    def place(self) -> tuple[datetime, str]:
        """The position in lists by age. The id decides between conversions of one moment."""
        return self.created_at, self.id


def new_id() -> str:
    """144 random bits, URL-safe. Knowing an id is the right to download its file."""
    return secrets.token_urlsafe(18)


def utc_now() -> datetime:
    return datetime.now(UTC)
