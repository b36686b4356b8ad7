"""Lists the videos of a playlist: for each request one yt-dlp child, two at a time, one for each key.

The child (`playlist_child.py`) is confined as that of a conversion is, and takes an exit as one does. It is no slot.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import math
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .. import errors
from ..config import Config
from ..storage.artifacts import Artifacts
from ..youtube_url import ListLink
from . import advice, authorities, forking, process, reasons, ytdlp
from .cookies import NO_LONGER_VALID, Copy
from .exits import Exit, Exits
from .turns import NoRoom, Turns

log = logging.getLogger(__name__)

#: Seconds for a request, the wait for its turn included. The rest of the promised 30 s is for ending the child.
TIMEOUT = 28.0
#: Looks at a time, and requests that may wait for one: in all, and of one key.
AT_A_TIME, MOST_WAITING, MOST_OF_ONE = 2, 20, 5
#: Seconds after which a client may ask again.
_SOON, _LATER = 10, 60
_AFTER_LIMIT = 3600

#: Sentences of YouTube's and yt-dlp's for a list that nobody, or not everybody, may see.
_NOT_THERE = re.compile(
    r"(does not|doesn.t) exist|is private|unviewable|no longer available|(is not|isn.t) available"
    r"|failed to resolve url|failed to resolve album|has been (terminated|removed|deleted)|does not have a .{0,40} tab"
    r"|http error (404|400)\b|leads to no list of videos"
)
#: `[youtube:tab] PL0123456789 page 2: `, before what is said.
_PREFIX = re.compile(r"(?:ERROR: )?\[youtube:[\w:]+\] \S+(?: page \d+)?: ")
_SAID = re.compile(r"youtube said: (?:error - )?", re.IGNORECASE)
#: Job errors whose message is not about a video.
_TELLING = frozenset(
    {"BOT_CHECK", "COOKIES_INVALID", "SOURCE_RATE_LIMITED", "NETWORK_ERROR", "SOURCE_FORBIDDEN", "TIMEOUT"}
)


@dataclass
class Playlist:
    """`count` is how many videos it has; None where YouTube does not say and not all are listed.

    Each of `videos` has `video_id`, `title`, `channel`, `duration` in seconds (None where unknown) and `available`.
    """

    list_id: str
    title: str | None = None
    channel: str | None = None
    count: int | None = None
    truncated: bool = True
    videos: list[dict[str, Any]] = field(default_factory=list)


#: Lists at most so many videos until that time of the loop. Raises RequestError.
Look = Callable[[ListLink, int, float], Awaitable[Playlist]]


class Playlists:
    """`look` does one request. `observe` is told each one's outcome, "listed" or an error code, and its seconds."""

    def __init__(self, look: Look, observe: Callable[[str, float], None]) -> None:
        self._look = look
        self._observe = observe
        self._turns = Turns(AT_A_TIME, most_waiting=MOST_WAITING, most_of_one=MOST_OF_ONE)

    async def listed(self, owner: str, link: ListLink, most: int) -> Playlist:
        """At most so many videos of the list. Raises PlaylistNotFound, SourceUnavailable, QueueFull or StorageFull."""
        began = time.monotonic()
        outcome = "cancelled"
        try:
            found = await self._in_turn(owner, link, most)
            outcome = "listed"
        except errors.RequestError as error:
            outcome = error.code
            raise
        finally:
            self._observe(outcome, time.monotonic() - began)
        return found

    async def _in_turn(self, owner: str, link: ListLink, most: int) -> Playlist:
        deadline = asyncio.get_running_loop().time() + TIMEOUT
        try:
            async with asyncio.timeout_at(deadline) as waiting, self._turns.turn(owner):
                waiting.reschedule(None)
                return await self._look(link, most, deadline)
        except (NoRoom, TimeoutError):
            raise errors.QueueFull(
                "Too many playlists are asked for at the moment. Try again in a few seconds.", retry_after=_SOON
            ) from None


