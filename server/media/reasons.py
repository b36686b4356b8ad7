"""Why a run of yt-dlp failed: from its last message and its warnings to the job error that is true.

Where the message names the reason, it alone counts. Where it says only that nothing is left to fetch, the warnings
before it say why. Neither holds a video's title: what is read of the log is what yt-dlp warns of.

Every sentence that yt-dlp or YouTube is known to say, with its code, stands in `tests/unit/test_reasons.py`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from .. import errors
from . import advice, playability, transport, withheld
from .advice import Reason, Setup

#: Characters quoted of a sentence that nobody knows.
QUOTED = 200

#: `ERROR: [youtube] dQw4w9WgXcQ: …`, `\r[download] Got error: …`, `[youtube] [jsc:deno] …`.
_PREFIX = re.compile(r"((error|warning): |\[[\w:+ -]+\] |(?<=\] )([\w-]{11}: ){1,2})+", re.IGNORECASE)
_OF_YOUTUBE = re.compile(r"(error: )?\[youtube", re.IGNORECASE)
#: What yt-dlp adds for whoever sits at its command line.
_ADDED = re.compile(
    r"(;|\.)? *(please report this issue on |\(caused by |use --|see +https?://|for more information, refer to"
    r"|you might want to use a vpn|this video is available in )",
    re.IGNORECASE,
)
_BUG = "please report this issue on"
#: Exceptions of Python's that have nothing to do with the way to YouTube, whatever words they hold.
_PROGRAMMING = re.compile(
    r"(assertion|attribute|import|index|json\w*|key|lookup|memory|modulenotfound|name|notimplemented|overflow|recursion"
    r"|runtime|struct|type|unboundlocal|unicode\w*|value|zerodivision)error: "
)
#: What yt-dlp's extractor says of its own, beside what YouTube says. A bug of its own it calls one.
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
#: What a page or the player API answered, or failed to.
_PAGES = re.compile(
    r"unable to download (api page|webpage)|error reading response|failed to (download|fetch|connect)"
    r"|download of .* failed|a network error has occurred"
)
_CONFIGURED = re.compile(r"no player clients|unsupported language|login (with|details)|.{0,30}impersonat")
#: What a signed-in account sees and a guest does not.
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
    """The job error that yt-dlp's last `message` and its `warnings` amount to."""
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
    """YouTube's own sentence."""
    found = playability.reason(said)
    if found is playability.BARE:
        return _why(lines) or found
    if found:
        return found
    quote = f"YouTube does not let this server have the video, and says: \u201c{quoted(message)}\u201d. "
    return Reason(errors.SourceRefused, quote + "Try again later, or tell the server's owner.", advice.update)


def _nothing_left(said: str, lines: list[str]) -> Reason:
    """Formats that were listed and are all silent are NO_AUDIO, all else was withheld."""
    only_images = any(_ONLY_IMAGES in line for line in lines)
    if said.startswith(_NO_FORMATS) and not only_images and not withheld.challenge_failed(lines):
        return _SILENT
    return _why(lines) or _NOTHING


def _why(lines: list[str]) -> Reason | None:
    """What the warnings say: first what a page or the API answered, since the rest is there on good days, too."""
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
    """What YouTube said, as one may show it: no control characters, no addresses, no advice of yt-dlp's."""
    kept = "".join(c if unicodedata.category(c)[0] != "C" else " " for c in message)
    plain = " ".join(kept.split())
    prefix = _PREFIX.match(plain)
    said = plain[prefix.end() :] if prefix else plain
    if added := _ADDED.search(said):
        said = said[: added.start()]
    said = said.rstrip(" .")
    return said if len(said) <= QUOTED else said[: QUOTED - 1].rstrip() + "…"


_APOSTROPHES = str.maketrans({"\u2019": "'", "\u2018": "'", "\u02bc": "'", "\u201c": '"', "\u201d": '"'})
