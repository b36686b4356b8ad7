"""Which links name a YouTube video, or a list of videos. Only canonical forms of what is accepted here reach yt-dlp."""

from __future__ import annotations

import re
import urllib.parse
from dataclasses import dataclass

from .errors import InvalidUrl

#: No link that YouTube hands out comes near; the rest is refused before it is looked at.
MAX_LENGTH = 2000
HOSTS = (
    "youtube.com",
    "www.youtube.com",
    "m.youtube.com",
    "music.youtube.com",
    "youtube-nocookie.com",
    "www.youtube-nocookie.com",
    "youtu.be",
)
#: A page of YouTube that asks for consent and then goes on to the link it carries.
CONSENT_HOST = "consent.youtube.com"
ACCEPTED = (
    "Accepted is a link to one YouTube video: https://www.youtube.com/watch?v=ID, https://youtu.be/ID, "
    "or youtube.com with /shorts/ID, /live/ID, /embed/ID or /v/ID; a video's id alone will do."
)
LISTS_ACCEPTED = (
    "Accepted is a link to a playlist, an album, a channel or a mix, or to a video that names its list: "
    "youtube.com/playlist?list=ID, /watch?v=ID&list=ID, /channel/ID, /@NAME or music.youtube.com/browse/ID; "
    "a playlist's id alone will do."
)
_ID = re.compile(r"[A-Za-z0-9_-]{11}")
#: The id of a list. Shorter ones (WL, LL, LM, HL) stand for lists of whoever is signed in.
_LIST_ID = re.compile(r"[A-Za-z0-9_-]{12,100}")
_LIST_ALONE = re.compile(r"(?:PL|UU|FL|RD|OLAK5uy_)[A-Za-z0-9_-]{10,90}")
_CHANNEL_ID = re.compile(r"UC[A-Za-z0-9_-]{22}")
_ALBUM_ID = re.compile(r"MPREb_[A-Za-z0-9_-]{6,40}")
#: A channel's name in a link may be in any script. It names no other page.
_CHANNEL_NAME = re.compile(r"[^\W_][\w.·-]{0,99}")
#: Mixes that begin with the video whose id ends theirs. YouTube shows a mix only beside a video.
_MIX = re.compile(r"RD(?!CLAK)(?:[A-Z]{2,6})?([A-Za-z0-9_-]{11})")
#: Pages that carry a link, and the field of the query that it is in.
_CARRIERS = {"attribution_link": "u", "redirect": "q"}
_PARTS = re.compile(r"(?:([^/?#]+):(?=//))?(?://)?([^/?#]*)([^?#]*)(?:\?([^#]*))?")
_CHANNELS = ("channel", "c", "user")
_IN_PATH = ("shorts", "live", "embed", "v", "e", "watch")
#: Players of something else whose names happen to have the length of an id.
_NO_IDS = {"videoseries": "a playlist", "live_stream": "a channel"}


@dataclass(frozen=True)
class ListLink:
    """A list of videos. `name` is its id, or a channel's name in a link, such as `@somebody`."""

    name: str
    url: str


class _Wrong(Exception):
    """What is wrong with a link, in a sentence."""


@dataclass(frozen=True)
class _Page:
    """An address on YouTube."""

    host: str
    path: str
    query: str

    @property
    def first(self) -> str:
        """The first step of the path."""
        return self.path.removeprefix("/").partition("/")[0]

    @property
    def rest(self) -> str:
        """The path behind its first step."""
        return self.path.removeprefix("/").partition("/")[2]

    @property
    def fields(self) -> list[tuple[str, str]]:
        return urllib.parse.parse_qsl(self.query, keep_blank_values=True)

    def values(self, name: str) -> set[str]:
        return {value for key, value in self.fields if key == name}


def canonical_url(video_id: str) -> str:
    return f"https://www.youtube.com/watch?v={video_id}"


def video_id(text: str) -> str:
    """The 11 characters that name the one video behind a link.

    Raises InvalidUrl, whose message says what is wrong with it and what is accepted.
    """
    try:
        text = _plain(text)
        return _checked(text) if _ID.fullmatch(text) else _id_on(_page(text, may_carry=True))
    except _Wrong as wrong:
        raise InvalidUrl(f"{wrong} {ACCEPTED}") from None


def playlist(text: str) -> ListLink:
    """The list of videos behind a link. Of a channel it is the uploads.

    Raises InvalidUrl, whose message says what is wrong with it and what is accepted.
    """
    try:
        text = _plain(text)
        if _ID.fullmatch(text):
            raise _Wrong("This is a video's id, which names no list of videos.")
        return _list(text, None) if _LIST_ALONE.fullmatch(text) else _list_on(_page(text, may_carry=True))
    except _Wrong as wrong:
        raise InvalidUrl(f"{wrong} {LISTS_ACCEPTED}") from None


def uploads(channel_id: str) -> ListLink:
    """All that a channel has uploaded."""
    return _list(f"UU{channel_id.removeprefix('UC')}", None)


def _plain(text: str) -> str:
    """`text` without blanks around it. Raises _Wrong for what no link may have in it."""
    if len(text) > MAX_LENGTH:
        raise _Wrong(f"The link is longer than {MAX_LENGTH} characters.")
    text = text.strip()
    if not text:
        raise _Wrong("The link is empty.")
    for character in text:
        if character in " \\" or not character.isprintable():
            raise _Wrong(f"The link has a {_name(character)} in it.")
    return text


