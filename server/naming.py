"""What a download is called: a template over the tags, right in every script and safe on every system. Pure functions.

A template has alternatives, separated by "|". The first whose fields are all known is taken, else the last, in which
what is not known is left out together with the separator beside it.
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Callable, Container
from dataclasses import dataclass

from .jobs import Media

#: The song, where YouTube knows that the video is one, else the video.
DEFAULT = "{artist} – {track} | {title}"
#: What may stand in braces.
FIELDS: dict[str, Callable[[Media, str], str]] = {
    "artist": lambda media, _: _shortened(media.artist),
    "track": lambda media, _: media.track,
    "title": lambda media, _: media.title,
    "album": lambda media, _: _shortened(media.album),
    "album_artist": lambda media, _: _shortened(media.album_artist),
    "track_number": lambda media, _: f"{media.track_number:02}" if media.track_number else "",
    "disc_number": lambda media, _: str(media.disc_number or ""),
    "genre": lambda media, _: _shortened(media.genre),
    "date": lambda media, _: media.date,
    "year": lambda media, _: media.date[:4],
    "video_id": lambda _, video_id: video_id,
}

#: Most file systems take 255 bytes; the rest is for an extension and a browser's " (1)".
LONGEST_NAME = 200
#: Characters of a field that shall leave room for the title.
LONGEST_FIELD = 60
#: Names that Windows keeps for devices, with or without an extension.
_DEVICES = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])(\..*)?", re.IGNORECASE)
#: Joiners that Persian, Indic scripts and emoji need; other invisible characters go.
_JOINERS = "\u200c\u200d"
_SEPARATORS = re.compile(r"[^\w()\[\]]*")
_OPENING = {"(": ")", "[": "]"}
_CLOSING = frozenset(_OPENING.values())


@dataclass(frozen=True)
class _Alternative:
    """`literals` stand around `fields`: there is one more of them."""

    literals: tuple[str, ...]
    fields: tuple[str, ...]


def parse(template: str) -> tuple[_Alternative, ...]:
    """The alternatives of `template`. Raises ValueError, which says what was expected."""
    return tuple(_alternative(part.strip()) for part in template.split("|"))


def _alternative(text: str) -> _Alternative:
    literals, fields = [""], []
    try:
        parts = list(string.Formatter().parse(text))
    except ValueError:
        raise ValueError("a template whose braces are in pairs, like {title}") from None
    for literal, field, form, conversion in parts:
        literals[-1] += literal
        if field is not None:
            if field not in FIELDS or form or conversion:
                raise ValueError(f"a template of {', '.join(f'{{{one}}}' for one in FIELDS)}")
            fields.append(field)
            literals.append("")
    if not fields:
        raise ValueError('a template with a field in each alternative, like "{artist} – {track} | {title}"')
    return _Alternative(tuple(literals), tuple(fields))


def stem(template: str, media: Media, video_id: str) -> str:
    """The name without an extension that `template` gives to a video. `template` must be valid.

    A clip's ends with its part, with dots for colons, which some systems do not take.
    """
    alternatives = parse(template)
    values = {field: FIELDS[field](media, video_id) for one in alternatives for field in one.fields}
    chosen = next((one for one in alternatives if all(values[field] for field in one.fields)), alternatives[-1])
    titles = [values[field] for field in ("title", "track") if field in chosen.fields]
    if any(_names(title, media.artist) for title in titles):
        values["artist"] = ""
    name = safe(_filled(chosen, values)) or video_id
    return _with(f" ({media.part.replace(':', '.')})", name) if media.part else name


def _with(suffix: str, name: str) -> str:
    """The name with a suffix, for which it is shortened if need be."""
    return safe(name, LONGEST_NAME - len(suffix.encode())) + suffix


def _names(title: str, artist: str) -> bool:
    """Whether `title` names everybody who is in `artist`, as whole words."""
    inside = folded(title)
    names = [folded(one) for one in artist.split(", ")]
    return bool(artist) and all(re.search(rf"(?<!\w){re.escape(one)}(?!\w)", inside) for one in names)


def _filled(alternative: _Alternative, values: dict[str, str]) -> str:
    filled, before, literals = "", False, list(alternative.literals)
    for number, field in enumerate(alternative.fields):
        if value := values[field]:
            filled, before = filled + literals[number] + value, True
        else:
            after = any(values[later] for later in alternative.fields[number + 1 :])
            literals[number + 1] = _joined(literals[number], literals[number + 1], before=before, after=after)
    return filled + literals[-1]


def _joined(left: str, right: str, *, before: bool, after: bool) -> str:
    """What stands in the place of a field that is not known, and of the literals on both sides.

    `before` and `after` say whether there is a known field on that side. A bracket that closes around an earlier field,
    or opens around a later one, stays.
    """
    closing = left[: len(left) - len(left.lstrip()) + 1] if left.lstrip()[:1] in _CLOSING else ""
    opening = right.rstrip()[-1] if right.rstrip()[-1:] in _OPENING else ""
    left, right = left[len(closing) :], right.rstrip().removesuffix(opening) if opening else right
    opened, closed = left.rstrip()[-1:], right.lstrip()[:1]
    if opened in _OPENING and _OPENING.get(opened) == closed:
        between = _joined(left.rstrip()[:-1], right.lstrip()[1:], before=before, after=after)
    elif opened in _OPENING:
        between = left + _SEPARATORS.sub("", right, count=1)
    elif closed in _CLOSING:
        between = _SEPARATORS.sub("", left[::-1], count=1)[::-1] + right
    elif before and after:
        between = right if right.strip() else left
    else:
        between = right if before else left
    return closing + between + opening


def safe(text: str, longest: int = LONGEST_NAME) -> str:
    """`text` as a file name of at most `longest` bytes; empty when nothing of it is left."""
    name = "".join(_safe_character(c) for c in unicodedata.normalize("NFC", text))
    name = " ".join(name.split()).strip(". ")
    if _DEVICES.fullmatch(name):
        name = "_" + name
    return name.encode()[:longest].decode(errors="ignore").strip(". " + _JOINERS)


def _safe_character(character: str) -> str:
    if character in '<>:"/\\|?*':
        return "_"
    if character in _JOINERS or not unicodedata.category(character).startswith(("C", "Zl", "Zp")):
        return character
    return " " if character in "\t\r\n" else ""


def unique(stem: str, video_id: str, taken: Container[str]) -> str:
    """`stem`, or one with the video's id in it when another video has that name: `taken` holds `folded` names."""
    name, number = stem, 1
    while folded(name) in taken:
        mark = f" [{video_id}]" if number == 1 else f" [{video_id}] ({number})"
        name, number = _with(mark, stem), number + 1
    return name


def folded(name: str) -> str:
    """The same for two names that are one to some file system."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _shortened(text: str) -> str:
    """As many whole names as there is room for."""
    return text if len(text) <= LONGEST_FIELD else text[: LONGEST_FIELD + 2].rpartition(", ")[0] or text[:LONGEST_FIELD]
