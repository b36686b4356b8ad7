"""Which exit an attempt takes, and how exits are closed and opened again."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from support.clock import Clock

from server import errors
from server.config import Config, ExitConfig, YtdlpConfig
from server.jobs import Job, Recipe
from server.media.exit_settings import configurations
from server.media.exits import JITTER, LONGEST, Exit, Exits, exits_of

COOLDOWN = 60.0
CERTAIN = [errors.BotCheck, errors.SourceRateLimited]
LIKELY = [errors.SourceForbidden, errors.SourceWithheld]


def job(video_id: str = "some-video-") -> Job:
    return Job(Recipe(video_id, 320))


def exits(clock: Clock, *names: str, cooldown: float = COOLDOWN) -> Exits:
    return Exits(tuple(Exit(name, YtdlpConfig()) for name in names or ("only",)), cooldown, clock=clock)


def attempt(exits: Exits, error: errors.JobError | None, video_id: str = "some-video-") -> bool:
    """One attempt, whatever the gate says; whether it goes on elsewhere."""
    work = job(video_id)
    exits.begin(work)
    try:
        if error is None:
            exits.worked(work)
            return False
        return exits.failed(work, error)
    finally:
        exits.end(work)


async def is_passable(exits: Exits) -> bool:
    waiting = asyncio.create_task(exits.opened())
    for _ in range(3):
        await asyncio.sleep(0)
    waiting.cancel()
    (outcome,) = await asyncio.gather(waiting, return_exceptions=True)
    return outcome is None


@pytest.mark.parametrize("error", CERTAIN)
async def test_a_refusal_of_the_exit_closes_it_for_the_cooldown_and_then_one_trial_goes_out(
    clock: Clock, error: type[errors.JobError]
) -> None:
    gate = exits(clock)
    attempt(gate, error())
    assert not await is_passable(gate)
    closed = gate.closed
    assert closed is not None and isinstance(closed.reason, error)
    clock.now += COOLDOWN * (1 - JITTER) - 1
    assert not await is_passable(gate)
    clock.now += COOLDOWN * 2 * JITTER + 2
    assert await is_passable(gate)
    trial = job()
    gate.begin(trial)
    assert not await is_passable(gate), "one trial at a time"
    gate.worked(trial)
    gate.end(trial)
    assert await is_passable(gate) and gate.closed is None and gate.warnings == []


@pytest.mark.parametrize("error", LIKELY)
async def test_what_may_be_the_videos_fault_closes_it_with_the_second_video_in_a_row(
    clock: Clock, error: type[errors.JobError]
) -> None:
    gate = exits(clock)
    attempt(gate, error(), "first-video")
    attempt(gate, error(), "first-video")
    assert await is_passable(gate), "the same video says nothing more"
    attempt(gate, None, "other-video")
    attempt(gate, error(), "third-video")
    assert await is_passable(gate), "something worked in between"
    attempt(gate, error(), "fourth-vide")
    assert not await is_passable(gate)


@pytest.mark.parametrize("error", [errors.JOB_ERRORS[code] for code in sorted(errors.JOB_ERRORS)])
async def test_each_error_closes_exits_or_never_does(clock: Clock, error: type[errors.JobError]) -> None:
    gate = exits(clock)
    for number in range(4):
        attempt(gate, error(), f"video-{number:05}")
    assert await is_passable(gate) == (error not in [*CERTAIN, *LIKELY])


async def test_a_dead_proxy_closes_its_exit_and_a_dead_line_does_not(clock: Clock) -> None:
    gate = exits(clock)
    line, proxy = errors.NetworkError(), errors.NetworkError()
    proxy.of_proxy = True
    attempt(gate, line)
    assert await is_passable(gate)
    attempt(gate, proxy)
    assert not await is_passable(gate)


def test_each_failed_trial_doubles_the_time_up_to_an_hour(clock: Clock) -> None:
    gate = exits(clock)
    expected = COOLDOWN
    for _ in range(12):
        attempt(gate, errors.BotCheck())
        pause = gate.all[0].until - clock.now
        assert expected * (1 - JITTER) <= pause <= expected * (1 + JITTER)
        clock.now += pause
        expected = min(2 * expected, LONGEST)
    attempt(gate, None)
    attempt(gate, errors.BotCheck())
    assert gate.all[0].until - clock.now <= COOLDOWN * (1 + JITTER), "a success resets it"


async def test_spoiled_cookies_close_their_exit_only_while_there_is_another(clock: Clock) -> None:
    alone = exits(clock)
    assert not attempt(alone, errors.CookiesInvalid())
    assert await is_passable(alone), "mended cookies are used at once"
    two = exits(clock, "one", "two")
    assert attempt(two, errors.CookiesInvalid()), "it goes on through the other"
    closed = next(one for one in two.all if not two.is_open(one))
    for _ in range(4):
        clock.now = closed.until
        trial = job()
        two.begin(trial)
        assert two.of(trial) is closed
        two.failed(trial, errors.CookiesInvalid())
        two.end(trial)
        assert closed.until - clock.now <= COOLDOWN * (1 + JITTER), "the time does not double"


def test_failures_that_come_together_count_once(clock: Clock) -> None:
    gate = exits(clock)
    several = [job(f"video-{number:05}") for number in range(5)]
    for one in several:
        gate.begin(one)
    for one in several:
        gate.failed(one, errors.BotCheck())
        gate.end(one)
    assert gate.all[0].closings == 1


async def test_a_success_that_began_before_the_exit_was_closed_does_not_open_it(clock: Clock) -> None:
    gate = exits(clock)
    early = job("early-video")
    gate.begin(early)
    attempt(gate, errors.SourceRateLimited())
    gate.worked(early)
    gate.end(early)
    assert not await is_passable(gate)


async def test_a_trial_that_is_cancelled_makes_way_for_another(clock: Clock) -> None:
    gate = exits(clock)
    attempt(gate, errors.BotCheck())
    clock.now += 2 * COOLDOWN
    trial = job()
    gate.begin(trial)
    gate.end(trial)
    assert await is_passable(gate)


async def test_a_trial_that_shows_nothing_is_followed_by_another_after_the_cooldown(clock: Clock) -> None:
    gate = exits(clock)
    attempt(gate, errors.BotCheck())
    clock.now += 2 * COOLDOWN
    attempt(gate, errors.VideoUnavailable())
    assert not await is_passable(gate)
    clock.now += COOLDOWN * (1 + JITTER) + 1
    assert await is_passable(gate) and gate.all[0].closings == 1


async def test_a_trial_with_the_video_that_closed_the_exit_shows_nothing(clock: Clock) -> None:
    gate = exits(clock)
    attempt(gate, errors.SourceWithheld(), "first-video")
    attempt(gate, errors.SourceWithheld(), "other-video")
    clock.now = gate.all[0].until
    attempt(gate, errors.SourceWithheld(), "other-video")
    assert gate.all[0].closings == 1 and not await is_passable(gate)
    clock.now = gate.all[0].until
    attempt(gate, errors.SourceWithheld(), "third-video")
    assert gate.all[0].closings == 2


@pytest.mark.parametrize("error", [errors.BotCheck, errors.SourceRateLimited])
async def test_audio_ends_a_trial_however_long_the_video_is(clock: Clock, error: type[errors.JobError]) -> None:
    gate = exits(clock)
    attempt(gate, error())
    clock.now = gate.all[0].until
    trial = job()
    gate.begin(trial)
    gate.heard(trial)
    assert await is_passable(gate) and gate.closed is None


async def test_audio_ends_no_trial_where_audio_was_what_broke_off(clock: Clock) -> None:
    gate = exits(clock)
    attempt(gate, errors.SourceForbidden(), "first-video")
    attempt(gate, errors.SourceForbidden(), "other-video")
    clock.now = gate.all[0].until
    trial = job("third-video")
    gate.begin(trial)
    gate.heard(trial)
    assert not await is_passable(gate)
    gate.failed(trial, errors.SourceForbidden())
    gate.end(trial)
    assert gate.all[0].closings == 2


def test_audio_that_breaks_off_for_two_videos_in_a_row_closes_the_exit(clock: Clock) -> None:
    gate = exits(clock)
    for number in range(2):
        work = job(f"video-{number:05}")
        gate.begin(work)
        gate.heard(work)
        gate.failed(work, errors.SourceForbidden())
        gate.end(work)
    assert gate.closed


def test_who_waits_is_told_what_is_wrong(clock: Clock) -> None:
    refused, dead = exits(clock), exits(clock)
    attempt(refused, errors.BotCheck())
    proxy = errors.NetworkError()
    proxy.of_proxy = True
    attempt(dead, proxy)
    assert refused.closed and refused.closed.notice.startswith("YouTube refuses this server at the moment")
    assert dead.closed and dead.closed.notice.startswith("This server cannot reach YouTube at the moment")


async def test_yt_dlps_word_on_the_video_shows_that_the_exit_works(clock: Clock) -> None:
    gate = exits(clock)
    attempt(gate, errors.BotCheck())
    clock.now += 2 * COOLDOWN
    attempt(gate, errors.VideoPrivate())
    assert await is_passable(gate) and gate.all[0].closings == 0


def test_a_failed_attempt_goes_on_through_each_other_exit_once(clock: Clock) -> None:
    gate = exits(clock, "one", "two", "three")
    work = job()
    gate.begin(work)
    names = [gate.of(work).name]
    while gate.failed(work, errors.GeoBlocked()):
        names.append(gate.of(work).name)
    gate.end(work)
    assert sorted(names) == ["one", "three", "two"]
    assert all(gate.is_open(one) for one in gate.all), "nobody is to blame"
    assert all(one.in_use == 0 for one in gate.all)


def test_what_somebody_may_have_heard_does_not_go_on(clock: Clock, tmp_path: Path) -> None:
    gate = exits(clock, "one", "two")
    work = job()
    gate.begin(work)
    work.audio = tmp_path / "audio.part"
    assert not gate.failed(work, errors.SourceForbidden())


def test_another_attempt_at_a_job_takes_an_exit_it_has_not_tried(clock: Clock) -> None:
    gate = exits(clock, "one", "two")
    work = job()
    gate.begin(work)
    first = gate.of(work).name
    gate.end(work)
    gate.begin(work)
    assert gate.of(work).name != first


def test_new_work_takes_the_least_used_exit(clock: Clock) -> None:
    gate = exits(clock, "one", "two", "three")
    running = [job(f"video-{number:05}") for number in range(6)]
    for one in running:
        gate.begin(one)
    assert [one.in_use for one in gate.all] == [2, 2, 2]


async def test_while_one_exit_is_closed_the_other_is_taken_and_nobody_waits(clock: Clock) -> None:
    gate = exits(clock, "one", "two")
    assert attempt(gate, errors.BotCheck()), "it goes on through the other"
    assert await is_passable(gate) and gate.closed is None
    closed = next(one for one in gate.all if not gate.is_open(one))
    for number in range(3):
        work = job(f"video-{number:05}")
        gate.begin(work)
        assert gate.of(work) is not closed
        gate.end(work)
    assert len(gate.warnings) == 1 and f"Exit {closed.name} cools down" in gate.warnings[0]


def test_an_exit_whose_time_is_up_is_tried_though_others_are_open(clock: Clock) -> None:
    gate = exits(clock, "one", "two")
    attempt(gate, errors.BotCheck())
    closed = next(one for one in gate.all if not gate.is_open(one))
    clock.now += 2 * COOLDOWN
    trial = job()
    gate.begin(trial)
    assert gate.of(trial) is closed


async def test_without_a_cooldown_nothing_is_ever_closed(clock: Clock) -> None:
    gate = exits(clock, cooldown=0)
    for _ in range(3):
        attempt(gate, errors.BotCheck())
    assert await is_passable(gate) and gate.warnings == []


def test_changes_are_announced(clock: Clock) -> None:
    gate = exits(clock)
    said = []
    gate.on_change = lambda: said.append(gate.closed is not None)
    attempt(gate, errors.BotCheck())
    clock.now += 2 * COOLDOWN
    attempt(gate, None)
    assert said[0] is True and said[-1] is False


async def test_who_waits_is_woken_when_the_time_is_up() -> None:
    gate = Exits((Exit("only", YtdlpConfig()),), 0.05)
    work = job()
    gate.begin(work)
    gate.failed(work, errors.BotCheck())
    gate.end(work)
    async with asyncio.timeout(30):
        await gate.opened()


def test_each_exit_has_the_configuration_with_its_own_way(tmp_path: Path) -> None:
    one = ExitConfig("one", proxy="http://proxy.example.org:3128", args=("--sleep-requests", "1"))
    two = ExitConfig("two", source_address="192.0.2.7", cookies=tmp_path / "two.txt")
    base = YtdlpConfig(args=("--verbose",), cookies=tmp_path / "all.txt", exits=(one, two))
    found = dict(configurations(Config(ytdlp=base)))
    assert found["one"].ytdlp.proxy == one.proxy and found["one"].ytdlp.cookies == tmp_path / "all.txt"
    assert found["one"].ytdlp.args == ("--verbose", "--sleep-requests", "1")
    assert found["two"].ytdlp.args == ("--verbose", "--source-address", "192.0.2.7")
    assert [one.name for one in exits_of(Config())] == ["default"]
    first, second = exits_of(Config(ytdlp=base))
    assert first.cookies and second.cookies and first.cookies is not second.cookies
    same = YtdlpConfig(cookies=tmp_path / "all.txt", exits=(ExitConfig("one"), ExitConfig("two")))
    assert len({exit.cookies for exit in exits_of(Config(ytdlp=same))}) == 1