@dataclass(frozen=True)
class Lookout:
    """Looks through yt-dlp."""

    config: Config
    artifacts: Artifacts
    cache: Path
    ca_bundle: authorities.CaBundle | None
    exits: Exits

    async def look(self, link: ListLink, most: int, deadline: float) -> Playlist:
        """A `Look`, through one exit after the other while that may help."""
        tried: set[str] = set()
        failure: errors.JobError | None = None
        while one := self.exits.open_exit(tried):
            tried.add(one.name)
            try:
                return await self._through(one, link, most, deadline)
            except errors.JobError as error:
                log.warning("a playlist failed through exit %s: %s: %s", one.name, error.code, error.__cause__ or error)
                failure = error
                if not self.exits.refused(one, error):
                    break
        if failure is None:
            closed = self.exits.closed
            pause = math.ceil(self.exits.next_try) or _SOON
            raise _refusal(closed.reason if closed else errors.NetworkError(), retry_after=pause)
        raise _refusal(failure) from failure

    async def _through(self, one: Exit, link: ListLink, most: int, deadline: float) -> Playlist:
        """Raises PlaylistNotFound, SourceUnavailable or a JobError."""
        found = Playlist(link.name)
        try:
            async with asyncio.timeout_at(deadline), self.artifacts.staging() as folder:
                await self._read(one, link, most, folder, found)
        except TimeoutError:
            if not found.videos:
                raise errors.SourceUnavailable(
                    "YouTube took too long to show this playlist. Try again later.", retry_after=_LATER
                ) from None
        except (process.ChildFailed, OSError) as error:  # this machine lacks a process, memory or a descriptor
            raise errors.JobFailed() from error
        if not found.truncated:
            found.count = len(found.videos)
        elif found.count is not None:
            found.count = max(found.count, len(found.videos))
        return found

    async def _read(self, one: Exit, link: ListLink, most: int, folder: Path, found: Playlist) -> None:
        """Fill `found`, as far as it comes."""
        if self.ca_bundle:
            await asyncio.to_thread(self.ca_bundle.restore)
        config = dataclasses.replace(self.config, ytdlp=one.ytdlp)
        copy = await one.cookies.copy(folder) if one.cookies else None
        argv = ytdlp.options(config, cache=self.cache, cookies=copy.path if copy else None) + list(config.ytdlp.args)
        bundle = self.ca_bundle.path if self.ca_bundle else None
        rules = {"most": most, **ytdlp.surroundings(folder, self.cache, bundle, copy)}
        try:
            own = (await ytdlp.confinement_of(config, self.cache, bundle)).with_folder(folder)
            async with forking.fork(ytdlp.CHILD, "playlist", argv, link.url, rules, confinement=own) as child:
                is_last = False
                while not is_last:
                    is_last = _take(await ytdlp.read_event(child), found, copy, advice.setup(config))
                    await asyncio.sleep(0)  # many events may have come at once
        finally:
            if copy:
                await copy.keep()


def _take(event: dict[str, Any] | None, found: Playlist, copy: Copy | None, setup: advice.Setup) -> bool:
    """Put what the child says into `found`; whether that was the last of it."""
    if event is None:
        raise errors.JobFailed() from process.ChildFailed("yt-dlp ended without a word")
    kind = event["event"]
    if kind == "said":
        log.debug("%s yt-dlp: %s", found.list_id, event["text"])
        if copy and NO_LONGER_VALID in event["text"]:
            copy.note_refused()
    elif kind == "playlist":
        found.list_id, found.title = event["id"], event["title"]
        found.channel, found.count = event["channel"], event["count"]
    elif kind == "videos":
        found.videos += event["videos"]
    elif kind == "end":
        found.truncated = event["truncated"]
        return True
    else:
        raise _failure(event["message"], event["warnings"], setup)
    return False


def _failure(message: str, warnings: list[str], setup: advice.Setup) -> Exception:
    message, warnings = _PREFIX.sub("", message), [_PREFIX.sub("", one) for one in warnings]
    cause = process.ChildFailed(message)
    if _NOT_THERE.search(message.lower()):
        error: Exception = errors.PlaylistNotFound(
            "There is no such playlist, or it is private. Check the link in a browser where nobody is signed in."
        )
    else:
        error = reasons.failure(_SAID.sub("[youtube] ", message), warnings, setup)
    error.__cause__ = cause
    return error


def _refusal(error: errors.JobError, retry_after: int | None = None) -> errors.RequestError:
    """What whoever asked for the playlist is told."""
    if error.code == "DISK_FULL":
        return errors.StorageFull(error.message, retry_after=_LATER)
    said = str(error.__cause__ or "")
    if error.code in _TELLING:
        message = error.message
    elif _SAID.match(said):
        quote = reasons.quoted(_SAID.sub("", said))
        message = f"YouTube does not show this playlist, and says: \u201c{quote}\u201d. Try again later."
    else:
        message = (
            "This server cannot read what YouTube shows of this playlist. Try again later, or tell the server's owner. "
            f"For the owner: {errors.UPDATE_YTDLP}."
        )
    pause = _AFTER_LIMIT if error.code == "SOURCE_RATE_LIMITED" else _LATER
    return errors.SourceUnavailable(message, retry_after=retry_after or pause)
