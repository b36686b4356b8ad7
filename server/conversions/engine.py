"""The engine: it accepts conversions, shares the work between them, and decides how each one ends.

Each method makes all its changes in memory before it awaits anything. Accepted conversions are on disk before `submit`
returns. `_live` runs one job from its first turn to its end. The engine receives `run(job)`, which makes the MP3.
"""

from __future__ import annotations

import asyncio
import errno
import itertools
import logging
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack

from .. import errors
from ..config import JobsConfig
from ..gate import AlwaysOpen, Gate
from ..jobs import Artifact, Conversion, Job, Order, Recipe, Status, Webhook, new_id, utc_now
from ..metrics import Metrics
from ..storage.artifacts import Artifacts
from ..storage.state import Record, Rows, State
from . import backlog, records
from .fairqueue import FairQueue
from .retention import Retention
from .retries import may_try_again, may_wait_for_storage
from .seen import Seen
from .storage_gate import StorageGate
from .table import Table
from .use import Use
from .workers import Run, Workers, is_suspect

log = logging.getLogger(__name__)

DISK_FULL = "The server's disk is full. Try again later."
CANNOT_WRITE = "The server cannot write its files now. Try again later, or tell its owner."
STATE_REFUSED = "The server cannot write down new conversions now. Try again later, or tell its owner."
#: Seconds between two checks of expiry and the disk budget.
_TIDY_EVERY = 5.0
#: Expired conversions whose video is still known.
_REMEMBERED = 10_000
#: Conversions that expire before other tasks get a turn.
_STEP = 200
#: Jobs that end, or conversions that are removed on request, before other tasks get a turn.
_FEW = 10
#: Rows that are written at once for a request to clear many.
_ROWS = 40
#: Files being removed at a time for one request to clear many.
_FILES = 50


