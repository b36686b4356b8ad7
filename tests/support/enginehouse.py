"""An engine on a disk and a loop of its own: the test leads every attempt, and may stop it or let it crash."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from server.config import JobsConfig
from server.conversions import records, seen, use
from server.conversions.engine import Engine
from server.conversions.workers import SUSPECT
from server.jobs import Artifact, Conversion, Job, Recipe
from server.metrics import Metrics
from server.storage.artifacts import Artifacts
from server.storage.state import State
from support.api import MEDIA, Take

T = TypeVar("T")
SLOTS = 2
#: Seconds that a busy machine may need for any one thing here.
PATIENCE = 30
#: Bytes of an MP3, and of all of them: some four, each with its description.
AUDIO_BYTES, BUDGET_BYTES = 1000, 5500
SETTINGS = JobsConfig(slots=SLOTS, fetchers=SLOTS, retry_pause=0, keep_hours=1, timeout=86_400)


class EngineHouse:
    """`observe` is called with a conversion after each change of it, except while it crashes."""

    engine: Engine
    state: State
    artifacts: Artifacts

    def __init__(self, observe: Callable[[Conversion], None]) -> None:
        self._observe = observe
        self._parent = Path(tempfile.mkdtemp(prefix="ytmp3d-engine-"))
        self._lives = 0
        self.folder = self._parent / "0"
        self._jumped = 0.0
        self.loop = asyncio.new_event_loop()
        real = self.loop.time
        self.loop.time = lambda: real() + self._jumped  # type: ignore[method-assign]
        self._thread = ThreadPoolExecutor(1)
        self.loop.set_default_executor(self._thread)
        #: The attempts that run, the artifacts that the budget took, and what an attempt found wrong at its start.
        self.takes: dict[Recipe, Take] = {}
        self.evicted: set[Path] = set()
        self.wrong: list[str] = []
        self._at_work: list[Recipe] = []
        self._is_observed = True
        self.open()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(asyncio.wait_for(work, PATIENCE))

    def open(self) -> None:
        self.run(self._open())

    async def _open(self) -> None:
        self.takes, self._at_work = {}, []
        self.state, rows = await State.open(self.folder / "state")
        self.artifacts = Artifacts(self.folder / "downloads", budget_bytes=BUDGET_BYTES)
        found = await self.artifacts.open()
        self._note_victims(self.artifacts)
        self.engine = Engine(
            self._attempt,
            state=self.state,
            artifacts=self.artifacts,
            settings=SETTINGS,
            slots=SLOTS,
            file_name="{title}",
            metrics=Metrics(),
        )
        self._listen(self.engine)
        for table in ("archives", "webhooks"):
            self.state.written_anew_from(table, list)
        self.engine.use.restore(rows[use.TABLE])
        self.engine.seen.restore(rows[seen.TABLE])
        await self.engine.restore(rows[records.TABLE], found)
        self._background = asyncio.create_task(self.engine.run_forever())

    def _note_victims(self, artifacts: Artifacts) -> None:
        over_budget = artifacts.over_budget

        def noted() -> list[Artifact]:
            victims = over_budget()
            self.evicted |= {victim.path for victim in victims}
            return victims

        artifacts.over_budget = noted  # type: ignore[method-assign]

    def _listen(self, engine: Engine) -> None:
        changed = engine.table.changed

        def heard(conversion: Conversion) -> None:
            if self._is_observed:
                self._observe(conversion)
            changed(conversion)

        engine.table.changed = heard  # type: ignore[method-assign]

    async def _attempt(self, job: Job) -> Artifact:
        """As `Pipeline.run`."""
        if job.recipe in self._at_work:
            self.wrong.append(f"{job} is worked on twice at once")
        if len(self._at_work) >= SLOTS:
            self.wrong.append(f"{job} is one more than there are slots")
        self._at_work.append(job.recipe)
        artifact: Artifact | None = None
        try:
            async with self.artifacts.staging() as folder:
                take = self.takes[job.recipe] = Take(job, folder)
                take.know()
                await take.end
                artifact = await self.artifacts.publish(take.part, None, recipe=job.recipe, media=MEDIA)
            return artifact
        except BaseException:
            if artifact:
                await self.artifacts.remove(artifact)
            raise
        finally:
            self._at_work.remove(job.recipe)
            self.takes.pop(job.recipe, None)

    # ---- how it goes on

    async def turns(self, count: int) -> None:
        """So many turns of the loop, and no more."""
        for _ in range(count):
            await asyncio.sleep(0)

    async def settled(self) -> None:
        """Return once nothing happens by itself any more."""
        while not self._is_settled():
            await asyncio.sleep(0.0005)

    def _is_settled(self) -> bool:
        engine, workers = self.engine, self.engine.workers
        waiting = {take.job for take in self.takes.values() if not take.end.done()}
        lives = set(workers._lives)
        at_rest = waiting | set(workers._turns)
        shy = any(job.interrupted >= SUSPECT for job in (*workers._busy, *engine.queue.jobs()))
        has_slot = len(engine.queue) > 0 and workers.busy < (1 if shy else SLOTS)
        written = not self.state._queue and not self.state._wake.is_set()
        return workers._busy == waiting and lives == at_rest and not workers._endings and not has_slot and written

    def jump(self, seconds: float) -> None:
        """The clock of the loop, which decides about expiry."""
        self._jumped += seconds

    # ---- how it ends

    def restart(self) -> None:
        self.run(self._stop())
        self.open()

    def crash(self) -> set[str]:
        """Go on with a copy of the disk as it is at this moment. Returns the ids whose last change was not on it."""
        self._thread.submit(lambda: None).result()
        self.state._thread.submit(lambda: None).result()
        self._lives += 1
        old, self.folder = self.folder, self._parent / str(self._lives)
        shutil.copytree(old, self.folder)
        unwritten = {key for entry in self.state._queue for _, key in entry.changes}
        self._is_observed = False
        self.run(self._stop())
        shutil.rmtree(old)
        self.open()
        self._is_observed = True
        return unwritten

    async def _stop(self) -> None:
        await self.engine.drain(0)
        self._background.cancel()
        await asyncio.gather(self._background, return_exceptions=True)
        await self.state.close()

    def close(self) -> None:
        self.run(self._stop())
        self._thread.shutdown()
        self.loop.close()
        shutil.rmtree(self._parent)
