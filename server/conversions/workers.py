"""Places, deadlines and tasks for the jobs. `engine.py` decides how a job ends.

An attempt first fetches, which is mostly waiting for YouTube, and then encodes, which keeps a core busy. Each has a
bound of its own, so that no core idles while YouTube takes its time, and YouTube is not asked more often where there
are more cores. An attempt counts as fetching from its start until it gets an encoder. Meanwhile its audio waits in a
pipe, so the memory that all of them take is bounded, too.
"""

from __future__ import annotations

import asyncio
import errno
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from .. import errors
from ..gate import Gate
from ..jobs import Artifact, Conversion, Job
from .encoders import Encoders
from .fairqueue import FairQueue

log = logging.getLogger(__name__)

#: Too many open files (here or in the whole system), no memory, no more processes.
_STARVATION = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN)

#: Last lines of a failed child's output that are logged.
_LAST_LINES = 8

#: A job that was interrupted so often by the server's death may be its cause. From then on it runs alone, so that the
#: next death is counted for it only.
SUSPECT = 3

Run = Callable[[Job], Awaitable[Artifact]]


class Workers:
    """Runs attempts: at most `fetchers` fetch at a time, and at most `slots` encode."""

    def __init__(
        self,
        run: Run,
        queue: FairQueue,
        *,
        fetchers: int,
        slots: int,
        timeout: float,
        gate: Gate,
        on_free: Callable[[], None] = lambda: None,
    ) -> None:
        """`run` makes an artifact or raises JobError. `timeout` bounds all attempts at a job together, in seconds.

        `gate` says when an attempt may begin. `on_free` is called when a job has ended or pauses.
        """
        self.fetchers = fetchers
        self.encoders = Encoders(slots)
        self._on_free = on_free
        self._run = run
        self._queue = queue
        self._gate = gate
        self._timeout = timeout
        self._busy: set[Job] = set()
        self._fetching: set[Job] = set()
        self._may_fetch = asyncio.Event()
        self._turn_of: dict[Job, str] = {}  # the key whose turn began the attempt
        self._timers: dict[Job, asyncio.Timeout] = {}
        self._deadlines: dict[Job, float] = {}  # by the loop's monotonic clock, from the first attempt on
        self._lives: dict[Job, asyncio.Task[None]] = {}
        self._turns: dict[Job, asyncio.Future[None]] = {}  # jobs that wait for another attempt
        self._endings: set[asyncio.Task[None]] = set()  # cancelled lives on their way out, files being removed

    def __contains__(self, job: Job) -> bool:
        """Whether the job runs, or pauses between two attempts."""
        return job in self._lives

    def pauses(self, job: Job) -> bool:
        """Whether the job is not in the queue: about to begin, running, or in the pause before a retry."""
        return job in self._lives and job not in self._turns

    @property
    def busy(self) -> int:
        """Jobs that run."""
        return len(self._busy)

    @property
    def fetching(self) -> int:
        """Jobs that run and have no encoder yet."""
        return len(self._fetching)

    @property
    def served(self) -> int:
        """Conversions whose job runs."""
        return sum(len(job.sharers) for job in self._busy)

    def running_for(self, owner: str) -> int:
        """How many jobs run by the turn of this key. A job that keys share counts for one of them."""
        return sum(one == owner for one in self._turn_of.values())

    async def run_forever(self, live: Callable[[Job], Coroutine[Any, Any, None]]) -> None:
        """Begin the next job whenever one more may fetch. `live(job)` is started at a job's first turn."""
        while True:
            while not self._has_place():
                await self._freed()
            conversion = await self._next()
            job = conversion.job
            if is_suspect(job) and self._busy and not await self._waits_until_alone(conversion):
                continue
            self._busy.add(job)
            self._fetching.add(job)
            self._turn_of[job] = conversion.owner
            self._gate.begin(job)
            for sharer in job.sharers:
                self._queue.discard(sharer)
            if turn := self._turns.pop(job, None):
                turn.set_result(None)
                continue
            task = self._lives[job] = asyncio.create_task(live(job), name=f"job {job.recipe}")
            task.add_done_callback(lambda _, job=job: self._ended(job))  # type: ignore[misc]  # mypy and defaults

    def _has_place(self) -> bool:
        is_full = self.fetching >= self.fetchers or self.busy >= self.fetchers + self.encoders.count
        return not is_full and not any(map(is_suspect, self._busy))

    async def _freed(self) -> None:
        """Return once a job has an encoder, or has ended."""
        self._may_fetch.clear()
        await self._may_fetch.wait()

    async def _waits_until_alone(self, conversion: Conversion) -> bool:
        """Wait in the queue until nothing runs; whether it has its turn then. It may be cancelled meanwhile."""
        self._queue.push_first([conversion])
        while self._busy:
            await self._freed()
        await self._gate.opened()
        still_waits = conversion in self._queue
        self._queue.discard(conversion)
        return still_waits

    async def _next(self) -> Conversion:
        """The next conversion, once there is one and the gate is open."""
        while True:
            await self._queue.filled()
            await self._gate.opened()
            if (conversion := self._queue.take()) is not None:  # it may have been cancelled meanwhile
                return conversion

    @contextmanager
    def turn(self, job: Job) -> Iterator[None]:
        """End the turn that `job` was given when the block is left."""
        try:
            yield
        finally:
            self._free(job)

    @asynccontextmanager
    async def encoder(self, job: Job) -> AsyncIterator[None]:
        """A block that begins once there is an encoder for `job`, whose attempt runs and has something to encode.

        The wait for it takes nothing of the job's time. Two get one at once, if need be one more than there are. The
        job that has run longest is to be heard as soon as it would be alone, also if later ones were fetched first. And
        the last one that waits, if encoded after all others, would keep but one of the cores busy.
        """
        clock, timer = asyncio.get_running_loop().time, self._timers[job]
        began = clock()
        timer.reschedule(None)
        is_eldest = next(iter(self._turn_of)) is job
        async with self.encoders.one(self._turn_of[job], at_once=is_eldest or self._may_lend()):
            self._deadlines[job] += clock() - began
            timer.reschedule(self._deadlines[job])
            self._fetched(job)
            try:
                yield
            except BaseException:
                self._fetching.add(job)  # the attempt may go on through another exit; it waits for no place, so that
                raise  # it cannot get stuck, and meanwhile nothing else begins

    def _may_lend(self) -> bool:
        """Whether one job is left that has no encoder, and there are several cores, all in use."""
        is_one_left = self.fetching == 1 and not self._queue
        return is_one_left and self.encoders.busy == self.encoders.count > 1

    def _fetched(self, job: Job) -> None:
        self._fetching.discard(job)
        self._may_fetch.set()
        if self._may_lend():
            self.encoders.lend()

    def _free(self, job: Job) -> None:
        if job in self._busy:
            self._busy.remove(job)
            del self._turn_of[job]
            self._fetched(job)
            self._gate.end(job)
            self._on_free()

    def _ended(self, job: Job) -> None:
        """Clean up after the job's task. A task cancelled before its first step has freed nothing itself."""
        self._free(job)
        self._lives.pop(job, None)
        self._turns.pop(job, None)
        self._deadlines.pop(job, None)
        self._timers.pop(job, None)

    async def next_turn(self, job: Job) -> None:
        """Wait until it is the turn of the job, which is in the queue again."""
        turn = self._turns[job] = asyncio.get_running_loop().create_future()
        await turn

    def give_up(self, job: Job) -> None:
        """Stop the work on `job`, if any. Its place is free once its children have ended."""
        if task := self._lives.pop(job, None):
            task.cancel()
            self.await_later(task)

    def await_later(self, task: asyncio.Task[None]) -> None:
        """Keep `task` until it ends, and log its failure."""

        def ended(task: asyncio.Task[None]) -> None:
            self._endings.discard(task)
            if not task.cancelled() and (error := task.exception()):
                log.error("%s: %r", task.get_name(), error)

        self._endings.add(task)
        task.add_done_callback(ended)

    async def caught_up(self, most: int) -> None:
        """Return once at most so many tasks of `await_later` are left."""
        while len(self._endings) > most:
            await asyncio.wait(self._endings, return_when=asyncio.FIRST_COMPLETED)

    async def drain(self, grace: float) -> None:
        """Let running jobs end within `grace` seconds, cancel the rest, and wait for all tasks."""
        running = {self._lives[job] for job in self._busy if job in self._lives}
        if running and grace:
            await asyncio.wait(running, timeout=grace)
        for task in self._lives.values():
            task.cancel()
        await asyncio.gather(*self._lives.values(), *self._endings, return_exceptions=True)

    def has_time_after(self, job: Job, pause: float) -> bool:
        """Whether time for another attempt is left after a pause of so many seconds."""
        return asyncio.get_running_loop().time() + pause < self._deadlines.get(job, 0.0)

    async def attempt(self, job: Job) -> Artifact | errors.JobError:
        """Run once, within the job's time; the result or the reason why there is none."""
        now = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout_at(self._deadlines.setdefault(job, now + self._timeout)) as self._timers[job]:
                return await self._run(job)
        except TimeoutError:
            return errors.Timeout()
        except errors.JobError as error:
            failure, cause = error, _cause(error)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                return errors.DiskFull()
            failure, cause = errors.JobFailed(), repr(error)
            failure.__cause__ = error
        except Exception as error:
            failure, cause = errors.JobFailed(), repr(error)
            failure.__cause__ = error
        failure.starved = isinstance(failure, errors.JobFailed) and _is_starved(failure)
        if failure.starved:
            log.warning("%s was short of something that this machine has too little of: %s", job, cause)
        else:
            unexpected = isinstance(failure, errors.JobFailed)
            log.log(
                logging.WARNING if failure.of_source or failure.of_storage else logging.INFO,
                "%s failed with %s: %s",
                job,
                failure.code,
                cause,
                exc_info=failure.__cause__ if unexpected else None,
            )
        return failure


def is_suspect(job: Job) -> bool:
    """Whether it may have ended the server."""
    return job.interrupted >= SUSPECT


def _cause(error: errors.JobError) -> str:
    """The failure as one line for the log."""
    cause = error.__cause__
    last = [line.strip() for line in getattr(cause, "stderr", "").splitlines()[-_LAST_LINES:]]
    return " | ".join(filter(None, [*str(cause or error.message).splitlines(), *last]))


def _is_starved(error: BaseException | None) -> bool:
    """Whether the first cause is a lack of descriptors, memory or processes."""
    while error:
        if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno in _STARVATION):
            return True
        error = error.__cause__ or error.__context__
    return False
