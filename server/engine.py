"""The engine: who shares which work, what is accepted, and what becomes of everything.

Scheduling is decided synchronously: each method changes all the state it must before it awaits anything. What was
accepted is in the journal before `submit` returns. The engine is given `run(job)` and knows nothing of how an MP3 is
made; the slots and the attempts are in `workers.py`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Iterable, Sequence

from server import errors, recovery
from server.artifacts import Artifacts
from server.config import JobsConfig
from server.fairqueue import FairQueue
from server.jobs import Artifact, Conversion, Job, Quality, Status, new_id, utc_now
from server.journal import Journal
from server.metrics import Metrics
from server.table import Table
from server.workers import Run, Workers

log = logging.getLogger(__name__)

#: How long to wait when there was no room, in seconds.
RETRY_AFTER = 30
DISK_FULL = "The server's disk is full. Try again later."
#: How often expiry, the disk budget and the journal's size are looked at, in seconds.
_TIDY_EVERY = 5.0
_COMPACT_BYTES = 4 << 20


class Engine:
    def __init__(
        self,
        run: Run,
        *,
        journal: Journal,
        artifacts: Artifacts,
        settings: JobsConfig,
        slots: int,
        metrics: Metrics,
    ) -> None:
        self._journal = journal
        self._artifacts = artifacts
        self._settings = settings
        self._metrics = metrics
        self.slots = slots
        self.queue = FairQueue()
        self.table = Table()
        self._workers = Workers(
            run, self.queue, self, slots=slots, timeout=settings.timeout, retry_pause=settings.retry_pause
        )
        self._jobs: dict[tuple[str, int], Job] = {}  # in flight or kept, by video and bitrate
        self.draining = False
        self._room = True
        self._arriving = 0  # accepted, not yet on disk and so not yet in the queue

    @property
    def busy(self) -> int:
        """Slots in use."""
        return self._workers.busy

    # ---- what is done

    async def submit(self, owner: str, wanted: Sequence[tuple[str, Quality]], *, origin: str = "-") -> list[Conversion]:
        """Accept all of `wanted` (video id, quality) or nothing, in their order, on disk before this returns.

        `origin` is the id of the request, which the log names beside every stage of the work it began. Raises
        ShuttingDown, QueueFull or StorageFull.
        """
        kept = [self._jobs.get((video_id, quality.bitrate_kbps)) for video_id, quality in wanted]
        await self.expire_damaged([job.artifact for job in kept if job and job.artifact])
        self._check_room(wanted)
        accepted = [self._accept(owner, video_id, quality, origin) for video_id, quality in wanted]
        arriving = sum(conversion.status is Status.QUEUED for conversion in accepted)
        self._arriving += arriving
        try:
            await self._journal.append(recovery.put(accepted))
        except BaseException as error:
            for conversion in accepted:
                self._forget(conversion)
            if isinstance(error, OSError):
                raise errors.StorageFull(DISK_FULL, retry_after=RETRY_AFTER) from error
            raise
        finally:
            self._arriving -= arriving
        for conversion in accepted:
            # A job between two attempts still has its task, which will queue all its sharers.
            if conversion.status is Status.QUEUED and conversion.job not in self._workers:
                self._line_up(conversion)
            self.table.changed(conversion)
        return accepted

    def _check_room(self, wanted: Sequence[tuple[str, Quality]]) -> None:
        if self.draining:
            raise errors.ShuttingDown("The server is shutting down. Try again in a moment.", retry_after=5)
        fresh = [key for video_id, quality in wanted if (key := (video_id, quality.bitrate_kbps)) not in self._jobs]
        if fresh and not self._room:
            raise errors.StorageFull(DISK_FULL, retry_after=RETRY_AFTER)
        waiting = sum(
            (job := self._jobs.get((video_id, quality.bitrate_kbps))) is None or job.status is Status.QUEUED
            for video_id, quality in wanted
        )
        backlog = self._settings.backlog
        if waiting and len(self.queue) + self._arriving + waiting > backlog:
            raise errors.QueueFull(
                f"All {backlog} places in the queue are taken. Try again later.", retry_after=RETRY_AFTER
            )
        most = self._settings.keep_conversions
        while len(self.table) + len(wanted) > most and (oldest := self.table.next_to_expire()):
            self._expire(oldest)
        if len(self.table) + len(wanted) > most:
            raise errors.QueueFull(
                f"All {most} places in the table are taken. Try again later.", retry_after=RETRY_AFTER
            )

    def _line_up(self, conversion: Conversion, *, first: bool = False) -> None:
        """Into the queue; on the way out only the journal keeps it, for the next start."""
        if not self.draining:
            self.queue.push(conversion, first=first)

    def _accept(self, owner: str, video_id: str, quality: Quality, origin: str) -> Conversion:
        key = (video_id, quality.bitrate_kbps)
        job = self._jobs.get(key)
        self._metrics.accepted.inc()
        if job:
            self._metrics.shared.inc()
        else:
            job = self._jobs[key] = Job(*key, origin=origin, on_change=self.table.changed)
        conversion = Conversion(new_id(), owner, video_id, quality, utc_now(), job)
        self.table.enter(conversion)
        job.sharers.append(conversion)
        if job.artifact:
            self._artifacts.touch(job.artifact)
            self._finish(conversion, Status.COMPLETED)
            self._metrics.ended(job, 1)
        elif job.status is Status.PROCESSING:
            conversion.advance(Status.PROCESSING)
        return conversion

    async def remove(self, conversion: Conversion) -> None:
        """Cancel a conversion that is not finished; forget a finished one. Nobody else's is touched."""
        if conversion.finished:
            conversion.removed = True
            self._forget(conversion)
            record = recovery.drop([conversion.id])
        else:
            self._cancel(conversion)
            record = recovery.put([conversion])
        self.table.changed(conversion)
        try:
            await self._journal.append(record)
        except OSError:
            self._journal.note(record)  # on a full disk a removal must still go through

    def _cancel(self, conversion: Conversion) -> None:
        job = conversion.job
        self.queue.discard(conversion)
        job.sharers.remove(conversion)
        conversion.job = Job(
            job.video_id, job.bitrate_kbps, status=Status.CANCELLED, progress=job.progress, media=job.media
        )
        self._finish(conversion, Status.CANCELLED)
        self._metrics.ended(conversion.job, 1)
        job.changed.notify()
        self._drop_unshared(job)

    async def run_forever(self) -> None:
        """Start what waits whenever a slot is free, and tidy up. Runs until it is cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._workers.work_forever(), name="dispatcher")
            group.create_task(self._tidy(), name="tidy")

    # ---- the life of a job, as the workers tell it

    def began(self, job: Job) -> None:
        self._move(job, Status.PROCESSING)
        self._show_new_positions()

    def put_back(self, job: Job) -> None:
        self._move(job, Status.QUEUED)

    def due_again(self, job: Job) -> None:
        for sharer in job.sharers:
            self._line_up(sharer, first=True)

    def completed(self, job: Job, artifact: Artifact) -> None:
        job.status, job.artifact, job.media, job.progress = Status.COMPLETED, artifact, artifact.media, 100
        self._metrics.audio_seconds.inc(artifact.media.duration)
        self._end(job)
        self._make_room()

    def failed(self, job: Job, error: errors.JobError) -> None:
        job.status, job.error = Status.FAILED, error
        if isinstance(error, errors.DiskFull):
            self._room = False
        self._jobs.pop(job.key, None)
        self._end(job)

    def _show_new_positions(self) -> None:
        """Everybody behind has moved up: tell those who watch."""
        for owner in self.table.watched_owners():
            for conversion in self.queue.lane(owner):
                self.table.changed(conversion)

    def _move(self, job: Job, status: Status) -> None:
        """Every sharer along with the job; the record follows."""
        job.status = status
        for sharer in job.sharers:
            sharer.advance(status)
        self._journal.note(recovery.put(job.sharers))
        job.touch()

    def _end(self, job: Job) -> None:
        log.info("%s %s for %d conversions", job, job.status, len(job.sharers))
        for sharer in job.sharers:
            self._finish(sharer, job.status)
        self._metrics.ended(job, len(job.sharers))
        self._journal.note(recovery.put(job.sharers))
        job.touch()

    def _finish(self, conversion: Conversion, status: Status) -> None:
        conversion.advance(status)
        self.table.keep(conversion, self._settings.keep_hours * 3600.0)

    def _forget(self, conversion: Conversion) -> None:
        """Gone from the table, and with the last of its sharers the file or the work."""
        self.table.leave(conversion)
        job = conversion.job
        if conversion in job.sharers:
            job.sharers.remove(conversion)
            self.queue.discard(conversion)
            job.changed.notify()
            self._drop_unshared(job)

    def _drop_unshared(self, job: Job) -> None:
        """Stop the work nobody waits for any more, remove the file nobody keeps."""
        if job.sharers or self._jobs.get(job.key) is not job:
            return
        del self._jobs[job.key]
        if not self._workers.give_up(job) and job.artifact:
            self._workers.await_later(
                asyncio.create_task(self._artifacts.remove(job.artifact), name=f"remove {job.artifact.path.name}")
            )

    def _expire(self, conversion: Conversion) -> None:
        if conversion in self.table:
            conversion.removed = True
            self._forget(conversion)
            self._journal.note(recovery.drop([conversion.id]))

    def _make_room(self) -> None:
        """Expire early what was used least recently, down to the disk budget."""
        if surplus := self._artifacts.over_budget():
            self._expire_all_of(surplus)

    async def expire_damaged(self, artifacts: Collection[Artifact]) -> None:
        """If somebody removed or cut one of these files, its links lead nowhere, and who asks again gets a new one."""
        if artifacts and (damaged := await self._artifacts.damaged(artifacts)):
            log.warning("%d finished files were removed or cut by somebody else", len(damaged))
            self._expire_all_of(damaged)

    def _expire_all_of(self, artifacts: Collection[Artifact]) -> None:
        paths = {artifact.path for artifact in artifacts}
        for job in [job for job in self._jobs.values() if job.artifact and job.artifact.path in paths]:
            for sharer in list(job.sharers):
                self._expire(sharer)

    async def _tidy(self) -> None:
        while True:
            await self.tidy()
            await asyncio.sleep(_TIDY_EVERY)

    async def tidy(self) -> None:
        """Expire what is due, keep the disk budget, look whether there is room, shorten the journal."""
        for conversion in self.table.expired():
            self._expire(conversion)
        self._make_room()
        self._room = await self._artifacts.room()
        if self._journal.grown_bytes > _COMPACT_BYTES and self._journal.size_records > 4 * len(self.table):
            await self.compact()

    async def compact(self) -> None:
        try:
            await self._journal.rewrite(recovery.put([conversion]) for conversion in list(self.table))
        except OSError as error:
            log.warning("the journal could not be shortened: %s", error)

    # ---- begin and end

    async def restore(self, records: Iterable[recovery.Record], found: Sequence[tuple[str, int, Artifact]]) -> None:
        """The table of before the restart: finished links answer again, the unfinished is queued again."""
        conversions, self._jobs = recovery.restore(records, found, self._journal.set_aside)
        for job in self._jobs.values():
            job.on_change = self.table.changed
        self.table.restore(conversions, self._settings.keep_hours * 3600.0)
        kept = {job.artifact.path for job in self._jobs.values() if job.artifact}
        for _, _, artifact in found:
            if artifact.path not in kept:
                await self._artifacts.remove(artifact)
        for job in list(self._jobs.values()):
            if job.artifact is None and job.interrupted >= recovery.MAX_INTERRUPTIONS:
                log.warning("%s ended the server %d times and is given up", job, job.interrupted)
                self.failed(job, errors.JobFailed())
        for conversion in conversions:
            if conversion.status is Status.QUEUED:
                self.queue.push(conversion)
        await self.compact()
        if conversions:
            log.info("%d conversions restored, %d of them queued again", len(conversions), len(self.queue))

    async def drain(self, grace: float) -> None:
        """Accept and start nothing more; let what runs finish within `grace` seconds; keep the rest for later."""
        self.draining = True
        self.table.wake_watches()
        for conversion in [c for c in self.table if c.status is Status.QUEUED]:
            conversion.job.changed.notify()
            self.queue.discard(conversion)
        await self._workers.drain(grace)
