"""All errors: those that refuse a request, and those with which a conversion fails.

Every exception carries its `code` as a class attribute and a message that is safe to show to anyone; the diagnosis
stays in `__cause__` and in the log.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar


class RequestError(Exception):
    """A request is refused. The answer is `{"error": {"code", "message"}}` with `status`.

    `video_id` is the video that a dead link was of, if that is known: the page of the error offers to convert it again.
    """

    status: ClassVar[int]
    code: ClassVar[str]

    def __init__(self, message: str, *, headers: Mapping[str, str] | None = None, video_id: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.video_id = video_id
        self.headers = dict(headers or {})


class InvalidJson(RequestError):
    status, code = 400, "INVALID_JSON"


class InvalidRequest(RequestError):
    status, code = 400, "INVALID_REQUEST"


class InvalidUrl(RequestError):
    status, code = 400, "INVALID_URL"


class InvalidQuality(RequestError):
    status, code = 400, "INVALID_QUALITY"


class BatchEmpty(RequestError):
    status, code = 400, "BATCH_EMPTY"


class BatchTooLarge(RequestError):
    status, code = 400, "BATCH_TOO_LARGE"


class UnsupportedEncoding(RequestError):
    status, code = 400, "UNSUPPORTED_ENCODING"


class MalformedRequest(RequestError):
    status, code = 400, "MALFORMED_REQUEST"


class IdempotencyMismatch(RequestError):
    status, code = 400, "IDEMPOTENCY_MISMATCH"


class InvalidOption(RequestError):
    status, code = 400, "INVALID_OPTION"


class Unauthorized(RequestError):
    """Carries the challenge that RFC 9110 §15.5.2 asks for."""

    status, code = 401, "UNAUTHORIZED"

    def __init__(self, message: str) -> None:
        super().__init__(message, headers={"WWW-Authenticate": "Bearer"})


class Forbidden(RequestError):
    """The client's address may not see this (metrics are for loopback clients unless set otherwise)."""

    status, code = 403, "FORBIDDEN"


class KeyDisabled(RequestError):
    status, code = 403, "KEY_DISABLED"


class NotFound(RequestError):
    status, code = 404, "NOT_FOUND"


class ConversionNotFound(RequestError):
    status, code = 404, "CONVERSION_NOT_FOUND"


class ArchiveNotFound(RequestError):
    status, code = 404, "ARCHIVE_NOT_FOUND"


class ConversionFailed(RequestError):
    """A download link whose conversion failed: 404 with the job's own error code."""

    status, code = 404, "CONVERSION_FAILED"

    def __init__(self, error: JobError, video_id: str = "") -> None:
        super().__init__(error.message, video_id=video_id)
        self.code = error.code  # type: ignore[misc]  # the only error with the code of another


class PlaylistNotFound(RequestError):
    status, code = 404, "PLAYLIST_NOT_FOUND"


class MethodNotAllowed(RequestError):
    status, code = 405, "METHOD_NOT_ALLOWED"


class PreconditionFailed(RequestError):
    status, code = 412, "PRECONDITION_FAILED"


class PayloadTooLarge(RequestError):
    status, code = 413, "PAYLOAD_TOO_LARGE"


class RangeNotSatisfiable(RequestError):
    status, code = 416, "RANGE_NOT_SATISFIABLE"


class ExpectationFailed(RequestError):
    status, code = 417, "EXPECTATION_FAILED"


class RateLimited(RequestError):
    status, code = 429, "RATE_LIMITED"


class QuotaExceeded(RequestError):
    """The key has made all its conversions of the day."""

    status, code = 429, "QUOTA_EXCEEDED"

    def __init__(self, message: str, *, retry_after: int) -> None:
        super().__init__(message, headers={"Retry-After": str(retry_after)})


class InternalError(RequestError):
    status, code = 500, "INTERNAL_ERROR"


class Unavailable(RequestError):
    """The server cannot do this now. `Retry-After` says in how many seconds to ask again (RFC 9110 §10.2.3)."""

    status = 503

    def __init__(self, message: str, *, retry_after: int) -> None:
        super().__init__(message, headers={"Retry-After": str(retry_after)})


class QueueFull(Unavailable):
    code = "QUEUE_FULL"


class NotReady(Unavailable):
    code = "NOT_READY"


