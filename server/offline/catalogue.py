"""The reserved video ids: what the offline YouTube does on demand, as payment providers' test card numbers do."""

from __future__ import annotations

from .adorned import ADORNED
from .behaviours import Formats, Media, Reserved
from .odd_sources import ODD_SOURCES
from .refusals import REFUSALS

HOUR = 3600

_ALL = (
    *REFUSALS,
    # Refused for what they are.
    Reserved("x-too-long-", "TOO_LONG", "Five hours long.", seconds=5 * HOUR, kbps=48),
    Reserved(
        "x-too-large", "TOO_LARGE", "Eight gigabytes for one hour.", media=Media.ENORMOUS, seconds=HOUR, clip_seconds=20
    ),
    Reserved("x-no-audio-", "NO_AUDIO", "A picture without sound.", formats=Formats.VIDEO_ONLY),
    # Failing on the way.
    Reserved("x-forbidden", "SOURCE_FORBIDDEN", "The media answers 403 Forbidden.", media=Media.FORBIDDEN),
    Reserved("x-gone-----", "SOURCE_FORBIDDEN", "The media is gone (410).", media=Media.GONE),
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
    Reserved("x-js-------", "completed", "Needs the player's JavaScript challenges solved.", media=Media.CHALLENGED),
    *ODD_SOURCES,
    # Odd in tags and pictures.
    *ADORNED,
)

RESERVED: dict[str, Reserved] = {reserved.video_id: reserved for reserved in _ALL}


def reserved(video_id: str) -> Reserved:
    """The entry of a reserved id, or one that says nothing in particular."""
    return RESERVED.get(video_id) or Reserved(video_id, "completed", "An ordinary video.")
