"""Fetches the thumbnail beside the audio, within a deadline. This runs in yt-dlp's process."""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yt_dlp

from . import picture

#: Seconds for fetching a thumbnail, all tries together.
DEADLINE = 1.0
#: Most addresses that are tried: YouTube does not list all thumbnails, and yt-dlp's guesses may be missing.
MOST_TRIES = 6
#: Most bytes of a thumbnail.
MOST_BYTES = 8 << 20

#: Frames of the video itself, which nobody chose as a thumbnail.
_FRAMES = re.compile(r"/(?:sd|hq|mq)?[123](?:_live)?\.(?:jpg|webp)$")


def candidates(info: dict[str, Any]) -> list[str]:
    """The addresses to try, best first, one for each picture.

    yt-dlp sorts them from worst to best, including guesses, each as JPEG and as WebP. Of several addresses for one
    picture, an uncropped one comes before a cropped one, and one that YouTube named comes before a guess.
    """
    chosen: dict[str, tuple[tuple[bool, bool, bool], str]] = {}
    for one in reversed(info.get("thumbnails") or []):
        url = str(one.get("url") or "")
        parts = urlsplit(url)
        if parts.scheme != "https" or _FRAMES.search(parts.path):
            continue
        name = f"{parts.hostname} {Path(parts.path).stem}" if parts.hostname == "i.ytimg.com" else url
        rank = (not parts.query, bool(one.get("width")) or url == info.get("thumbnail"), parts.path.endswith(".jpg"))
        if name not in chosen or rank > chosen[name][0]:
            chosen[name] = (rank, url)
    return [url for _, url in chosen.values()][:MOST_TRIES]


class Fetch:
    """Fetches a thumbnail into the file `thumbnail` of the working folder.

    `tell` is called once, with that file or None, unless `forget` comes first; never after `wait` or `forget` has
    returned. A source that sends a byte now and then is abandoned: its thread ends with the process.
    """

    def __init__(self, ydl: Any, urls: list[str], tell: Callable[[Path | None], None]) -> None:
        self._ydl = ydl
        self._urls = urls
        self._tell = tell
        self._told = threading.Event()
        self._telling = threading.Lock()
        self._until = time.monotonic() + DEADLINE
        threading.Thread(target=self._fetch, name="cover", daemon=True).start()

    def wait(self) -> None:
        """Return once it was told, `DEADLINE` seconds after the start at the latest."""
        self._told.wait(max(0.0, self._until - time.monotonic()))
        self._say(None)

    def forget(self) -> None:
        """Do not call `tell` any more."""
        with self._telling:
            self._told.set()

    def _say(self, file: Path | None) -> None:
        with self._telling:
            if not self._told.is_set():
                self._told.set()
                self._tell(file)

    def _fetch(self) -> None:
        file = None
        for url in self._urls:
            left = self._until - time.monotonic()
            if left <= 0 or self._told.is_set():
                break
            with contextlib.suppress(Exception):  # after any failure the next one is tried
                if file := self._try(url, left):
                    break
        self._say(file)

    def _try(self, url: str, timeout: float) -> Path | None:
        request = yt_dlp.networking.Request(url, extensions={"timeout": timeout})
        with self._ydl.urlopen(request) as response:
            content = response.read(MOST_BYTES + 1)
        header = picture.header(content)
        if len(content) > MOST_BYTES or header is None or not header.acceptable:
            return None
        part = Path("thumbnail.part")
        part.write_bytes(content)
        return part.replace("thumbnail").absolute()
