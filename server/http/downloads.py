"""The download link: the finished file, or the MP3 while it is being made, to any number of readers at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NoReturn

import aiofiles
from aiohttp import HttpVersion11, web

from .. import completion, errors
from ..jobs import Artifact, Conversion, Job, Status
from ..media import id3
from . import filename
from .context import ARTIFACTS, ENGINE, METRICS, UNHURRIED
from .file_response import File, send

#: How long a reader waits for the first byte, in seconds: proxies give up at 60.
PATIENCE = 50.0
#: When to ask again, in seconds.
RETRY_AFTER = 10
_CHUNK = 64 * 1024


async def audio(request: web.Request) -> web.StreamResponse:
    """`GET /static/downloads/{conversion_id}.mp3`; `HEAD` answers at once."""
    request[UNHURRIED] = True
    engine = request.app[ENGINE]
    conversion = engine.table.get(request.match_info["conversion_id"])
    if conversion is None:
        raise _gone()
    loop = asyncio.get_running_loop()
    deadline = loop.time() + PATIENCE
    while True:
        seen = conversion.job.changed.count
        if finished := _finished(conversion):
            return await _whole(request, conversion, finished)
        if request.method == "HEAD":
            return web.Response(headers=_headers(request, conversion))
        if conversion.job.audio and request.version >= HttpVersion11:
            attempt = conversion.job.attempt  # of before opening, in which a new one may begin
            async with _opened(conversion.job.audio) as file:
                if file:
                    return await _live(request, conversion, attempt, file)
        if engine.draining and conversion.status is Status.QUEUED:
            raise errors.ShuttingDown("The server is restarting. Try again in a moment.", retry_after=RETRY_AFTER)
        left = deadline - loop.time()
        if left <= 0 or not await conversion.job.changed.wait(left, since=seen):
            raise errors.NotReady(
                "There is no audio yet. Try again in a moment, or follow the conversion's status.",
                retry_after=RETRY_AFTER,
            )


async def cover(request: web.Request) -> web.StreamResponse:
    """`GET /static/downloads/{conversion_id}.jpg`: the front cover, ours, so that no visitor is shown to the source."""
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
    """The file, if it is complete. Raises what a link answers that leads nowhere any more."""
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
    """The finished file, or the part of it that is asked for."""
    await request.app[ENGINE].expire_damaged([artifact])
    if conversion.removed:
        raise _gone()
    with request.app[ARTIFACTS].reading(artifact):
        response = await send(request, File(artifact.path, headers=_headers(request, conversion), gone=_gone()))
    if request.method == "GET" and response.status in (200, 206):
        request.app[METRICS].bytes_served.inc(response.content_length or 0)
    return response


async def _live(request: web.Request, conversion: Conversion, attempt: int, file: Any) -> web.StreamResponse:
    """The growing file of this attempt from byte 0 to its end; with `?tag=no`, from the end of its tag.

    A failure, a cancel or a new attempt cuts the connection.
    """
    job = conversion.job
    served = request.app[METRICS].bytes_served
    # The last header asks nginx not to hold the stream back.
    response = web.StreamResponse(headers={**_headers(request, conversion), "X-Accel-Buffering": "no"})
    response.enable_chunked_encoding()
    await response.prepare(request)
    if request.query.get("tag") == "no":
        # For the page's player: Chromium reads a minute of audio ahead before it plays anything that has a cover.
        await file.seek(id3.tag_size(await file.read(id3.HEADER_BYTES)))
    while True:
        seen = job.changed.count
        complete = conversion.status is Status.COMPLETED and job.attempt == attempt
        if chunk := await file.read(_CHUNK):
            await response.write(chunk)
            served.inc(len(chunk))
        elif complete:
            await response.write_eof()
            return response
        elif not _going_on(conversion, job, attempt):
            _cut(request)
        else:
            await job.changed.wait(since=seen)


def _going_on(conversion: Conversion, job: Job, attempt: int) -> bool:
    return conversion.status in (Status.PROCESSING, Status.COMPLETED) and job.attempt == attempt


def _cut(request: web.Request) -> NoReturn:
    """So that the client sees an error, never a short file that looks whole."""
    if request.transport:
        request.transport.abort()
    raise ConnectionResetError("the conversion did not come to its end")


@asynccontextmanager
async def _opened(path: Path) -> AsyncIterator[Any]:
    """The file, or None when it was published or thrown away in this moment."""
    try:
        file = await aiofiles.open(path, "rb")
    except FileNotFoundError:
        yield None
        return
    try:
        yield file
    finally:
        await completion.finished(file.close())
