"""yt-dlp's warnings about formats that YouTube has but did not hand out to this server.

Most of YouTube's answers also list formats that cannot be fetched. These warnings matter only if no format was left.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from .. import errors
from .advice import Reason, Setup


@dataclass(frozen=True)
class Cause:
    """Why formats are missing: `words` complete "because …"; `owner` is what the owner can do."""

    pattern: re.Pattern[str]
    words: str
    owner: str


#: The strongest first. Each must match at the beginning of a line, after yt-dlp's own prefixes.
CAUSES = (
    Cause(
        re.compile(
            r"(n challenge|signature|nsig) (solving|extraction) failed|(unexpected )?error solving .*challenge"
            r"|no supported javascript runtime|remote components? .* skipped|(invalid )?js challenge "
            r"|challenge solver |hash mismatch on challenge solver|failed to (load|read) .*challenge solver"
            r"|unable to extract (n|nsig|signature)\b"
        ),
        "the player's JavaScript challenge was not solved",
        "update yt-dlp together with its Deno; `doctor` shows which it finds.",
    ),
    Cause(
        re.compile(r"some .* formats have been skipped as they are missing a url"),
        "they stream by SABR only, which yt-dlp cannot fetch",
        "YouTube tries this on some sessions: another exit in [ytdlp] proxy or other cookies may be spared.",
    ),
    Cause(
        re.compile(
            r".* formats require a gvs po token|unable to fetch (gvs|player) po token"
            r"|(unexpected )?error (when )?fetching po token"
        ),
        "YouTube wants a PO token for them",
        f"install 'ytmp3d[pot]' and run its provider, as {errors.PAGE} says.",
    ),
    Cause(
        re.compile(r"some .* formats have been skipped as they are drm protected|this video is drm protected and only"),
        "YouTube has put copy protection (DRM) on them",
        "YouTube tries this on some sessions; --extractor-args youtube:player_client=… in [ytdlp] args may help.",
    ),
)
_CHALLENGE, _SABR, _TOKEN, _DRM = CAUSES
_EXPERIMENT = "an experiment that applies drm to all videos"


def reason(lines: Iterable[str]) -> Reason | None:
    """Why no format was left; None if the lines do not say. `lines` are lower-cased, without prefixes."""
    lines = list(lines)
    found = [cause for cause in CAUSES if any(cause.pattern.match(line) for line in lines)]
    if not found:
        return None
    if found == [_DRM] and not any(_EXPERIMENT in line for line in lines):
        return Reason(errors.DrmProtected)
    causes = ", and ".join(cause.words for cause in found)

    def owner(_: Setup) -> str:
        return found[0].owner

    return Reason(
        errors.SourceWithheld,
        f"YouTube has this video, but this server cannot fetch its formats: {causes}. "
        "Try again later, or tell the server's owner.",
        owner,
    )


def challenge_failed(lines: Iterable[str]) -> bool:
    """Whether formats may be missing although YouTube handed them out."""
    return any(_CHALLENGE.pattern.match(line) for line in lines)
