"""Two different videos never have one name in one key's list of downloads, and a name stays what it is."""

from __future__ import annotations

import dataclasses
import itertools

from server.conversions.names import Names
from server.jobs import Conversion, Job, Media, Quality, Recipe, Source, utc_now

MEDIA = Media("Twins", "Someone", 1.0, "", Source("opus", 130))
_ids = itertools.count()


def conversion(video_id: str, owner: str = "anna", media: Media | None = MEDIA) -> Conversion:
    job = Job(Recipe(video_id, 320), media=media)
    return Conversion(f"id-{next(_ids)}", owner, Quality.HIGH, utc_now(), job)


def test_the_second_video_of_a_name_gets_its_id_behind_it() -> None:
    names = Names("{title}")
    first, second, other = conversion("video-one--"), conversion("video-two--"), conversion("video-two--", "ben")
    assert [names.of(one) for one in (first, second, other)] == ["Twins", "Twins [video-two--]", "Twins"]
    assert [names.of(one) for one in (second, first)] == ["Twins [video-two--]", "Twins"]


def test_the_same_video_has_the_same_name_however_often() -> None:
    names = Names("{title}")
    assert {names.of(conversion("video-one--")) for _ in range(3)} == {"Twins"}
    assert {names.of(conversion("video-two--")) for _ in range(3)} == {"Twins [video-two--]"}


def test_a_name_stays_when_the_other_video_has_gone_and_then_is_free() -> None:
    names = Names("{title}")
    first, again, second = conversion("video-one--"), conversion("video-one--"), conversion("video-two--")
    for one in (first, again, second):
        names.of(one)
    names.release(first)
    assert names.of(conversion("video-two--")) == "Twins [video-two--]"
    names.release(again)
    assert names.of(second) == "Twins [video-two--]"
    assert names.of(conversion("video-two--")) == "Twins"
    assert names.of(conversion("video-one--")) == "Twins [video-one--]"


def test_names_differ_for_systems_that_know_no_case() -> None:
    names = Names("{title}")
    loud = dataclasses.replace(MEDIA, title="TWINS")
    assert names.of(conversion("video-one--")) == "Twins"
    assert names.of(conversion("video-two--", media=loud)) == "TWINS [video-two--]"


def test_a_title_that_looks_like_anothers_name_takes_it_from_nobody() -> None:
    names = Names("{title}")
    sly = dataclasses.replace(MEDIA, title="Twins [video-two--]")
    made = [conversion("video-sly--", media=sly), conversion("video-one--"), conversion("video-two--")]
    assert [names.of(one) for one in made] == ["Twins [video-two--]", "Twins", "Twins [video-two--] (2)"]


def test_before_anything_is_known_the_id_is_the_name_and_nothing_is_decided() -> None:
    names = Names("{title}")
    early = conversion("video-one--", media=None)
    assert names.of(early) == "video-one--" and early.name == ""
    early.job.media = MEDIA
    assert names.of(early) == "Twins"


def test_names_of_before_a_restart_are_kept() -> None:
    names = Names("{artist}")
    before = conversion("video-two--")
    before.name = "Twins [video-two--]"
    names.claim(before)
    assert names.of(before) == "Twins [video-two--]"
    taken = dataclasses.replace(MEDIA, artist="Twins [video-two--]")
    assert names.of(conversion("video-one--", media=taken)) == "Twins [video-two--] [video-one--]"


def test_one_that_left_while_somebody_read_it_claims_nothing() -> None:
    names = Names("{title}")
    gone = conversion("video-one--")
    gone.removed = True
    assert names.of(gone) == "Twins" and names._claims == {}


def test_nothing_is_remembered_of_those_who_left() -> None:
    names = Names("{title}")
    made = [conversion(f"video-{n:05}", owner) for n in range(20) for owner in ("anna", "ben")]
    for one in made:
        names.of(one)
    names.release(conversion("video-none-"))
    for one in made:
        names.release(one)
    assert names._claims == {}
