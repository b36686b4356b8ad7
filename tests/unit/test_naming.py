"""File names: a template over the tags, right in every script, with nothing in them that any system takes amiss."""

from __future__ import annotations

import re
import string
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from server import naming
from server.jobs import Media, Source
from server.naming import LONGEST_NAME, folded, safe, unique

FORBIDDEN = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u2028\u2029\ufeff\u200b]')
DEVICES = ["con", "CON", "prn", "aux", "nul", "NUL.txt", "com1", "COM9.mp3", "lpt1", "com¹", "conin$"]
VIDEO = "dQw4w9WgXcQ"
PLAIN = Media("A title", "A channel", 1.0, "2026-01-31", Source("opus", 130))
SONG = Media(
    "Someone - A Song (Official Video)",
    "Someone",
    1.0,
    "2019-03-13",
    Source("opus", 130),
    album="An Album",
    track="A Song",
    track_number=3,
)


def named(template: str, media: Media = SONG, **changed: str) -> str:
    return naming.stem(template, Media(**{**vars(media), **changed}), VIDEO)


@pytest.mark.parametrize(
    ("media", "name"),
    [
        (PLAIN, "A title"),
        (SONG, "Someone – A Song"),
        (Media("夜に駆ける", "YOASOBI", 1.0, "", Source("opus", 1), track="夜に駆ける"), "YOASOBI – 夜に駆ける"),
        (Media("A title", "", 1.0, "", Source("opus", 1), track="A Song"), "A title"),
        (Media("A title", "Someone", 1.0, "", Source("opus", 1), track="Ode to Someone"), "Ode to Someone"),
        (Media("...", "", 1.0, "", Source("opus", 1)), VIDEO),
        (Media("\u200d", "Someone", 1.0, "", Source("opus", 1)), VIDEO),
    ],
)
def test_a_song_is_named_after_itself_and_a_video_after_its_title(media: Media, name: str) -> None:
    assert naming.stem(naming.DEFAULT, media, VIDEO) == name


def test_a_clips_name_ends_with_its_part_however_long_its_title() -> None:
    assert named(naming.DEFAULT, part="1:05–2:30.5") == "Someone – A Song (1.05–2.30.5)"
    name = named("{title}", PLAIN, title="夜" * 300, part="1:05–2:30")
    assert name.endswith("夜 (1.05–2.30)") and LONGEST_NAME - 3 < len(name.encode()) <= LONGEST_NAME


@pytest.mark.parametrize(
    ("template", "of_a_song", "of_a_video"),
    [
        ("{artist} – {album} – {track_number} {track}", "Someone – An Album – 03 A Song", "A channel"),
        ("{track_number}. {title}", "03. Someone - A Song (Official Video)", "A title"),
        ("{title} ({album}, {year})", "Someone - A Song (Official Video) (An Album, 2019)", "A title (2026)"),
        ("{title} ({year}, {album})", "Someone - A Song (Official Video) (2019, An Album)", "A title (2026)"),
        ("{title} [{album} {track_number}]", "Someone - A Song (Official Video) [An Album 03]", "A title"),
        (
            "{title} ({album}) [{video_id}]",
            f"Someone - A Song (Official Video) (An Album) [{VIDEO}]",
            f"A title [{VIDEO}]",
        ),
        ("({album}) ({genre}) {title}", "(An Album) Someone - A Song (Official Video)", "A title"),
        ("{title} by {album_artist} on {album}", "Someone - A Song (Official Video) on An Album", "A title"),
        ("{album_artist} presents {title}", "Someone - A Song (Official Video)", "A title"),
        ("Music. {album} – {title}", "Music. An Album – Someone - A Song (Official Video)", "Music. A title"),
        ("{album}/{track}", "An Album_A Song", VIDEO),
        ("{title} – {genre} – {date}", "Someone - A Song (Official Video) – 2019-03-13", "A title – 2026-01-31"),
        ("{track} | {title} ({genre})", "A Song", "A title"),
        ("{{{title}}}", "{Someone - A Song (Official Video)}", "{A title}"),
        ("{disc_number}-{track_number} {track}|{genre}|{album}", "An Album", VIDEO),
    ],
)
def test_what_is_missing_leaves_nothing_dangling(template: str, of_a_song: str, of_a_video: str) -> None:
    assert (named(template), named(template, PLAIN)) == (of_a_song, of_a_video)


@pytest.mark.parametrize(
    ("artist", "title", "name"),
    [
        ("Someone", "Someone - A Song", "Someone - A Song"),
        ("someone", "A Song (by SOMEONE)", "A Song (by SOMEONE)"),
        ("Some", "Someone - A Song", "Some – Someone - A Song"),
        ("A.B*", "A.B* live", "A.B_ live"),
        ("A.B", "AxB live", "A.B – AxB live"),
        ("One, Two", "Two & One: A Song", "Two & One_ A Song"),
        ("One, Two", "One: A Song", "One, Two – One_ A Song"),
        ("Caf\u00e9", "Cafe\u0301 - A Song", "Caf\u00e9 - A Song"),
        ("", "A Song", "A Song"),
    ],
)
def test_an_artist_whom_the_title_names_is_not_repeated(artist: str, title: str, name: str) -> None:
    assert named("{artist} – {title}", artist=artist, title=title) == name


