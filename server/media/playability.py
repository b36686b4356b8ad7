"""YouTube's own sentences for why it does not play a video, and what they mean.

A pattern must match at the beginning of YouTube's sentence (lower-cased, with plain apostrophes), so that a name within
it (a channel's, a membership level's, a claimant's) is never taken for another sentence. The first match counts.
"""

from __future__ import annotations

import re

from .. import errors
from . import advice
from .advice import Reason

BARE = Reason(errors.VideoUnavailable)
_BOT = Reason(errors.BotCheck, owner=advice.other_exit)
_RELOAD = Reason(
    errors.BotCheck,
    "YouTube turned this server away with \u201cThe page needs to be reloaded\u201d. "
    "Try again later, or tell the server's owner.",
    advice.update_or_exit,
)
_LIMITED = Reason(errors.SourceRateLimited, owner=advice.slower)
_SHUT_OUT = Reason(
    errors.SourceRateLimited,
    "YouTube says \u201cThis content isn't available\u201d, as it says to those who asked it for too much. "
    "Try again tomorrow, or tell the server's owner.",
    advice.slower,
)
_VPN = Reason(
    errors.GeoBlocked,
    "YouTube takes this server's address for a VPN and does not play this video there. Tell the server's owner.",
    advice.other_exit,
)
_PRIVATE = Reason(errors.VideoPrivate)
_MEMBERS = Reason(errors.MembersOnly, owner=advice.account)
_PAYMENT = Reason(errors.PaymentRequired, owner=advice.premium)
_DRM = Reason(errors.DrmProtected)
_AGE = Reason(errors.AgeRestricted, owner=advice.account)
_NOT_EVERYONE = Reason(
    errors.AgeRestricted,
    "YouTube says that this video isn't available to everyone, as it says of videos for adults. "
    "Tell the server's owner.",
    advice.account,
)
_WARNING = Reason(
    errors.AgeRestricted,
    "YouTube wants viewers to confirm a content warning or their age before this video. Tell the server's owner.",
    advice.account,
)
_UPCOMING = Reason(errors.Upcoming)
_PROCESSING = Reason(errors.Upcoming, "YouTube is still processing this video. Try again in a while.")
_ENDED = Reason(
    errors.LiveStream,
    "YouTube says that this live stream has ended or is offline, and plays no recording of it. Try again in a day.",
)
_GEO = Reason(errors.GeoBlocked, owner=advice.other_country)
_COPYRIGHT = Reason(
    errors.VideoUnavailable, "YouTube blocks this video for a copyright holder. Try another upload of it."
)
_ACCOUNT_GONE = Reason(
    errors.VideoUnavailable, "YouTube says that the account of this video no longer exists. Try another upload of it."
)
_REMOVED = Reason(errors.VideoUnavailable, "YouTube says that this video was removed. Try another upload of it.")
_MISSING = Reason(errors.VideoUnavailable, "YouTube says that this video does not exist. Check the link.")
_NO_MORE = Reason(errors.VideoUnavailable, "YouTube says that this video is not available any more. Check the link.")
_LOCKED = Reason(errors.VideoUnavailable, "YouTube says that this video is locked, under review or not released.")
_RESTRICTED = Reason(
    errors.VideoUnavailable,
    "YouTube is in restricted mode for this server, in which it does not play this video. Tell the server's owner.",
    lambda setup: (
        "the network's DNS or administrator can force restricted mode"
        f"{', and so can the account of the cookies' if setup.cookies else ''}; use another DNS or [ytdlp] proxy."
    ),
)
_OTHER_PLAYER = Reason(
    errors.SourceWithheld,
    "YouTube does not play this video in the kind of player that this server is. "
    "Try again later, or tell the server's owner.",
    advice.update,
)

_IT = r"(this|the) (video|content|movie|film|clip|live ?stream|stream)"
_NOT = r"(isn't|is not)( currently)?"
_COUNTRY = r"(in|on|from) (your|this) (country|region|location)"
_PREMIUM = r"(youtube |music )*premium"
_END = r"[.!]*$"

