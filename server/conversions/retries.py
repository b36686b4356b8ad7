"""Decides whether a failed attempt is followed by another."""

from __future__ import annotations

from ..errors import JobError
from ..jobs import Job

#: A job whose failure may pass by itself gets one more attempt.
MAX_ATTEMPTS = 2


#: More attempts than these whose files somebody takes away are not made.
MAX_DISPLACED = 5


def may_wait_for_storage(job: Job, error: JobError) -> bool:
    """Whether the work waits in the queue, for as long as others do, until files can be written."""
    return error.of_storage and job.displaced <= MAX_DISPLACED


def may_try_again(job: Job, error: JobError) -> bool:
    return error.starved or (error.retried and job.failures < MAX_ATTEMPTS)