def _page(text: str, *, may_carry: bool) -> _Page:
    """The page that a link leads to. `may_carry` is whether it may go through a page that leads on to another link."""
    parts = _PARTS.match(text)
    if parts is None:
        raise AssertionError("the pattern matches any text")
    scheme, host, path, query = parts.groups(default="")
    if scheme.lower() not in ("", "http", "https"):
        raise _Wrong("The link must begin with https:// or http://, or directly with the host.")
    _check_host(host)
    page = _Page(host.lower(), path, query)
    carrier = "continue" if page.host == CONSENT_HOST else _CARRIERS.get(page.first)
    if carrier and page.host != "youtu.be":
        return _page(_carried(carrier, query if may_carry else ""), may_carry=False)
    return page


def _carried(name: str, query: str) -> str:
    """The link that is in the field `name` of the query; it may be a mere path on YouTube."""
    carried = [value for key, value in urllib.parse.parse_qsl(query) if key == name]
    if len(set(carried)) != 1 or any(c in " \\" or not c.isprintable() for c in carried[0]):
        raise _Wrong("The link leads to YouTube, but to no video.")
    link = carried[0]
    return f"www.youtube.com{link}" if link.startswith("/") else link


def _check_host(host: str) -> None:
    if not host:
        raise _Wrong("The link has no host.")
    if "@" in host:
        raise _Wrong("The link has a user name before its host.")
    if not host.isascii():
        raise _Wrong("The link's host is not YouTube's: it only looks alike, with letters of another script.")
    name, colon, _ = host.partition(":")
    known = (*HOSTS, CONSENT_HOST)
    if colon and name.lower() in known:
        raise _Wrong("The link has a port.")
    if host.lower() not in known:
        shown = host if len(host) <= 60 else host[:57] + "..."
        raise _Wrong(f'"{shown}" is not a host of YouTube.')


def _id_on(page: _Page) -> str:
    return _id_on_youtu_be(page) if page.host == "youtu.be" else _id_on_youtube(page)


def _id_on_youtu_be(page: _Page) -> str:
    if not page.first or page.rest:
        raise _Wrong("The link to youtu.be must have a video's id, and nothing else, as its path.")
    return _checked(page.first)


def _id_on_youtube(page: _Page) -> str:
    first = page.first
    if first in ("watch", "") and not page.rest:
        found = page.values("v")
        if len(found) > 1:
            raise _Wrong('The link names more than one video: it has several "v=".')
        if found:
            return _checked(found.pop())
        if page.values("list"):
            raise _not_a_video("a playlist")
        if first:
            raise _Wrong('The link has no "v=", so it names no video.')
    if first in _IN_PATH:
        name, _, more = page.rest.partition("/")
        if more:
            raise _Wrong(f"The link goes on after the video's id in /{first}/ID.")
        return _checked(name)
    if first == "playlist":
        raise _not_a_video("a playlist")
    if first.startswith("@") or first in _CHANNELS:
        raise _not_a_video("a channel")
    raise _Wrong("The link leads to YouTube, but to no video.")


def _list_on(page: _Page) -> ListLink:
    named = page.values("list")
    if len(named) > 1:
        raise _Wrong('The link names more than one list: it has several "list=".')
    if named:
        return _list(named.pop(), _id_or_none(page))
    name = urllib.parse.unquote(page.rest.partition("/")[0])
    if page.first == "browse" and (_ALBUM_ID.fullmatch(name) or name.startswith("VL")):
        return _list(name.removeprefix("VL"), None)
    if page.first in ("channel", "browse") and _CHANNEL_ID.fullmatch(name):
        return uploads(name)
    if page.first in ("c", "user"):
        return _channel(f"{page.first}/", name)
    if page.first.startswith("@"):
        return _channel("@", urllib.parse.unquote(page.first)[1:])
    if page.host != "youtu.be" and (page.first in ("playlist", "channel", "browse") or page.values("v")):
        raise _Wrong("The link names no list of videos.")
    raise _Wrong("The link leads to YouTube, but to no list of videos.")


def _list(list_id: str, video: str | None) -> ListLink:
    """`video` is the one beside which the link shows the list."""
    if not _LIST_ID.fullmatch(list_id):
        own = re.fullmatch(r"WL|LL|LM|HL|RDMM", list_id)
        raise _Wrong("This list belongs to whoever is signed in." if own else "The link's list= is no list's id.")
    if _ALBUM_ID.fullmatch(list_id):
        return ListLink(list_id, f"https://music.youtube.com/browse/{list_id}")
    if mix := _MIX.fullmatch(list_id):
        video = video or mix[1]
    if video and list_id.startswith("RD") and not list_id.startswith("RDCLAK"):
        return ListLink(list_id, f"{canonical_url(video)}&list={list_id}")
    return ListLink(list_id, f"https://www.youtube.com/playlist?list={list_id}")


def _channel(before: str, name: str) -> ListLink:
    if not _CHANNEL_NAME.fullmatch(name):
        raise _Wrong("The link has no channel's name in it.")
    return ListLink(before + name, f"https://www.youtube.com/{before}{urllib.parse.quote(name)}")


def _id_or_none(page: _Page) -> str | None:
    try:
        return _id_on(page)
    except _Wrong:
        return None


def _checked(name: str) -> str:
    if what := _NO_IDS.get(name):
        raise _not_a_video(what)
    if not _ID.fullmatch(name):
        wrong = f"this one has {len(name)}" if len(name) != 11 else "this one has another character"
        raise _Wrong(f'A video\'s id has 11 characters, each a letter, a digit, "-" or "_"; {wrong}.')
    return name


def _not_a_video(what: str) -> _Wrong:
    return _Wrong(f"This is {what}; a link to a single video is needed. POST /playlist lists the videos in a list.")


def _name(character: str) -> str:
    """What to call a character that may not be shown as it is."""
    known = {" ": "space", "\\": "backslash", "\t": "tab", "\n": "line break", "\r": "line break"}
    return known.get(character) or f"character (U+{ord(character):04X}) that cannot be seen"
