"""The download link: the finished file, or the MP3 while it is being made, to any number of readers at once."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path

from aiohttp import web

from .. import errors
from ..jobs import Artifact, Conversion, Status
from . import filename
from .context import ARTIFACTS, CONNECTIONS, ENGINE, METRICS, WITHOUT_DEADLINE
from .file_response import File, send
from .live import Live, opened
from .protocol import cut, held

#: How long a reader waits for the first byte, in seconds: proxies give up at 60.
FIRST_BYTE_TIMEOUT = 50.0
#: When to ask again, in seconds.
RETRY_AFTER = 10


async def audio(request: web.Request) -> web.StreamResponse:
    """`GET /static/downloads/{conversion_id}.mp3`; `HEAD` answers at once."""
    request[WITHOUT_DEADLINE] = True
    engine = request.app[ENGINE]
    conversion = engine.table.get(request.match_info["conversion_id"])
    if conversion is None:
        raise _gone()
    loop = asyncio.get_running_loop()
    deadline = loop.time() + FIRST_BYTE_TIMEOUT
    while True:
        seen = conversion.job.changed.count
        if finished := _finished(conversion):
            return await _whole(request, conversion, finished)
        if request.method == "HEAD":
            return web.Response(headers=_headers(request, conversion))
        if conversion.job.audio and (response := await _growing(request, conversion, conversion.job.audio)):
            return response
        if engine.draining and conversion.status is Status.QUEUED:
            raise errors.ShuttingDown("The server is restarting. Try again in a moment.", retry_after=RETRY_AFTER)
        left = deadline - loop.time()
        if left <= 0 or not await _changed(request, conversion, left, seen):
            raise errors.NotReady(
                "There is no audio yet. Try again in a moment, or follow the conversion's status.",
                retry_after=RETRY_AFTER,
            )


async def _growing(request: web.Request, conversion: Conversion, path: Path) -> web.StreamResponse | None:
    """The unfinished file; None if it has just been published or thrown away."""
    async with held(request), request.app[CONNECTIONS].file():
        attempt = conversion.job.attempt  # noted before opening, since a new one may begin meanwhile
        if conversion.job.audio != path:
            return None
        async with opened(path) as file:
            if file is None:
                return None
            return await Live(request, conversion, attempt, file).answer(_headers(request, conversion))


async def _changed(request: web.Request, conversion: Conversion, timeout: float, since: int) -> bool:
    """Whether something changed. Raises ConnectionResetError when the client has left."""
    async with held(request):
        return await conversion.job.changed.wait(timeout, since=since)


async def cover(request: web.Request) -> web.StreamResponse:
    """`GET /static/downloads/{conversion_id}.jpg`: the cover, served here so that visitors do not contact YouTube."""
    conversion = request.app[ENGINE].table.get(request.match_info["conversion_id"])
    if conversion is None or conversion.removed or conversion.status in (Status.FAILED, Status.CANCELLED):
        raise _gone()
    job = conversion.job
    picture = job.artifact.cover if job.artifact else job.cover
    if picture is None:
        raise errors.NotFound("This conversion has no cover.")
    headers = {"Content-Type": "image/jpeg", "Cache-Control": "private, max-age=3600"}
    return await send(request, File(picture, headers=headers, gone=_gone()))


def _finished(conversion: Conversion) -> Artifact | None:
    """The file, if it is complete. Raises the error that a dead link answers."""
    if conversion.removed or conversion.status is Status.CANCELLED:
        raise _gone()
    if conversion.status is Status.FAILED:
        raise errors.ConversionFailed(conversion.job.error or errors.JobFailed())
    return conversion.job.artifact if conversion.status is Status.COMPLETED else None


def _gone() -> errors.ConversionNotFound:
    return errors.ConversionNotFound("There is no such download: the id is unknown, or it was removed or has expired.")


def _headers(request: web.Request, conversion: Conversion) -> dict[str, str]:
    name = request.app[ENGINE].table.names.of(conversion)
    return {
        "Content-Type": "audio/mpeg",
        "Content-Disposition": filename.content_disposition(name, conversion.video_id),
        "Cache-Control": "private, no-cache",
    }


async def _whole(request: web.Request, conversion: Conversion, artifact: Artifact) -> web.StreamResponse:
    """The finished file, or the requested part of it."""
    await request.app[ENGINE].expire_damaged([artifact])
    if conversion.removed:
        raise _gone()
    with request.app[ARTIFACTS].reading(artifact, partial(cut, request)):
        response = await send(request, File(artifact.path, headers=_headers(request, conversion), gone=_gone()))
    if request.method == "GET" and response.status in (200, 206):
        sent = response.content_length or 0
        request.app[METRICS].bytes_served.inc(sent)
        request.app[ENGINE].use.count(conversion.owner, sent=sent)
    return response
