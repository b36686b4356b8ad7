"""What part of a video is asked for, how it is written, and what is expected of it."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server import errors
from server.clip import LONGEST, Clip, clock
from server.http import request_options
from server.jobs import Chapter, Media, Source
from server.media import clipping, id3
from server.media.wholeness import Expectation, Recording, check, expectation

MEDIA = Media("A title", "An artist", 100.0, "2026-01-31", Source("opus", 130))
MINUTE = expectation(60.0, 60)


@pytest.mark.parametrize(
    ("fields", "clip"),
    [
        ({}, None),
        ({"start": None, "end": None}, None),
        ({"start": 0}, None),
        ({"start": "0:00"}, None),
        ({"start": 65.5}, Clip(65.5)),
        ({"end": 65}, Clip(0.0, 65.0)),
        ({"start": "1:05", "end": "1:02:03.25"}, Clip(65.0, 3723.25)),
        ({"start": "90", "end": "91.0004"}, Clip(90.0, 91.0)),
        ({"start": 0.1 + 0.2, "end": 1.3}, Clip(0.3, 1.3)),
    ],
)
def test_times_are_seconds_or_written_as_clocks_show_them(fields: dict[str, Any], clip: Clip | None) -> None:
    assert request_options.clip(fields) == clip


@pytest.mark.parametrize(
    "text", ["", " 5", "5 ", "1:5", "1:60", "1:60:00", "100:00:00", "1e3", "-1", "+1", "٣", "1:05\n", "NaN"]
)
def test_any_other_text_is_no_time(text: str) -> None:
    with pytest.raises(errors.InvalidOption, match='"start" must be a time'):
        request_options.clip({"start": text})


@given(st.floats(0, LONGEST, exclude_max=True), st.none() | st.floats(0, LONGEST, exclude_max=True))
def test_what_is_accepted_comes_back_from_the_state_as_it_was(start: float, end: float | None) -> None:
    try:
        clip = request_options.clip({"start": start, "end": end})
    except errors.InvalidOption:
        assert end is not None and end < start + 1.001
        return
    assert clip is None or Clip.restored(dataclasses.asdict(clip)) == clip


@pytest.mark.parametrize(
    "table",
    [
        {},
        7,
        {"start": 1},
        {"start": "1", "end": 2},
        {"start": 2, "end": 1},
        {"start": -1, "end": 1},
        {"start": 1e6, "end": None},
    ],
)
def test_a_record_of_no_clip_is_refused(table: Any) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        Clip.restored(table)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (65, "1:05"), (65.5, "1:05.5"), (3723.25, "1:02:03.25"), (0.001, "0:00.001")]
)
def test_a_time_is_shown_as_a_clock_shows_it(seconds: float, text: str) -> None:
    assert clock(seconds) == text


@pytest.mark.parametrize(
    ("clip", "length", "name"),
    [
        (Clip(65.0, 150.0), 200.0, "1:05–2:30"),
        (Clip(65.0, 150.5), None, "1:05–2:30.5"),
        (Clip(65.0), 150.061, "1:05–2:30"),
        (Clip(65.0, 500.0), 150.061, "1:05–2:30"),
        (Clip(65.0), None, "1:05–"),
    ],
)
def test_a_clips_name_says_its_part(clip: Clip, length: float | None, name: str) -> None:
    assert clip.named(length) == name


def test_the_title_says_the_part() -> None:
    part = dataclasses.replace(MEDIA, part="1:05–2:30")
    frame = id3.tag(part, url="https://www.youtube.com/watch?v=some-video-").partition(b"TIT2")[2]
    assert "A title (1:05–2:30)".encode("utf-16-le") in frame


def test_chapters_are_cut_and_moved() -> None:
    found = (Chapter("before", 0, 10), Chapter("in", 10, 20), Chapter("over", 20, 40.5), Chapter("after", 40.5, 60))
    assert clipping.chapters(found, Clip(10.0, 40.0)) == (Chapter("in", 0, 10), Chapter("over", 10, 30))
    assert clipping.chapters(found, Clip(30.25)) == (Chapter("over", 0, 10.25), Chapter("after", 10.25, 29.75))
    assert clipping.chapters(found, Clip(0.0, 1.5)) == (Chapter("before", 0, 1.5),)
    endless = (Chapter("first", 0, 10), Chapter("last", 10, 10))
    assert clipping.chapters(endless, Clip(5.0, 30.0)) == (Chapter("first", 0, 5), Chapter("last", 5, 25))
    assert clipping.chapters(endless, Clip(15.0)) == (Chapter("last", 0, 0),)


@pytest.mark.parametrize(
    ("clip", "said", "duration", "end"),
    [
        (Clip(10.0, 40.0), 60.0, 30.0, 40.0),
        (Clip(10.0, 400.0), 60.0, 50.0, 60.0),
        (Clip(10.0), 60.25, 50.25, 60.25),
        (Clip(10.0, 40.0), None, 30.0, 40.0),
        (Clip(10.0), None, 0.0, None),
    ],
)
def test_a_clips_length_is_its_own(clip: Clip, said: float | None, duration: float, end: float | None) -> None:
    whole = dataclasses.replace(MEDIA, duration=said or 0.0)
    media = clipping.media(whole, clip, expectation(said, said))
    assert (media.duration, media.clip) == (duration, Clip(10.0, end))


def test_the_sounds_own_length_counts_more_than_the_videos() -> None:
    with pytest.raises(errors.ClipOutOfRange):
        clipping.media(MEDIA, Clip(95.0), expectation(95.0, 100))
    assert clipping.media(MEDIA, Clip(94.0), expectation(95.0, 100)).duration == 1.0


@pytest.mark.parametrize(
    ("clip", "source", "written", "error"),
    [
        (Clip(10.0, 40.0), MINUTE, 30.048, None),
        (Clip(10.0, 40.0), MINUTE, 29.8, errors.Truncated),
        (Clip(10.0, 40.0), MINUTE, 30.2, errors.TooLong),
        (Clip(10.0), MINUTE, 49.6, None),
        (Clip(10.0, 400.0), MINUTE, 49.6, None),
        (Clip(10.0, 400.0), MINUTE, 49.2, errors.Truncated),
        (Clip(10.0), expectation(None, 60), 49.2, None),
        (Clip(10.0, 40.0), expectation(None, None), 25.0, None),  # the video may well be shorter
        (Clip(10.0, 58.0), expectation(60.0, 60, muxed=True), 44.0, None),  # as may the sound of a picture
    ],
)
def test_a_clip_is_held_to_its_own_length(
    clip: Clip, source: Expectation, written: float, error: type[Exception] | None
) -> None:
    recording = Recording(written, written)
    if error is None:
        check(clipping.expectation(source, clip), recording, 3600)
    else:
        with pytest.raises(error):
            check(clipping.expectation(source, clip), recording, 3600)


@pytest.mark.parametrize(
    ("clip", "source", "recording", "is_behind"),
    [
        (Clip(59.9), MINUTE, Recording(0.0, 0.0), True),
        (Clip(59.9), MINUTE, Recording(0.05, 0.05), False),
        (Clip(59.9), MINUTE, Recording(0.0, 0.0, delivered=False), False),
        (Clip(59.9), MINUTE, Recording(0.0, 0.0, clean=False), False),
        (Clip(30.0), MINUTE, Recording(0.0, 0.0), False),  # half of the video is missing
        (Clip(30.0), expectation(None, None), Recording(0.0, 0.0), True),
        (Clip(57.0), expectation(60.0, 60, muxed=True), Recording(0.0, 0.0), True),
    ],
)
def test_a_start_behind_the_sound_is_told_from_a_hole(
    clip: Clip, source: Expectation, recording: Recording, is_behind: bool
) -> None:
    assert clipping.starts_behind(recording, source, clip) is is_behind


def test_the_filter_cuts_to_the_millisecond() -> None:
    assert clipping.trim(Clip(65.0, 150.5)) == "atrim=start=65.000:end=150.500,asetpts=PTS-STARTPTS,"
    assert clipping.trim(Clip(0.125)) == "atrim=start=0.125,asetpts=PTS-STARTPTS,"
