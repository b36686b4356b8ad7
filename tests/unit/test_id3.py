"""The tag, read back by mutagen and ffmpeg, whose own code shares nothing with ours."""

from __future__ import annotations

import io
import re
import subprocess
from pathlib import Path

import imageio_ffmpeg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mutagen.id3 import ID3

from server.jobs import Chapter, Media, Source
from server.media import id3
from server.offline.adorned import SCRIPTS_TITLE

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
URL = "https://www.youtube.com/watch?v=dQw4w9WgXcQ"
OPUS = Source("opus", 130)
PLAIN = Media("A title", "Someone", 12.5, "2026-01-31", OPUS)
SONG = Media(
    "Someone - A Song (Official Video)",
    "Someone, Another",
    240.0,
    "2019-03-13",
    OPUS,
    album="An Album",
    album_artist="Someone",
    track="A Song",
    track_number=3,
    disc_number=2,
    genre="Ambient",
    chapters=(Chapter("Intro", 0.0, 12.345), Chapter("Hauptteil – für später", 12.345, 240.0)),
)


def read(media: Media, cover: bytes | None = None) -> ID3:
    return ID3(io.BytesIO(id3.tag(media, url=URL, cover=cover)), translate=False)


def text(tags: ID3, name: str) -> str:
    return str(tags[name])


def test_a_song_has_every_tag_that_is_known_of_it() -> None:
    tags = read(SONG, b"\xff\xd8\xff\xe0 a picture \xff\xd9")
    assert tags.version == (2, 3, 0)
    names = ("TIT2", "TPE1", "TALB", "TPE2", "TRCK", "TPOS", "TYER", "TDAT", "TCON")
    assert [text(tags, name) for name in names] == [
        *("A Song", "Someone, Another", "An Album", "Someone", "3", "2", "2019", "1303", "Ambient"),
    ]
    (comment,) = tags.getall("COMM")
    assert (comment.lang, comment.desc, comment.text) == ("eng", "", [URL])
    assert str(tags["WOAS"]) == URL
    (picture,) = tags.getall("APIC")
    assert (picture.type, picture.mime, picture.data) == (3, "image/jpeg", b"\xff\xd8\xff\xe0 a picture \xff\xd9")


def test_what_nobody_knows_has_no_tag() -> None:
    tags = read(Media("A title", "", 0.0, "", OPUS))
    assert sorted(tags) == ["COMM::eng", "TIT2", "WOAS"]


def test_a_year_alone_is_a_year() -> None:
    tags = read(Media("A title", "", 0.0, "1999", OPUS))
    assert text(tags, "TYER") == "1999" and "TDAT" not in tags


def test_chapters_are_listed_in_one_ordered_table_of_contents() -> None:
    tags = read(SONG)
    (table,) = tags.getall("CTOC")
    assert (table.element_id, table.flags, table.child_element_ids) == ("toc", 3, ["chp0", "chp1"])
    found = [tags[f"CHAP:{name}"] for name in table.child_element_ids]
    assert [(one.start_time, one.end_time, str(one.sub_frames["TIT2"])) for one in found] == [
        (0, 12345, "Intro"),
        (12345, 240000, "Hauptteil – für später"),
    ]
    assert {(one.start_offset, one.end_offset) for one in found} == {(0xFFFFFFFF, 0xFFFFFFFF)}


def test_a_table_of_contents_holds_no_more_chapters_than_it_can_count() -> None:
    many = tuple(Chapter(f"Chapter {n}", float(n), n + 1.0) for n in range(300))
    tags = read(Media("A title", "", 300.0, "", OPUS, chapters=many))
    (table,) = tags.getall("CTOC")
    assert len(table.child_element_ids) == len(tags.getall("CHAP")) == 255


@pytest.mark.parametrize(
    "title",
    [
        "ASCII",
        "Ölsardinen für É",
        SCRIPTS_TITLE,
        "e\u0301 combining",
        "עברית العربية",
        "👩🏽‍🚀",
        "\U0001f3f3\ufe0f\u200d\U0001f308",
    ],
)
def test_every_script_is_read_back_by_mutagen_and_ffmpeg(title: str, tmp_path: Path) -> None:
    media = Media(title, title, 1.0, "2026-01-31", OPUS, album=title, chapters=(Chapter(title, 0.0, 0.5),))
    tags = read(media)
    assert text(tags, "TIT2") == text(tags, "TPE1") == text(tags, "TALB") == title
    assert str(tags["CHAP:chp0"].sub_frames["TIT2"]) == title
    silence = [FFMPEG, "-v", "error", "-f", "lavfi", "-i", "anullsrc", "-t", "1"]
    done = subprocess.run([*silence, "-id3v2_version", "0", "-f", "mp3", "-"], capture_output=True, timeout=30)
    path = tmp_path / "a.mp3"
    path.write_bytes(id3.tag(media, url=URL) + done.stdout)
    command = [FFMPEG, "-v", "error", "-i", str(path), "-f", "ffmetadata", "-"]
    lines = subprocess.run(command, capture_output=True, timeout=30, check=True).stdout.decode().splitlines()
    said = dict(line.split("=", 1) for line in lines if "=" in line)
    assert [line for line in lines if line == "[CHAPTER]"] == ["[CHAPTER]"]
    assert (said["title"], said["artist"], said["album"], said["END"]) == (title, title, title, "500")
    assert said["comment"].replace("\\", "") == URL and said["date"] == "2026-01-31"


@given(st.text(min_size=1).map(lambda text: "".join(text.split("\0"))).filter(bool))
def test_any_text_is_read_back_as_it_was(title: str) -> None:
    title = re.sub(r"[\ud800-\udfff]", "", title)
    if title:
        assert read(Media(title, "", 0.0, "", OPUS))["TIT2"].text == [title]


@pytest.mark.parametrize("cover", [None, b"x" * 100, b"x" * 200_000])
def test_the_length_of_a_tag_is_told_by_its_first_bytes(cover: bytes | None) -> None:
    tag = id3.tag(SONG, url=URL, cover=cover)
    assert id3.tag_size(tag[: id3.HEADER_BYTES]) == len(tag)


@pytest.mark.parametrize("start", [b"", b"ID3\x03", b"\xff\xfb\x90\x00" * 4])
def test_without_a_tag_there_is_no_length(start: bytes) -> None:
    assert id3.tag_size(start) == 0
