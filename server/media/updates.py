"""Notices an update of yt-dlp, its plugins or its tools on disk, and uses the new version for new work.

A fresh forkserver is started beside the old one and must pass the same check as at the server's start. Then new work
goes to it, and running work ends on the old one. If it fails the check, the old one stays, and the owner is told.
"""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import os
import site
from collections.abc import Awaitable, Callable
from pathlib import Path

from ..config import ConfigError
from . import forking, packages, process, ytdlp

log = logging.getLogger(__name__)

#: Seconds between two checks.
INTERVAL = 15.0
#: Seconds without a further change after which an installation is taken to be complete.
SETTLED = 3.0
#: Seconds that a fresh yt-dlp has for its check.
CHECK_TIMEOUT = 60.0
#: The owner's message while the installed version differs from the running one.
KEPT_OLD = "The yt-dlp that is installed now does not work, so the one from before goes on. Run `ytmp3d update`."
INTERRUPTED = "An update of yt-dlp was interrupted. Run `ytmp3d update`, which puts back what works."
RESTART = "ytmp3d itself was updated. Restart the server."

#: When each package, and each plugin, was last changed.
State = dict[str, int]


class Updates:
    """Follows what is installed.

    `check` tests what a forkserver has imported and returns its versions; `adopt` receives the versions in use from
    then on. `problem` is a message for the owner, or empty.
    """

    def __init__(
        self,
        check: Callable[[forking.ForkServer], Awaitable[ytdlp.Versions]],
        adopt: Callable[[ytdlp.Versions], None],
    ) -> None:
        self.problem = ""
        self._check = check
        self._adopt = adopt

    async def watch(self, known: State) -> None:
        """Check until cancelled. `known` is the state before yt-dlp was imported."""
        while True:
            try:
                known = await self._followed(known)
            except OSError as error:
                log.warning("what is installed cannot be looked at: %s", error)
            await asyncio.sleep(INTERVAL)

    async def _followed(self, known: State) -> State:
        """Follow what has changed since `known`, once it stays. Returns what is known then. Raises OSError."""
        found = await asyncio.to_thread(installed)
        if await asyncio.to_thread(self._is_in_pieces) or found == known:
            return known
        await asyncio.sleep(SETTLED)
        if await asyncio.to_thread(installed) != found:
            return known
        await self._follow(_changed(known, found))
        return found

    def _is_in_pieces(self) -> bool:
        """Whether an update is still unproven. Reports one that was killed."""
        if packages.was_interrupted() and self.problem != INTERRUPTED:
            self._tell(INTERRUPTED)
        elif self.problem == INTERRUPTED and not packages.is_updating():
            self.problem = ""
        return packages.is_updating()

    async def _follow(self, changed: set[str]) -> None:
        if any(name.startswith("ytmp3d-") for name in changed):
            # The fresh forkserver would import the new ytmp3d, which may speak differently to its server.
            self._tell(RESTART)
            return
        running: list[ytdlp.Versions] = []

        async def prove(fresh: forking.ForkServer) -> None:
            async with asyncio.timeout(CHECK_TIMEOUT):
                running.append(await self._check(fresh))

        try:
            await forking.renew(prove)
        except (ConfigError, process.ChildFailed, OSError) as error:  # a TimeoutError is an OSError
            self._tell(KEPT_OLD, f"{error or 'its check took too long'}")
            return
        self.problem = ""
        self._adopt(running[0])
        log.info("packages have changed; from now on: %s", running[0])

    def _tell(self, problem: str, why: str = "") -> None:
        self.problem = problem
        log.warning("%s%s", problem, f" ({why})" if why else "")


def installed() -> State:
    """When each package of the environment, and each plugin, was last changed. Blocks for about a millisecond."""
    state: State = {}
    for folder in _folders():
        for entry in _entries(folder):
            if entry.name.endswith(".dist-info"):
                state[entry.name] = _changed_at(Path(entry, "RECORD")) or _changed_at(Path(entry))
        for package in ("yt_dlp", "yt_dlp_ejs"):
            state[f"{folder}/{package}"] = max(
                _changed_at(folder / package), _changed_at(folder / package / "version.py")
            )
        for kind in _entries(folder / "yt_dlp_plugins"):
            for entry in _entries(Path(kind)):
                if entry.name.endswith(".py"):
                    state[f"{kind.name}/{entry.name}"] = _changed_at(Path(entry))
    return state


def _folders() -> list[Path]:
    """The folders where packages are installed, and yt-dlp's, if that is another."""
    folders = [Path(folder) for folder in site.getsitepackages()]
    importlib.invalidate_caches()
    found = importlib.util.find_spec("yt_dlp")
    if found and found.origin:
        folders.append(Path(found.origin).parent.parent)
    return list(dict.fromkeys(folders))


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError:
        return []


def _changed_at(path: Path) -> int:
    """The time of the last change in nanoseconds; 0 if the file does not exist."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _changed(before: State, after: State) -> set[str]:
    return {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
