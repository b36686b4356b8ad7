"""The reserved video ids: what the offline YouTube does on demand, as payment providers' test card numbers do."""

from __future__ import annotations

import enum
from dataclasses import dataclass

HOUR = 3600


class Media(enum.Enum):
    """How the media of a video behaves."""

    WHOLE = enum.auto()
    FORBIDDEN = enum.auto()
    """403."""
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


class Thumbnail(enum.Enum):
    """How the thumbnail of a video behaves."""

    DRAWN = enum.auto()
    ABSENT = enum.auto()
    """404."""
    SILENT = enum.auto()
    """Never an answer."""
    GARBAGE = enum.auto()
    """Bytes that are no picture."""


class Formats(enum.Enum):
    """Which formats a playable video offers."""

    AUDIO = enum.auto()
    VIDEO_ONLY = enum.auto()
    LIVE = enum.auto()


ENORMOUS_BYTES = 8_000_000_000


@dataclass(frozen=True)
class Refusal:
    """The source's own words for why it does not play a video (``playabilityStatus``)."""

    status: str
    reason: str
    subreason: str = ""
    upcoming: bool = False


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
    media: Media = Media.WHOLE
    thumbnail: Thumbnail = Thumbnail.DRAWN
    formats: Formats = Formats.AUDIO
    title: str = ""
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


SCRIPTS_TITLE = "Ünïcødé Ελληνικά Кириллица עברית العربية हिन्दी ไทย 한국어 日本語 中文 👩🏽‍🚀🎶🏳️‍🌈"
LONG_TITLE = ("A title as long as a title gets " * 10)[:299] + "!"
HOSTILE_TITLE = (
    "../../etc/passwd\r\nSet-Cookie: x=1\x00\"; filename='CON.mp3' <script>alert(1)</script>"
    " \u202egpj.exe %00 \\\\host\\c$ ."
)

