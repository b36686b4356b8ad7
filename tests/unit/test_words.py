"""What yt-dlp says, before the log has it."""

from __future__ import annotations

from http.cookiejar import Cookie, CookieJar

from server.media.words import MAX_MESSAGE, MAX_TOLD, MAX_WARNING, MAX_WARNINGS, Words


def heard() -> tuple[Words, list[str]]:
    told: list[str] = []
    return Words(told.append), told


def test_each_message_is_told_once_and_in_one_line() -> None:
    words, told = heard()
    for message in ("\r[download] Got error: a\n  b ", "[download] Got error: a b", "", " \n", "[youtube] x"):
        words.say(message)
    words.warn("[youtube] x")
    assert told == ["[download] Got error: a b", "[youtube] x"] and words.warnings == ["[youtube] x"]


def test_no_cookie_is_told_and_a_setting_is() -> None:
    words, told = heard()
    words.jar = CookieJar()
    for name, value in {"SID": "the-secret", "LANG": "en", "EMPTY": None}.items():
        words.jar.set_cookie(
            Cookie(0, name, value, None, False, ".a.b", True, True, "/", True, True, None, True, None, None, {})
        )
    words.warn("SID=the-secret; LANG=en when the-secret was seen")
    assert told == words.warnings == ["SID=…; LANG=en when … was seen"]
    assert words.clean("the-\nsecret and the-secret") == "the- secret and …"


def test_nothing_is_told_that_is_meant_or_holds_passwords() -> None:
    words, told = heard()
    words.say("[debug] params: {'password': 'hunter2'}")
    words.warn("ffmpeg-location /x/no-ffmpeg does not exist! Continuing without ffmpeg")
    assert told == []


def test_there_is_no_more_of_it_than_so_much() -> None:
    words, told = heard()
    for number in range(2 * MAX_TOLD):
        words.warn(f"{number} " + "x" * 2 * MAX_MESSAGE)
    assert len(told) == MAX_TOLD and len(words.warnings) == MAX_WARNINGS
    assert max(map(len, told)) == MAX_MESSAGE + 2 and max(map(len, words.warnings)) == MAX_WARNING
    assert told[0].endswith(" …")
