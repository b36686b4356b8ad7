"""The header that names a download: for old and new clients, and nothing in it can break the header."""

from __future__ import annotations

import re
from urllib.parse import unquote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from server.http.filename import content_disposition
from server.naming import safe

VIDEO = "dQw4w9WgXcQ"


@given(st.text(max_size=300).map(safe).filter(bool))
@example('a"; filename="b')
@example("a\\")
@example("x\r\nSet-Cookie: y")
@example("100% sure; yes, 'quite'")
@example("🌙")
@example("- -")
def test_any_header_can_be_read_by_old_and_new_clients(stem: str) -> None:
    header = content_disposition(stem, VIDEO)
    found = re.fullmatch(
        r"attachment; filename=\"([ !#-\[\]-~]+)\"; filename\*=UTF-8''((?:[A-Za-z0-9!#$&+.^_`|~-]|%[0-9A-F]{2})+)",
        header,
    )
    assert found, header
    assert unquote(found[2], errors="strict") == f"{stem}.mp3"
    assert re.fullmatch(r"[^.\s-].*\.mp3", found[1]) and "%" not in found[1]


@pytest.mark.parametrize(
    ("stem", "plain"),
    [
        ("A Title", "A Title.mp3"),
        ("Café (live)", "Cafe (live).mp3"),
        ("Someone – A Song", "Someone - A Song.mp3"),
        ("Don’t “stop” …", "Don't 'stop'.mp3"),
        ("Møllers Straße, Łódź", "Mollers Strasse, Lodz.mp3"),
        ("🌙", f"{VIDEO}.mp3"),
        ("夜の散歩", f"{VIDEO}.mp3"),
        ("夜 night", f"night [{VIDEO}].mp3"),
        ("🌙 one ✨ two", "one two.mp3"),
        (f"夜 night [{VIDEO}]", f"night [{VIDEO}].mp3"),
        ("One, 静かな楽団 – Song", f"One - Song [{VIDEO}].mp3"),
        ("静かな楽団 – Song (夜) [朝]", f"Song [{VIDEO}].mp3"),
        ("静かな楽団 – 夜", f"{VIDEO}.mp3"),
        ("ⅷ ﬁne", "viii fine.mp3"),
    ],
)
def test_old_clients_get_what_is_ascii_of_it_and_never_two_alike(stem: str, plain: str) -> None:
    assert f'filename="{plain}"' in content_disposition(stem, VIDEO)
