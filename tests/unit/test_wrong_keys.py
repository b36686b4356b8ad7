"""Whoever tries keys gets a few refusals at once and then waits for each; nobody else does."""

from __future__ import annotations

import pytest
from support.clock import Clock

from server.http.wrong_keys import AT_ONCE, MOST_ADDRESSES, MOST_DELAY, PERIOD, WrongKeys


@pytest.fixture
def wrong(clock: Clock) -> WrongKeys:
    return WrongKeys(clock)


def test_a_few_are_refused_at_once_and_the_rest_slowly(wrong: WrongKeys, clock: Clock) -> None:
    began = clock.now
    for _ in range(AT_ONCE):
        assert wrong.delay("192.0.2.1") == 0
    for _ in range(100):
        delay = wrong.delay("192.0.2.1")
        assert 0 < delay <= MOST_DELAY
        clock.now += delay
    assert clock.now - began == pytest.approx(100 * PERIOD)


def test_those_that_come_together_all_wait_but_not_for_ever(wrong: WrongKeys) -> None:
    delays = [wrong.delay("192.0.2.1") for _ in range(1000)]
    assert max(delays) == MOST_DELAY and delays[100:] == [MOST_DELAY] * 900


def test_after_a_while_it_is_forgotten(wrong: WrongKeys, clock: Clock) -> None:
    for _ in range(1000):
        wrong.delay("192.0.2.1")
    clock.now += AT_ONCE * PERIOD + MOST_DELAY
    assert [wrong.delay("192.0.2.1") for _ in range(AT_ONCE)] == [0] * AT_ONCE


def test_others_are_refused_at_once(wrong: WrongKeys) -> None:
    for n in range(1000):
        wrong.delay(f"2001:db8::{n:x}")
    assert wrong.delay("2001:db8::1:1") > 0, "one network of IPv6 is one client"
    assert wrong.delay("2001:db8:1::1") == wrong.delay("192.0.2.1") == 0


def test_no_more_addresses_are_remembered_than_there_is_room_for(wrong: WrongKeys) -> None:
    for _ in range(AT_ONCE + 1):
        wrong.delay("198.51.100.7")
    for n in range(3 * MOST_ADDRESSES):
        wrong.delay(f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}")
        if n % 1000 == 0:
            assert wrong.delay("198.51.100.7") > 0, "those refused last are kept"
    assert len(wrong._paid_until) == MOST_ADDRESSES