class Engine:
    def __init__(
        self,
        run: Run,
        *,
        state: State,
        artifacts: Artifacts,
        settings: JobsConfig,
        slots: int,
        file_name: str,
        metrics: Metrics,
        gate: Gate | None = None,
    ) -> None:
        self._state = state
        self._artifacts = artifacts
        self._settings = settings
        self._metrics = metrics
        self.use = Use(state, metrics)
        self.seen = Seen(state)
        #: The videos of the conversions that expired last, by conversion id, until a restart.
        self.expired: dict[str, str] = {}
        self.table = Table(file_name)
        #: How many jobs of a key may run at a time, by the key's name; 0 is no bound.
        self.bound_of: Callable[[str], int] = lambda owner: 0
        #: Called with each finished file: at a job's end, and at a start with all that are kept.
        self.on_artifact: Callable[[Artifact], None] = lambda artifact: None
        #: Raises QueueFull if the key may not have so many more webhooks, those of its running conversions included.
        self.check_webhooks: Callable[[str, int], None] = lambda owner, count: None
        #: Called with each conversion that has ended and names a webhook. `webhook_taken` must follow.
        self.on_end: Callable[[Conversion], None] = lambda conversion: None
        self.queue = FairQueue(self.table.queue_changed, self._may_start)
        self.retention = Retention(self.table, settings.keep_hours * 3600.0)
        self._gate = StorageGate(gate or AlwaysOpen(), artifacts)
        self._gate.on_change = self._gate_changed
        self.workers = Workers(
            run,
            self.queue,
            fetchers=settings.fetchers,
            slots=slots,
            timeout=settings.timeout,
            gate=self._gate,
            on_free=self.queue.look_again,
        )
        self._jobs: dict[Recipe, Job] = {}  # in flight or kept
        self.draining = False
        self._room = True

    async def submit(
        self, owner: str, wanted: Sequence[Order], *, origin: str = "-", most_a_day: int = 0, base_url: str = ""
    ) -> list[Conversion]:
        """Accept all of `wanted` or nothing, in their order, on disk before this returns.

        `origin` is the id of the request, which the log names beside every stage of the work it began. `most_a_day` is
        the owner's quota, 0 for none. `base_url` is what the links in webhooks begin with. Raises QuotaExceeded,
        ShuttingDown, QueueFull or StorageFull.
        """
        recipes = [order.recipe for order in wanted]
        kept = [job.artifact for recipe in recipes if (job := self._jobs.get(recipe)) and job.artifact]
        await self.expire_damaged(kept)
        self.use.check_quota(owner, most_a_day, len(wanted))
        self._make_room_for_webhooks(owner, wanted)
        self._make_place(owner, recipes)
        new = len(set(recipes) - self._jobs.keys())
        accepted = [self._accept(owner, order, origin, base_url) for order in wanted]
        done = [conversion for conversion in accepted if conversion.finished]
        day = self.use.count(owner, conversions=len(accepted))
        self.use.write()
        try:
            with ExitStack() as stack:
                for artifact in {conversion.job.artifact for conversion in done if conversion.job.artifact}:
                    stack.enter_context(self._artifacts.pinned(artifact))  # no budget takes it before it is answered
                await self._state.commit(records.TABLE, records.of(accepted))
        except BaseException as error:
            for conversion in accepted:
                self._forget(conversion)
            self.use.count(owner, conversions=-len(accepted), day=day)
            if isinstance(error, OSError):
                full = error.errno in (errno.ENOSPC, errno.EDQUOT)
                raise errors.StorageFull(
                    DISK_FULL if full else STATE_REFUSED, retry_after=backlog.RETRY_AFTER
                ) from error
            self._note_removal(accepted)  # cancelled: it may be on disk
            raise
        self._metrics.accepted.inc(len(accepted))
        self._metrics.used(owner, conversions=len(accepted))
        self._metrics.clips.inc(sum(order.clip is not None for order in wanted))
        self._metrics.loudness.inc(sum(order.loudness is not None for order in wanted))
        self._metrics.shared.inc(len(accepted) - new)
        self._metrics.ended(Status.COMPLETED, "", len(done))
        for conversion in done:
            self._count_audio(conversion)
            self._tell_end(conversion)
        for conversion in accepted:
            # A job that pauses will queue all its sharers by itself. While the server stops, only the state keeps
            # the conversion, for the next start.
            waits = conversion.status is Status.QUEUED and not self.workers.pauses(conversion.job)
            if waits and not self.draining:
                self.queue.push(conversion)
            self.table.changed(conversion)
        return accepted

    def _make_room_for_webhooks(self, owner: str, wanted: Sequence[Order]) -> None:
        if new := sum(bool(order.webhook_url) for order in wanted):
            running = sum(conversion.webhook is not None for conversion in self.table.unfinished(owner))
            self.check_webhooks(owner, running + new)

    def _make_place(self, owner: str, recipes: Sequence[Recipe]) -> None:
        """Check that there is room for all; in a full table, forget as many old ones. Raises as `submit` does."""
        if self.draining:
            raise errors.ShuttingDown("The server is shutting down. Try again in a moment.", retry_after=5)
        if not ((self._room and not self._gate.storage_closed) or self._jobs.keys() >= set(recipes)):
            message = CANNOT_WRITE if self._gate.storage_closed else DISK_FULL
            raise errors.StorageFull(message, retry_after=backlog.RETRY_AFTER)
        jobs = [self._jobs.get(recipe) for recipe in recipes]
        waiting = sum(job is None or job.status is Status.QUEUED for job in jobs)
        joining = sum(job is not None and job.status is Status.PROCESSING for job in jobs)
        places, served = self._settings.backlog, self.workers.served
        own = sum(conversion.status is Status.QUEUED for conversion in self.table.unfinished(owner))
        all_waiting = self.table.unfinished_count - served
        backlog.check_room(places, taken=all_waiting, new=waiting)
        backlog.check_share(places, others=all_waiting - own, own=own, new=waiting)
        backlog.check_room(places, taken=served, new=joining)
        if (excess := len(self.table) + len(recipes) - self._settings.keep_conversions) > 0:
            self._expire(self.retention.oldest_finished(excess))

    def _accept(self, owner: str, order: Order, origin: str, base_url: str) -> Conversion:
        recipe = order.recipe
        job = self._jobs.get(recipe)
        if job is None:
            job = self._jobs[recipe] = Job(recipe, origin=origin, on_change=self.table.changed)
        conversion = Conversion(new_id(), owner, order.quality, utc_now(), job)
        conversion.webhook = Webhook(order.webhook_url, base_url) if order.webhook_url else None
        job.join(conversion)
        self.table.enter(conversion)
        if conversion.finished:
            self.table.names.of(conversion)
            self.retention.keep(conversion)
        return conversion

    def _may_start(self, owner: str) -> bool:
        bound = self.bound_of(owner)
        return not bound or self.workers.running_for(owner) < bound

    async def remove(self, conversion: Conversion) -> None:
        """Cancel a conversion that is not finished; forget a finished one. No other conversion is touched."""
        await self._write_removal(self._take_away(conversion))

    async def remove_all(self, conversions: Collection[Conversion]) -> int:
        """Do as `remove` with each. Returns how many were not removed before."""
        there = [one for one in conversions if not one.removed]
        changes: dict[str, Record | None] = {}
        for conversion in there:
            changes |= self._take_away(conversion)
        await self._write_removal(changes)
        return len(there)

    async def clear(self, owner: str, statuses: Collection[Status]) -> int:
        """Do as `remove` with each of the owner's conversions that has one of `statuses`. Returns how many.

        Each is decided on once, so a conversion that this cancels stays in the list as cancelled.
        """
        count, place = 0, None
        unwritten: dict[str, Record | None] = {}
        try:
            while some := self.table.older(owner, place, _FEW):
                place = some[-1].place
                for conversion in some:
                    if conversion.status in statuses:
                        unwritten |= self._take_away(conversion)
                        count += 1
                if len(unwritten) >= _ROWS:
                    changes, unwritten = unwritten, {}
                    await self._write_removal(changes)
                await self.workers.caught_up(_FILES)
                await asyncio.sleep(0)
        except BaseException:
            self._state.note(records.TABLE, unwritten)
            raise
        await self._write_removal(unwritten)
        return count

    async def _write_removal(self, changes: dict[str, Record | None]) -> None:
        try:
            await self._state.commit(records.TABLE, changes)
        except OSError:
            self._state.note(records.TABLE, changes)  # on a full disk a removal must still go through

    def _take_away(self, conversion: Conversion) -> dict[str, Record | None]:
        """Cancel or forget it. Returns what the state must be told."""
        if conversion.finished:
            conversion.removed = True
            self._forget(conversion)
        else:
            conversion.cancel()
            self._finished(conversion)
            self._leave(conversion)
            self._metrics.ended(Status.CANCELLED, "", 1)
        self.table.changed(conversion)
        return {conversion.id: None} if conversion.removed else dict(records.of([conversion]))

    async def run_forever(self) -> None:
        """Start waiting jobs whenever one more may run, and expire old ones. Runs until it is cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.workers.run_forever(self._live), name="dispatcher")
            group.create_task(self._tidy(), name="tidy")

    async def _live(self, job: Job) -> None:
        """Run a job from its first turn to its end: begin, attempt, then retry or end.

        This is cancelled when the last sharer leaves and when the server stops. An attempt that the server interrupts
        does not count as failed; the next start queues the job again.
        """
        while True:
            with self.workers.turn(job):
                job.begin_attempt()
                self._record(job)
                try:
                    outcome = await self.workers.attempt(job)
                except asyncio.CancelledError:
                    if self.draining and job.sharers:
                        self._put_back(job)
                    raise
            if not isinstance(outcome, errors.JobError):
                break
            if outcome.of_storage:
                job.displaced += 1
                self._gate.doubt()
                self.workers.await_later(asyncio.create_task(self._gate.look(), name="look at the downloads folder"))
            if may_wait_for_storage(job, outcome) or (outcome.waits and self._has_patience(job)):
                self._put_back(job)
                if self.draining:
                    return
                for sharer in job.sharers:
                    self.queue.push(sharer)  # behind the others: it may be this video that is refused
                await self.workers.next_turn(job)
                continue
            job.failures += not outcome.starved
            if not may_try_again(job, outcome):
                break
            pause = self._settings.retry_pause
            if not self.workers.has_time_after(job, pause):
                break
            log.info("%s failed with %s, trying again in %d s", job, outcome.code, pause)
            self._put_back(job)
            await asyncio.sleep(pause)
            if self.draining:
                return
            self.queue.push_first(job.sharers)
            await self.workers.next_turn(job)
        self._end(job, outcome)

    def _gate_changed(self) -> None:
        """Tell those who wait why, or that it goes on."""
        closed = self._gate.closed
        self.queue.notice = closed.notice if closed else None

    async def _end_impatient(self) -> None:
        """Fail what has waited too long for the gate."""
        closed = self._gate.closed
        if closed is None or time.monotonic() - closed.since < self._settings.patience:
            return
        for number, job in enumerate(self.queue.jobs()):
            if number % _FEW == 0:
                await asyncio.sleep(0)  # ending a job takes a while, and there may be thousands
            still_waits = job.status is Status.QUEUED and self._jobs.get(job.recipe) is job
            if still_waits and self._gate.closed and not self._has_patience(job):
                self.workers.give_up(job)
                for sharer in job.sharers:
                    self.queue.discard(sharer)
                self._end(job, closed.reason)

    def _has_patience(self, job: Job) -> bool:
        return time.monotonic() - job.begun < self._settings.patience

    def _put_back(self, job: Job) -> None:
        job.put_back()
        self._record(job)

    def _record(self, job: Job) -> None:
        self._record_all(job.sharers)

    def _record_all(self, conversions: Iterable[Conversion]) -> None:
        self._state.note(records.TABLE, records.of(conversions))

    def _end(self, job: Job, outcome: Artifact | errors.JobError) -> None:
        if isinstance(outcome, errors.JobError):
            job.fail(outcome)
            del self._jobs[job.recipe]
            self._room = self._room and not isinstance(outcome, errors.DiskFull)
        else:
            job.complete(outcome)
            self.on_artifact(outcome)
            self._metrics.audio_seconds.inc(outcome.media.duration)
        log.info("%s %s for %d conversions", job, job.status, len(job.sharers))
        for sharer in job.sharers:
            self._finished(sharer)
        self._metrics.ended(job.status, job.error.code if job.error else "", len(job.sharers))
        self._record(job)
        if surplus := self._artifacts.over_budget():
            self.workers.await_later(asyncio.create_task(self._remove(surplus), name="make room"))

    def _count_audio(self, conversion: Conversion) -> None:
        if artifact := conversion.job.artifact:
            self.use.count(conversion.owner, audio_seconds=artifact.media.duration)

    def _finished(self, conversion: Conversion) -> None:
        if conversion.status is Status.COMPLETED:
            self.table.names.of(conversion)
            self._count_audio(conversion)
        self.table.note_finished(conversion)
        self.retention.keep(conversion)
        self._tell_end(conversion)

    def _tell_end(self, conversion: Conversion) -> None:
        """Have an end told to the receiver that the request named. What its owner cancelled is not told."""
        if conversion.status is Status.CANCELLED:
            conversion.webhook = None
        elif conversion.webhook:
            self.on_end(conversion)

    def webhook_taken(self, conversion: Conversion) -> None:
        """Let the next commit say that somebody else tells this conversion's end from now on."""
        conversion.webhook = None
        if conversion in self.table:
            self._record_all([conversion])

    def _forget(self, conversion: Conversion) -> None:
        """Remove the conversion from the table. If it was its job's last sharer, remove the file or stop the work."""
        self.table.leave(conversion)
        if conversion in conversion.job.sharers:
            self._leave(conversion)

    def _leave(self, conversion: Conversion) -> None:
        """Stop a job without sharers; remove its file if no conversion points to it."""
        job = conversion.job
        del job.sharers[conversion]
        self.queue.discard(conversion)
        job.changed.notify()
        if job.sharers:
            return
        if self._jobs.get(job.recipe) is job:
            del self._jobs[job.recipe]
        if job.artifact:
            self._remove_later(job.artifact)
        else:
            self.workers.give_up(job)

    def _remove_later(self, artifact: Artifact) -> None:
        task = asyncio.create_task(self._artifacts.remove(artifact), name=f"remove {artifact.path.name}")
        self.workers.await_later(task)

    def _expire(self, conversions: Iterable[Conversion]) -> None:
        gone = [conversion for conversion in conversions if conversion in self.table]
        for conversion in gone:
            conversion.removed = True
            self._forget(conversion)
            self.expired[conversion.id] = conversion.video_id
            self.table.changed(conversion)
        while len(self.expired) > _REMEMBERED:
            del self.expired[next(iter(self.expired))]
        if gone:
            self._note_removal(gone)

    def _note_removal(self, conversions: Iterable[Conversion]) -> None:
        self._state.note(records.TABLE, dict.fromkeys(conversion.id for conversion in conversions))

    async def _expire_in_steps(self, conversions: Iterable[Conversion]) -> None:
        """Let other tasks run between steps, since there may be a hundred thousand."""
        rest = iter(conversions)
        while step := list(itertools.islice(rest, _STEP)):
            self._expire(step)
            await asyncio.sleep(0)

    async def _remove(self, artifacts: Iterable[Artifact]) -> None:
        """Expire the conversions that point to these files."""
        for artifact in artifacts:
            job = self._jobs.get(artifact.recipe)
            if job and job.artifact and job.artifact.path == artifact.path:
                del self._jobs[job.recipe]  # no new request shares it from now on
                await self._expire_in_steps(list(job.sharers))
            elif not job or job.artifact:  # not a file that was published this moment, before its job knows
                self._remove_later(artifact)  # an orphan: it could not be removed when it expired

    async def expire_damaged(self, artifacts: Collection[Artifact]) -> None:
        """Expire files that somebody else removed or cut, so that the next request makes them again."""
        if artifacts and (damaged := await self._artifacts.damaged(artifacts)):
            log.warning("%d finished files were removed or cut by somebody else", len(damaged))
            await self._remove(damaged)

    async def _tidy(self) -> None:
        while True:
            await self.tidy()
            await asyncio.sleep(_TIDY_EVERY)

    async def tidy(self) -> None:
        """Expire conversions that are due, enforce the disk budget, and check for free space."""
        self.use.write()
        self.seen.write()
        await self._gate.look()
        await self._end_impatient()
        await self._expire_in_steps(self.retention.expired())
        await self._remove(self._artifacts.over_budget())
        await self._artifacts.end_long_readers()
        self._room = await self._artifacts.room()

    # ---- begin and end

    async def restore(self, rows: Rows, found: Sequence[Artifact]) -> None:
        """Restore the table after a restart: finished links answer again, unfinished conversions are queued again."""
        restored = records.restore(rows, found)
        conversions, self._jobs = restored.conversions, restored.jobs
        self._state.set_aside(records.TABLE, restored.odd)
        self._state.note(records.TABLE, restored.changes)
        if lost := sum(change is None for change in restored.changes.values()):
            log.warning("%d finished conversions are forgotten: their files are not in the downloads folder", lost)
        for job in self._jobs.values():
            job.on_change = self.table.changed
        for conversion in conversions:
            self.table.enter(conversion)
        self.retention.restore(conversions)
        kept = {job.artifact.path for job in self._jobs.values() if job.artifact}
        for artifact in found:
            if artifact.path in kept:
                self.on_artifact(artifact)
            else:
                await self._artifacts.remove(artifact)
        for conversion in conversions:
            if conversion.finished:
                self._tell_end(conversion)
        for job in list(self._jobs.values()):
            if job.artifact is None and job.interrupted >= records.MAX_INTERRUPTIONS:
                log.warning("%s ended the server %d times and is given up", job, job.interrupted)
                self._end(job, errors.JobFailed())
        waiting = [conversion for conversion in conversions if conversion.status is Status.QUEUED]
        # What may have ended the server waits behind all others. Else a server that is killed again and again from
        # outside would give it up, since it would run each time.
        for conversion in sorted(waiting, key=lambda one: is_suspect(one.job) * one.job.interrupted):
            self.queue.push(conversion)
        self._state.written_anew_from(records.TABLE, self._snapshots)
        if conversions:
            log.info("%d conversions restored, %d of them queued again", len(conversions), len(self.queue))

    def _snapshots(self) -> Iterator[tuple[str, Record]]:
        for conversion in self.table:
            yield from records.of([conversion]).items()

    async def drain(self, grace: float) -> None:
        """Accept and start nothing more; let running jobs end within `grace` seconds; keep the rest for a restart."""
        self.draining = True
        self.table.queue_changed()
        for conversion in [c for c in self.table if c.status is Status.QUEUED]:
            conversion.job.changed.notify()
            self.queue.discard(conversion)
        await self.workers.drain(grace)
        self.use.write()
        self.seen.write(all_of_it=True)