REASONS: tuple[tuple[Reason, tuple[str, ...]], ...] = (
    (
        _BOT,
        (
            r"(sign in to )?(confirm|verify|prove) (that )?(you're|you are) not a (ro)?bot",
            r"(please )?(sign|log) in( to (continue|youtube|(view|watch) this video))?([.!]| use --cookies.*)*$",
            r"(sorry for the interruption[.] )?(our systems|we) have (detected unusual|been receiving a large)",
        ),
    ),
    (_RELOAD, (r"the page needs to be reloaded",)),
    (_VPN, (r"(vpn/proxy detected|to continue, turn off your vpn)",)),
    (
        _LIMITED,
        (
            rf"{_IT} {_NOT} available, try again later",
            r"(the current session|your account) has been rate-limited",
            r"(too many requests|quota exceeded|resource has been exhausted)",
        ),
    ),
    (_SHUT_OUT, (rf"this content {_NOT} available{_END}",)),
    (
        _PRIVATE,
        (
            r"(this is a )?private video",
            r"(this )?video is private",
            r"(sign in if you've been granted|if the owner of this video has granted)",
        ),
    ),
    (
        _PAYMENT,
        (
            rf"{_IT} (requires|needs) (a )?(payment|purchase|rental|{_PREMIUM})",
            rf"{_IT} is (a paid|only available (to|for|with) {_PREMIUM})",
            rf"(available (to|for|with)|get|try|join) {_PREMIUM}",
            r"(rent or buy|buy or rent|rental|purchase)\b",
        ),
    ),
    (
        _MEMBERS,
        (
            r"join this (youtube )?channel",
            rf"{_IT} is (only )?(available )?(for|to) (this channel's |the channel's |channel )?members",
            r"members[- ]only",
        ),
    ),
    (_DRM, (r"this (video|format) is (drm[- ]protected|protected by drm)",)),
    (
        _AGE,
        (
            r"(please )?(sign in to )?(confirm|verify) your age",
            r"this (content|video) is age-restricted",
            r"this age-restricted (video|content)",
            rf"{_IT} may be inappropriate",
        ),
    ),
    (_NOT_EVERYONE, (rf"{_IT} {_NOT} available (to everyone|(for|to|on) (supervised|children|kids))",)),
    (
        _WARNING,
        (
            r"content warning",
            r"the following content (may contain|may include|has been identified)",
            rf"{_IT} (may|might) contain",
            r"(viewer discretion is advised|the video you have requested has been rated)",
        ),
    ),
    (
        _UPCOMING,
        (
            r"this live ?(event|stream) will begin",
            r"(this )?(video )?(premieres|will premiere|premiere will begin)\b",
            r"(upcoming|scheduled for|starts in|live in|waiting for)\b",
        ),
    ),
    (
        _PROCESSING,
        (
            r"(we're|we are|youtube is) (still )?processing this video",
            rf"{_IT} is (still )?(being )?process(ed|ing)",
            rf"{_IT} is not yet available",
        ),
    ),
    (
        _ENDED,
        (
            r"(this |the )?live ?(event|stream) (has ended|is over|is offline|offline)",
            r"(this |the )?(stream|broadcast) (has ended|is over|is offline)",
            r"(this |the )?live ?stream recording is not available",
            rf"offline{_END}",
        ),
    ),
    (
        _GEO,
        (
            rf"(the )?uploader has not made this video available {_COUNTRY}",
            rf"({_IT}|it) {_NOT} available {_COUNTRY}",
            rf"not available {_COUNTRY}",
            rf"{_IT} contains content from .*(blocked it|{_NOT} available) {_COUNTRY}",
            rf"{_IT} (has been|was|is) blocked {_COUNTRY}",
        ),
    ),
    (
        _ACCOUNT_GONE,
        (
            rf"{_IT} is no longer available because the (uploader has closed|(youtube )?account)",
            r"(this|the) (youtube )?(account|channel) .{0,40}(terminated|closed|removed|does not exist)",
        ),
    ),
    (_OTHER_PLAYER, (rf"{_IT} contains content from .*(blocked it from display|restricted from playback)",)),
    (
        _COPYRIGHT,
        (
            rf"{_IT} is no longer available (because|due to) .*(copyright|trademark)",
            rf"{_IT} contains content from .*blocked it",
            r"it was (removed|blocked) (following|due to) (a|the) (copyright|claimed|trademark)",
        ),
    ),
    (
        _REMOVED,
        (rf"({_IT} )?(has been|was) (removed|deleted|taken down)", r"removed by the (uploader|user)"),
    ),
    (_MISSING, (rf"{_IT} (does not|doesn't) exist",)),
    (_NO_MORE, (rf"{_IT} is no longer available", rf"{_IT} {_NOT} available any ?more")),
    (
        _LOCKED,
        (
            rf"{_IT} (has been|was) (disabled|locked|flagged)",
            r"(this )?video is unavailable pending review",
            rf"(the )?uploader has not made this video available{_END}",
        ),
    ),
    (
        _RESTRICTED,
        (
            rf"{_IT} is restricted[.,] (please check|try signing in)",
            rf"{_IT} is (unavailable|not available) (with|in|on) (restricted mode|your network)",
            rf"({_IT} is |this has been )?blocked by your",
            r"(restricted mode|your (network|workspace|it) administrator)",
        ),
    ),
    (
        _OTHER_PLAYER,
        (
            r"playback on other websites has been disabled",
            rf"{_IT} (can't|cannot) be played here",
            rf"{_IT} is (unavailable|not available|restricted) (on|from) (this device|playback)",
            r"the following content is not available on this app",
            r"youtube is (no longer|not) supported in this application",
            r"watch (this video|on the latest version)",
        ),
    ),
)
_PATTERNS = tuple((re.compile(pattern), reason) for reason, patterns in REASONS for pattern in patterns)
_BARE = re.compile(
    rf"((this |the )?(video|content) )?(is |is currently )?(unavailable|not available){_END}"
    rf"|(this|the) video isn't available{_END}"
)
#: Words that may precede the sentence with the reason and mean nothing themselves.
_LEAD = re.compile(
    r"youtube said: (error - |alert - )?"
    r"|(((this |the )?video (is )?)?(unavailable|not available)|(playback )?error|an error occurred"
    r"|something went wrong|sorry|unfortunately)[.,:!]+\s+"
)
#: yt-dlp's own addition, at the very end.
_CAPTCHA = "youtube is requiring a captcha challenge before playback"


def reason(said: str) -> Reason | None:
    """The meaning of YouTube's sentence: `BARE` if it gives no reason, None if the sentence is unknown."""
    if said.rstrip(". ").endswith(_CAPTCHA):
        return _BOT
    while said:
        for pattern, found in _PATTERNS:
            if pattern.match(said):
                return found
        if _BARE.match(said):
            return BARE
        lead = _LEAD.match(said)
        if not lead:
            return None
        said = said[lead.end() :]
    return None
