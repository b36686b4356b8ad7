"""Which links name a YouTube video. Only the canonical form of what is accepted here ever leaves this program."""

from __future__ import annotations

import re
import urllib.parse

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
_ID = re.compile(r"[A-Za-z0-9_-]{11}")
#: Pages that carry a link, and the field of the query that it is in.
_CARRIERS = {"attribution_link": "u", "redirect": "q"}
_PARTS = re.compile(r"(?:([^/?#]+):(?=//))?(?://)?([^/?#]*)([^?#]*)(?:\?([^#]*))?")
_IN_PATH = ("shorts", "live", "embed", "v", "e", "watch")
#: Players of something else whose names happen to have the length of an id.
_NO_IDS = {"videoseries": "a playlist", "live_stream": "a channel"}


def canonical_url(video_id: str) -> str:
    return f"https://www.youtube.com/watch?v={video_id}"


def video_id(text: str) -> str:
    """The 11 characters that name the one video behind a link.

    Raises InvalidUrl, whose message says what is wrong with it and what is accepted.
    """
    if len(text) > MAX_LENGTH:
        raise _refusal(f"The link is longer than {MAX_LENGTH} characters.")
    text = text.strip()
    if not text:
        raise _refusal("The link is empty.")
    for character in text:
        if character in " \\" or not character.isprintable():
            raise _refusal(f"The link has a {_name(character)} in it.")
    if _ID.fullmatch(text):
        return _checked(text)
    return _id_in_link(text, may_carry=True)


def _id_in_link(text: str, *, may_carry: bool) -> str:
    """`may_carry` is whether the link may be a page that leads on to another link."""
    parts = _PARTS.match(text)
    if parts is None:
        raise AssertionError("the pattern matches any text")
    scheme, host, path, query = parts.groups(default="")
    if scheme.lower() not in ("", "http", "https"):
        raise _refusal("The link must begin with https:// or http://, or directly with the host.")
    _check_host(host)
    if host.lower() == "youtu.be":
        return _id_on_youtu_be(path)
    first = path.removeprefix("/").partition("/")[0]
    carrier = "continue" if host.lower() == CONSENT_HOST else _CARRIERS.get(first)
    if carrier:
        return _id_carried(carrier, query if may_carry else "")
    return _id_on_youtube(path, query)


def _id_carried(name: str, query: str) -> str:
    """The video of the link that is in the field `name` of the query; it may be a mere path on YouTube."""
    carried = [value for key, value in urllib.parse.parse_qsl(query) if key == name]
    if len(set(carried)) != 1 or any(c in " \\" or not c.isprintable() for c in carried[0]):
        raise _refusal("The link leads to YouTube, but to no video.")
    link = carried[0]
    return _id_in_link(f"www.youtube.com{link}" if link.startswith("/") else link, may_carry=False)


def _check_host(host: str) -> None:
    if not host:
        raise _refusal("The link has no host.")
    if "@" in host:
        raise _refusal("The link has a user name before its host.")
    if not host.isascii():
        raise _refusal("The link's host is not YouTube's: it only looks alike, with letters of another script.")
    name, colon, _ = host.partition(":")
    known = (*HOSTS, CONSENT_HOST)
    if colon and name.lower() in known:
        raise _refusal("The link has a port.")
    if host.lower() not in known:
        shown = host if len(host) <= 60 else host[:57] + "..."
        raise _refusal(f'"{shown}" is not a host of YouTube.')


def _id_on_youtu_be(path: str) -> str:
    name, _, rest = path.removeprefix("/").partition("/")
    if not name or rest:
        raise _refusal("The link to youtu.be must have a video's id, and nothing else, as its path.")
    return _checked(name)


def _id_on_youtube(path: str, query: str) -> str:
    first, _, rest = path.removeprefix("/").partition("/")
    if first in ("watch", "") and not rest:
        fields = urllib.parse.parse_qsl(query, keep_blank_values=True)
        found = {value for name, value in fields if name == "v"}
        if len(found) > 1:
            raise _refusal('The link names more than one video: it has several "v=".')
        if found:
            return _checked(found.pop())
        if any(name == "list" for name, _ in fields):
            raise _not_a_video("a playlist")
        if first:
            raise _refusal('The link has no "v=", so it names no video.')
    if first in _IN_PATH:
        name, _, more = rest.partition("/")
        if more:
            raise _refusal(f"The link goes on after the video's id in /{first}/ID.")
        return _checked(name)
    if first == "playlist":
        raise _not_a_video("a playlist")
    if first.startswith("@") or first in ("channel", "c", "user"):
        raise _not_a_video("a channel")
    raise _refusal("The link leads to YouTube, but to no video.")


def _checked(name: str) -> str:
    if what := _NO_IDS.get(name):
        raise _not_a_video(what)
    if not _ID.fullmatch(name):
        wrong = f"this one has {len(name)}" if len(name) != 11 else "this one has another character"
        raise _refusal(f'A video\'s id has 11 characters, each a letter, a digit, "-" or "_"; {wrong}.')
    return name


def _not_a_video(what: str) -> InvalidUrl:
    return _refusal(f"This is {what}; a link to a single video is needed.")


def _refusal(wrong: str) -> InvalidUrl:
    return InvalidUrl(f"{wrong} {ACCEPTED}")


def _name(character: str) -> str:
    """What to call a character that may not be shown as it is."""
    known = {" ": "space", "\\": "backslash", "\t": "tab", "\n": "line break", "\r": "line break"}
    return known.get(character) or f"character (U+{ord(character):04X}) that cannot be seen"
