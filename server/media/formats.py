"""Chooses the format to fetch, and finds the length of its sound. Pure functions over yt-dlp's list.

A format is yt-dlp's own dictionary; any field may be missing. Known limit: the choice trusts YouTube on whether a
format is surround or ambisonic; what the stream itself says is in its first bytes (`opus_channels`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import unquote

Format = Mapping[str, Any]

#: Protocols that yt-dlp downloads by itself. It would start another program for any other.
PROTOCOLS = {"https": 2, "http": 2, "http_dash_segments": 1, "m3u8_native": 0}
#: Where `remember_lengths` keeps a format's own length, in seconds.
LENGTH = "own_length"

#: yt-dlp's values of `language_preference`.
_ORIGINAL, _DESCRIBED = 10, -10
#: Opus sounds as good as other codecs at this many times its bitrate.
_OPUS_ADVANTAGE = 1.25
#: Codecs that are surround unless the format says otherwise.
_SURROUND_CODEC = re.compile(r"e-?ac-?[34]|e?c-[34]|ac-?[34]|dts", re.IGNORECASE)
#: YouTube's media addresses say their length in a query or, in manifests, in the path.
_LENGTH_IN_URL = re.compile(r"[?&/]dur[=/](\d+(?:\.\d+)?)(?=[&/]|$)")
_EXTINF = re.compile(r"^#EXTINF:\s*(\d+(?:\.\d+)?)", re.MULTILINE)


def ranked(formats: Sequence[Format]) -> list[Format]:
    """All formats that may be fetched for their sound, the best first.

    The order: the original language, whole and unlocked, two channels, no picture, the best bitrate. Of formats with a
    picture, the smallest comes first. Of equals, the later one comes first, since yt-dlp lists better formats later.
    Formats with a compressed dynamic range, and those that need another program to download, are left out.
    """
    fit = [one for one in formats if _has_sound(one) and one.get("protocol") in PROTOCOLS and not _is_compressed(one)]
    return sorted(reversed(fit), key=_preference, reverse=True)


def has_picture(one: Format) -> bool:
    return one.get("vcodec") != "none"


def may_be_ambisonic(one: Format) -> bool:
    """Whether the first bytes must be examined: with more than two channels, only Opus can carry ambisonics."""
    opus = str(one.get("acodec") or "").lower().startswith("opus")
    return opus and one.get("audio_channels") not in (1, 2)


def opus_channels(head: bytes) -> tuple[int, bool]:
    """How many channels the Opus in a file's first bytes has, and whether they are ambisonic (RFC 8486); 0 if unknown.

    Its identification header (RFC 7845, 5.1) is in every container.
    """
    start = head.find(b"OpusHead")
    if start < 0 or len(head) < start + 19:
        return 0, False
    return head[start + 9], head[start + 18] in (2, 3)


def remember_lengths(formats: Sequence[dict[str, Any]]) -> None:
    """Note each format's own length where it says one. Call before yt-dlp fills in what the extractor left out."""
    for one in formats:
        if length := _own_length(one):
            one[LENGTH] = length


def playlist_length(playlist: str) -> float | None:
    """Seconds of an HLS media playlist; None for one that has no end, or whose segments are in whole seconds only.

    Whole seconds are rounded (RFC 8216, 4.3.2.1), each by up to a half.
    """
    lengths = _EXTINF.findall(playlist)
    if "#EXT-X-ENDLIST" not in playlist or not any("." in length for length in lengths):
        return None
    return sum(map(float, lengths))


def _own_length(one: Format) -> float | None:
    for url in (one.get("url"), one.get("fragment_base_url")):
        if found := _LENGTH_IN_URL.search(unquote(str(url or ""))):
            return float(found[1])
    if one.get("filesize_approx") and one.get("tbr"):  # all that yt-dlp keeps of `approxDurationMs`
        return float(one["filesize_approx"] / (one["tbr"] * 125))
    fragments = one.get("fragments")
    if isinstance(fragments, list) and any(fragment.get("duration") for fragment in fragments):
        return float(sum(fragment.get("duration") or 0 for fragment in fragments))
    return None


def _has_sound(one: Format) -> bool:
    """Whether there is sound. HLS renditions do not name their codec; only `none` means silence."""
    return one.get("acodec") != "none" and one.get("has_drm") is not True


def _is_compressed(one: Format) -> bool:
    """Whether the dynamic range is compressed ("stable volume", DRC)."""
    noted = re.search(r"\bDRC\b", str(one.get("format_note") or ""))
    return bool(noted) or "drc" in str(one.get("format_id") or "").split("-") or _tag(one, "drc") == "1"


def _preference(one: Format) -> tuple[float, ...]:
    """A sort key; greater is better."""
    picture = has_picture(one)
    return (
        language(one),
        _is_usable(one),
        _channel_rank(one),
        not picture,
        *((-(one.get("height") or 10_000), -(one.get("tbr") or 100_000)) if picture else (_bitrate(one), 0)),
        PROTOCOLS[one["protocol"]],
    )


def _is_usable(one: Format) -> bool:
    """Whether the format is neither damaged nor known to be locked."""
    note = str(one.get("format_note") or "")
    return "DAMAGED" not in note and "MISSING POT" not in note and not one.get("has_drm")


def language(one: Format) -> float:
    """How close a track is to the original; greater is better."""
    preference = one.get("language_preference")
    if preference is not None and preference != -1:
        return float(preference)
    note, content = str(one.get("format_note") or "").lower(), _tag(one, "acont")
    if "descriptive" in note or content == "descriptive":
        return _DESCRIBED
    if "(original)" in note or content == "original":
        return _ORIGINAL
    return -2 if content.startswith("dubbed") else -1


def _tag(one: Format, name: str) -> str:
    """A value of `xtags`, in which YouTube's addresses say what a track is: `acont=dubbed-auto:lang=de`."""
    found = re.search(r"xtags[=/]([^&/]+)", unquote(str(one.get("url") or "")))
    pairs = (pair.partition("=") for pair in found[1].split(":")) if found else ()
    return next((value for key, _, value in pairs if key == name), "")


def _channel_rank(one: Format) -> int:
    """A rank: two channels, then one, then more, then ambisonic. An unknown number counts as two."""
    note = str(one.get("format_note") or "").lower()
    if "ambisonic" in note or "foa" in note:
        return 0
    return {2: 3, 1: 2}.get(_channels(one), 1)


def _channels(one: Format) -> int:
    said = one.get("audio_channels")
    return int(said) if said else 6 if _SURROUND_CODEC.match(str(one.get("acodec") or "")) else 2


def _bitrate(one: Format) -> float:
    opus = str(one.get("acodec") or "").lower().startswith("opus")
    return float(one.get("abr") or one.get("tbr") or 0) * (_OPUS_ADVANTAGE if opus else 1)
