"""What a playlist's failure amounts to, and how long a look may take; the real looks are in tests/system."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from support.clock import Clock

from server import errors
from server.config import YtdlpConfig
from server.media import playlists
from server.media.advice import Setup
from server.media.exits import Exit, Exits
from server.media.playlists import Playlist, Playlists
from server.youtube_url import ListLink

LINK = ListLink("PL0123456789", "https://www.youtube.com/playlist?list=PL0123456789")


def refusal(message: str, *warnings: str) -> errors.RequestError:
    error = playlists._failure(message, list(warnings), Setup())
    if isinstance(error, errors.JobError):
        return playlists._refusal(error)
    assert isinstance(error, errors.RequestError)
    return error


@pytest.mark.parametrize(
    "message",
    [
        "[youtube:tab] PL01: YouTube said: The playlist does not exist.",
        "[youtube:tab] PL01: YouTube said: This playlist is private.",
        "[youtube:tab] RD01: YouTube said: This playlist type is unviewable.",
        "[youtube:tab] UU01: YouTube said: This channel does not exist.",
        "[youtube:tab] UU01: YouTube said: This channel is not available.",
        "[youtube:tab] x: Failed to resolve url (does the playlist exist?)",
        "[youtube:tab] @x: Unable to download API page: HTTP Error 404: Not Found (caused by <HTTPError>)",
        "[youtube:tab] x: The channel/playlist does not exist and the URL redirected to youtube.com home page",
        "[youtube:tab] MPREb_x: Failed to resolve album to playlist",
        "YouTube leads to no list of videos",
    ],
)
def test_what_is_not_there_is_not_found(message: str) -> None:
    assert refusal(message).code == "PLAYLIST_NOT_FOUND"


@pytest.mark.parametrize(
    ("message", "told", "pause"),
    [
        ("[youtube:tab] PL01: Unable to download API page: HTTP Error 429: Too Many Requests", "limiting", 3600),
        ("[youtube:tab] PL01: Unable to download API page: HTTP Error 403: Forbidden", "HTTP 403", 60),
        ("[youtube:tab] PL01: Unable to download API page: The read operation timed out", "", 60),
        ("[youtube:tab] PL01: Unable to download API page: Connection refused", "could not reach YouTube", 60),
        ("[youtube:tab] PL01: YouTube said: The tide is out.", "\u201cThe tide is out\u201d", 60),
        ("[youtube:tab] PL01: Unable to recognize tab page", "cannot read what YouTube shows", 60),
        ("[youtube:tab] PL01: Incomplete data received. Giving up after 1 retries", "", 60),
        ("KeyError: 'contents'", "cannot read what YouTube shows", 60),
    ],
)
def test_anything_else_may_pass(message: str, told: str, pause: int) -> None:
    error = refusal(message)
    assert (error.code, error.headers) == ("SOURCE_UNAVAILABLE", {"Retry-After": str(pause)})
    assert told in error.message and "this video" not in error.message.lower()


def exits(clock: Clock, *names: str) -> Exits:
    return Exits(tuple(Exit(name, YtdlpConfig()) for name in names), 60.0, clock=clock)


def test_a_look_takes_the_least_used_open_exit_and_never_is_a_trial(clock: Clock) -> None:
    all_exits = exits(clock, "one", "two")
    one = all_exits.open_exit(set())
    two = all_exits.open_exit(set())
    assert one and two and (one.name, two.name) == ("one", "two")
    assert all_exits.refused(one, errors.SourceRateLimited())
    assert not all_exits.is_open(one) and all_exits.open_exit({"two"}) is None
    assert all_exits.next_try == 0 or all_exits.is_open(two)
    clock.now = one.until + 1
    assert all_exits.open_exit({"two"}) is one and one.trial is None
    assert not all_exits.is_open(one), "a page shows nothing of audio"


def test_what_is_said_of_one_list_closes_no_exit(clock: Clock) -> None:
    all_exits = exits(clock, "only")
    only = all_exits.all[0]
    for error in (errors.SourceRefused(), errors.VideoUnavailable(), errors.NetworkError(), errors.SourceForbidden()):
        all_exits.refused(only, error)
    assert all_exits.is_open(only)


async def test_who_waits_too_long_for_a_turn_is_told_so_and_each_outcome_is_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(playlists, "TIMEOUT", 0.05)
    outcomes: list[str] = []

    async def look(link: ListLink, most: int, deadline: float) -> Playlist:
        await asyncio.Event().wait()
        raise AssertionError

    asked = Playlists(look, lambda outcome, seconds: outcomes.append(outcome))
    first = asyncio.create_task(asked.listed("anna", LINK, 5))
    await asyncio.sleep(0)
    with pytest.raises(errors.QueueFull):
        await asked.listed("anna", LINK, 5)
    assert not first.done(), "a look keeps its own time"
    first.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await first
    assert outcomes == ["QUEUE_FULL", "cancelled"]
