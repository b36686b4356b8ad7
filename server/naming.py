"""What a download is called, and a file of the library: a template over the tags, safe on every system. Pure functions.

A template has alternatives, separated by "|". The first whose fields are all known is taken, else the last, in which
what is not known is left out together with the separator beside it.
"""

from __future__ import annotations

import functools
import re
import string
import unicodedata
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from .jobs import Media

#: The song, where YouTube knows that the video is one, else the video.
DEFAULT = "{artist} – {track} | {title}"
#: Where a file lies in the library.
DEFAULT_PATH = "{artist}/{album}/{title}.mp3"
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
#: Bytes of each folder's and file's name in the library: some file systems take 143, and tools add to a name of theirs.
LONGEST_IN_LIBRARY = 120
_MP3 = ".mp3"
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


@functools.lru_cache(maxsize=16)
def parse(template: str) -> tuple[_Alternative, ...]:
    """The alternatives of `template`. Raises ValueError, which says what was expected."""
    return tuple(_alternative(part.strip()) for part in template.split("|"))


def _alternative(text: str, *, may_be_fixed: bool = False) -> _Alternative:
    """`may_be_fixed` takes a text without a field, too."""
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
    if not fields and not may_be_fixed:
        raise ValueError('a template with a field in each alternative, like "{artist} – {track} | {title}"')
    return _Alternative(tuple(literals), tuple(fields))


def stem(template: str, media: Media, video_id: str) -> str:
    """The name without an extension that `template` gives to a video. `template` must be valid.

    A clip's ends with its part, with dots for colons, which some systems do not take.
    """
    values = _values(media, video_id)
    alternatives = parse(template)
    chosen = next((one for one in alternatives if all(values[field] for field in one.fields)), alternatives[-1])
    return _with(_part(media), safe(_named(chosen, values, media)) or video_id)


def _values(media: Media, video_id: str) -> dict[str, str]:
    return {field: value(media, video_id) for field, value in FIELDS.items()}


def _named(alternative: _Alternative, values: dict[str, str], media: Media) -> str:
    """The alternative with what is known. An artist whom the title beside it names is not repeated."""
    titles = [values[field] for field in ("title", "track") if field in alternative.fields]
    if any(_names(title, media.artist) for title in titles):
        values = {**values, "artist": ""}
    return _filled(alternative, values)


def _part(media: Media) -> str:
    return f" ({media.part.replace(':', '.')})" if media.part else ""


def _with(suffix: str, name: str, longest: int = LONGEST_NAME) -> str:
    """The name with a suffix, for which it is shortened if need be."""
    return safe(name, longest - len(suffix.encode())) + suffix if suffix else name


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


def parse_path(template: str) -> tuple[tuple[_Alternative, ...], ...]:
    """The alternatives of a template for the library, by folders. Raises ValueError, which says what was expected."""
    return tuple(_path_alternative(one.strip()) for one in template.split("|"))


def _path_alternative(text: str) -> tuple[_Alternative, ...]:
    if not text.endswith(_MP3):
        raise ValueError(f'a template that ends with "{_MP3}" in each alternative, like "{DEFAULT_PATH}"')
    *folders, name = (part.strip() for part in text.removesuffix(_MP3).split("/"))
    parts = (*(_alternative(folder, may_be_fixed=True) for folder in folders), _alternative(name))
    for part in parts:
        # Whatever the fields are, nothing but the folders between them may be named.
        if not part.fields and safe(part.literals[0]) != part.literals[0]:
            raise ValueError(f'folders with names that every system takes, like "{DEFAULT_PATH}"')
        if not part.fields and not part.literals[0]:
            raise ValueError(f'a path without a "/" at its start and without empty folders, like "{DEFAULT_PATH}"')
    return parts


def places(
    template: str, media: Media, video_id: str, *, loudness: float | None = None, most: int = 100
) -> Iterator[PurePosixPath]:
    """The places in the library for an MP3, best first. All but the first have the video's id in the file's name.

    A folder of which nothing is known is left out. A clip's name ends with its part, and that of an MP3 which was
    brought to a `loudness` with its LUFS. `template` must be valid.
    """
    values = _values(media, video_id)
    alternatives = parse_path(template)
    known = (one for one in alternatives if all(values[field] for part in one for field in part.fields))
    *parts, last = next(known, alternatives[-1])
    folders = [name for part in parts if (name := safe(_named(part, values, media), LONGEST_IN_LIBRARY))]
    name = safe(_named(last, values, media), LONGEST_IN_LIBRARY) or video_id
    suffix = _part(media) + (f" ({loudness:g} LUFS)" if loudness is not None else "")
    for number in range(most):
        mark = "" if number == 0 else f" [{video_id}]" if number == 1 else f" [{video_id}] ({number})"
        yield PurePosixPath(*folders, _with(mark + suffix, name, LONGEST_IN_LIBRARY) + _MP3)


def folded(name: str) -> str:
    """The same for two names that are one to some file system."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _shortened(text: str) -> str:
    """As many whole names as there is room for."""
    return text if len(text) <= LONGEST_FIELD else text[: LONGEST_FIELD + 2].rpartition(", ")[0] or text[:LONGEST_FIELD]
