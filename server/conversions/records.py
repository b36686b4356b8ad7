"""What the journal says about the table: a conversion as a record, and a table out of records.

The journal is a log of states: `put` holds conversions as they are now, `drop` names those that are gone. The last
word on an id counts. One request is one `put`, so that a batch is accepted whole or not at all.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

from .. import errors
from ..jobs import Artifact, Conversion, Job, Media, Quality, Recipe, Status

log = logging.getLogger(__name__)

Record = dict[str, Any]

#: So many attempts may end with the server's own death before the conversion is held to be the cause.
MAX_INTERRUPTIONS = 10


def put(conversions: Iterable[Conversion]) -> Record:
    return {"type": "put", "conversions": [_snapshot(conversion) for conversion in conversions]}


def drop(ids: Iterable[str]) -> Record:
    return {"type": "drop", "ids": list(ids)}


def _snapshot(conversion: Conversion) -> Record:
    job = conversion.job
    record: Record = {
        "id": conversion.id,
        "owner": conversion.owner,
        "video_id": conversion.video_id,
        "quality": conversion.quality.value,
        "status": conversion.status.value,
        "created_at": conversion.created_at.isoformat(),
        "attempt": job.failures + (job.status is Status.PROCESSING),  # failed or running attempts
        "interrupted": job.interrupted,
    }
    for name in ("started_at", "finished_at", "expires_at"):
        if moment := getattr(conversion, name):
            record[name] = moment.isoformat()
    if conversion.status is Status.COMPLETED and job.artifact:
        record["artifact"] = job.artifact.path.name
    elif conversion.finished:
        record["progress"] = conversion.progress
        if job.media:
            record["media"] = dataclasses.asdict(job.media)
    if conversion.status is Status.FAILED and job.error:
        record["error"] = {"code": job.error.code, "message": job.error.message}
    return record


def restore(
    records: Iterable[Record],
    artifacts: Iterable[Artifact],
    set_aside: Callable[[Record], None],
) -> tuple[list[Conversion], dict[Recipe, Job]]:
    """The conversions of before, oldest first, and the jobs that are kept or to be done again.

    A published file that no record names as done is adopted by who waits for it: the server died in between. A record
    that cannot be understood is handed to `set_aside`; a completed one whose file is gone is left out.
    """
    snapshots: dict[str, Record] = {}
    for record in records:
        try:
            _apply(record, snapshots)
        except (KeyError, TypeError, ValueError) as error:
            _set_aside(record, error, set_aside)
    found = list(artifacts)
    by_name = {artifact.path.name: artifact for artifact in found}
    by_recipe = {artifact.recipe: artifact for artifact in found}
    conversions: list[Conversion] = []
    jobs: dict[Recipe, Job] = {}
    for snapshot in snapshots.values():
        try:
            conversion = _conversion(snapshot, by_name, by_recipe, jobs)
        except (KeyError, TypeError, ValueError) as error:
            _set_aside({"type": "put", "conversions": [snapshot]}, error, set_aside)
            continue
        if conversion:
            conversions.append(conversion)
    return sorted(conversions, key=lambda conversion: conversion.created_at), jobs


def _apply(record: Record, snapshots: dict[str, Record]) -> None:
    if record["type"] == "put":
        snapshots.update([(snapshot["id"], snapshot) for snapshot in record["conversions"]])
    elif record["type"] == "drop":
        for conversion_id in record["ids"]:
            snapshots.pop(conversion_id, None)
    else:
        raise ValueError(record["type"])


def _set_aside(record: Record, error: Exception, set_aside: Callable[[Record], None]) -> None:
    log.warning("a record of the journal cannot be understood and is set aside: %r", error)
    set_aside(record)


def _conversion(
    snapshot: Record,
    by_name: dict[str, Artifact],
    by_recipe: dict[Recipe, Artifact],
    jobs: dict[Recipe, Job],
) -> Conversion | None:
    quality, status = Quality(snapshot["quality"]), Status(snapshot["status"])
    attempt, interrupted = int(snapshot["attempt"]), int(snapshot["interrupted"])
    job = Job(Recipe(snapshot["video_id"], quality.bitrate_kbps))
    conversion = Conversion(
        id=snapshot["id"],
        owner=snapshot["owner"],
        quality=quality,
        created_at=_moment(snapshot, "created_at") or datetime.now(UTC),
        job=job,
        started_at=_moment(snapshot, "started_at"),
        finished_at=_moment(snapshot, "finished_at"),
        expires_at=_moment(snapshot, "expires_at"),
    )
    if status in (Status.FAILED, Status.CANCELLED):
        job.progress = int(snapshot.get("progress", 0))
        if media := snapshot.get("media"):
            job.media = Media.restored(media)
        if status is Status.CANCELLED:
            conversion.cancelled_at = job.progress
            return conversion
        said = snapshot["error"]
        job.fail(errors.JOB_ERRORS.get(said["code"], errors.JobFailed)(said["message"]))
        job.join(conversion)
        return conversion
    artifact = by_name.get(snapshot["artifact"]) if status is Status.COMPLETED else by_recipe.get(job.recipe)
    if artifact is None and status is Status.COMPLETED:
        return None
    job = conversion.job = jobs.setdefault(job.recipe, job)
    if artifact and not job.finished:
        job.complete(artifact)
    elif not artifact:
        cut = status is Status.PROCESSING
        job.failures = max(job.failures, attempt - cut)
        job.interrupted = max(job.interrupted, interrupted + cut)
    job.join(conversion)
    return conversion


def _moment(snapshot: Record, name: str) -> datetime | None:
    return datetime.fromisoformat(snapshot[name]).astimezone(UTC) if name in snapshot else None