class StorageFull(Unavailable):
    code = "DISK_FULL"


class SourceUnavailable(Unavailable):
    """YouTube does not show the playlist now."""

    code = "SOURCE_UNAVAILABLE"


class ShuttingDown(Unavailable):
    code = "SHUTTING_DOWN"


#: What stands in a message between the guest's half and the owner's. The page shows guests only the first.
FOR_THE_OWNER = " For the owner: "
#: The page at /docs/youtube.
PAGE = "the page \u201cYouTube asks for proof\u201d in the docs"
UPDATE_YTDLP = "update yt-dlp, then run `doctor` with this link"
SET_COOKIES = "set [ytdlp] cookies to those of an account that may see it."
SET_PREMIUM_COOKIES = (
    "set [ytdlp] cookies to those of an account with Premium, which opens what Premium includes; "
    "what is rented or sold stays protected."
)


class JobError(Exception):
    """Why a conversion failed.

    `retryable` tells the client whether asking again later can help; `retried` whether the engine itself tries a
    second time at once (never where a retry makes the cause worse). `starved` says that this machine lacked a
    descriptor, memory or a process: the attempt counts for nothing and is made again.
    `waits` says that nothing is to be had from the source at the moment, and that the work may wait until there is.
    `of_storage` says that a folder of this server's gave way: the attempt counts for nothing, the work waits for it.
    `of_proxy` says that the way to YouTube failed, before YouTube was asked.
    `of_source` says that YouTube refused, or could not be reached, as it may do for every video: the log warns of it.
    `text` is for whoever asked for the conversion, `owner` for the server's owner; words of one's own replace both.
    """

    code: ClassVar[str]
    retryable: ClassVar[bool] = False
    retried: ClassVar[bool] = False
    of_source: ClassVar[bool] = False
    text: ClassVar[str]
    owner: ClassVar[str] = ""

    def __init__(self, message: str | None = None, *, owner: str | None = None) -> None:
        if message is None and owner is None:
            owner = self.owner
        self.message = (message or self.text) + (f"{FOR_THE_OWNER}{owner}" if owner else "")
        self.starved = self.waits = False
        self.of_proxy = self.of_storage = False
        super().__init__(self.message)


class VideoUnavailable(JobError):
    code = "VIDEO_UNAVAILABLE"
    text = (
        "YouTube says that this video is not available, and gives no reason. Check the link in a browser; "
        "if it plays there, tell the server's owner."
    )
    owner = f"a blocked address or an outdated yt-dlp looks the same; {UPDATE_YTDLP}."


class VideoPrivate(JobError):
    code = "VIDEO_PRIVATE"
    text = "This video is private. Ask its owner to make it public or unlisted."


class AgeRestricted(JobError):
    code = "AGE_RESTRICTED"
    text = "YouTube shows this video only to signed-in viewers who are old enough. Tell the server's owner."
    owner = SET_COOKIES


class GeoBlocked(JobError):
    code = "GEO_BLOCKED"
    text = (
        "YouTube does not show this video where this server is. Try another upload of it, or tell the server's owner."
    )
    owner = "set [ytdlp] proxy to an exit in another country."


class MembersOnly(JobError):
    code = "MEMBERS_ONLY"
    text = "This video is for the channel's members only. Tell the server's owner."
    owner = "set [ytdlp] cookies to those of a member."


class PaymentRequired(JobError):
    """A rental, a purchase or a Premium membership. A trailer is never converted in a film's place."""

    code = "PAYMENT_REQUIRED"
    text = "YouTube wants payment for this video: rental, purchase or a Premium membership. Try a free upload of it."
    owner = SET_PREMIUM_COOKIES


class DrmProtected(JobError):
    code = "DRM_PROTECTED"
    text = "This video is protected against copying (DRM), so it cannot be converted. Try another upload of it."


class ClipOutOfRange(JobError):
    code = "CLIP_OUT_OF_RANGE"
    text = 'This video has ended where the clip would start. Ask for an earlier "start".'


class LiveStream(JobError):
    code = "LIVE_STREAM"
    text = "This is a live stream. Convert it once the stream has ended and its recording is ready."


class Upcoming(JobError):
    code = "UPCOMING"
    text = "This video has not started yet. Convert it after its premiere."


class TooLong(JobError):
    code = "TOO_LONG"
    text = "This video is longer than this server converts."
    owner = "[audio] max_duration is the limit."


