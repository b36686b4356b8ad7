"""The meaning of yt-dlp's messages about the network.

These are words of yt-dlp, its libraries and the system, never YouTube's. They may occur anywhere in the text; the first
match counts.
"""

from __future__ import annotations

import re

from .. import errors
from . import advice
from .advice import Reason


class BrokenPipe(errors.EncodeFailed):
    """yt-dlp could not write its audio: the encoder that should read it has failed."""


class PlayerForbidden(errors.SourceForbidden):
    """YouTube refused to list the formats. An immediate retry does not help."""

    retried = False


_LIMITED = Reason(errors.SourceRateLimited, owner=advice.slower)
_PROXY = Reason(
    errors.NetworkError,
    "This server could not reach YouTube through its proxy. Try again later.",
    lambda setup: "look at [ytdlp] proxy or HTTPS_PROXY; `doctor` tests the proxy.",
    of_proxy=True,
)
_PROXY_LOGIN = Reason(
    errors.NetworkError,
    "This server could not reach YouTube, because its proxy wants another login. Try again later.",
    lambda setup: "the name and password in [ytdlp] proxy are not accepted; `doctor` tests the proxy.",
    of_proxy=True,
)
_TLS = Reason(
    errors.NetworkError,
    "This server could not reach YouTube, because the certificate it was shown is not valid. Try again later.",
    lambda setup: "if a proxy looks into TLS, name its authority at [ytdlp] ca_file; else look at the clock.",
)
_NETWORK = Reason(errors.NetworkError, owner=advice.network)
_STALLED = Reason(errors.Timeout, "YouTube stopped sending. Try again later.")
_SHORT = Reason(errors.Truncated)
_PART_MISSING = Reason(errors.Truncated, "A part of the audio could not be fetched from YouTube. Try again.")
_EMPTY = Reason(errors.Truncated, "YouTube sent no audio, though it says that there is some. Try again.")
_LAW = Reason(
    errors.GeoBlocked,
    "YouTube or a network on the way blocks this video by law or by an authority (HTTP 451). Tell the server's owner.",
    advice.other_country,
)
_BLOCKED = Reason(
    errors.GeoBlocked,
    "The network that this server is in blocks YouTube's page. Tell the server's owner.",
    advice.other_country,
)
SETTINGS = Reason(
    errors.JobFailed,
    "This server's settings for yt-dlp keep it from this video. Tell the server's owner.",
    advice.arguments,
)
_COOKIES = Reason(errors.CookiesInvalid)
_FFMPEG = Reason(
    errors.JobFailed,
    "This server cannot fetch the form that YouTube hands this video out in. Tell the server's owner.",
    advice.update,
)

_OTHER_HOST = Reason(
    errors.SourceWithheld,
    "YouTube's answer leads to another site, which this server does not ask. Try again later, or tell its owner.",
    lambda setup: "something on the way may answer in YouTube's place; `doctor` with this link repeats the failure.",
)

_REASONS: tuple[tuple[Reason, str], ...] = (
    (_OTHER_HOST, r"none of youtube's hosts"),
    (Reason(BrokenPipe), r"(unable to write data|unable to download video): \[errno 32\]|^brokenpipeerror"),
    (Reason(errors.DrmProtected), r"this format is drm protected"),
    (SETTINGS, r"client certificate|unsupported extensions|impersonat"),
    (_BLOCKED, r"access to this webpage has been blocked"),
    (Reason(errors.DiskFull), r"no space left on device|disk quota exceeded|\[errno (28|122)\]"),
    (
        _COOKIES,
        r"netscape format|failed to load cookies|cookies? database|cookies? file|failed to decrypt|secretstorage"
        r"|does not support profiles|no key found|kwallet|keyring",
    ),
    (
        _PROXY_LOGIN,
        r"(failed: |http error )407|proxy authentication|methods were rejected|unknown username or invalid",
    ),
    (_LIMITED, r"http error (429|402)"),
    (_LAW, r"http error 451"),
    (_SHORT, r"http error 416|content too short|bytes read|expected \d+ bytes|incompleteread|conflicting range"),
    (_PART_MISSING, r"fragment \d+ not found|got error: http error (404|410)"),
    (_EMPTY, r"did not get any data blocks|downloaded file is empty|ended without audio"),
    (_PROXY, r"\bprox(y|ies)|invalid response version|tunnel connection failed|socks"),
    (_TLS, r"certificate"),
    (_STALLED, r"read timed out|read operation timed out|timeout: the read"),
    (
        _NETWORK,
        r"failed to resolve|name resolution|name or service not known|nodename nor servname|getaddrinfo|no address"
        r"|connection|unreachable|no route to host|timed out|timeout|eof occurred|handshake|\bssl\b|\btls|remote end"
        r"|network error has occurred|max retries exceeded|broken pipe|urlopen error|redirect|legacy-server-connect",
    ),
    (_FFMPEG, r"ffmpeg (could not be|not) found|ffmpeg exited|no suitable downloader"),
)
_PATTERNS = tuple((re.compile(pattern), reason) for reason, pattern in _REASONS)
_STATUS = re.compile(r"http error (\d{3})")


def reason(said: str) -> Reason | None:
    """The job error for a network failure; None if it is no network failure."""
    for pattern, found in _PATTERNS:
        if pattern.search(said):
            return found
    status = _STATUS.search(said)
    return _of_status(int(status[1]), errors.SourceForbidden) if status else None


def player_reason(said: str) -> Reason | None:
    """The same for YouTube's pages and the player API, before any audio."""
    status = _STATUS.search(said)
    if status and int(status[1]) in (400, 401, 403, 404, 410):
        return _of_status(int(status[1]), PlayerForbidden)
    found = reason(said)
    return _NETWORK if found in (_SHORT, _PART_MISSING, _EMPTY) else found


def _of_status(status: int, error: type[errors.JobError]) -> Reason:
    if status >= 500:
        return Reason(
            errors.NetworkError,
            f"YouTube answered with a failure of its own (HTTP {status}). Try again later.",
            advice.network,
        )
    what = "to say what there is to play" if error is PlayerForbidden else "to hand out the audio"
    return Reason(
        error,
        f"YouTube refused {what} (HTTP {status}). Try again later, or tell the server's owner.",
        advice.sign_in_again if status == 401 else advice.update_or_exit,
    )
