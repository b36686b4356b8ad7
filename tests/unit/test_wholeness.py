"""When an MP3 is whole, and what it is when not."""

from __future__ import annotations

import pytest

from server import errors
from server.media.wholeness import Overlong, Recording, check, expectation

MAX = 14_400.0


def verdict(
    written: float,
    *,
    own: float | None = None,
    video: float | None = None,
    ends_at: float | None = None,
    muxed: bool = False,
    delivered: bool | None = True,
    clean: bool = True,
) -> str:
    recording = Recording(written, written if ends_at is None else ends_at, delivered=delivered, clean=clean)
    try:
        check(expectation(own, video, muxed=muxed), recording, MAX)
    except errors.JobError as error:
        return error.code
    return "completed"


@pytest.mark.parametrize("own", [60.0, 240.0, 3600.0, 14_399.0])
def test_a_second_or_two_thousandths_missing_or_too_much_is_noticed(own: float) -> None:
    off = max(1.0, own * 0.002)
    assert verdict(own - off, own=own) == "TRUNCATED"
    assert verdict(own + off, own=own) == "TOO_LONG"


@pytest.mark.parametrize("own", [0.2, 1.0, 5.0, 60.0, 3600.0, 14_399.0])
def test_what_an_encoder_adds_or_a_codec_lacks_is_no_difference(own: float) -> None:
    for written in (own - 0.05, own, own + 0.09):
        assert verdict(written, own=own) == "completed"


def test_half_of_a_very_short_clip_is_missed() -> None:
    assert verdict(0.5, own=1.0) == verdict(0.5, video=1.0, own=1.0) == "TRUNCATED"
    assert verdict(0.0, own=0.05) == verdict(0.0) == verdict(0.0, video=1.0) == "TRUNCATED"
    assert verdict(2.0, own=1.0) == "TOO_LONG"


@pytest.mark.parametrize("written", [211.05, 212.0, 213.05])
def test_whole_seconds_are_rounded_either_way(written: float) -> None:
    assert verdict(written, video=212) == "completed"


def test_the_formats_own_length_counts_before_the_videos() -> None:
    assert verdict(55.02, own=55.001, video=60) == "completed"
    assert verdict(60.0, own=55.001, video=60) == "TOO_LONG"
    assert verdict(60.02, own=60.0, video=30) == "completed"
    assert verdict(30.0, own=60.0, video=30) == "TRUNCATED"


def test_without_any_length_the_longest_allowed_is_the_bound_and_the_timeline_tells_holes() -> None:
    assert verdict(7.0) == verdict(MAX) == "completed"
    assert verdict(MAX + 1) == "TOO_LONG"
    assert verdict(43.06, ends_at=60.0) == "TRUNCATED"


def test_a_hole_is_a_hole_whatever_the_timeline_says() -> None:
    assert verdict(43.06, own=60.0, ends_at=60.0) == "TRUNCATED"


def test_sound_that_ends_before_its_picture_is_whole_unless_it_has_holes_or_damage() -> None:
    assert verdict(55.0, own=60.0, muxed=True) == "completed"
    assert verdict(55.0, video=60.0, muxed=True) == "completed"
    assert verdict(55.0, own=60.0, ends_at=58.0, muxed=True) == "TRUNCATED"
    assert verdict(55.0, own=60.0, muxed=True, clean=False) == "TRUNCATED"
    assert verdict(61.0, own=60.0, muxed=True) == "completed"
    assert verdict(62.0, own=60.0, muxed=True) == "TOO_LONG"


def test_what_is_longer_than_announced_is_tried_again_and_what_is_longer_than_allowed_is_not() -> None:
    with pytest.raises(Overlong) as announced:
        check(expectation(60.0, None), Recording(120.0, 120.0), MAX)
    with pytest.raises(errors.TooLong) as allowed:
        check(expectation(None, None), Recording(MAX + 1, MAX + 1), MAX)
    assert (announced.value.retried, allowed.value.retried) == (True, False)
    assert announced.value.code == allowed.value.code == "TOO_LONG"


def test_bytes_that_did_not_come_are_missed_where_the_length_is_not_exact() -> None:
    assert verdict(60.0, own=60.0, delivered=False) == "completed"
    assert verdict(60.0, video=60.0, delivered=False) == verdict(60.0, delivered=False) == "TRUNCATED"
    assert verdict(60.0, own=60.0, muxed=True, delivered=False) == "TRUNCATED"
    assert verdict(60.0, delivered=None) == verdict(60.0, video=60.0, muxed=True, delivered=None) == "completed"
    assert verdict(55.0, own=60.0, muxed=True, delivered=None) == "TRUNCATED"
