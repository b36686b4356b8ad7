"""Cleans yt-dlp's messages of one run. It runs in the yt-dlp process and does not import yt-dlp."""

from __future__ import annotations

from collections.abc import Callable
from http.cookiejar import CookieJar

#: Most different messages that are passed on in a run, and most different warnings that are kept.
MAX_TOLD, MAX_WARNINGS = 300, 100
#: Most characters of a message and of a warning.
MAX_MESSAGE, MAX_WARNING = 1500, 500

#: Messages that are dropped: a missing ffmpeg, which is intended, and the options, some of which are passwords.
_UNTOLD = ("ffmpeg-location ", "[debug] params: ")
#: Least characters of a cookie that is treated as a secret; a shorter one is a setting, such as a language.
_SECRET_FROM = 6


class Words:
    """Tells each message once, in one line, of a bounded length, without cookies, and no more than so many.

    `jar` has the cookies, once there are any.
    """

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._told: set[str] = set()
        self._warnings: dict[str, None] = {}  # a set in the order of coming
        self.jar: CookieJar | None = None

    @property
    def warnings(self) -> list[str]:
        return list(self._warnings)

    def say(self, message: str) -> None:
        line = self.clean(message)
        if line and line not in self._told and len(self._told) < MAX_TOLD and not line.startswith(_UNTOLD):
            self._told.add(line)
            self._tell(line)

    def warn(self, message: str) -> None:
        self.say(message)
        if len(self._warnings) < MAX_WARNINGS:
            self._warnings[self.clean(message)[:MAX_WARNING]] = None

    def clean(self, message: str) -> str:
        line = " ".join(message.split())
        for cookie in self.jar or ():
            if cookie.value and len(cookie.value) >= _SECRET_FROM:
                line = line.replace(cookie.value, "…")
        return line if len(line) <= MAX_MESSAGE else f"{line[:MAX_MESSAGE]} …"
