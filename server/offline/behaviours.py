"""What a reserved id can be made to do: the vocabulary of the catalogue."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from .offers import Offer, Says


class Media(enum.Enum):
    """How the media of a video behaves."""

    WHOLE = enum.auto()
    FORBIDDEN = enum.auto()
    """403."""
    GONE = enum.auto()
    """410."""
    FORBIDDEN_FIRST = enum.auto()
    """403 in every attempt of odd number, counted from the start."""
    UNREACHABLE = enum.auto()
    """On a host that the proxy can't reach."""
    RESET = enum.auto()
    """The connection is reset before an answer."""
    DROPPED = enum.auto()
    """The connection ends half way, once; a request for the rest is served."""
    CUT = enum.auto()
    """The connection ends half way, and there is no rest."""
    STALLED = enum.auto()
    """Half, then silence."""
    GARBAGE = enum.auto()
    """Bytes that are no audio."""
    ENORMOUS = enum.auto()
    """Announces ``ENORMOUS_BYTES``; after the first few the connection ends."""
    CHALLENGED = enum.auto()
    """403 unless the player's JavaScript challenges were solved."""
    HOLED = enum.auto()
    """A fifth of the bytes are zeros."""
    EMPTY = enum.auto()
    """200 without a byte."""
    RESUMED_WHOLE = enum.auto()
    """The connection ends at two fifths; the request for the rest is answered 200 with the whole."""
    RESUMED_OTHER = enum.auto()
    """The same, with other bytes."""
    PIECES_WHOLE = enum.auto()
    """The request for any piece but the first is answered 200 with the whole."""
    FLAKY = enum.auto()
    """The connection ends after every ``FLAKY_BYTES``; requests for the rest are served."""
    TWICE = enum.auto()
    """One answer has all the bytes twice."""
    ENDLESS = enum.auto()
    """The bytes again and again, without an end."""
    FIRST_MISSING = enum.auto()
    """Of the fragments, the first is 404."""
    MIDDLE_MISSING = enum.auto()
    LAST_MISSING = enum.auto()


class Thumbnail(enum.Enum):
    """How the thumbnail of a video behaves."""

    DRAWN = enum.auto()
    ABSENT = enum.auto()
    """404."""
    SILENT = enum.auto()
    """Never an answer."""
    GARBAGE = enum.auto()
    """Bytes that are no picture."""
    DRIBBLING = enum.auto()
    """A byte now and then."""
    BOMB = enum.auto()
    """A small file with far too many pixels."""
    WEBP = enum.auto()
    """A WebP, and no JPEG."""
    LETTERBOXED = enum.auto()
    """No larger than 480 by 360, with black bars above and below."""
    PILLARBOXED = enum.auto()
    """A square between black bars."""


class Formats(enum.Enum):
    """Which formats a playable video offers."""

    AUDIO = enum.auto()
    VIDEO_ONLY = enum.auto()
    LIVE = enum.auto()
    SABR = enum.auto()
    """Described without addresses: they come by server-side adaptive streaming alone."""
    WITH_TOKEN = enum.auto()
    """For the web player alone, which gets their bytes only with a proof-of-origin token."""
    UNSOLVABLE = enum.auto()
    """Behind challenges of a player script that nobody can read."""
    PROTECTED = enum.auto()
    """By digital rights management."""


class Api(enum.Enum):
    """How the player API answers, while the watch page is as ever."""

    WHOLE = enum.auto()
    FORBIDDEN = enum.auto()
    """403."""
    LIMITED = enum.auto()
    """429."""
    RESET = enum.auto()
    """The connection is reset."""
    ANOTHER = enum.auto()
    """With another video than the one asked for, and so does the page."""


class Account(enum.Enum):
    """What becomes of the cookies of whoever is signed in."""

    LEFT = enum.auto()
    RENEWED = enum.auto()
    """Each watch page renews one, and its channel's name says how often that was done before."""
    SIGNED_OUT = enum.auto()
    """The watch page takes the sign-in away."""


ENORMOUS_BYTES = 8_000_000_000
FLAKY_BYTES = 1_000_000


@dataclass(frozen=True)
class Refusal:
    """The source's own words for why it does not play a video (``playabilityStatus``)."""

    status: str
    reason: str
    subreason: str = ""
    upcoming: bool = False
    trailer: str = ""
    """The id that is named in the video's place."""
    captcha: bool = False


@dataclass(frozen=True)
class Song:
    """What YouTube says of the music in a video."""

    track: str
    artist: str
    album: str


@dataclass(frozen=True)
class Reserved:
    """One reserved id. Fields that are None or 0 are as for an ordinary id."""

    video_id: str
    outcome: str
    """``completed`` or the error code of a failed conversion."""
    summary: str
    """One line for the documentation."""
    refusal: Refusal | None = None
    http_status: int = 0
    """What every page and API of this video answers."""
    api: Api = Api.WHOLE
    media: Media = Media.WHOLE
    thumbnail: Thumbnail = Thumbnail.DRAWN
    formats: Formats = Formats.AUDIO
    account: Account = Account.LEFT
    title: str = ""
    channel: str = ""
    description: str = ""
    song: Song | None = None
    chapters: tuple[tuple[int, str], ...] = ()
    """Each with the second at which it starts."""
    seconds: int = 0
    """What the source says."""
    clip_seconds: int = 0
    """What there is, where that differs from what the source says."""
    codec: str = ""
    sample_rate: int = 0
    channels: int = 0
    kbps: int = 0
    source_kbps: int = 0
    """The source's bandwidth."""
    offers: tuple[Offer, ...] = ()
    """The formats, where they are others than one audio stream."""
    says: Says = Says.LENGTH
    format_ms: int = 0
    """What the formats say to be long, in milliseconds, where it differs from what the video says."""
    silent: bool = False
    size: int = 0
    """To how many bytes the media is filled up with what is no sound, and what the formats say of it."""
