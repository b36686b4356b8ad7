"""Rate limits: three windows, charged together or not at all."""

from __future__ import annotations

import math
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.clock import Clock

from server.access.ratelimit import RateLimiter
from server.config import LimitsConfig

PUBLISHED = LimitsConfig(100, 1000, 10_000)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock(1_800_000_000.25)
    monkeypatch.setattr(time, "time", clock)
    return clock


def test_request_101_within_a_minute_is_refused() -> None:
    limiter = RateLimiter()
    verdicts = [limiter.charge("one", PUBLISHED) for _ in range(101)]
    assert [verdict.allowed for verdict in verdicts] == [True] * 100 + [False]
    assert [verdict.remaining for verdict in verdicts] == [*range(99, -1, -1), 0]
    assert {verdict.limit for verdict in verdicts} == {100}


def test_reset_is_a_whole_second_at_which_the_window_has_ended(clock: Clock) -> None:
    limiter = RateLimiter()
    limits = LimitsConfig(1, 1000, 10_000)
    allowed = limiter.charge("one", limits)
    assert (allowed.reset, allowed.retry_after) == (math.ceil(clock.now + 60), 0)
    clock.now += 10
    refused = limiter.charge("one", limits)
    assert not refused.allowed
    assert refused.reset == allowed.reset
    assert refused.retry_after == 50
    clock.now = refused.reset
    assert limiter.charge("one", limits).allowed


def test_retry_after_is_at_least_a_second_when_refused(clock: Clock) -> None:
    limiter = RateLimiter()
    limits = LimitsConfig(1, 1000, 10_000)
    limiter.charge("one", limits)
    clock.now += 59.999
    refused = limiter.charge("one", limits)
    assert not refused.allowed
    assert refused.retry_after == 1


def test_a_refused_request_consumes_nothing(clock: Clock) -> None:
    limiter = RateLimiter()
    limits = LimitsConfig(2, 5, 10_000)
    for _ in range(2):
        assert limiter.charge("one", limits).allowed
    for _ in range(50):
        assert not limiter.charge("one", limits).allowed
    clock.now += 61
    assert limiter.charge("one", limits).remaining == 1
    assert limiter.charge("one", limits).allowed
    clock.now += 61
    last = limiter.charge("one", limits)
    assert (last.allowed, last.limit, last.remaining) == (True, 5, 0)


def test_the_window_with_the_fewest_requests_left_is_reported(clock: Clock) -> None:
    limiter = RateLimiter()
    limits = LimitsConfig(3, 5, 10_000)
    seen = []
    for _ in range(2):
        for _ in range(2):
            verdict = limiter.charge("one", limits)
            seen.append((verdict.limit, verdict.remaining))
        clock.now += 61
    assert seen == [(3, 2), (3, 1), (5, 2), (5, 1)]


def test_of_windows_with_equally_few_left_the_last_to_reset_is_reported(clock: Clock) -> None:
    verdict = RateLimiter().charge("one", LimitsConfig(5, 5, 5))
    assert (verdict.remaining, verdict.reset) == (4, math.ceil(clock.now + 86_400))


def test_on_refusal_the_exceeded_window_that_resets_last_is_reported(clock: Clock) -> None:
    limiter = RateLimiter()
    limits = LimitsConfig(2, 2, 10_000)
    started = clock.now
    for _ in range(2):
        limiter.charge("one", limits)
    refused = limiter.charge("one", limits)
    assert (refused.limit, refused.remaining) == (2, 0)
    assert refused.reset == math.ceil(started + 3600)
    assert refused.retry_after == 3600


def test_the_day_ends_a_day_after_the_first_request_in_it(clock: Clock) -> None:
    limiter = RateLimiter()
    limits = LimitsConfig(1000, 1000, 3)
    started = clock.now
    for _ in range(3):
        assert limiter.charge("one", limits).allowed
        clock.now += 4000
    refused = limiter.charge("one", limits)
    assert (refused.allowed, refused.limit, refused.reset) == (False, 3, math.ceil(started + 86_400))
    clock.now = refused.reset
    assert limiter.charge("one", limits).allowed


def test_keys_do_not_share_windows() -> None:
    limiter = RateLimiter()
    limits = LimitsConfig(1, 1000, 10_000)
    assert limiter.charge("one", limits).allowed
    assert limiter.charge("two", limits).allowed
    assert not limiter.charge("one", limits).allowed


def test_a_key_may_carry_its_own_numbers() -> None:
    limiter = RateLimiter()
    assert limiter.charge("one", LimitsConfig(7, 8, 9)).limit == 7
    assert limiter.charge("two", PUBLISHED).limit == 100


@settings(deadline=None, max_examples=30)
@given(
    numbers=st.tuples(st.integers(1, 6), st.integers(1, 12), st.integers(1, 20)),
    pauses=st.lists(st.sampled_from([0.0, 1.0, 20.0, 61.0, 1800.0, 3601.0]), min_size=1, max_size=60),
)
def test_no_window_ever_lets_more_through_than_its_number_nor_refuses_while_all_have_room(
    numbers: tuple[int, int, int], pauses: list[float]
) -> None:
    """Held to a naive model of three fixed windows."""
    clock = Clock(1_800_000_000.25)
    model: list[tuple[float, int]] = [(0.0, 0)] * 3  # each window's end and count
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "time", clock)
        limiter = RateLimiter()
        for pause in pauses:
            clock.now += pause
            model = [(end, count) if end > clock.now else (0.0, 0) for end, count in model]
            room = all(count < most for (_, count), most in zip(model, numbers, strict=True))
            verdict = limiter.charge("one", LimitsConfig(*numbers))
            assert verdict.allowed is room
            if room:
                lengths = (60, 3600, 86_400)
                model = [
                    (end or clock.now + length, count + 1) for (end, count), length in zip(model, lengths, strict=True)
                ]
            left = min(most - count for (_, count), most in zip(model, numbers, strict=True))
            assert verdict.remaining == left
