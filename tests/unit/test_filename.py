"""File names: the title in every script, and nothing in them that any system takes amiss."""

from __future__ import annotations

import re
import unicodedata
from urllib.parse import unquote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from server.http.filename import content_disposition, for_title

FORBIDDEN = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u2028\u2029\ufeff\u200b]')
DEVICES = ["con", "CON", "prn", "aux", "nul", "NUL.txt", "com1", "COM9.mp3", "lpt1", "com¹", "conin$"]


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("A Title", "A Title.mp3"),
        ("Ein Lied für Ölsardinen", "Ein Lied für Ölsardinen.mp3"),
        ("Мой город / Городские огни", "Мой город _ Городские огни.mp3"),
        ("夜に駆ける", "夜に駆ける.mp3"),
        ("أغنية", "أغنية.mp3"),
        ("می‌خواهم", "می‌خواهم.mp3"),
        ("👩‍👩‍👧 family 🌙", "👩‍👩‍👧 family 🌙.mp3"),
        ("e\u0301te\u0301", "été.mp3"),
        ("AC/DC: Who? \"Me\" <3 | *", "AC_DC_ Who_ _Me_ _3 _ _.mp3"),
        ("C:\\Windows\\evil", "C__Windows_evil.mp3"),
        ("../../etc/passwd", "_.._etc_passwd.mp3"),
        ("a\tb\r\nc", "a b c.mp3"),
        ("a\u202etxt.exe", "atxt.exe.mp3"),
        ("zero\u200bwidth\ufeff", "zerowidth.mp3"),
        ("  many   blanks  ", "many blanks.mp3"),
        ("trailing dots...", "trailing dots.mp3"),
        (".hidden", "hidden.mp3"),
        ("", "audio.mp3"),
        ("...", "audio.mp3"),
        ("\u200d", "audio.mp3"),
        ("\x00\x07", "audio.mp3"),
        ("song.mp3", "song.mp3.mp3"),
    ],
)  # fmt: skip
def test_a_title_becomes_a_name(title: str, name: str) -> None:
    assert for_title(title) == name


@pytest.mark.parametrize("title", DEVICES)
def test_no_name_is_a_device_of_windows(title: str) -> None:
    assert for_title(title) == f"_{title}.mp3"


@pytest.mark.parametrize("title", ["console", "Auxiliary", "com10", "nullify"])
def test_names_that_only_begin_like_one_stay(title: str) -> None:
    assert for_title(title) == f"{title}.mp3"


@pytest.mark.parametrize("character", ["x", "é", "夜", "🌙"])
def test_a_long_title_is_cut_between_characters(character: str) -> None:
    name = for_title(character * 300)
    assert 190 <= len(name.encode()) <= 204 and set(name) == set(character + ".mp3")


@given(st.text(max_size=300))
@example("x" * 199 + " ")
@example("x" * 199 + ".y")
@example("👩" * 49 + "\u200d👩")
@example(".\u200d.")
@example("\u200d.x")
@example("con.\u200d")
@example("\ud800")
def test_any_title_becomes_a_name_that_is_safe_everywhere(title: str) -> None:
    name = for_title(title)
    stem = name.removesuffix(".mp3")
    assert name.endswith(".mp3") and stem
    assert len(name.encode()) <= 210
    assert not FORBIDDEN.search(name)
    assert stem == stem.strip(" .") and not stem.startswith("\u200d")
    assert name == unicodedata.normalize("NFC", name)
    assert not re.fullmatch(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\..*)?", name)


@given(st.text(max_size=300))
@example('a"; filename="b')
@example("a\\")
@example("x\r\nSet-Cookie: y")
@example("100% sure; yes, 'quite'")
@example("🌙")
def test_any_header_can_be_read_by_old_and_new_clients(title: str) -> None:
    header = content_disposition(title)
    found = re.fullmatch(
        r"attachment; filename=\"([ !#-\[\]-~]+)\"; filename\*=UTF-8''((?:[A-Za-z0-9!#$&+.^_`|~-]|%[0-9A-F]{2})+)",
        header,
    )
    assert found, header
    assert unquote(found[2], errors="strict") == for_title(title)
    assert found[1].endswith(".mp3") and not found[1].startswith(".") and "%" not in found[1]


@pytest.mark.parametrize(
    ("title", "plain"),
    [
        ("A Title", "A Title.mp3"),
        ("Café (live)", "Cafe (live).mp3"),
        ("🌙", "audio.mp3"),
        ("夜 night", "night.mp3"),
        ("🌙 one ✨ two 夜", "one two.mp3"),
    ],
)
def test_old_clients_get_what_is_ascii_of_it(title: str, plain: str) -> None:
    assert f'filename="{plain}"' in content_disposition(title)
