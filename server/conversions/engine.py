"""The engine: who shares which work, what is accepted, and what becomes of everything.

Scheduling is decided synchronously: each method changes all the state it must before it awaits anything. What was
accepted is in the journal before `submit` returns. The engine is given `run(job)` and knows nothing of how an MP3 is
made; the slots and the attempts are in `workers.py`.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Collection, Iterable, Sequence
from contextlib import ExitStack

from .. import errors
from ..config import JobsConfig
from ..jobs import Artifact, Conversion, Job, Quality, Status, new_id, utc_now
from ..metrics import Metrics
from ..storage import artifact_files
from ..storage.artifacts import Artifacts
from ..storage.journal import Journal
from . import records
from .fairqueue import FairQueue
from .table import Table
from .workers import Run, Workers

log = logging.getLogger(__name__)

#: How long to wait when there was no room, in seconds.
RETRY_AFTER = 30
DISK_FULL = "The server's disk is full. Try again later."
#: How often expiry, the disk budget and the journal's size are looked at, in seconds.
_TIDY_EVERY = 5.0
_COMPACT_BYTES = 4 << 20
#: Conversions that expire before it is others' turn.
_STEP = 200


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
        self.workers = Workers(
            run, self.queue, self, slots=slots, timeout=settings.timeout, retry_pause=settings.retry_pause
        )
        self._jobs: dict[tuple[str, int], Job] = {}  # in flight or kept, by video and bitrate
        self.draining = False
        self._room = True

    # ---- what is done

    async def submit(self, owner: str, wanted: Sequence[tuple[str, Quality]], *, origin: str = "-") -> list[Conversion]:
        """Accept all of `wanted` (video id, quality) or nothing, in their order, on disk before this returns.

        `origin` is the id of the request, which the log names beside every stage of the work it began. Raises
        ShuttingDown, QueueFull or StorageFull.
        """
        keys = [(video_id, quality.bitrate_kbps) for video_id, quality in wanted]
        await self.expire_damaged([job.artifact for key in keys if (job := self._jobs.get(key)) and job.artifact])
        self._make_place(keys)
        new = len(set(keys) - self._jobs.keys())
        accepted = [self._accept(owner, video_id, quality, origin) for video_id, quality in wanted]
        kept = [conversion for conversion in accepted if conversion.finished]
        try:
            with ExitStack() as stack:
                for artifact in {conversion.job.artifact for conversion in kept if conversion.job.artifact}:
                    stack.enter_context(self._artifacts.reading(artifact))  # no budget takes it before it is answered
                await self._journal.append(records.put(accepted))
        except BaseException as error:
            for conversion in accepted:
                self._forget(conversion)
            # A rewrite of the journal may have seen them in the table.
            self._journal.note(records.drop([conversion.id for conversion in accepted]))
            if isinstance(error, OSError):
                raise errors.StorageFull(DISK_FULL, retry_after=RETRY_AFTER) from error
            raise
        self._metrics.accepted.inc(len(accepted))
        self._metrics.shared.inc(len(accepted) - new)
        for conversion in kept:
            self._metrics.ended(conversion.job, 1)
        for conversion in accepted:
            # A job between two attempts still has its task, which will queue all its sharers. On the way out only the
            # journal keeps it, for the next start.
            if conversion.status is Status.QUEUED and conversion.job not in self.workers and not self.draining:
                self.queue.push(conversion)
            self.table.changed(conversion)
        self.table.queue_changed()
        return accepted

    def _make_place(self, keys: Sequence[tuple[str, int]]) -> None:
        """See that all may come; where the table is full, forget as many of the oldest finished. Raises as `submit`."""
        if self.draining:
            raise errors.ShuttingDown("The server is shutting down. Try again in a moment.", retry_after=5)
        if not (self._room or self._jobs.keys() >= set(keys)):
            raise errors.StorageFull(DISK_FULL, retry_after=RETRY_AFTER)
        jobs = [self._jobs.get(key) for key in keys]
        waiting = sum(job is None or job.status is Status.QUEUED for job in jobs)
        joining = sum(job is not None and job.status is Status.PROCESSING for job in jobs)
        backlog, served = self._settings.backlog, self.workers.served
        waiting_too_many = waiting and self.table.unfinished_count - served + waiting > backlog
        if waiting_too_many or (joining and served + joining > backlog):
            raise errors.QueueFull(
                f"All {backlog} places in the queue are taken. Try again later.", retry_after=RETRY_AFTER
            )
        if (excess := len(self.table) + len(keys) - self._settings.keep_conversions) > 0:
            self._expire(self.table.oldest_finished(excess))

    def _accept(self, owner: str, video_id: str, quality: Quality, origin: str) -> Conversion:
        key = (video_id, quality.bitrate_kbps)
        job = self._jobs.get(key)
        if job is None:
            job = self._jobs[key] = Job(*key, origin=origin, on_change=self.table.changed)
        conversion = Conversion(new_id(), owner, video_id, quality, utc_now(), job)
        self.table.enter(conversion)
        job.sharers[conversion] = None
        if job.artifact:
            self._finish(conversion, Status.COMPLETED)
        elif job.status is Status.PROCESSING:
            conversion.advance(Status.PROCESSING)
        return conversion

    async def remove(self, conversion: Conversion) -> None:
        """Cancel a conversion that is not finished; forget a finished one. Nobody else's is touched."""
        if conversion.finished:
            conversion.removed = True
            self._forget(conversion)
            record = records.drop([conversion.id])
        else:
            self._cancel(conversion)
            record = records.put([conversion])
        self.table.changed(conversion)
        try:
            await self._journal.append(record)
        except OSError:
            self._journal.note(record)  # on a full disk a removal must still go through

    def _cancel(self, conversion: Conversion) -> None:
        job = conversion.job
        self._leave(job, conversion)
        conversion.job = Job(
            job.video_id, job.bitrate_kbps, status=Status.CANCELLED, progress=job.progress, media=job.media
        )
        self._finish(conversion, Status.CANCELLED)
        self._metrics.ended(conversion.job, 1)

    async def run_forever(self) -> None:
        """Start what waits whenever a slot is free, and tidy up. Runs until it is cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.workers.work_forever(), name="dispatcher")
            group.create_task(self._tidy(), name="tidy")

    # ---- the life of a job, as the workers tell it

    def began(self, job: Job) -> None:
        self._move(job, Status.PROCESSING)
        self.table.queue_changed()

    def put_back(self, job: Job) -> None:
        job.end_attempt()
        self._move(job, Status.QUEUED)

    def due_again(self, job: Job) -> None:
        if not self.draining:
            self.queue.push_first(job.sharers)
            self.table.queue_changed()

    def completed(self, job: Job, artifact: Artifact) -> None:
        job.status, job.artifact, job.media, job.progress = Status.COMPLETED, artifact, artifact.media, 100
        self._metrics.audio_seconds.inc(artifact.media.duration)
        self._end(job)
        if surplus := self._artifacts.over_budget():
            self.workers.await_later(asyncio.create_task(self._remove(surplus), name="make room"))

    def failed(self, job: Job, error: errors.JobError) -> None:
        job.status, job.error = Status.FAILED, error
        if isinstance(error, errors.DiskFull):
            self._room = False
        self._jobs.pop(job.key, None)
        self._end(job)

    def _move(self, job: Job, status: Status) -> None:
        """Every sharer along with the job; the record follows."""
        job.status = status
        for sharer in job.sharers:
            sharer.advance(status)
        self._journal.note(records.put(job.sharers))
        job.touch()

    def _end(self, job: Job) -> None:
        log.info("%s %s for %d conversions", job, job.status, len(job.sharers))
        for sharer in job.sharers:
            self._finish(sharer, job.status)
        self._metrics.ended(job, len(job.sharers))
        self._journal.note(records.put(job.sharers))
        job.touch()

    def _finish(self, conversion: Conversion, status: Status) -> None:
        conversion.advance(status)
        self.table.keep(conversion, self._settings.keep_hours * 3600.0)

    def _forget(self, conversion: Conversion) -> None:
        """Gone from the table, and with the last of its sharers the file or the work."""
        self.table.leave(conversion)
        if conversion in conversion.job.sharers:
            self._leave(conversion.job, conversion)

    def _leave(self, job: Job, conversion: Conversion) -> None:
        """Stop the work nobody waits for any more, remove the file nobody keeps."""
        del job.sharers[conversion]
        if conversion in self.queue:
            self.queue.discard(conversion)
            self.table.queue_changed()
        job.changed.notify()
        if job.sharers:
            return
        if self._jobs.get(job.key) is job:
            del self._jobs[job.key]
        if not self.workers.give_up(job) and job.artifact:
            self._remove_later(job.artifact)

    def _remove_later(self, artifact: Artifact) -> None:
        task = asyncio.create_task(self._artifacts.remove(artifact), name=f"remove {artifact.path.name}")
        self.workers.await_later(task)

    def _expire(self, conversions: Iterable[Conversion]) -> None:
        gone = [conversion for conversion in conversions if conversion in self.table]
        for conversion in gone:
            conversion.removed = True
            self._forget(conversion)
            self.table.changed(conversion)
        if gone:
            self._journal.note(records.drop([conversion.id for conversion in gone]))

    async def _expire_in_steps(self, conversions: Iterable[Conversion]) -> None:
        """There may be a hundred thousand, and others want their turn."""
        rest = iter(conversions)
        while step := list(itertools.islice(rest, _STEP)):
            self._expire(step)
            await asyncio.sleep(0)

    async def _remove(self, artifacts: Iterable[Artifact]) -> None:
        """Expire early whatever points to these files."""
        for artifact in artifacts:
            key = artifact_files.key_of(artifact)
            job = self._jobs.get(key)
            if job and job.artifact and job.artifact.path == artifact.path:
                del self._jobs[key]  # nobody else shares it from now on
                await self._expire_in_steps(list(job.sharers))
            elif not job or job.artifact:  # but one just published, of which the job is not yet told
                self._remove_later(artifact)  # nobody's: it could not be removed when its time had come

    async def expire_damaged(self, artifacts: Collection[Artifact]) -> None:
        """If somebody removed or cut one of these files, its links lead nowhere, and who asks again gets a new one."""
        if artifacts and (damaged := await self._artifacts.damaged(artifacts)):
            log.warning("%d finished files were removed or cut by somebody else", len(damaged))
            await self._remove(damaged)

    async def _tidy(self) -> None:
        while True:
            await self.tidy()
            await asyncio.sleep(_TIDY_EVERY)

    async def tidy(self) -> None:
        """Expire what is due, keep the disk budget, look whether there is room, shorten the journal."""
        await self._expire_in_steps(self.table.expired())
        await self._remove(self._artifacts.over_budget())
        self._room = await self._artifacts.room()
        if self._journal.grown_bytes > _COMPACT_BYTES and self._journal.size_records > 4 * len(self.table):
            await self.compact()

    async def compact(self) -> None:
        try:
            await self._journal.rewrite(records.put([conversion]) for conversion in list(self.table))
        except OSError as error:
            log.warning("the journal could not be shortened: %s", error)

    # ---- begin and end

    async def restore(self, stored: Iterable[records.Record], found: Sequence[tuple[str, int, Artifact]]) -> None:
        """The table of before the restart: finished links answer again, the unfinished is queued again."""
        conversions, self._jobs = records.restore(stored, found, self._journal.set_aside)
        for job in self._jobs.values():
            job.on_change = self.table.changed
        self.table.restore(conversions, self._settings.keep_hours * 3600.0)
        kept = {job.artifact.path for job in self._jobs.values() if job.artifact}
        for _, _, artifact in found:
            if artifact.path not in kept:
                await self._artifacts.remove(artifact)
        for job in list(self._jobs.values()):
            if job.artifact is None and job.interrupted >= records.MAX_INTERRUPTIONS:
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
        self.table.queue_changed()
        for conversion in [c for c in self.table if c.status is Status.QUEUED]:
            conversion.job.changed.notify()
            self.queue.discard(conversion)
        await self.workers.drain(grace)
