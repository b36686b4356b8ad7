"""What yt-dlp knows of a video becomes what people are shown: nothing lost, nothing that breaks a tag or a line."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.media import description, id3

#: As yt-dlp answers for a song of YouTube's own channels ("Provided to YouTube by …").
TOPIC = {
    "title": "A Song",
    "channel": "Someone - Topic",
    "artists": ["Someone", "Another"],
    "artist": "Someone, Another",
    "creators": ["Someone", "Another"],
    "album": "An Album",
    "track": "A Song",
    "release_date": "20190313",
    "release_year": 2021,
    "upload_date": "20190312",
    "duration": 169,
    "acodec": "opus",
    "abr": 129.6,
}


def test_a_song_of_youtubes_own_channels_keeps_all_that_is_known_of_it() -> None:
    media = description.media(TOPIC)
    assert (media.title, media.artist, media.album, media.album_artist) == (
        *("A Song", "Someone, Another", "An Album", "Someone"),
    )
    assert (media.track, media.date, media.duration) == ("A Song", "2019-03-13", 169.0)
    assert (media.source.codec, media.source.bitrate_kbps) == ("opus", 130)


def test_of_an_ordinary_video_nothing_is_made_up() -> None:
    media = description.media(
        {"title": "A title", "channel": "A channel", "upload_date": "20260131", "categories": ["Music"]}
    )
    assert (media.title, media.artist, media.date) == ("A title", "A channel", "2026-01-31")
    assert (media.album, media.album_artist, media.track, media.genre, media.chapters) == ("", "", "", "", ())
    assert (media.track_number, media.disc_number, media.source.codec) == (None, None, "unknown")


def test_nothing_at_all_is_a_video_without_a_title() -> None:
    media = description.media({})
    assert (media.title, media.artist, media.date, media.duration) == ("Untitled", "", "", 0.0)


@pytest.mark.parametrize(
    ("info", "artist"),
    [
        ({"channel": "Someone - Topic"}, "Someone"),
        ({"channel": "Various Artists - Topic"}, "Various Artists"),
        ({"channel": "Release - Topic"}, ""),
        ({"channel": "Release"}, "Release"),
        ({"channel": "Topic"}, "Topic"),
        ({"channel": "A - Topical"}, "A - Topical"),
        ({"uploader": "Uploader"}, "Uploader"),
        ({"artist": "Old, Style", "channel": "Other"}, "Old, Style"),
        ({"artists": ["A - Topic", "B", "A", " "], "channel": "Other"}, "A, B"),
        ({"creators": ["One", "Two"], "channel": "One"}, "One, Two"),
        ({"artists": [], "creators": None, "channel": "Other"}, "Other"),
    ],
)
def test_the_artist_is_who_made_it(info: dict[str, Any], artist: str) -> None:
    assert description.media(info).artist == artist


@pytest.mark.parametrize(
    ("info", "album_artist"),
    [
        ({"album_artists": ["Said"], "artists": ["A"], "album": "X"}, "Said"),
        ({"album_artist": "Said", "artists": ["A"], "album": "X"}, "Said"),
        ({"artists": ["A", "B"], "album": "X", "channel": "B"}, "B"),
        ({"artists": ["A", "B"], "album": "X", "channel": "Various Artists - Topic"}, "Various Artists"),
        ({"artists": ["A"], "album": "X", "channel": "A Label"}, "A"),
        ({"artists": ["A", "B"], "album": "X", "channel": "A Label"}, ""),
        ({"artists": ["A"], "channel": "A"}, ""),
    ],
)
def test_the_album_artist_is_known_or_likely(info: dict[str, Any], album_artist: str) -> None:
    assert description.media(info).album_artist == album_artist


@pytest.mark.parametrize(
    ("info", "date"),
    [
        ({"release_date": "20020513", "upload_date": "20230101"}, "2002-05-13"),
        ({"release_year": 2002, "upload_date": "20230101"}, "2002"),
        ({"release_date": "20021345", "release_year": 2002}, "2002"),
        ({"release_date": "soon", "upload_date": "20230101"}, "2023-01-01"),
        ({"upload_date": "00000000"}, ""),
        ({"upload_date": "２０２３０１０１"}, ""),
        ({}, ""),
    ],
)
def test_a_date_is_one_that_exists(info: dict[str, Any], date: str) -> None:
    assert description.media(info).date == date


def test_numbers_are_those_of_tracks_and_discs() -> None:
    media = description.media({"track_number": 12, "disc_number": 1, "genres": ["Jazz", "Fusion"]})
    assert (media.track_number, media.disc_number, media.genre) == (12, 1, "Jazz, Fusion")
    media = description.media({"track_number": 0, "disc_number": "2", "genre": "Jazz"})
    assert (media.track_number, media.disc_number, media.genre) == (None, None, "Jazz")


def chapters(*found: tuple[Any, Any, Any], duration: float = 100.0) -> list[tuple[str, float, float]]:
    listed = [{"title": title, "start_time": start, "end_time": end} for title, start, end in found]
    return [(one.title, one.start, one.end) for one in description.chapters(listed, duration)]


@pytest.mark.parametrize(
    ("found", "cleaned"),
    [
        ([("a", 0, 50), ("b", 50, 100)], [("a", 0, 50), ("b", 50, 100)]),
        ([("a", 0, None), ("b", 50, None)], [("a", 0, 50), ("b", 50, 100)]),
        ([("b", 50, 100), ("a", 0, 50)], [("a", 0, 50), ("b", 50, 100)]),
        ([("a", 0, 70), ("b", 50, 170)], [("a", 0, 50), ("b", 50, 100)]),
        ([("a", 0, 20), ("b", 50, 60)], [("a", 0, 20), ("b", 50, 60)]),
        ([("a", 0, 100), ("b", 100, 120), ("c", 130, 140)], [("a", 0, 100)]),
        ([("a", 0, 0), ("b", 0, 50), ("c", 50, 40)], [("a", 0, 50), ("c", 50, 100)]),
        ([("a", -5, 50), ("b", None, 60), ("c", float("nan"), 60), ("d", "7", 60)], [("a", 0, 50)]),
        ([(None, 0, 50), ("<Untitled Chapter 2>", 50, 100)], [("Chapter 1", 0, 50), ("Chapter 2", 50, 100)]),
        ([("a\nb\0c", 0.12345, 50)], [("a b c", 0.123, 50)]),
        ([("a", 99.9996, None)], []),
        ([], []),
    ],
)
def test_chapters_follow_each_other(found: list[tuple[Any, Any, Any]], cleaned: list[tuple[str, float, float]]) -> None:
    assert chapters(*found) == cleaned


def test_chapters_end_with_the_sound_which_may_be_shorter_or_longer_than_the_picture() -> None:
    listed = [{"title": "a", "start_time": 0, "end_time": 50}, {"title": "b", "start_time": 50, "end_time": 60}]
    ends = {length: [one.end for one in description.chapters(listed, 60, length=length)] for length in (40, 55.001, 90)}
    assert ends == {40: [40], 55.001: [50, 55.001], 90: [50, 90]}


def test_the_last_chapter_of_a_video_without_a_length_ends_where_it_is_said_to() -> None:
    assert chapters(("a", 0, None), ("b", 50, 60), duration=0) == [("a", 0, 50), ("b", 50, 60)]
    assert chapters(("a", 0, None), ("b", 50, None), duration=0) == [("a", 0, 50), ("b", 50, 50)]


@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "title": st.none() | st.text(max_size=300),
                "start_time": st.none() | st.floats() | st.integers(-10, 400),
                "end_time": st.none() | st.floats() | st.integers(-10, 400),
            }
        ),
        max_size=400,
    ),
    st.sampled_from([0.0, 1.0, 99.5, 300.0]),
)
def test_any_chapters_become_ones_that_players_can_show(found: list[dict[str, Any]], duration: float) -> None:
    cleaned = description.chapters(found, duration)
    assert len(cleaned) <= id3.MOST_CHAPTERS
    limits = [*(one.start for one in cleaned[1:]), duration or float("inf")]
    for one, limit in zip(cleaned, limits, strict=False):
        assert 0 <= one.start <= one.end <= limit
        assert one.title == description.line(one.title) and 0 < len(one.title) <= description.LONGEST_CHAPTER


def test_every_text_is_one_line_of_bounded_length() -> None:
    nasty = "a\0b\r\nc\u202ed\u2028e\ud800f\tg" + "x" * 5000
    media = description.media(
        {
            "title": nasty,
            "artists": [nasty, "B"],
            "album": nasty,
            "track": nasty,
            "genres": [nasty],
            "album_artist": nasty,
        }
    )
    for text in (media.title, media.artist, media.album, media.track, media.genre, media.album_artist):
        assert text.startswith("a b cd e f g") and len(text) <= description.LONGEST_TEXT + 10