_ALL = (
    # Refused by the source.
    Reserved(
        "x-not-found",
        "VIDEO_UNAVAILABLE",
        "Never existed.",
        refusal=Refusal("ERROR", "Video unavailable", "This video isn't available anymore"),
    ),
    Reserved(
        "x-removed--",
        "VIDEO_UNAVAILABLE",
        "Removed by its uploader.",
        refusal=Refusal("ERROR", "Video unavailable", "This video has been removed by the uploader"),
    ),
    Reserved(
        "x-private--",
        "VIDEO_PRIVATE",
        "Private.",
        refusal=Refusal("LOGIN_REQUIRED", "Private video", "Sign in if you've been granted access to this video"),
    ),
    Reserved(
        "x-age------",
        "AGE_RESTRICTED",
        "Asks to confirm the viewer's age.",
        refusal=Refusal(
            "LOGIN_REQUIRED", "Sign in to confirm your age", "This video may be inappropriate for some users."
        ),
    ),
    Reserved(
        "x-geo------",
        "GEO_BLOCKED",
        "Not available in the server's country.",
        refusal=Refusal(
            "UNPLAYABLE", "Video unavailable", "The uploader has not made this video available in your country"
        ),
    ),
    Reserved(
        "x-members--",
        "MEMBERS_ONLY",
        "For the channel's members only.",
        refusal=Refusal(
            "UNPLAYABLE",
            "Join this channel to get access to members-only content like this video, and other exclusive perks.",
        ),
    ),
    Reserved("x-live-----", "LIVE_STREAM", "Live now.", formats=Formats.LIVE),
    Reserved(
        "x-upcoming-",
        "UPCOMING",
        "A live event that has not begun.",
        refusal=Refusal("LIVE_STREAM_OFFLINE", "This live event will begin in 3 hours.", upcoming=True),
    ),
    Reserved(
        "x-premiere-",
        "UPCOMING",
        "A premiere that has not begun.",
        refusal=Refusal("LIVE_STREAM_OFFLINE", "Premieres in 3 hours", upcoming=True),
    ),
    Reserved(
        "x-bot------",
        "BOT_CHECK",
        "Asks to sign in to prove that nobody is a bot.",
        refusal=Refusal(
            "LOGIN_REQUIRED",
            "Sign in to confirm you\N{RIGHT SINGLE QUOTATION MARK}re not a bot",
            "This helps protect our community. Learn more",
        ),
    ),
    Reserved(
        "x-try-later",
        "SOURCE_RATE_LIMITED",
        "The source says to try again later.",
        refusal=Refusal("UNPLAYABLE", "This content isn't available, try again later."),
    ),
    Reserved(
        "x-http-429-", "SOURCE_RATE_LIMITED", "Every page and API answers 429 Too Many Requests.", http_status=429
    ),
    # Refused for what they are.
    Reserved("x-too-long-", "TOO_LONG", "Five hours long.", seconds=5 * HOUR, kbps=48),
    Reserved(
        "x-too-large", "TOO_LARGE", "Eight gigabytes for one hour.", media=Media.ENORMOUS, seconds=HOUR, clip_seconds=20
    ),
    Reserved("x-no-audio-", "NO_AUDIO", "A picture without sound.", formats=Formats.VIDEO_ONLY),
    # Failing on the way.
    Reserved("x-forbidden", "SOURCE_FORBIDDEN", "The media answers 403 Forbidden.", media=Media.FORBIDDEN),
    Reserved("x-reset----", "NETWORK_ERROR", "Every connection for the media is reset.", media=Media.RESET),
    Reserved("x-refused--", "NETWORK_ERROR", "The media's host can't be reached.", media=Media.UNREACHABLE),
    Reserved("x-cut-short", "TRUNCATED", "The media breaks off half way, at every attempt.", media=Media.CUT),
    Reserved("x-truncated", "TRUNCATED", "Says 20 s and has 12.", seconds=20, clip_seconds=12),
    Reserved("x-stalled--", "TIMEOUT", "The media stops coming half way, without a word.", media=Media.STALLED),
    Reserved("x-garbage--", "ENCODE_FAILED", "The media is no audio.", media=Media.GARBAGE),
    # Odd and yet fine.
    Reserved("x-drop-----", "completed", "The connection drops half way; the rest can be had.", media=Media.DROPPED),
    Reserved(
        "x-2nd-try--",
        "completed",
        "The first attempt is answered 403, the second works, and so on in turns.",
        media=Media.FORBIDDEN_FIRST,
    ),
    Reserved("x-slow-----", "completed", "20 s of audio that take about 10 s to come.", seconds=20, source_kbps=128),
    Reserved("x-4-minutes", "completed", "Four minutes long, as a song is.", seconds=240, kbps=128),
    Reserved("x-one-hour-", "completed", "One hour long.", seconds=HOUR, kbps=48),
    Reserved("x-1-second-", "completed", "One second long.", seconds=1),
    Reserved(
        "x-aac------", "completed", "AAC in M4A instead of Opus in WebM.", codec="aac", sample_rate=44_100, kbps=128
    ),
    Reserved(
        "x-44k-mono-", "completed", "44.1 kHz, one channel.", codec="aac", sample_rate=44_100, channels=1, kbps=64
    ),
    Reserved(
        "x-22k-mono-", "completed", "22.05 kHz, one channel.", codec="aac", sample_rate=22_050, channels=1, kbps=32
    ),
    Reserved("x-no-thumb-", "completed", "The thumbnail is missing (404).", thumbnail=Thumbnail.ABSENT),
    Reserved("x-thumbhang", "completed", "The thumbnail never answers.", thumbnail=Thumbnail.SILENT),
    Reserved("x-thumbjunk", "completed", "The thumbnail is no picture.", thumbnail=Thumbnail.GARBAGE),
    Reserved("x-scripts--", "completed", "A title in many scripts, with emoji.", title=SCRIPTS_TITLE),
    Reserved("x-longtitle", "completed", "A title of 300 characters.", title=LONG_TITLE),
    Reserved("x-badtitle-", "completed", "A title that attacks headers and file systems.", title=HOSTILE_TITLE),
    Reserved("x-twin-one-", "completed", "Has the same title as x-twin-two-.", title="Twins"),
    Reserved("x-twin-two-", "completed", "Has the same title as x-twin-one-.", title="Twins"),
    Reserved("x-js-------", "completed", "Needs the player's JavaScript challenges solved.", media=Media.CHALLENGED),
)

RESERVED: dict[str, Reserved] = {reserved.video_id: reserved for reserved in _ALL}


def reserved(video_id: str) -> Reserved:
    """The entry of a reserved id, or one that says nothing in particular."""
    return RESERVED.get(video_id) or Reserved(video_id, "completed", "An ordinary video.")
