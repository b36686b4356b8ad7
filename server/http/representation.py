"""A conversion as the API shows it (api.md, "A conversion object")."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from .. import youtube_url
from ..clip import Clip
from ..conversions.fairqueue import FairQueue
from ..jobs import Chapter, Conversion, Status


def to_bytes(conversion: Conversion, queue: FairQueue, base_url: str) -> bytes:
    """The object as UTF-8 JSON. It is rendered again only after a change."""
    waits = conversion.status is Status.QUEUED
    position, notice = (queue.position(conversion), queue.notice) if waits else (None, None)
    made_from = (conversion.revision, conversion.job.revision, conversion.removed, position, notice, base_url)
    if conversion.rendered and conversion.rendered[0] == made_from:
        return conversion.rendered[1]
    body = json.dumps(
        _object(conversion, position, notice, base_url), ensure_ascii=False, separators=(",", ":")
    ).encode()
    conversion.rendered = (made_from, body)
    return body


def _object(conversion: Conversion, position: int | None, notice: str | None, base_url: str) -> dict[str, Any]:
    job, status = conversion.job, conversion.status
    media = job.media
    clip = media.clip if media and media.clip else job.recipe.clip
    link = f"{base_url}/static/downloads/{conversion.id}"
    gone = conversion.removed or status in (Status.FAILED, Status.CANCELLED)
    completed = status is Status.COMPLETED
    cover = job.artifact.cover if job.artifact else job.cover
    return {
        "conversion_id": conversion.id,
        "status": status.value,
        "progress": conversion.progress,
        "download_url": None if gone else f"{link}.mp3",
        "url": youtube_url.canonical_url(conversion.video_id),
        "video_id": conversion.video_id,
        "quality": conversion.quality.value,
        "bitrate_kbps": conversion.quality.bitrate_kbps,
        "title": media.title if media else None,
        "artist": media.artist or None if media else None,
        "album": media.album or None if media else None,
        "duration": media.duration or None if media else None,
        "clip": _clip(clip) if clip else None,
        "loudness": job.recipe.loudness,
        "chapters": [_chapter(chapter) for chapter in media.chapters] if media else [],
        "thumbnail_url": f"{link}.jpg" if cover and not gone else None,
        "source": {"codec": media.source.codec, "bitrate_kbps": media.source.bitrate_kbps} if media else None,
        "file_size": job.artifact.size if completed and job.artifact else None,
        "created_at": _time(conversion.created_at),
        "started_at": _time(conversion.started_at),
        "finished_at": _time(conversion.finished_at),
        "expires_at": _time(conversion.expires_at),
        "queue_position": position,
        "notice": notice,
        "error": (
            {"code": job.error.code, "message": job.error.message, "retryable": job.error.retryable}
            if status is Status.FAILED and job.error
            else None
        ),
    }


def _clip(clip: Clip) -> dict[str, Any]:
    return {"start": clip.start, "end": clip.end}


def _chapter(chapter: Chapter) -> dict[str, Any]:
    return {"title": chapter.title, "start": chapter.start, "end": chapter.end}


def _time(moment: datetime | None) -> str | None:
    """RFC 3339 in UTC, to the millisecond."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z") if moment else None
