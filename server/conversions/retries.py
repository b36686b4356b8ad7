"""Decides whether a failed attempt is followed by another."""

from __future__ import annotations

from ..errors import JobError
from ..jobs import Job

#: A job whose failure may pass by itself gets one more attempt.
MAX_ATTEMPTS = 2


def may_try_again(job: Job, error: JobError) -> bool:
    return error.starved or (error.retried and job.failures < MAX_ATTEMPTS)
