"""What yt-dlp says in one run, cleaned. For the yt-dlp process; nothing here imports yt-dlp."""

from __future__ import annotations

from collections.abc import Callable
from http.cookiejar import CookieJar

#: Different messages that are told of a run, and different warnings that are kept.
MAX_TOLD, MAX_WARNINGS = 300, 100
#: Characters of a message, and of a warning.
MAX_MESSAGE, MAX_WARNING = 1500, 500

#: What is not told: that it finds no ffmpeg, which is meant, and all its options, of which some are passwords.
_UNTOLD = ("ffmpeg-location ", "[debug] params: ")
#: Characters of a cookie from which on it is a secret; a shorter one is a setting, such as a language.
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
