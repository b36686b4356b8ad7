"""Links: one video however it is written, and nothing that only looks like one."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from server.errors import InvalidUrl
from server.youtube_url import ACCEPTED, HOSTS, canonical_url, video_id

ID = "dQw4w9WgXcQ"
WILD = "-_Ab9-_zZ0-"


def refusal(text: str) -> str:
    """What is wrong with the link, without the part that says what is accepted."""
    with pytest.raises(InvalidUrl) as caught:
        video_id(text)
    message = caught.value.message
    assert message.endswith(" " + ACCEPTED)
    return message.removesuffix(" " + ACCEPTED)


@pytest.mark.parametrize(
    "form",
    [
        "watch?v={}",
        "watch/?v={}",
        "?v={}",
        "?x=1&v={}",
        "watch/{}",
        "shorts/{}",
        "shorts/{}/",
        "live/{}",
        "embed/{}",
        "v/{}",
        "e/{}",
    ],
)
@pytest.mark.parametrize("host", [host for host in HOSTS if host != "youtu.be"])
def test_every_form_on_every_host_names_the_video(host: str, form: str) -> None:
    for scheme in ("https://", "http://", "HTTPS://", "//", ""):
        for wanted in (ID, WILD, "-----------", "___________"):
            assert video_id(f"{scheme}{host}/{form.format(wanted)}") == wanted
            assert video_id(f"{scheme}{host.upper()}/{form.format(wanted)}") == wanted


@pytest.mark.parametrize(
    "link",
    [
        f"https://youtu.be/{ID}",
        f"youtu.be/{ID}",
        f"https://youtu.be/{ID}?si=AbC_123&t=42",
        f"https://youtu.be/{ID}/",
        f"https://youtu.be/{ID}#t=1m",
        f"https://www.youtube.com/watch?v={ID}&list=PL0123456789&index=2",
        f"https://www.youtube.com/watch?list=PL0123456789&t=3s&v={ID}",
        f"https://www.youtube.com/watch?app=desktop&v={ID}#comments",
        f"https://www.youtube.com/watch?v={ID}&ab_channel=Björk",
        f"https://www.youtube.com/watch?v={ID}&v={ID}",
        f"https://www.youtube.com/embed/{ID}?autoplay=1&start=3",
        f"https://www.youtube.com/shorts/{ID}?feature=share",
        f"https://music.youtube.com/watch?v={ID}&feature=share",
        f"https://www.youtube.com/watch?v={ID}&redirect=https://evil.example/?v=aaaaaaaaaaa",
        ID,
        f" {ID}\n",
        f"https://www.youtube.com/attribution_link?a=xyz&u=%2Fwatch%3Fv%3D{ID}%26feature%3Dshare",
        f"https://www.youtube.com/attribution_link?u=https%3A%2F%2Fwww.youtube.com%2Fwatch%3Fv%3D{ID}",
        f"https://consent.youtube.com/m?continue=https%3A%2F%2Fwww.youtube.com%2Fwatch%3Fv%3D{ID}%26cbrd%3D1&gl=DE",
        f"https://consent.youtube.com/ml?gl=DE&continue=https://youtu.be/{ID}",
        f"https://www.youtube.com/redirect?event=video&q=https%3A%2F%2Fyoutu.be%2F{ID}",
        f"https://www.youtube.com/redirect?q=https://youtu.be/{ID}",
        f"  https://youtu.be/{ID}\r\n",
        f"\u00a0\thttps://youtu.be/{ID}\u3000",
    ],
)
def test_what_people_paste_names_the_video(link: str) -> None:
    assert video_id(link) == ID


@pytest.mark.parametrize(
    ("link", "wrong"),
    [
        ("", "The link is empty."),
        (" \n\t ", "The link is empty."),
        (f"https://youtu.be/{ID}?x=" + "a" * 2000, "The link is longer than 2000 characters."),
        ("videoseries", "This is a playlist; a link to a single video is needed."),
        ("hello", '"hello" is not a host of YouTube.'),
        ("https://", "The link has no host."),
        (f"https:///youtube.com/watch?v={ID}", "The link has no host."),
        (f"/watch?v={ID}", "The link has no host."),
        (f"https://vimeo.com/watch?v={ID}", '"vimeo.com" is not a host of YouTube.'),
        (f"https://youtube.com.evil.org/watch?v={ID}", '"youtube.com.evil.org" is not a host of YouTube.'),
        (f"https://evilyoutube.com/watch?v={ID}", '"evilyoutube.com" is not a host of YouTube.'),
        (f"https://evil.youtube.com/watch?v={ID}", '"evil.youtube.com" is not a host of YouTube.'),
        (f"https://www.youtube.com./watch?v={ID}", '"www.youtube.com." is not a host of YouTube.'),
        (f"https://youtube%2Ecom/watch?v={ID}", '"youtube%2Ecom" is not a host of YouTube.'),
        (f"https://142.250.74.46/watch?v={ID}", '"142.250.74.46" is not a host of YouTube.'),
        (f"https://[::1]/watch?v={ID}", '"[::1]" is not a host of YouTube.'),
        (f"https://2398797358/watch?v={ID}", '"2398797358" is not a host of YouTube.'),
        ("https://" + "a" * 100 + f"/watch?v={ID}", f'"{"a" * 57}..." is not a host of YouTube.'),
        (f"https://youtube.com@evil.org/watch?v={ID}", "The link has a user name before its host."),
        (f"https://user:pass@youtube.com/watch?v={ID}", "The link has a user name before its host."),
        (f"https://www.youtube.com:443/watch?v={ID}", "The link has a port."),
        (f"youtube.com:8080/watch?v={ID}", "The link has a port."),
        (f"youtu.be:/{ID}", "The link has a port."),
        (
            f"ftp://www.youtube.com/watch?v={ID}",
            "The link must begin with https:// or http://, or directly with the host.",
        ),
        (
            f"file:///youtube.com/watch?v={ID}",
            "The link must begin with https:// or http://, or directly with the host.",
        ),
        ("javascript:alert(1)", '"javascript:alert(1)" is not a host of YouTube.'),
        (f"https:youtu.be/{ID}", '"https:youtu.be" is not a host of YouTube.'),
        (f"://youtu.be/{ID}", '":" is not a host of YouTube.'),
        (f"https:\\\\www.youtube.com\\watch?v={ID}", "The link has a backslash in it."),
        (f"https://evil.org\\@youtube.com/watch?v={ID}", "The link has a backslash in it."),
        (f"https://youtu.be/{ID} https://youtu.be/{ID}", "The link has a space in it."),
        (f"https://you\ttube.com/watch?v={ID}", "The link has a tab in it."),
        (f"https://youtu.be/\n{ID}", "The link has a line break in it."),
        (f"https://youtu.be/{ID}\x00", "The link has a character (U+0000) that cannot be seen in it."),
        (f"https://youtu.be/\u202e{ID}", "The link has a character (U+202E) that cannot be seen in it."),
        (f"https://youtu.be/{ID}\ud800", "The link has a character (U+D800) that cannot be seen in it."),
        (
            f"https://www.youtube\u3002com/watch?v={ID}",
            "The link's host is not YouTube's: it only looks alike, with letters of another script.",
        ),
        (
            f"https://www.y\u043eutube.com/watch?v={ID}",
            "The link's host is not YouTube's: it only looks alike, with letters of another script.",
        ),
        (
            f"https://www.youtube-nocoo\u212aie.com/embed/{ID}",  # a Kelvin sign, which becomes a k in lower case
            "The link's host is not YouTube's: it only looks alike, with letters of another script.",
        ),
        (
            "https://www.youtube.com/playlist?list=PL0123456789",
            "This is a playlist; a link to a single video is needed.",
        ),
        ("https://www.youtube.com/watch?list=PL0123456789", "This is a playlist; a link to a single video is needed."),
        (
            "https://www.youtube.com/embed/videoseries?list=PL0123456789",  # as long as an id
            "This is a playlist; a link to a single video is needed.",
        ),
        (
            "https://www.youtube.com/embed/live_stream?channel=UC0123456789",  # likewise
            "This is a channel; a link to a single video is needed.",
        ),
        ("https://www.youtube.com/@somebody", "This is a channel; a link to a single video is needed."),
        ("https://www.youtube.com/@somebody/live", "This is a channel; a link to a single video is needed."),
        ("https://www.youtube.com/channel/UC0123456789", "This is a channel; a link to a single video is needed."),
        ("https://www.youtube.com/c/somebody", "This is a channel; a link to a single video is needed."),
        ("https://www.youtube.com/user/somebody", "This is a channel; a link to a single video is needed."),
        ("https://www.youtube.com/", "The link leads to YouTube, but to no video."),
        ("youtube.com", "The link leads to YouTube, but to no video."),
        ("https://www.youtube.com/results?search_query=x", "The link leads to YouTube, but to no video."),
        ("https://www.youtube.com/redirect", "The link leads to YouTube, but to no video."),
        ("https://www.youtube.com/redirect?q=https://vimeo.com/1", '"vimeo.com" is not a host of YouTube.'),
        (
            f"https://www.youtube.com/redirect?q=https://youtu.be/{ID}&q=https://youtu.be/{WILD}",
            "The link leads to YouTube, but to no video.",
        ),
        (
            f"https://www.youtube.com/redirect?q=https%3A%2F%2Fyoutu.be%40evil.org%2F{ID}",
            "The link has a user name before its host.",
        ),
        (
            f"https://www.youtube.com/redirect?q=%2Fredirect%3Fq%3Dhttps%3A%2F%2Fyoutu.be%2F{ID}",
            "The link leads to YouTube, but to no video.",
        ),
        (
            f"https://www.youtube.com/attribution_link?u=%2Fwatch%3Fv%3D%0A{ID}",
            "The link leads to YouTube, but to no video.",
        ),
        (f"https://consent.youtube.com/watch?v={ID}", "The link leads to YouTube, but to no video."),
        (
            f"https://consent.youtube.com.evil.org/m?continue=https://youtu.be/{ID}",
            '"consent.youtube.com.evil.org" is not a host of YouTube.',
        ),
        (f"https://www.youtube.com/WATCH?v={ID}", "The link leads to YouTube, but to no video."),
        (f"https://www.youtube.com//watch?v={ID}", "The link leads to YouTube, but to no video."),
        ("https://www.youtube.com/watch", 'The link has no "v=", so it names no video.'),
        (f"https://www.youtube.com/watch#v={ID}", 'The link has no "v=", so it names no video.'),
        (f"https://www.youtube.com/watch?V={ID}", 'The link has no "v=", so it names no video.'),
        (
            f"https://www.youtube.com/watch?v={ID}&v={WILD}",
            'The link names more than one video: it has several "v=".',
        ),
        (
            "https://www.youtube.com/watch?v=",
            'A video\'s id has 11 characters, each a letter, a digit, "-" or "_"; this one has 0.',
        ),
        (
            "https://youtu.be/dQw4w9WgXc",
            'A video\'s id has 11 characters, each a letter, a digit, "-" or "_"; this one has 10.',
        ),
        (
            "https://www.youtube.com/watch?v=dQw4w9WgXc!",
            'A video\'s id has 11 characters, each a letter, a digit, "-" or "_"; this one has another character.',
        ),
        (
            "https://youtu.be/dQw4w9WgXc\u0661",  # a digit, but not of ours
            'A video\'s id has 11 characters, each a letter, a digit, "-" or "_"; this one has another character.',
        ),
        ("https://youtu.be/", "The link to youtu.be must have a video's id, and nothing else, as its path."),
        (f"https://youtu.be/{ID}/x", "The link to youtu.be must have a video's id, and nothing else, as its path."),
        (f"https://www.youtube.com/shorts/{ID}/x", "The link goes on after the video's id in /shorts/ID."),
    ],
)
def test_what_is_no_video_is_refused_with_the_reason(link: str, wrong: str) -> None:
    assert refusal(link) == wrong


def test_a_host_that_is_shown_is_printable_ascii() -> None:
    assert refusal(f'https://"><script>/watch?v={ID}') == '""><script>" is not a host of YouTube.'
    assert refusal(f"https://\x1b[31m.org/{ID}") == "The link has a character (U+001B) that cannot be seen in it."


def test_the_canonical_url_names_the_same_video() -> None:
    assert canonical_url(WILD) == "https://www.youtube.com/watch?v=" + WILD
    assert video_id(canonical_url(WILD)) == WILD


PIECES = st.one_of(
    st.sampled_from(
        ["https:", "http:", "//", "/", "\\", "?", "&", "#", "@", ":", "%", ".", " ", "\t", "\x00", "\ud800"]
    ),
    st.sampled_from(["www.", "youtube.com", "youtu.be", "\u3002", "watch", "v=", "list=", "embed", "shorts", ID, WILD]),
)


@given(st.one_of(st.text(), st.lists(PIECES, max_size=12).map("".join)))
@example("https://[")
@example("https://youtu.be/%00%00%00%00")
@example("https://www.youtube.com/watch?" + "v&" * 900)
def test_any_text_is_a_video_or_an_invalid_url_and_nothing_else(text: str) -> None:
    try:
        found = video_id(text)
    except InvalidUrl as error:
        assert error.message.isprintable()
        error.message.encode()
    else:
        assert re.fullmatch(r"[A-Za-z0-9_-]{11}", found)
        assert found in text or "%" in text


@given(
    st.from_regex(r"[A-Za-z0-9_-]{11}", fullmatch=True).filter(lambda one: one not in ("videoseries", "live_stream"))
)
def test_every_id_survives_every_form(wanted: str) -> None:
    for link in (canonical_url(wanted), f"youtu.be/{wanted}", f"m.youtube.com/shorts/{wanted}?a=b"):
        assert video_id(link) == wanted
