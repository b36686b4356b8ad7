"""Puts each finished MP3 into the library. Its conversion is completed before, whatever becomes of this.

What could not be put there waits and is tried again, until it is there or has expired. The next start goes on with what
is left. `library_files.py` has the folder's rules.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable
from pathlib import Path

from .. import completion, naming
from ..jobs import Artifact
from . import library_files

log = logging.getLogger(__name__)

#: Seconds until what could not be put into the library is tried again.
RETRY_SECONDS = 30.0

#: The video and the bitrate of an MP3 that some server of this kind made, or None.
Origin = Callable[[Path], tuple[str, int] | None]


class Library:
    """The library in `root`. `add` takes finished files, `run_forever` puts them there."""

    def __init__(self, root: Path, template: str, origin: Origin) -> None:
        self._root = root.absolute()
        self._template = template
        self._origin = origin
        self._waiting: dict[Path, Artifact] = {}
        self._told: set[Path] = set()
        self._problem: str | None = None
        self._wake = asyncio.Event()
        self._stop = threading.Event()

    def add(self, artifact: Artifact) -> None:
        """Put this file into the library soon, unless it was put there before."""
        self._waiting[artifact.path] = artifact
        self._wake.set()

    async def warning(self) -> str | None:
        """What is wrong with the library now, without its path."""
        await self._look()
        if self._problem is not None:
            waiting = f" Files that wait for it: {len(self._waiting)}." if self._waiting else ""
            fix = "Check [storage] library: the folder, its rights and its disk."
            return f"The library cannot be written: {self._problem}.{waiting} {fix}"
        if stuck := len(self._told & self._waiting.keys()):
            return f"Files that cannot be put into the library: {stuck}. The log says why."
        return None

    async def run_forever(self) -> None:
        """Runs until it is cancelled."""
        with contextlib.suppress(OSError):
            await asyncio.to_thread(library_files.clear, self._root)
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(RETRY_SECONDS if self._waiting else None):
                    await self._wake.wait()
            self._wake.clear()
            await self.put_all()

    async def put_all(self) -> None:
        """Try once to put there what waits."""
        await self._look()
        if self._problem is None:
            for artifact in list(self._waiting.values()):
                await self._put(artifact)
        self._told &= self._waiting.keys()

    async def _look(self) -> None:
        """Find out whether the library can be written, and log when that changes."""
        try:
            await asyncio.to_thread(library_files.try_to_write, self._root)
            problem = None
        except OSError as error:
            problem = error.strerror or str(error)
        if problem is not None and self._problem is None:
            log.warning("%s: the library cannot be written: %s. Finished files wait for it", self._root, problem)
        elif problem is None and self._problem is not None:
            log.info("%s: the library can be written again", self._root)
            self._wake.set()
        self._problem = problem

    async def _put(self, artifact: Artifact) -> None:
        name = artifact.path.name
        try:
            path = await self._in_thread(artifact)
        except library_files.Gone:
            log.warning("%s has expired before it could be put into the library", name)
        except Exception as error:  # also a name that the locale's encoding lacks: it must not end the server
            if artifact.path not in self._told and not self._stop.is_set():
                log.warning("%s cannot be put into the library: %s. It will be tried again", name, error)
            self._told.add(artifact.path)
            return
        else:
            if path is not None:
                log.info("%s is in the library: %s", name, path)
        del self._waiting[artifact.path]

    async def _in_thread(self, artifact: Artifact) -> Path | None:
        """As `_put_now`. A copy ends early when this is cancelled."""
        work = asyncio.ensure_future(asyncio.to_thread(self._put_now, artifact))
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            self._stop.set()
            with contextlib.suppress(Exception):
                await completion.finished(work)
            raise

    def _put_now(self, artifact: Artifact) -> Path | None:
        """Where it lies now, None if it was put there before. Raises Gone or OSError."""
        if library_files.is_in(artifact.path, self._root):
            return None
        recipe = artifact.recipe
        places = naming.places(self._template, artifact.media, recipe.video_id, loudness=recipe.loudness)

        def is_same(path: Path) -> bool:
            return self._origin(path) == (recipe.video_id, recipe.bitrate_kbps)

        path = library_files.put(artifact.path, self._root, places, is_same, self._stop)
        library_files.note(artifact.path, self._root)
        return path
