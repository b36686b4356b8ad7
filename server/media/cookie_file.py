"""Reads a cookies.txt in Netscape's format, as browser extensions export it, or says why it cannot be used.

No message here quotes the file: each of its lines may give access to an account.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

#: No larger file is read, in bytes: a browser holds some thousand cookies of at most 4 KiB, and YouTube's are thirty.
MAX_BYTES = 1 << 20

#: The first line. Without it yt-dlp refuses the file.
_MAGIC = re.compile(r"#( Netscape)? HTTP Cookie File")
#: The prefix of a cookie that scripts on a page cannot read. Other lines with `#` are comments.
_HTTP_ONLY = "#HttpOnly_"
#: First bytes of other kinds of files.
_OTHER_KINDS = (
    (re.compile(rb"\xff\xfe|\xfe\xff"), "UTF-16, not UTF-8"),
    (re.compile(rb"(\xef\xbb\xbf)?\s*<"), "an HTML page"),
    (re.compile(rb'(\xef\xbb\xbf)?\s*[\[{]\s*[\[{"\]}]'), "JSON, not Netscape's format"),
)

_TRUTH = {True: "TRUE", False: "FALSE"}

#: Only cookies of these domains are used: YouTube's and its sign-in's. Others never leave the file.
_DOMAINS = (".youtube.com", ".google.com", ".googlevideo.com")

#: Domain, path and name.
Key = tuple[str, str, str]


class Spoiled(Exception):
    """The file cannot be used. The text says why in a few words, without a path."""


class Cookie(NamedTuple):
    """The seven columns of a line. `expires` is in seconds since 1970; "0" or nothing means the end of the session."""

    domain: str
    with_subdomains: str
    path: str
    secure: str
    expires: str
    name: str
    value: str

    @property
    def key(self) -> Key:
        return self.domain, self.path, self.name

    @property
    def is_used(self) -> bool:
        """Whether the cookie is for YouTube and fits in a line of a file."""
        return f".{self.domain}".endswith(_DOMAINS) and "".join(self).isprintable()

    @property
    def is_youtubes(self) -> bool:
        return f".{self.domain}".endswith(".youtube.com")

    def has_expired(self, now: float) -> bool:
        return bool(self.expires) and 0 < float(self.expires) <= now


@dataclass(frozen=True)
class CookieFile:
    """A cookies file that was read. `fingerprint` identifies its content; `modified` is in seconds since 1970."""

    cookies: tuple[Cookie, ...]
    fingerprint: str
    mode: int
    modified: float


def read(path: Path) -> CookieFile:
    """Blocks. Raises Spoiled."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a pipe would block for ever
        try:
            found = os.fstat(descriptor)
            _check_kind(found.st_mode)
            with os.fdopen(descriptor, "rb", closefd=False) as file:
                data = file.read(MAX_BYTES + 1)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise Spoiled(error.strerror or type(error).__name__) from None
    if len(data) > MAX_BYTES:
        raise Spoiled(f"larger than {MAX_BYTES >> 20} MiB")
    return CookieFile(parsed(data), hashlib.sha256(data).hexdigest(), stat.S_IMODE(found.st_mode), found.st_mtime)


def _check_kind(mode: int) -> None:
    if stat.S_ISDIR(mode):
        raise Spoiled(os.strerror(errno.EISDIR))
    if not stat.S_ISREG(mode):
        raise Spoiled("no regular file")


def parsed(data: bytes) -> tuple[Cookie, ...]:
    """YouTube's cookies in `data`; the last one of each key. Raises Spoiled if there are none.

    Like yt-dlp, this skips a line that is no cookie. The last line may not be one: then the file is incomplete.
    """
    lines = _text(data).replace("\r\n", "\n").replace("\r", "\n").strip("\n").split("\n")
    if not _MAGIC.match(lines[0]):
        raise Spoiled("not in Netscape's format" if lines[0] else "empty")
    found: dict[Key, Cookie] = {}
    is_broken = False
    for line in lines:
        cookie = _cookie(line)
        is_broken = cookie is None and not _is_comment(line)
        if cookie and cookie.is_used:
            found[cookie.key] = cookie
    if is_broken:
        raise Spoiled("its last line is broken off")
    if not any(cookie.is_youtubes for cookie in found.values()):
        raise Spoiled("no cookie of youtube.com in it")
    return tuple(found.values())


def text(cookies: Iterable[Cookie]) -> str:
    """A cookies.txt for yt-dlp, which refuses the whole file if a second column does not fit the first."""
    lines = ["\t".join(one._replace(with_subdomains=_TRUTH[one.domain.startswith(".")])) for one in cookies]
    return "\n".join(["# Netscape HTTP Cookie File", *lines, ""])


def check_fresh(cookies: Iterable[Cookie]) -> None:
    """Raises Spoiled when all of YouTube's have expired."""
    now = time.time()
    if all(cookie.has_expired(now) for cookie in cookies if cookie.is_youtubes):
        raise Spoiled("every cookie of youtube.com in it has expired")


def _text(data: bytes) -> str:
    for kind, words in _OTHER_KINDS:
        if kind.match(data):
            raise Spoiled(words)
    try:
        decoded = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Spoiled("no text in UTF-8") from None
    if "\0" in decoded:
        raise Spoiled("no text")
    return decoded


def _is_comment(line: str) -> bool:
    return not line.strip() or (line.startswith("#") and not line.startswith(_HTTP_ONLY))


def _cookie(line: str) -> Cookie | None:
    columns = line.removeprefix(_HTTP_ONLY).split("\t")
    if _is_comment(line) or len(columns) != len(Cookie._fields):
        return None
    cookie = Cookie(*columns)
    return cookie if re.fullmatch(r"([0-9]{1,15}(\.[0-9]{1,9})?)?", cookie.expires) else None
