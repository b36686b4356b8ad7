"""Notes YouTube's changes to a run's cookies. It runs in the yt-dlp process and does not import yt-dlp.

Each change has its time: of two runs at once, the one that ends last need not have the newest cookie.
"""

from __future__ import annotations

import json
import threading
import time
from http.cookiejar import Cookie, CookieJar
from pathlib import Path

from .cookie_file import Key

#: Most changes that are kept of a run.
MAX_CHANGES = 300


class Renewals:
    """Notes cookies that are set and cleared in `jar`. `save` writes them to `file`, whole or not at all."""

    def __init__(self, jar: CookieJar, file: Path) -> None:
        self._file = file
        self._noted: dict[Key, tuple[float, list[str] | None]] = {}
        self._lock = threading.Lock()
        self._set, self._clear = jar.set_cookie, jar.clear
        jar.set_cookie = self._note_set  # type: ignore[method-assign]
        jar.clear = self._note_clear  # type: ignore[method-assign]

    def _note_set(self, cookie: Cookie) -> None:
        self._set(cookie)
        self._note((cookie.domain, cookie.path, cookie.name), _columns(cookie))

    def _note_clear(self, domain: str | None = None, path: str | None = None, name: str | None = None) -> None:
        if domain and path and name:
            self._note((domain, path, name), None)
        self._clear(domain, path, name)

    def _note(self, key: Key, columns: list[str] | None) -> None:
        with self._lock:
            if key in self._noted or len(self._noted) < MAX_CHANGES:
                self._noted[key] = time.monotonic(), columns

    def save(self) -> None:
        with self._lock:
            changes = [[*key, moment, columns] for key, (moment, columns) in self._noted.items()]
            unfinished = self._file.with_suffix(".new")
            unfinished.write_text(json.dumps(changes))
            unfinished.replace(self._file)


def _columns(cookie: Cookie) -> list[str]:
    """A cookie's name and value as in a line of a cookies.txt. Without a value, the name takes its place."""
    name, value = (cookie.name, cookie.value) if cookie.value is not None else ("", cookie.name)
    with_subdomains, secure = ("TRUE" if one else "FALSE" for one in (cookie.domain.startswith("."), cookie.secure))
    return [cookie.domain, with_subdomains, cookie.path, secure, str(cookie.expires or 0), name, value]