class TooLarge(JobError):
    code = "TOO_LARGE"
    text = "This video's audio is larger than this server downloads."
    owner = "[audio] max_source_mb is the limit."


class NoAudio(JobError):
    code = "NO_AUDIO"
    text = "This video has no sound to convert."


class BotCheck(JobError):
    code, retryable = "BOT_CHECK", True
    of_source = True
    text = (
        "YouTube takes this server for a bot and wants a sign-in or a captcha. "
        "Try again later, or tell the server's owner."
    )
    owner = "set [ytdlp] proxy to another exit, or set [ytdlp] cookies."


class CookiesInvalid(JobError):
    code, retryable = "COOKIES_INVALID", True
    of_source = True
    text = "This server's sign-in to YouTube does not work any more. Try again later, or tell the server's owner."
    owner = (
        f"export the cookies from a browser again, as {PAGE} says, to the place that [ytdlp] cookies names; "
        "`doctor` checks them."
    )


class SourceWithheld(JobError):
    """The video exists, but YouTube handed out no audio that this server can fetch."""

    code, retryable = "SOURCE_WITHHELD", True
    of_source = True
    text = (
        "YouTube lists this video but handed this server no audio of it. Try again later, or tell the server's owner."
    )
    owner = f"{UPDATE_YTDLP}."


class SourceRefused(JobError):
    """YouTube refused in words that this server does not know."""

    code, retryable = "SOURCE_REFUSED", True
    of_source = True
    text = "YouTube does not let this server have the video. Try again later, or tell the server's owner."
    owner = f"{UPDATE_YTDLP}."


class SourceForbidden(JobError):
    code, retryable, retried = "SOURCE_FORBIDDEN", True, True
    of_source = True
    text = "YouTube refused to hand out the audio (HTTP 403). Try again later, or tell the server's owner."
    owner = f"{UPDATE_YTDLP}."


class SourceRateLimited(JobError):
    code, retryable = "SOURCE_RATE_LIMITED", True
    of_source = True
    text = "YouTube is limiting this server's requests. Try again in an hour."
    owner = "add --sleep-requests to [ytdlp] args, or set [ytdlp] proxy to another exit."


class NetworkError(JobError):
    code, retryable, retried = "NETWORK_ERROR", True, True
    of_source = True
    text = "This server could not reach YouTube. Try again later."
    owner = "check the server's network and [ytdlp] proxy; `doctor` tests them."


class Timeout(JobError):
    """The source stopped sending, and a retry may help; or the job's own time is up, and there is no retry."""

    code, retryable, retried = "TIMEOUT", True, True
    text = "The conversion took longer than this server allows. Try again later."
    owner = "[jobs] timeout is the limit."


class Truncated(JobError):
    code, retryable, retried = "TRUNCATED", True, True
    text = "YouTube sent less audio than the video has. Try again."


class EncodeFailed(JobError):
    code, retryable, retried = "ENCODE_FAILED", True, True
    text = "The audio that YouTube sent could not be encoded. Try again."


class DiskFull(JobError):
    code, retryable = "DISK_FULL", True
    text = "This server's disk is full. Try again once its owner has made room."


def unwritable() -> DiskFull:
    """The downloads folder, or an attempt's own within it, cannot be written, or is gone."""
    error = DiskFull(
        "This server cannot write its files. Try again later, or tell the server's owner.",
        owner="check [storage] downloads: the folder, its rights and its disk.",
    )
    error.of_storage = True
    return error


class JobFailed(JobError):
    """A fault of this server's, such as a child process that died without a message."""

    code, retryable, retried = "INTERNAL_ERROR", True, True
    text = "The conversion failed inside this server. Try again, or tell the server's owner."
    owner = "the log says more."


def _leaves(base: type[Exception]) -> list[type[Exception]]:
    children = base.__subclasses__()
    return [leaf for child in children for leaf in _leaves(child)] if children else [base]


REQUEST_ERRORS: dict[str, type[RequestError]] = {
    leaf.code: leaf for leaf in _leaves(RequestError) if issubclass(leaf, RequestError) and leaf is not ConversionFailed
}
JOB_ERRORS: dict[str, type[JobError]] = {leaf.code: leaf for leaf in _leaves(JobError) if issubclass(leaf, JobError)}
