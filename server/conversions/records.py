"""Turns conversions into records for the database, and records into the table of conversions.

The database holds one record of each conversion, as of its last change.
"""

from __future__ import annotations

import dataclasses
import logging
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from .. import errors, levels, naming, stored
from ..clip import Clip
from ..jobs import Artifact, Conversion, Job, Media, Quality, Recipe, Status, Webhook
from ..storage.state import Record

log = logging.getLogger(__name__)

#: The state's table of conversions.
TABLE = "conversions"
#: How many attempts may end with the server's death before the conversion counts as the cause.
MAX_INTERRUPTIONS = 10

#: Bytes of a download's name.
_LONGEST_NAME = 255
_MOMENTS = ("started_at", "finished_at", "expires_at")
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_VIDEO_ID = re.compile(r"[A-Za-z0-9_-]{11}")


def of(conversions: Iterable[Conversion]) -> dict[str, Record]:
    """Their records by id."""
    return {conversion.id: _record(conversion) for conversion in conversions}


def _record(conversion: Conversion) -> Record:
    job = conversion.job
    record: Record = {
        "owner": conversion.owner,
        "video_id": conversion.video_id,
        "quality": conversion.quality.value,
        "status": conversion.status.value,
        "created_at": conversion.created_at.isoformat(),
        "attempt": job.failures + (job.status is Status.PROCESSING),  # failed or running attempts
        "interrupted": job.interrupted,
    }
    if clip := job.recipe.clip:
        record["clip"] = dataclasses.asdict(clip)
    if job.recipe.loudness is not None:
        record["loudness"] = job.recipe.loudness
    for name in _MOMENTS:
        if moment := getattr(conversion, name):
            record[name] = moment.isoformat()
    if conversion.name:
        record["name"] = conversion.name
    if conversion.webhook:
        record["webhook"] = conversion.webhook._asdict()
    if conversion.status is Status.COMPLETED and job.artifact:
        record["artifact"] = job.artifact.path.name
    elif conversion.finished:
        record["progress"] = conversion.progress
        if job.media:
            table = dataclasses.asdict(job.media)
            record["media"] = {**table, "chapters": list(table["chapters"])}  # as it comes back: JSON has no tuples
    if conversion.status is Status.FAILED and job.error:
        record["error"] = {"code": job.error.code, "message": job.error.message}
    return record


@dataclass
class Restored:
    """The table before a restart, and the changes that the database needs."""

    #: Oldest first.
    conversions: list[Conversion] = field(default_factory=list)
    #: Those that are kept or to be done again.
    jobs: dict[Recipe, Job] = field(default_factory=dict)
    #: As `State.note` takes them.
    changes: dict[str, Record | None] = field(default_factory=dict)
    #: The ids of records that cannot be understood.
    odd: list[str] = field(default_factory=list)


def restore(rows: Iterable[tuple[str, Record]], artifacts: Iterable[Artifact]) -> Restored:
    """The table that `rows` describe.

    If a server died between publishing a file and recording it, the conversions that wait for the file get it. A
    completed conversion without its file is left out.
    """
    found = list(artifacts)
    by_name = {artifact.path.name: artifact for artifact in found}
    by_recipe = {artifact.recipe: artifact for artifact in found}
    restored = Restored()
    for key, record in rows:
        try:
            conversion, status = _conversion(key, record)
        except (KeyError, TypeError, ValueError) as error:
            if not restored.odd:
                log.warning("a conversion's record cannot be understood and is set aside: %.200r", error)
            restored.odd.append(key)
            continue
        if status is Status.COMPLETED and record["artifact"] not in by_name:
            restored.changes[key] = None
            continue
        if not conversion.finished:
            done = status is Status.COMPLETED
            artifact = by_name[record["artifact"]] if done else by_recipe.get(conversion.job.recipe)
            _take_up(conversion, restored.jobs, artifact, cut=status is Status.PROCESSING)
        if (changed := _record(conversion)) != record:
            restored.changes[key] = changed
        restored.conversions.append(conversion)
    if len(restored.odd) > 1:
        log.warning("%d more records were set aside", len(restored.odd) - 1)
    restored.conversions.sort(key=lambda conversion: conversion.created_at)
    return restored


def _conversion(key: str, record: Record) -> tuple[Conversion, Status]:
    """A record's conversion, with a job of its own, and its status; one that had failed or was cancelled is so again.

    Raises KeyError, TypeError or ValueError for anything that no server wrote.
    """
    quality, status = Quality(record["quality"]), Status(record["status"])
    clip = Clip.restored(record["clip"]) if "clip" in record else None
    loudness = levels.restored(record["loudness"]) if "loudness" in record else None
    job = Job(Recipe(_matching(_VIDEO_ID, record["video_id"]), quality.bitrate_kbps, clip, loudness))
    job.failures, job.interrupted = stored.count(record["attempt"]), stored.count(record["interrupted"])
    created_at = stored.moment(record["created_at"])
    conversion = Conversion(_matching(_ID, key), stored.text(record["owner"]), quality, created_at, job)
    for name in _MOMENTS:
        if name in record:
            setattr(conversion, name, stored.moment(record[name]))
    conversion.name = naming.safe(stored.text(record.get("name", "")), _LONGEST_NAME)
    if "webhook" in record:
        url, base_url = record["webhook"]["url"], record["webhook"]["base_url"]
        conversion.webhook = Webhook(stored.text(url), stored.text(base_url))
    if status is Status.COMPLETED:
        stored.text(record["artifact"])
    elif status in (Status.FAILED, Status.CANCELLED):
        job.progress = min(stored.count(record.get("progress", 0)), 100)
        job.media = Media.restored(record["media"]) if "media" in record else None
    if status is Status.CANCELLED:
        conversion.cancelled_at = job.progress
    elif status is Status.FAILED:
        job.fail(_error(record["error"]))
        job.join(conversion)
    return conversion, status


def _matching(pattern: re.Pattern[str], value: object) -> str:
    if not pattern.fullmatch(text := stored.text(value)):
        raise ValueError(f"nothing like {pattern.pattern}")
    return text


def _error(said: Any) -> errors.JobError:
    if not isinstance(said, dict):
        raise ValueError("no error")
    return errors.JOB_ERRORS.get(stored.text(said["code"]), errors.JobFailed)(stored.text(said["message"]))


def _take_up(conversion: Conversion, jobs: dict[Recipe, Job], artifact: Artifact | None, *, cut: bool) -> None:
    """Attach the conversion to the job of its recipe, which is completed if there is an artifact, else queued again.

    An attempt that was `cut` by the server's end does not count as failed.
    """
    own = conversion.job
    job = conversion.job = jobs.setdefault(own.recipe, own)
    own.failures, own.interrupted = max(0, own.failures - cut), own.interrupted + cut
    if artifact and not job.finished:
        job.complete(artifact)
    elif not artifact:
        job.failures, job.interrupted = max(job.failures, own.failures), max(job.interrupted, own.interrupted)
    job.join(conversion)
