"""The error catalogue: the published codes, each with a message, none twice."""

from __future__ import annotations

from server import errors

REQUEST_CODES = {
    "INVALID_JSON": 400,
    "INVALID_REQUEST": 400,
    "INVALID_URL": 400,
    "INVALID_QUALITY": 400,
    "INVALID_OPTION": 400,
    "BATCH_EMPTY": 400,
    "BATCH_TOO_LARGE": 400,
    "UNSUPPORTED_ENCODING": 400,
    "MALFORMED_REQUEST": 400,
    "IDEMPOTENCY_MISMATCH": 400,
    "UNAUTHORIZED": 401,
    "FORBIDDEN": 403,
    "KEY_DISABLED": 403,
    "NOT_FOUND": 404,
    "CONVERSION_NOT_FOUND": 404,
    "PLAYLIST_NOT_FOUND": 404,
    "ARCHIVE_NOT_FOUND": 404,
    "METHOD_NOT_ALLOWED": 405,
    "PRECONDITION_FAILED": 412,
    "PAYLOAD_TOO_LARGE": 413,
    "RANGE_NOT_SATISFIABLE": 416,
    "EXPECTATION_FAILED": 417,
    "RATE_LIMITED": 429,
    "QUOTA_EXCEEDED": 429,
    "INTERNAL_ERROR": 500,
    "QUEUE_FULL": 503,
    "NOT_READY": 503,
    "DISK_FULL": 503,
    "SOURCE_UNAVAILABLE": 503,
    "SHUTTING_DOWN": 503,
}
JOB_CODES = {
    "VIDEO_UNAVAILABLE": False,
    "VIDEO_PRIVATE": False,
    "AGE_RESTRICTED": False,
    "GEO_BLOCKED": False,
    "MEMBERS_ONLY": False,
    "PAYMENT_REQUIRED": False,
    "DRM_PROTECTED": False,
    "CLIP_OUT_OF_RANGE": False,
    "LIVE_STREAM": False,
    "UPCOMING": False,
    "TOO_LONG": False,
    "TOO_LARGE": False,
    "NO_AUDIO": False,
    "BOT_CHECK": True,
    "COOKIES_INVALID": True,
    "SOURCE_WITHHELD": True,
    "SOURCE_REFUSED": True,
    "SOURCE_FORBIDDEN": True,
    "SOURCE_RATE_LIMITED": True,
    "NETWORK_ERROR": True,
    "TIMEOUT": True,
    "TRUNCATED": True,
    "ENCODE_FAILED": True,
    "DISK_FULL": True,
    "INTERNAL_ERROR": True,
}


def subclasses(base: type[Exception]) -> list[type[Exception]]:
    return [one for child in base.__subclasses__() for one in (child, *subclasses(child))]


def test_the_request_errors_are_the_published_ones_with_their_statuses() -> None:
    assert {code: error.status for code, error in errors.REQUEST_ERRORS.items()} == REQUEST_CODES


def test_the_job_errors_are_the_published_ones_and_say_whether_asking_again_helps() -> None:
    assert {code: error.retryable for code, error in errors.JOB_ERRORS.items()} == JOB_CODES


def test_no_code_belongs_to_two_errors_of_the_catalogue_and_none_is_used_outside_it() -> None:
    for base, catalogue in ((errors.RequestError, errors.REQUEST_ERRORS), (errors.JobError, errors.JOB_ERRORS)):
        kinds = [one for one in subclasses(base) if one is not errors.ConversionFailed]  # it speaks for a job's error
        codes = [vars(one)["code"] for one in kinds if "code" in vars(one) and one.__module__ == errors.__name__]
        assert sorted(codes) == sorted(catalogue)
        assert all(vars(one)["code"] in catalogue for one in kinds if "code" in vars(one))


def test_every_job_error_has_a_message_of_its_own_for_people() -> None:
    messages = [error().message for error in errors.JOB_ERRORS.values()]
    assert len(set(messages)) == len(messages)
    for message in messages:
        assert message[0].isupper()
        assert message.endswith(".")
        assert "/" not in message


def test_the_engine_retries_only_what_is_retryable_and_never_what_a_retry_makes_worse() -> None:
    retried = {code for code, error in errors.JOB_ERRORS.items() if error.retried}
    assert retried <= {code for code, error in errors.JOB_ERRORS.items() if error.retryable}
    pushed_back = {"BOT_CHECK", "COOKIES_INVALID", "SOURCE_WITHHELD", "SOURCE_REFUSED", "SOURCE_RATE_LIMITED"}
    assert not retried & (pushed_back | {"DISK_FULL"})


def test_errors_carry_the_headers_that_their_status_asks_for() -> None:
    assert errors.Unauthorized("x").headers == {"WWW-Authenticate": "Bearer"}
    unavailable = [error for error in errors.REQUEST_ERRORS.values() if error.status == 503]
    assert len(unavailable) == 5
    for error in unavailable:
        assert issubclass(error, errors.Unavailable)
        assert error("x", retry_after=7).headers == {"Retry-After": "7"}


def test_a_failed_conversions_link_speaks_with_the_jobs_own_code() -> None:
    answer = errors.ConversionFailed(errors.VideoPrivate())
    assert (answer.status, answer.code, answer.message) == (404, "VIDEO_PRIVATE", errors.VideoPrivate.text)
