"""Cookies that YouTube renewed since the owner exported a cookies file, kept in the state folder. Everything blocks.

The owner's file is never written. Renewals belong to one content of that file and are dropped when it changes.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..filesystems import replace, sync
from .cookie_file import Cookie, Key

log = logging.getLogger(__name__)

#: Most renewed and deleted cookies that are kept; beyond it the oldest changes are dropped.
MAX_KEPT = 200
#: Characters that the columns of a cookie may have together.
_MAX_COOKIE = 8192
#: The time of renewals that an earlier server has kept: before any run, by the system's monotonic clock.
_LONG_AGO = -1.0

#: When it was changed, and to what; None is deleted.
Change = tuple[float, Cookie | None]


class KeptCookies:
    """Renewals for the cookies file whose content has the fingerprint `of`; none before the first `of_file`."""

    def __init__(self, path: Path, *, writes: bool = True) -> None:
        self._path = path
        self._writes = writes
        self._changes: dict[Key, Change] = {}
        self.of = ""

    def __len__(self) -> int:
        return len(self._changes)

    def of_file(self, fingerprint: str) -> None:
        """Use the renewals of this file: those on disk at first, and none once the file has changed."""
        if fingerprint == self.of:
            return
        first, self.of, self._changes = not self.of, fingerprint, {}
        if first:
            self._changes = self._stored(fingerprint)
        if not self._changes and self._writes:
            with suppress(OSError):
                self._path.unlink()

    def applied(self, cookies: Iterable[Cookie]) -> list[Cookie]:
        """The owner's `cookies` with the renewals applied."""
        found: dict[Key, Cookie | None] = {cookie.key: cookie for cookie in cookies}
        found |= {key: cookie for key, (_, cookie) in self._changes.items()}
        return [cookie for cookie in found.values() if cookie]

    def merge(self, changes: Mapping[Key, Change]) -> bool:
        """Keep the newest change of each cookie. Returns whether anything changed and must be saved."""
        newer = {
            key: change
            for key, change in changes.items()
            if _is_kept(key, change[1]) and change[0] > self._changes.get(key, (_LONG_AGO, None))[0]
        }
        is_different = any(key not in self._changes or self._changes[key][1] != newer[key][1] for key in newer)
        oldest_first = sorted({**self._changes, **newer}.items(), key=lambda item: item[1][0])
        self._changes = dict(oldest_first[-MAX_KEPT:])
        return is_different

    def save(self) -> None:
        """Write everything, readable by the owner only, whole or not at all. Raises OSError."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        unfinished = self._path.with_suffix(f".{secrets.token_hex(4)}")
        renewed = [[*key, cookie] for key, (_, cookie) in self._changes.items()]
        try:
            descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump({"of": self.of, "renewed": renewed}, file)
            sync(unfinished)
            replace(unfinished, self._path)
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise

    def _stored(self, fingerprint: str) -> dict[Key, Change]:
        try:
            stored = json.loads(self._path.read_text(encoding="utf-8"))
            if stored["of"] != fingerprint:
                return {}
            return {key: (_LONG_AGO, cookie) for key, cookie in map(_restored, stored["renewed"][-MAX_KEPT:])}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
            log.warning("the renewed cookies in the state cannot be read and are dropped: %s", type(error).__name__)
            return {}


def changes(file: Path) -> dict[Key, Change]:
    """The renewals of a run (see `renewals.py`); none if it ended too early to write them."""
    try:
        noted = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    return {
        (domain, path, name): (float(moment), Cookie(*columns) if columns else None)
        for domain, path, name, moment, columns in noted
    }


def _restored(row: Any) -> tuple[Key, Cookie | None]:
    domain, path, name, columns = row
    return (str(domain), str(path), str(name)), Cookie(*map(str, columns)) if columns else None


def _is_kept(key: Key, cookie: Cookie | None) -> bool:
    found = cookie or Cookie(key[0], "", key[1], "", "", key[2], "")
    return found.is_used and sum(map(len, found)) <= _MAX_COOKIE
