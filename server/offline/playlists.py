"""The lists of videos on the offline YouTube, and the reserved ids of lists that do something on purpose.

Any other id of a list, and any channel, has some made-up videos, the same everywhere.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass

from .draw import Draw
from .videos import ADJECTIVES, CHANNELS, PLACES, VIDEO_ID

LIST_ID = re.compile(r"[0-9A-Za-z_-]{10,100}")
#: What a mix's id begins with; a mix has no end.
MIX = "RD"
UPLOADS = "UU"
ALBUM = "OLAK5uy_"
#: How many videos a list without end has in all, if somebody asks so long.
ENDLESS = 1_000_000


@dataclass(frozen=True)
class ReservedList:
    """One reserved list. `outcome` is `listed` or the error code of the answer."""

    list_id: str
    outcome: str
    summary: str
    count: int = 0
    videos: tuple[str, ...] = ()
    """These ids, where they matter."""
    http_status: int = 0
    """What every page and API answers."""
    stalls: bool = False
    """Every page comes, but none after the first."""
    link: str = ""
    """How to ask for it, if not by `list=`."""

    @property
    def url(self) -> str:
        """A link to it."""
        return self.link or f"https://www.youtube.com/playlist?list={self.list_id}"


#: A channel by its name, whose id is made of it as that of any channel is.
CHANNEL_NAME = "x-channel"
FAILING = ("x-private--", "x-removed--", "x-upcoming-", "x-geo------", "x-no-audio-", "x-cut-short")

_ALL = (
    ReservedList("PLx-short-----", "listed", "Three short videos.", count=3),
    ReservedList("PLx-230-long--", "listed", "230 videos, on three pages.", count=230),
    ReservedList("PLx-empty-----", "listed", "No video."),
    ReservedList(
        "PLx-failures--",
        "listed",
        "An ordinary video, and some that fail: private, removed and not yet begun (`available` is false), then three "
        "of which the list does not tell.",
        videos=("x-1-second-", *FAILING),
    ),
    ReservedList("PLx-endless---", "listed", "A million videos, so that `truncated` is true.", count=ENDLESS),
    ReservedList("OLAK5uy_x-album", "listed", "An album of eight songs.", count=8),
    ReservedList(
        "UUx-channel-------------",
        "listed",
        "A channel's 42 uploads. The channel is `@x-channel`.",
        count=42,
        link=f"https://www.youtube.com/@{CHANNEL_NAME}",
    ),
    ReservedList(
        "RDx-4-minutes",
        "listed",
        "A mix that begins with that video, and has no end.",
        count=ENDLESS,
        link="https://www.youtube.com/watch?v=x-4-minutes&list=RDx-4-minutes",
    ),
    ReservedList("PLx-missing---", "PLAYLIST_NOT_FOUND", "Does not exist."),
    ReservedList("PLx-private---", "PLAYLIST_NOT_FOUND", "Private."),
    ReservedList(
        "PLx-stalls----", "SOURCE_UNAVAILABLE", "Stalls after its first hundred videos.", count=300, stalls=True
    ),
    ReservedList("PLx-http-429--", "SOURCE_UNAVAILABLE", "Every page answers 429 Too Many Requests.", http_status=429),
)
RESERVED_LISTS = {one.list_id: one for one in _ALL}
#: YouTube's words for a list that it does not show.
ALERTS = {
    "PLx-missing---": "The playlist does not exist.",
    "PLx-private---": "This playlist is private.",
}


@dataclass(frozen=True)
class VideoList:
    """`count` videos; `videos` are the first of them, and the others are drawn."""

    list_id: str
    title: str
    channel: str
    count: int
    videos: tuple[str, ...] = ()

    def part(self, start: int, most: int) -> Iterator[str]:
        """The ids of the videos from that place on."""
        for place in itertools.islice(range(start, self.count), most):
            yield self.videos[place] if place < len(self.videos) else _drawn(self.list_id, place)


def video_list(list_id: str) -> VideoList:
    """The list of any id: 3 to 20 videos; a reserved one is as it says."""
    draw = Draw(list_id, "list")
    title, channel = f"{draw.pick(ADJECTIVES)} {draw.pick(PLACES)}", draw.pick(CHANNELS)
    count, entry = draw.between(3, 20), RESERVED_LISTS.get(list_id)
    first = (list_id[-11:],) if list_id.startswith(MIX) and VIDEO_ID.fullmatch(list_id[-11:]) else ()
    if list_id.startswith(MIX):
        title, count = f"Mix – {title}", ENDLESS
    elif list_id.startswith(UPLOADS):
        title = f"Uploads from {channel}"
    elif list_id.startswith(ALBUM):
        title = f"Album – {title}"
    if entry:
        return VideoList(list_id, title, channel, entry.count or len(entry.videos), entry.videos or first)
    return VideoList(list_id, title, channel, count, first)


def channel_id(name: str) -> str:
    """The id of the channel with that name."""
    known = re.sub(r"[^0-9A-Za-z_-]", "-", name)
    return f"UC{known[:22]:-<22}"


def _drawn(list_id: str, place: int) -> str:
    digest = hashlib.sha256(f"video of a list:{list_id} {place}".encode()).digest()
    return base64.urlsafe_b64encode(digest)[:11].decode()
