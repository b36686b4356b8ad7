"""Who works: a bounded number of slots, each busy with one attempt at a time, and the tasks that end them.

Whose turn it is, is the queue's to say; what becomes of a job, its owner's (the engine), who is told synchronously at
each turn. An attempt is given `run(job)` and a share of the job's time, which counts from its first attempt on.
"""

from __future__ import annotations

import asyncio
import errno
import logging
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from functools import partial
from typing import Protocol

from .. import errors
from ..jobs import Artifact, Job, Status
from .fairqueue import FairQueue

log = logging.getLogger(__name__)

Run = Callable[[Job], Awaitable[Artifact]]

#: A job error that is retried gets one more attempt.
MAX_ATTEMPTS = 2


class Owner(Protocol):
    """Who is told of each turn in a job's life. None of these may wait or raise."""

    def began(self, job: Job) -> None:
        """A slot works at it."""

    def put_back(self, job: Job) -> None:
        """The attempt is over and another will follow; nothing runs."""

    def due_again(self, job: Job) -> None:
        """The pause after `put_back` is over: the job may stand in the queue."""

    def completed(self, job: Job, artifact: Artifact) -> None: ...

    def failed(self, job: Job, error: errors.JobError) -> None: ...


class Workers:
    def __init__(
        self, run: Run, queue: FairQueue, owner: Owner, *, slots: int, timeout: float, retry_pause: float
    ) -> None:
        """`timeout` and `retry_pause` in seconds."""
        self._run = run
        self._queue = queue
        self._owner = owner
        self._timeout = timeout
        self._retry_pause = retry_pause
        self._free_slots = asyncio.BoundedSemaphore(slots)
        self._deadlines: dict[Job, float] = {}  # by the loop's monotonic clock, from the first attempt on
        self._tasks: dict[Job, asyncio.Task[None]] = {}  # of attempts, and of pauses between two
        self._endings: set[asyncio.Task[None]] = set()  # cancelled attempts on their way out, files being removed

    def __contains__(self, job: Job) -> bool:
        """Whether it runs, or pauses between two attempts."""
        return job in self._tasks

    @property
    def busy(self) -> int:
        """Slots in use."""
        return sum(job.status is Status.PROCESSING for job in self._tasks)

    @property
    def served(self) -> int:
        """Conversions whose job is in a slot."""
        return sum(len(job.sharers) for job in self._tasks if job.status is Status.PROCESSING)

    async def work_forever(self) -> None:
        """Start what waits whenever a slot is free. Runs until it is cancelled."""
        while True:
            await self._free_slots.acquire()
            try:
                job = (await self._queue.pop()).job
            except BaseException:
                self._free_slots.release()
                raise
            for sharer in job.sharers:
                self._queue.discard(sharer)
            job.begin_attempt()
            self._owner.began(job)
            slot = ExitStack()
            slot.callback(self._free_slots.release)
            task = asyncio.create_task(self._work(job, slot), name=f"job {job.video_id} {job.bitrate_kbps}")
            task.add_done_callback(partial(_free, slot))
            self._tasks[job] = task

    def give_up(self, job: Job) -> bool:
        """Stop the work at `job`, if there is any, and forget its time. The slot is free once its children are gone."""
        self._deadlines.pop(job, None)
        task = self._tasks.pop(job, None)
        if task:
            task.cancel()
            self.await_later(task)
        return task is not None

    def await_later(self, task: asyncio.Task[None]) -> None:
        """See that `task` ends, and that the log has it when it fails."""

        def ended(task: asyncio.Task[None]) -> None:
            self._endings.discard(task)
            if not task.cancelled() and (error := task.exception()):
                log.error("%s: %r", task.get_name(), error)

        self._endings.add(task)
        task.add_done_callback(ended)

    async def drain(self, grace: float) -> None:
        """Let what runs finish within `grace` seconds, put back the rest, and wait for all endings."""
        running = {task for job, task in self._tasks.items() if job.status is Status.PROCESSING}
        if running and grace:
            await asyncio.wait(running, timeout=grace)
        for job, task in list(self._tasks.items()):
            task.cancel()
            if job.status is Status.PROCESSING:
                job.attempt -= 1  # a cut by our own hand is no failed attempt
                self._owner.put_back(job)
        await asyncio.gather(*self._tasks.values(), *self._endings, return_exceptions=True)

    async def _work(self, job: Job, slot: ExitStack) -> None:
        with slot:
            outcome = await self._attempt(job)
        if isinstance(outcome, errors.JobError) and outcome.retried and self._may_try_again(job):
            log.info("%s failed with %s, trying once more in %d s", job, outcome.code, self._retry_pause)
            self._owner.put_back(job)
            await asyncio.sleep(self._retry_pause)
            del self._tasks[job]
            self._owner.due_again(job)
            return
        self._tasks.pop(job, None)
        self._deadlines.pop(job, None)
        if isinstance(outcome, errors.JobError):
            self._owner.failed(job, outcome)
        else:
            self._owner.completed(job, outcome)

    def _may_try_again(self, job: Job) -> bool:
        in_time = asyncio.get_running_loop().time() + self._retry_pause < self._deadlines.get(job, 0.0)
        return job.attempt < MAX_ATTEMPTS and in_time

    async def _attempt(self, job: Job) -> Artifact | errors.JobError:
        """Run once, within the job's time; what came of it."""
        now = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout_at(self._deadlines.setdefault(job, now + self._timeout)):
                return await self._run(job)
        except TimeoutError:
            return errors.Timeout()
        except errors.JobError as error:
            log.info("%s failed with %s: %s", job, error.code, _cause(error))
            return error
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                return errors.DiskFull()
            log.exception("%s failed", job)
        except Exception:
            log.exception("%s failed", job)
        return errors.JobFailed()


def _free(slot: ExitStack, task: asyncio.Task[None]) -> None:
    """`task` has ended. One that was cancelled before its first step has freed nothing itself."""
    slot.close()


def _cause(error: errors.JobError) -> str:
    """What the log may say of a failure, in a line."""
    cause = error.__cause__
    stderr = getattr(cause, "stderr", "")
    return " | ".join(f"{cause or error.message} {stderr[-500:]}".split("\n"))
