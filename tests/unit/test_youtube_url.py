"""Links: one video however it is written, and nothing that only looks like one."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from server.errors import InvalidUrl
from server.youtube_url import ACCEPTED, HOSTS, LISTS_ACCEPTED, canonical_url, playlist, video_id

ID = "dQw4w9WgXcQ"
WILD = "-_Ab9-_zZ0-"
PLAYLIST, CHANNEL = (
    f"This is a {what}; a link to a single video is needed. POST /playlist lists the videos in a list."
    for what in ("playlist", "channel")
)
UPLOADS = "UU0123456789012345678901"


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
        ("videoseries", PLAYLIST),
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
            PLAYLIST,
        ),
        ("https://www.youtube.com/watch?list=PL0123456789", PLAYLIST),
        (
            "https://www.youtube.com/embed/videoseries?list=PL0123456789",  # as long as an id
            PLAYLIST,
        ),
        (
            "https://www.youtube.com/embed/live_stream?channel=UC0123456789",  # likewise
            CHANNEL,
        ),
        ("https://www.youtube.com/@somebody", CHANNEL),
        ("https://www.youtube.com/@somebody/live", CHANNEL),
        ("https://www.youtube.com/channel/UC0123456789", CHANNEL),
        ("https://www.youtube.com/c/somebody", CHANNEL),
        ("https://www.youtube.com/user/somebody", CHANNEL),
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


def page_of(list_id: str) -> str:
    return f"https://www.youtube.com/playlist?list={list_id}"


@pytest.mark.parametrize(
    ("link", "name", "url"),
    [
        ("https://www.youtube.com/playlist?list=PL0123456789", "PL0123456789", page_of("PL0123456789")),
        ("m.youtube.com/playlist?si=x&list=PL0123456789#top", "PL0123456789", page_of("PL0123456789")),
        (" PL0123456789abcdef\n", "PL0123456789abcdef", page_of("PL0123456789abcdef")),
        (f"https://www.youtube.com/watch?v={ID}&list=PL0123456789&index=2", "PL0123456789", page_of("PL0123456789")),
        (f"https://youtu.be/{ID}?list=PL0123456789", "PL0123456789", page_of("PL0123456789")),
        ("https://www.youtube.com/watch?list=PL0123456789", "PL0123456789", page_of("PL0123456789")),
        ("https://www.youtube.com/embed/videoseries?list=PL0123456789", "PL0123456789", page_of("PL0123456789")),
        ("https://music.youtube.com/playlist?list=OLAK5uy_album", "OLAK5uy_album", page_of("OLAK5uy_album")),
        ("https://music.youtube.com/browse/VLPL0123456789", "PL0123456789", page_of("PL0123456789")),
        (
            "https://music.youtube.com/browse/MPREb_0123456789a",
            "MPREb_0123456789a",
            "https://music.youtube.com/browse/MPREb_0123456789a",
        ),
        ("https://www.youtube.com/channel/UC0123456789012345678901/videos", UPLOADS, page_of(UPLOADS)),
        ("https://music.youtube.com/channel/UC0123456789012345678901", UPLOADS, page_of(UPLOADS)),
        ("https://www.youtube.com/@somebody/playlists", "@somebody", "https://www.youtube.com/@somebody"),
        ("youtube.com/@%E9%9D%99%E3%81%8B", "@静か", "https://www.youtube.com/@%E9%9D%99%E3%81%8B"),
        ("https://www.youtube.com/c/somebody", "c/somebody", "https://www.youtube.com/c/somebody"),
        ("https://www.youtube.com/user/somebody", "user/somebody", "https://www.youtube.com/user/somebody"),
        (f"https://www.youtube.com/watch?v={WILD}&list=RD{ID}", f"RD{ID}", f"{canonical_url(WILD)}&list=RD{ID}"),
        (f"https://www.youtube.com/playlist?list=RD{ID}", f"RD{ID}", f"{canonical_url(ID)}&list=RD{ID}"),
        (f"https://music.youtube.com/watch?list=RDAMVM{ID}", f"RDAMVM{ID}", f"{canonical_url(ID)}&list=RDAMVM{ID}"),
        (f"https://youtu.be/{ID}?list=RDCLAK5uy_01", "RDCLAK5uy_01", page_of("RDCLAK5uy_01")),
        (
            "https://consent.youtube.com/m?continue=https%3A%2F%2Fwww.youtube.com%2Fplaylist%3Flist%3DPL0123456789",
            "PL0123456789",
            page_of("PL0123456789"),
        ),
        ("https://www.youtube.com/attribution_link?u=%2F%40somebody", "@somebody", "https://www.youtube.com/@somebody"),
    ],
)
def test_every_form_of_a_list_names_it(link: str, name: str, url: str) -> None:
    found = playlist(link)
    assert (found.name, found.url) == (name, url)


NO_LIST, NO_NAME = "The link leads to YouTube, but to no list of videos.", "The link has no channel's name in it."
OWN, NO_ID = "This list belongs to whoever is signed in.", "The link's list= is no list's id."


@pytest.mark.parametrize(
    ("link", "wrong"),
    [
        ("", "The link is empty."),
        (ID, "This is a video's id, which names no list of videos."),
        (f"https://youtu.be/{ID}", NO_LIST),
        (canonical_url(ID), "The link names no list of videos."),
        ("https://www.youtube.com/playlist", "The link names no list of videos."),
        ("https://www.youtube.com/channel/UC01", "The link names no list of videos."),
        ("https://www.youtube.com/feed/subscriptions", NO_LIST),
        ("https://www.youtube.com/", NO_LIST),
        ("https://www.youtube.com/playlist?list=WL", OWN),
        (f"https://www.youtube.com/watch?v={ID}&list=LL", OWN),
        ("https://music.youtube.com/playlist?list=LM", OWN),
        ("https://www.youtube.com/playlist?list=PL01", NO_ID),
        ("https://www.youtube.com/playlist?list=", NO_ID),
        ("https://www.youtube.com/playlist?list=PL0123456789%2F..%2F", NO_ID),
        (
            "https://www.youtube.com/playlist?list=PL0123456789&list=PL9876543210",
            'The link names more than one list: it has several "list=".',
        ),
        ("https://www.youtube.com/@", NO_NAME),
        ("https://www.youtube.com/@%2e%2e%2f", NO_NAME),
        ("https://www.youtube.com/c/", NO_NAME),
        ("https://example.org/playlist?list=PL0123456789", '"example.org" is not a host of YouTube.'),
        ("https://www.youtube.com@example.org/@somebody", "The link has a user name before its host."),
    ],
)
def test_what_is_no_list_is_refused_with_the_reason(link: str, wrong: str) -> None:
    with pytest.raises(InvalidUrl) as caught:
        playlist(link)
    assert caught.value.message == f"{wrong} {LISTS_ACCEPTED}"


@given(st.text() | st.from_regex(r"(youtu\.be|music\.youtube\.com)/.{0,20}\?list=.{0,20}"))
def test_only_a_canonical_address_of_youtube_leaves_whatever_comes_in(text: str) -> None:
    try:
        url = playlist(text).url
    except InvalidUrl as error:
        assert error.message.isprintable()
        return
    assert re.fullmatch(
        r"https://www\.youtube\.com/(playlist\?list=[\w-]+|watch\?v=[\w-]{11}&list=[\w-]+|(@|c/|user/)[\w.%~-]+)"
        r"|https://music\.youtube\.com/browse/MPREb_[\w-]+",
        url,
        re.ASCII,
    )
