"""Why a run of yt-dlp failed: finds the job error that its last message and its warnings stand for.

If the message names the reason, it alone counts. If it says only that no format is left, the warnings before it give
the reason. Neither contains a video's title: only yt-dlp's warnings are read from its log.

`tests/unit/test_reasons.py` lists every known sentence of yt-dlp's and YouTube's with its code.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from .. import errors
from . import advice, playability, transport, withheld
from .advice import Reason, Setup

#: Most characters quoted of an unknown sentence.
QUOTED = 200

#: `ERROR: [youtube] dQw4w9WgXcQ: …`, `\r[download] Got error: …`, `[youtube] [jsc:deno] …`.
_PREFIX = re.compile(r"((error|warning): |\[[\w:+ -]+\] |(?<=\] )([\w-]{11}: ){1,2})+", re.IGNORECASE)
_OF_YOUTUBE = re.compile(r"(error: )?\[youtube", re.IGNORECASE)
#: yt-dlp's advice for users of its command line.
_ADDED = re.compile(
    r"(;|\.)? *(please report this issue on |\(caused by |use --|see +https?://|for more information, refer to"
    r"|you might want to use a vpn|this video is available in )",
    re.IGNORECASE,
)
_BUG = "please report this issue on"
#: Python's exceptions that have nothing to do with the network, whatever their text.
_PROGRAMMING = re.compile(
    r"(assertion|attribute|import|index|json\w*|key|lookup|memory|modulenotfound|name|notimplemented|overflow|recursion"
    r"|runtime|struct|type|unboundlocal|unicode\w*|value|zerodivision)error: "
)
#: Messages of yt-dlp's extractor itself, not YouTube's. It calls its own bugs bugs.
_OWN_WORDS = re.compile(
    r"unable to (download|fetch)|error reading response|failed to (download|fetch)|download of .* failed"
    r"|a network error has|access to this webpage|no player clients|unsupported language|login (with|details)"
    r"|the extractor is attempting impersonation|incomplete data received"
)
#: Nothing is left to fetch; the warnings say why.
_NOTHING_LEFT = re.compile(
    r"requested format is not available|no video formats found|failed to extract any player response"
    r"|(this video is drm protected and )?only images are available"
)
_NO_FORMATS = "requested format is not available"
_ONLY_IMAGES = "only images are available"
_SHUT_OUT = re.compile(r"all player responses are invalid|skipping player responses from")
_STALE_COOKIES = "the provided youtube account cookies are no longer valid"
#: Failed requests for a page or the player API.
_PAGES = re.compile(
    r"unable to download (api page|webpage)|error reading response|failed to (download|fetch|connect)"
    r"|download of .* failed|a network error has occurred"
)
_CONFIGURED = re.compile(r"no player clients|unsupported language|login (with|details)|.{0,30}impersonat")
#: Refusals that a signed-in account may not get.
_SIGN_IN_HELPS = (
    errors.BotCheck,
    errors.AgeRestricted,
    errors.MembersOnly,
    errors.PaymentRequired,
    errors.SourceWithheld,
    errors.VideoPrivate,
)

_BOT = Reason(
    errors.BotCheck,
    "YouTube answers this server with other videos than the one it asks for, as it does to bots. "
    "Try again later, or tell the server's owner.",
    advice.other_exit,
)
_NOTHING = Reason(errors.SourceWithheld, owner=advice.update)
_SILENT = Reason(errors.NoAudio)
_BROKEN = Reason(
    errors.JobFailed,
    "The program that fetches videos for this server, yt-dlp, failed on this one. "
    "Try again later, or tell the server's owner.",
    advice.update,
)
_STALE = Reason(errors.CookiesInvalid)


def failure(message: str, warnings: Sequence[str] = (), setup: Setup | None = None) -> errors.JobError:
    """The job error for yt-dlp's last `message` and its `warnings`."""
    setup = setup or Setup()
    lines = [_bare(line) for line in warnings]
    found = _reason(message, lines)
    if any(line.startswith(_STALE_COOKIES) for line in lines) and issubclass(found.error, _SIGN_IN_HELPS):
        found = _STALE
    return found.raised(setup)


def _reason(message: str, lines: list[str]) -> Reason:
    said = _bare(message)
    if _NOTHING_LEFT.match(said):
        return _nothing_left(said, lines)
    if _SHUT_OUT.match(said):
        return _BOT
    if _OF_YOUTUBE.match(message.lstrip()) and not _OWN_WORDS.match(said) and _BUG not in message:
        return _of_youtube(message, said, lines)
    if _PROGRAMMING.match(said) or (_BUG in message and not _PAGES.match(said)):
        return _BROKEN
    if _CONFIGURED.match(said):
        return transport.SETTINGS
    found = transport.player_reason(said) if _PAGES.match(said) else transport.reason(said)
    return found or _BROKEN


def _of_youtube(message: str, said: str, lines: list[str]) -> Reason:
    """The job error for YouTube's own sentence."""
    found = playability.reason(said)
    if found is playability.BARE:
        return _why(lines) or found
    if found:
        return found
    quote = f"YouTube does not let this server have the video, and says: \u201c{quoted(message)}\u201d. "
    return Reason(errors.SourceRefused, quote + "Try again later, or tell the server's owner.", advice.update)


def _nothing_left(said: str, lines: list[str]) -> Reason:
    """NO_AUDIO if formats were listed and all are silent, else SOURCE_WITHHELD."""
    only_images = any(_ONLY_IMAGES in line for line in lines)
    if said.startswith(_NO_FORMATS) and not only_images and not withheld.challenge_failed(lines):
        return _SILENT
    return _why(lines) or _NOTHING


def _why(lines: list[str]) -> Reason | None:
    """The reason in the warnings. Failed requests come first, since the other warnings also occur in good runs."""
    answers = [found for line in lines if _PAGES.match(line) and (found := transport.player_reason(line))]
    order = (errors.SourceRateLimited, errors.SourceForbidden, errors.GeoBlocked)
    answers.sort(key=lambda found: not issubclass(found.error, order))
    if answers:
        return answers[0]
    if found := withheld.reason(lines):
        return found
    return _BOT if any(_SHUT_OUT.match(line) for line in lines) else None


def _bare(text: str) -> str:
    """Lower-cased, on one line, with plain apostrophes and without yt-dlp's prefixes."""
    plain = " ".join(text.translate(_APOSTROPHES).split()).lower()
    prefix = _PREFIX.match(plain)
    return plain[prefix.end() :] if prefix else plain


def quoted(message: str) -> str:
    """YouTube's words, safe to show: no control characters, no addresses, no advice of yt-dlp's."""
    kept = "".join(c if unicodedata.category(c)[0] != "C" else " " for c in message)
    plain = " ".join(kept.split())
    prefix = _PREFIX.match(plain)
    said = plain[prefix.end() :] if prefix else plain
    if added := _ADDED.search(said):
        said = said[: added.start()]
    said = said.rstrip(" .")
    return said if len(said) <= QUOTED else said[: QUOTED - 1].rstrip() + "…"


_APOSTROPHES = str.maketrans({"\u2019": "'", "\u2018": "'", "\u02bc": "'", "\u201c": '"', "\u201d": '"'})
