"""The reserved ids that the source refuses, in the words and in the shapes that YouTube has for it."""

from __future__ import annotations

from .behaviours import Api, Formats, Media, Refusal, Reserved

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
    Reserved(
        "x-account--",
        "VIDEO_UNAVAILABLE",
        "Gone with its account.",
        refusal=Refusal(
            "ERROR",
            "Video unavailable",
            "This video is no longer available because the YouTube account associated with this video has been"
            " terminated.",
        ),
    ),
    Reserved(
        "x-copyright",
        "VIDEO_UNAVAILABLE",
        "Taken down after a copyright claim.",
        refusal=Refusal(
            "ERROR",
            "Video unavailable",
            "This video is no longer available due to a copyright claim by The Offline Orchestra.",
        ),
    ),
    Reserved(
        "x-restrict-",
        "VIDEO_UNAVAILABLE",
        "The server's network or account is in restricted mode.",
        refusal=Refusal(
            "ERROR",
            "Video unavailable",
            "This video is restricted. Please check the Google Workspace administrator and/or the network administrator"
            " restrictions.",
        ),
    ),
    Reserved(
        "x-no-reason",
        "VIDEO_UNAVAILABLE",
        "Not available, and no word of why.",
        refusal=Refusal("UNPLAYABLE", "Video unavailable", "This video is not available"),
    ),
    Reserved(
        "x-everyone-",
        "AGE_RESTRICTED",
        "Not for everyone.",
        refusal=Refusal("UNPLAYABLE", "This video isn\N{RIGHT SINGLE QUOTATION MARK}t available to everyone"),
    ),
    Reserved(
        "x-warning--",
        "AGE_RESTRICTED",
        "Behind a content warning.",
        refusal=Refusal(
            "CONTENT_CHECK_REQUIRED",
            "The following content may contain suicide or self-harm topics.",
            "Viewer discretion is advised",
        ),
    ),
    Reserved(
        "x-court----",
        "GEO_BLOCKED",
        "Blocked by a court where the server is.",
        refusal=Refusal(
            "UNPLAYABLE",
            "Video unavailable",
            "This content is not available on this country domain due to a court order.",
        ),
    ),
    Reserved(
        "x-label----",
        "GEO_BLOCKED",
        "Blocked by a label where the server is.",
        refusal=Refusal(
            "UNPLAYABLE",
            "Video unavailable",
            "This video contains content from The Offline Orchestra, who has blocked it in your country on copyright"
            " grounds",
        ),
    ),
    Reserved(
        "x-payment--",
        "PAYMENT_REQUIRED",
        "For rent or for sale.",
        refusal=Refusal("UNPLAYABLE", "This video requires payment to watch."),
    ),
    Reserved(
        "x-premium--",
        "PAYMENT_REQUIRED",
        "For Premium members.",
        refusal=Refusal("UNPLAYABLE", "This video is only available to Music Premium members"),
    ),
    Reserved("x-drm------", "DRM_PROTECTED", "Protected against copying.", formats=Formats.PROTECTED),
    Reserved(
        "x-ended----",
        "LIVE_STREAM",
        "A live event that has ended.",
        refusal=Refusal("LIVE_STREAM_OFFLINE", "This live event has ended."),
    ),
    Reserved(
        "x-offline--",
        "LIVE_STREAM",
        "A live stream without a recording.",
        refusal=Refusal("UNPLAYABLE", "This live stream recording is not available."),
    ),
    Reserved(
        "x-process--",
        "UPCOMING",
        "Uploaded, and still being processed.",
        refusal=Refusal("UNPLAYABLE", "We're processing this video. Check back later."),
    ),
    Reserved(
        "x-captcha--",
        "BOT_CHECK",
        "Wants a captcha solved.",
        refusal=Refusal("UNPLAYABLE", "Video unavailable", captcha=True),
    ),
    Reserved("x-sign-in--", "BOT_CHECK", "Asks to sign in.", refusal=Refusal("LOGIN_REQUIRED", "Please sign in")),
    Reserved(
        "x-reload---",
        "BOT_CHECK",
        "Sends players away to reload the page.",
        refusal=Refusal("UNPLAYABLE", "The page needs to be reloaded."),
    ),
    Reserved("x-ip-block-", "BOT_CHECK", "Answers with another video, as to blocked addresses.", api=Api.ANOTHER),
    Reserved(
        "x-shut-out-",
        "SOURCE_RATE_LIMITED",
        "Plays nothing to this session.",
        refusal=Refusal(
            "UNPLAYABLE", "Video unavailable", "This content isn\N{RIGHT SINGLE QUOTATION MARK}t available."
        ),
    ),
    Reserved("x-api-429--", "SOURCE_RATE_LIMITED", "The player API answers 429 Too Many Requests.", api=Api.LIMITED),
    Reserved("x-api-403--", "SOURCE_FORBIDDEN", "The player API answers 403 Forbidden.", api=Api.FORBIDDEN),
    Reserved("x-api-reset", "NETWORK_ERROR", "Every connection for the player API is reset.", api=Api.RESET),
    Reserved("x-sabr-----", "SOURCE_WITHHELD", "Streams by SABR alone.", formats=Formats.SABR),
    Reserved(
        "x-po-token-",
        "SOURCE_WITHHELD",
        "Streams only with a PO token, which a plugin of yt-dlp may provide.",
        formats=Formats.WITH_TOKEN,
    ),
    Reserved(
        "x-challenge",
        "SOURCE_WITHHELD",
        "Poses JavaScript challenges that nobody solves.",
        media=Media.CHALLENGED,
        formats=Formats.UNSOLVABLE,
    ),
    Reserved(
        "x-unknown--",
        "SOURCE_REFUSED",
        "Refused in words that nobody knows.",
        refusal=Refusal("UNPLAYABLE", "This video has gone for a walk."),
    ),
)