def test_many_artists_leave_room_for_the_title() -> None:
    many = ", ".join(f"Artist {n}" for n in range(40))
    assert named("{artist} – {title}", artist=many, title="A Song") == (
        "Artist 0, Artist 1, Artist 2, Artist 3, Artist 4, Artist 5 – A Song"
    )
    assert named("{artist} – {title}", artist="x" * 300, title="A Song") == "x" * 60 + " – A Song"


@pytest.mark.parametrize(
    "template",
    [
        *(
            "",
            "no field",
            "{title",
            "title}",
            "{}",
            "{0}",
            "{Title}",
            "{channel}",
            "{title:20}",
            "{title!r}",
            "{title.x}",
        ),
        *("{title} |", "{title} | nothing", "{title[0]}", "{{title}}"),
    ],
)
def test_a_template_that_means_nothing_is_refused(template: str) -> None:
    with pytest.raises(ValueError, match="a template"):
        naming.parse(template)


def test_a_refusal_lists_all_fields() -> None:
    with pytest.raises(ValueError, match="a template of ") as caught:
        naming.parse("{channel}")
    assert re.findall(r"{(\w+)}", str(caught.value)) == list(naming.FIELDS)


@given(
    st.lists(
        st.sampled_from([*(f"{{{field}}}" for field in naming.FIELDS), *" -–()[]._/", "by", "|{title}|"]), min_size=1
    )
    .map("".join)
    .filter(lambda text: "{" in text),
    st.sampled_from(
        [PLAIN, SONG, Media("", "", 0.0, "", Source("", None)), Media("[", "(", 0.0, "", Source("", None))]
    ),
)
def test_any_template_gives_a_name(template: str, media: Media) -> None:
    try:
        naming.parse(template)
    except ValueError:
        return
    name = naming.stem(template, media, VIDEO)
    assert name and name == safe(name)


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("A Title", "A Title"),
        ("Ein Lied für Ölsardinen", "Ein Lied für Ölsardinen"),
        ("Мой город / Городские огни", "Мой город _ Городские огни"),
        ("夜に駆ける", "夜に駆ける"),
        ("أغنية", "أغنية"),
        ("می‌خواهم", "می‌خواهم"),
        ("👩‍👩‍👧 family 🌙", "👩‍👩‍👧 family 🌙"),
        ("e\u0301te\u0301", "été"),
        ("AC/DC: Who? \"Me\" <3 | *", "AC_DC_ Who_ _Me_ _3 _ _"),
        ("C:\\Windows\\evil", "C__Windows_evil"),
        ("../../etc/passwd", "_.._etc_passwd"),
        ("a\tb\r\nc", "a b c"),
        ("a\u202etxt.exe", "atxt.exe"),
        ("zero\u200bwidth\ufeff", "zerowidth"),
        ("  many   blanks  ", "many blanks"),
        ("trailing dots...", "trailing dots"),
        (".hidden", "hidden"),
        ("", ""),
        ("...", ""),
        ("\u200d", ""),
        ("\x00\x07", ""),
        ("song.mp3", "song.mp3"),
    ],
)  # fmt: skip
def test_any_text_becomes_a_name(title: str, name: str) -> None:
    assert safe(title) == name


@pytest.mark.parametrize("title", DEVICES)
def test_no_name_is_a_device_of_windows(title: str) -> None:
    assert safe(title) == f"_{title}"


@pytest.mark.parametrize("title", ["console", "Auxiliary", "com10", "nullify"])
def test_names_that_only_begin_like_one_stay(title: str) -> None:
    assert safe(title) == title


@pytest.mark.parametrize("character", ["x", "é", "夜", "🌙"])
def test_a_long_title_is_cut_between_characters(character: str) -> None:
    name = safe(character * 300)
    assert 190 <= len(name.encode()) <= LONGEST_NAME and set(name) == {character}


@given(st.text(max_size=300))
@example("x" * 199 + " ")
@example("x" * 199 + ".y")
@example("👩" * 49 + "\u200d👩")
@example(".\u200d.")
@example("\u200d.x")
@example("con.\u200d")
@example("\ud800")
def test_any_text_becomes_a_name_that_is_safe_everywhere(title: str) -> None:
    name = safe(title)
    assert len(name.encode()) <= LONGEST_NAME
    assert not FORBIDDEN.search(name)
    assert name == name.strip(" .") and not name.startswith("\u200d")
    assert name == unicodedata.normalize("NFC", name)
    assert not re.fullmatch(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\..*)?", name)


def test_a_name_that_another_video_has_gets_the_videos_id() -> None:
    taken = {folded("Twins")}
    assert unique("Other", VIDEO, taken) == "Other"
    assert unique("Twins", VIDEO, taken) == unique("Twins", VIDEO, taken) == f"Twins [{VIDEO}]"
    assert unique("TWINS", VIDEO, taken) == f"TWINS [{VIDEO}]"
    taken.add(folded(f"Twins [{VIDEO}]"))
    assert unique("Twins", VIDEO, taken) == f"Twins [{VIDEO}] (2)"


@given(st.lists(st.text(string.ascii_letters + "éE\u0301ß 夜", max_size=230), max_size=30))
def test_names_that_are_made_one_after_the_other_all_differ(texts: list[str]) -> None:
    taken: set[str] = set()
    for number, text in enumerate(texts):
        name = unique(safe(text) or VIDEO, f"video-{number:05}", taken)
        assert folded(name) not in taken and len(name.encode()) <= 255 - len(" (1).mp3.part")
        taken.add(folded(name))
