"""The cookies of an account: each run gets a copy, and later runs get what YouTube renewed in it.

The owner may replace the file at any time. It is checked before each run and for each report, so that the owner hears
of an unusable file early, and a good one is used at once.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
import urllib.parse
from dataclasses import dataclass
from pathlib import Path

from .. import completion, errors
from . import cookie_file, kept_cookies
from .cookie_file import Cookie, CookieFile, Spoiled
from .kept_cookies import KeptCookies

log = logging.getLogger(__name__)

#: Seconds that a file which is just being written gets to become complete.
MOMENT = 0.5
#: The name of the exit that `[ytdlp]` itself describes.
DEFAULT = "default"
#: yt-dlp's warning when YouTube has ended the session.
NO_LONGER_VALID = "The provided YouTube account cookies are no longer valid"

_FOLDER = "cookies"


@dataclass
class Copy:
    """The cookies of one run. The run notes in `renewed` what YouTube changed."""

    path: Path
    renewed: Path
    _cookies: Cookies
    _of: str  # the fingerprint of the owner's file
    _is_signed_in: bool
    _is_refused: bool = False

    def note_refused(self) -> None:
        """Note that YouTube has ended the session. Its later changes sign the account out, so they are not kept."""
        self._is_refused = True
        self._cookies._note_refused(self._of)

    async def note_accepted(self) -> None:
        """Note that YouTube has shown a video."""
        if self._is_signed_in and not self._is_refused:
            self._cookies._note_accepted(self._of)
        await self.keep()

    async def keep(self) -> None:
        """Keep what YouTube has renewed so far, unless the owner has replaced the file since."""
        if not self._is_refused:
            await self._cookies._keep(self._of, self.renewed)


class Cookies:
    """`path` is the owner's file; `name` is that of the exit that uses it, and of its file in the state folder."""

    def __init__(self, path: Path, state: Path, name: str = DEFAULT, *, keeps: bool = True) -> None:
        """`keeps` is false for a program that only reads what a server has kept."""
        self.path = path
        self._what = "cookies" if name == DEFAULT else f"cookies of exit {name}"
        self._kept = KeptCookies(kept_file(state, name), writes=keeps)
        self._keeps = keeps
        self._spoiled = ""
        self._refused = ""  # the fingerprint of the file with which YouTube has ended the session
        self._settled: str | None = None  # the last file, or reason for there being none, that was looked at twice
        self._failed_to_save = False
        self._lock = asyncio.Lock()

    async def copy(self, folder: Path) -> Copy:
        """A copy in `folder` for one run. Raises CookiesInvalid, or OSError when it cannot be written."""
        async with self._lock:
            try:
                found = await self._look()
            except Spoiled as error:
                raise errors.CookiesInvalid(
                    errors.CookiesInvalid.text,
                    owner=f"the cookies file is spoiled ({error}); {errors.CookiesInvalid.owner}",
                ) from error
            return await completion.finished(asyncio.to_thread(self._copied, found, folder))

    def _copied(self, found: list[Cookie], folder: Path) -> Copy:
        path = folder / "cookies.txt"
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:  # noqa: PTH123  # the mode must hold from the start
            file.write(cookie_file.text(found))
        return Copy(path, folder / "cookies.renewed", self, self._kept.of, _is_signed_in(found))

    async def _keep(self, of: str, renewed: Path) -> None:
        if not self._keeps:
            return
        async with self._lock:
            try:
                await completion.finished(asyncio.to_thread(self._save, of, renewed))
            except (OSError, ValueError, TypeError) as error:
                if not self._failed_to_save:
                    log.warning("%s: what YouTube renewed cannot be written: %s", self._what, _words(error))
                self._failed_to_save = True
            else:
                self._failed_to_save = False

    def _save(self, of: str, renewed: Path) -> None:
        if of == self._kept.of and (self._kept.merge(kept_cookies.changes(renewed)) or self._failed_to_save):
            self._kept.save()

    def _note_refused(self, of: str) -> None:
        if self._refused != of == self._kept.of:
            self._refused = of
            log.warning("%s", self._refusal)

    def _note_accepted(self, of: str) -> None:
        if self._refused == of:
            self._refused = ""
            log.info("%s: YouTube accepts them again", self._what)

    async def warnings(self) -> list[str]:
        """The current problems, each in a sentence that says what to do."""
        async with self._lock:
            try:
                await self._look()
            except Spoiled:
                return [self._spoil]
        return [self._refusal] if self._refused == self._kept.of else []

    @property
    def _spoil(self) -> str:
        return f"{self._what} spoiled: {self._spoiled}. Export them again; `doctor` says more."

    @property
    def _refusal(self) -> str:
        return f"{self._what} no longer valid: YouTube has ended the session. Export them again, as /docs/youtube says."

    async def _look(self) -> list[Cookie]:
        """The owner's cookies with later renewals. Logs what is new. Raises Spoiled."""
        try:
            found = await self._settled_file()
            cookies = await completion.finished(asyncio.to_thread(self._current, found))
        except Spoiled as error:
            if str(error) != self._spoiled:
                self._spoiled = str(error)
                log.warning("%s", self._spoil)
            raise
        if self._spoiled:
            self._spoiled = ""
            log.info("%s: they can be used again", self._what)
        return cookies

    def _current(self, found: CookieFile) -> list[Cookie]:
        self._kept.of_file(found.fingerprint)
        cookies = self._kept.applied(found.cookies)
        cookie_file.check_fresh(cookies)
        return cookies

    async def _settled_file(self) -> CookieFile:
        """The file. It is read twice if somebody may just be writing it. Raises Spoiled."""
        for is_last in (False, True):
            found: CookieFile | Spoiled
            try:
                found = await asyncio.to_thread(cookie_file.read, self.path)
                seen, may_change = found.fingerprint, abs(time.time() - found.modified) < MOMENT
            except Spoiled as error:
                found, seen, may_change = error, str(error), True
            if is_last or not may_change or seen == self._settled:
                break
            await asyncio.sleep(MOMENT)
        self._settled = seen
        if isinstance(found, Spoiled):
            raise found
        return found


def kept_file(state: Path, name: str = DEFAULT) -> Path:
    """The file in the state folder that holds the renewals of the exit `name`."""
    return state / _FOLDER / f"{urllib.parse.quote(name, safe='')}.json"


def _is_signed_in(cookies: list[Cookie]) -> bool:
    """As yt-dlp tells it."""
    names = {cookie.name for cookie in cookies if cookie.is_youtubes}
    return "LOGIN_INFO" in names and bool(names & {"SAPISID", "__Secure-1PAPISID", "__Secure-3PAPISID"})


def _words(error: Exception) -> str:
    """Without a path."""
    return getattr(error, "strerror", None) or type(error).__name__
