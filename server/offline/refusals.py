"""The reserved ids that the source refuses, in the words that YouTube has for it."""

from __future__ import annotations

from .behaviours import Formats, Refusal, Reserved

REFUSALS = (
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
)
