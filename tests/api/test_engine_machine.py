"""In whatever order things are asked of the engine, its promises hold. Hypothesis looks for one that breaks them."""

from __future__ import annotations

import errno
import os
from collections import Counter
from dataclasses import dataclass, field

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from support.api import Take
from support.enginehouse import AUDIO_BYTES, BUDGET_BYTES, SLOTS, EngineHouse

from server import errors
from server.access import key_file
from server.access.keys import Keys
from server.clip import Clip
from server.config import LimitsConfig
from server.conversions.workers import SUSPECT
from server.jobs import Conversion, Order, Quality, Status

#: The published changes of a status, and the last of a cancelled conversion.
ARROWS = {
    Status.QUEUED: {Status.PROCESSING, Status.FAILED, Status.CANCELLED},
    Status.PROCESSING: {Status.QUEUED, Status.COMPLETED, Status.FAILED, Status.CANCELLED},
}
OWNERS = ("anna", "ben", "cleo")

owners = st.sampled_from(OWNERS)
orders = st.builds(
    Order,
    st.sampled_from(["video-one--", "video-two--", "video-three"]),
    st.sampled_from([Quality.HIGH, Quality.LOW]),
    st.sampled_from([None, None, Clip(1.0, 2.0)]),
    st.sampled_from([None, None, -14.0]),
)
which = st.integers(0, 10_000)


@dataclass
class Known:
    """What a client knows of an accepted conversion."""

    owner: str
    order: Order
    statuses: list[Status] = field(default_factory=list)


class EngineMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.known: dict[str, Known] = {}
        #: Those that are rightly gone: removed, expired or evicted.
        self.gone: dict[str, Known] = {}
        self.off_the_arrows: list[str] = []
        self.seen: dict[str, Status] = {}
        self.house = EngineHouse(self._observe)

    def teardown(self) -> None:
        """Whatever happened, all that was accepted comes to its end."""
        try:
            for _ in range(100):
                if not self.house.engine.table.unfinished_count:
                    break
                self._settle()
                for take in list(self.house.takes.values()):
                    self._end_well(take)
                self._settle()
            assert not self.house.engine.table.unfinished_count
        finally:
            self.house.close()

    # ---- what is seen

    def _observe(self, conversion: Conversion) -> None:
        before, now = self.seen.get(conversion.id), conversion.status
        if before is not None and before is not now and now not in ARROWS.get(before, ()):
            self.off_the_arrows.append(f"{conversion.id}: {before} → {now}")
        self.seen[conversion.id] = now

    def _settle(self) -> None:
        self.house.run(self.house.settled())

    def _of(self, number: int, *statuses: Status) -> Conversion | None:
        """One of those in the table that have such a status."""
        found = [conversion for conversion in self.house.engine.table if conversion.status in statuses]
        return found[number % len(found)] if found else None

    def _take(self, number: int) -> Take | None:
        takes = [take for take in self.house.takes.values() if not take.end.done()]
        return takes[number % len(takes)] if takes else None

    def _forget(self, conversion: Conversion) -> None:
        if conversion.id in self.known:
            self.gone[conversion.id] = self.known.pop(conversion.id)

    def _end_well(self, take: Take) -> None:
        take.grow(os.urandom(AUDIO_BYTES))
        take.finish()

    # ---- clients

    @initialize()
    def make_keys(self) -> None:
        path = self.house.folder.parent / "keys.toml"
        self.plain = {owner: key_file.create(path, owner, {}) for owner in OWNERS}
        self.keys = Keys(path, LimitsConfig(), environment_key=None)
        self.revoked: set[str] = set()
        self.house.run(self.keys.load())

    @rule(owner=owners, wanted=st.lists(orders, min_size=1, max_size=4), settles=st.booleans())
    def submit(self, owner: str, wanted: list[Order], settles: bool) -> None:
        if owner in self.revoked:
            with pytest.raises(errors.KeyDisabled):
                self.keys.authenticate(f"Bearer {self.plain[owner]}")
            return
        name = self.keys.authenticate(f"Bearer {self.plain[owner]}").name
        try:
            accepted = self.house.run(self.house.engine.submit(name, wanted))
        except errors.StorageFull:
            assert not self.house.engine._room
            return
        assert [(one.owner, one.job.recipe) for one in accepted] == [(owner, order.recipe) for order in wanted]
        for conversion, order in zip(accepted, wanted, strict=True):
            self.known[conversion.id] = Known(owner, order)
            self.seen.setdefault(conversion.id, conversion.status)
        if settles:
            self._settle()

    @rule(number=which)
    def cancel(self, number: int) -> None:
        if conversion := self._of(number, Status.QUEUED, Status.PROCESSING):
            self.house.run(self.house.engine.remove(conversion))
            assert conversion.status is Status.CANCELLED

    @rule(number=which)
    def remove(self, number: int) -> None:
        if conversion := self._of(number, Status.COMPLETED, Status.FAILED, Status.CANCELLED):
            self.house.run(self.house.engine.remove(conversion))
            self._forget(conversion)

    @rule(owner=owners)
    def revoke_or_admit(self, owner: str) -> None:
        self.revoked ^= {owner}
        key_file.set_disabled(self.house.folder.parent / "keys.toml", owner, owner in self.revoked)
        self.house.run(self.keys.load())

    # ---- the work

    @precondition(lambda self: self.house.takes)
    @rule(number=which, settles=st.booleans())
    def finish(self, number: int, settles: bool) -> None:
        if take := self._take(number):
            self._end_well(take)
            if settles:
                self._settle()
                assert take.job.status in (Status.COMPLETED, Status.FAILED) or not take.job.sharers

    @precondition(lambda self: self.house.takes)
    @rule(number=which, error=st.sampled_from([errors.VideoPrivate, errors.BotCheck, errors.DiskFull]))
    def fail_for_good(self, number: int, error: type[errors.JobError]) -> None:
        if take := self._take(number):
            sharers = list(take.job.sharers)
            take.fail(error())
            self._settle()
            assert all(sharer.status is Status.FAILED for sharer in sharers if sharer in take.job.sharers)

    @precondition(lambda self: self.house.takes)
    @rule(number=which)
    def fail_for_now(self, number: int) -> None:
        if take := self._take(number):
            before = take.job.failures
            take.fail(errors.NetworkError())
            self._settle()
            assert take.job.finished == (before + 1 >= 2)

    @precondition(lambda self: self.house.takes)
    @rule(number=which, of_storage=st.booleans())
    def lack_something(self, number: int, of_storage: bool) -> None:
        """A descriptor, or the folder for a moment: that counts as no failure."""
        take = self._take(number)
        if take and take.job.displaced < 5:
            before = take.job.failures
            take.fail(errors.unwritable() if of_storage else OSError(errno.EMFILE, os.strerror(errno.EMFILE)))
            self._settle()
            assert not take.job.finished and take.job.failures == before

    # ---- time, and what the server itself goes through

    @rule()
    def tidy(self) -> None:
        self.house.run(self.house.engine.tidy())

    @rule()
    def expire(self) -> None:
        """An hour passes."""
        self._settle()
        finished = [conversion for conversion in self.house.engine.table if conversion.finished]
        self.house.jump(3601)
        self.house.run(self.house.engine.tidy())
        for conversion in finished:
            assert conversion not in self.house.engine.table
            self._forget(conversion)

    @rule()
    def restart(self) -> None:
        self._note_evictions()
        before = {conversion.id: conversion.status for conversion in self.house.engine.table}
        self.house.restart()
        after = {conversion.id: conversion.status for conversion in self.house.engine.table}
        assert after.keys() == before.keys() - self.gone.keys()
        self.seen |= after
        self._settle()

    @rule(turns=st.integers(0, 60))
    def crash(self, turns: int) -> None:
        """At any moment. What is accepted, cancelled or removed is on disk by then, the rest may be forgotten."""
        self.house.run(self.house.turns(turns))
        self._note_evictions()
        before = {conversion.id: conversion.status for conversion in self.house.engine.table}
        unwritten = self.house.crash()
        for conversion in self.house.engine.table:
            was = before.get(conversion.id)
            if conversion.id in self.gone and conversion.id in unwritten:
                self.known[conversion.id] = self.gone.pop(conversion.id)
            elif was in (Status.QUEUED, Status.PROCESSING) and conversion.id not in unwritten:
                assert conversion.status not in (Status.FAILED, Status.CANCELLED) or conversion.job.interrupted >= 10
            elif was in (Status.COMPLETED, Status.CANCELLED) or conversion.id not in unwritten:
                assert conversion.status is was
            self.seen[conversion.id] = conversion.status
        self._settle()

    # ---- what always holds

    def _note_evictions(self) -> None:
        table = self.house.engine.table
        for key in [key for key in self.known if table.get(key) is None and self.seen[key] is Status.COMPLETED]:
            self.gone[key] = self.known.pop(key)

    @invariant()
    def every_promise_is_kept(self) -> None:
        self._settle()
        assert self.house.wrong == [] and self.off_the_arrows == []
        self._nothing_accepted_is_lost()
        self._files_are_those_of_completed_conversions()
        self._sharers_belong_together()
        self._the_queue_has_no_gaps()

    def _nothing_accepted_is_lost(self) -> None:
        table = self.house.engine.table
        assert {conversion.id for conversion in table} <= self.known.keys()
        missing = {key for key in self.known if table.get(key) is None}
        assert {self.seen[key] for key in missing} <= {Status.COMPLETED}, "only what is finished is evicted"
        if missing:
            assert self.house.evicted, "and only by the budget"
        self._note_evictions()
        for key, known in self.known.items():
            conversion = table.get(key)
            assert conversion and (conversion.owner, conversion.job.recipe) == (known.owner, known.order.recipe)

    def _files_are_those_of_completed_conversions(self) -> None:
        completed = [one for one in self.house.engine.table if one.status is Status.COMPLETED]
        files = {path: path.stat().st_size for path in (self.house.folder / "downloads").glob("*.mp3")}
        assert {one.job.artifact.path: one.job.artifact.size for one in completed if one.job.artifact} == files
        assert all(one.job.artifact for one in completed)
        assert self.house.artifacts.used_bytes <= BUDGET_BYTES

    def _sharers_belong_together(self) -> None:
        engine = self.house.engine
        for recipe, job in engine._jobs.items():
            assert job.sharers and job.recipe == recipe
            assert all(sharer.job is job and sharer in engine.table for sharer in job.sharers)
        for conversion in engine.table:
            if conversion.status is not Status.CANCELLED:
                assert conversion in conversion.job.sharers
            if not conversion.finished:
                assert engine._jobs[conversion.job.recipe] is conversion.job
        assert engine.workers.busy <= SLOTS
        if any(job.interrupted >= SUSPECT for job in engine.workers._busy):
            assert engine.workers.busy == 1

    def _the_queue_has_no_gaps(self) -> None:
        engine = self.house.engine
        waiting = [conversion for conversion in engine.table if conversion.status is Status.QUEUED]
        assert all(conversion in engine.queue for conversion in waiting) and len(engine.queue) == len(waiting)
        places = Counter(engine.queue.position(conversion) for conversion in waiting)
        assert sorted(places.elements()) == list(range(1, len(waiting) + 1))


def test_no_order_of_things_breaks_a_promise() -> None:
    run_state_machine_as_test(EngineMachine, settings=settings(max_examples=6, stateful_step_count=20, deadline=None))


@pytest.mark.long
def test_no_long_order_of_things_breaks_a_promise() -> None:
    run_state_machine_as_test(EngineMachine, settings=settings(max_examples=25, stateful_step_count=50, deadline=None))
