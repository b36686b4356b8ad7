"""What the source or a client wrote cannot leave its line, hide or turn around."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.offline.adorned import HOSTILE_TITLE, SCRIPTS_TITLE
from server.printable import printable

DIRECTIONS = ["\u202a", "\u202b", "\u202c", "\u202d", "\u202e", "\u2066", "\u2067", "\u2068", "\u2069"]


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "�[31mred�[0m"),
        ("\x9b31mred \x85next", "�31mred  next"),
        ("bell\x07 null\0 delete\x7f", "bell� null� delete�"),
        ("one\r\ntwo\tthree\u2028four", "one  two three four"),
        ("invoice\u202efdp.exe", "invoicefdp.exe"),
        ("\u2067a\u2069\ufeffb\u200bc\U000e0041", "abc"),
        ("half \ud83d of a pair", "half � of a pair"),
    ],
)
def test_what_could_do_harm_is_gone(written: str, shown: str) -> None:
    assert printable(written) == shown


def test_a_hostile_title_is_one_plain_line() -> None:
    shown = printable(HOSTILE_TITLE)
    assert "\n" not in shown and "\u202e" not in shown and "\0" not in shown and "passwd" in shown


def test_every_script_and_emoji_stays_as_it_is() -> None:
    for text in (SCRIPTS_TITLE, "می‌خواهم", "א\u200eb\u200f", "👩🏽‍🚀", "\N{NO-BREAK SPACE}x"):
        assert printable(text) == text


def test_a_traceback_may_keep_its_lines() -> None:
    assert printable("one\n\ttwo\r\x1b", keep="\n\t") == "one\n\ttwo �"


@given(st.text())
def test_nothing_of_any_text_is_a_control_or_turns_the_direction(text: str) -> None:
    shown = printable(text)
    assert not any(unicodedata.category(one) in ("Cc", "Cs", "Zl", "Zp") or one in DIRECTIONS for one in shown)
    shown.encode()
    assert printable(shown) == shown
