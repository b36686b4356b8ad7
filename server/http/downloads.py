"""The download link: the finished file, or the MP3 while it is being made, to any number of readers at once."""

from __future__ import annotations

import asyncio
import re
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
_SECONDS = re.compile(r"[0-9]{1,6}(\.[0-9]{1,6})?")
#: When to ask again, in seconds.
RETRY_AFTER = 10


async def audio(request: web.Request) -> web.StreamResponse:
    """`GET /static/downloads/{conversion_id}.mp3`; `HEAD` answers at once."""
    request[WITHOUT_DEADLINE] = True
    begin = _begin(request)
    engine = request.app[ENGINE]
    conversion_id = request.match_info["conversion_id"]
    conversion = engine.table.get(conversion_id)
    if conversion is None:
        raise _gone(engine.expired.get(conversion_id, ""))
    loop = asyncio.get_running_loop()
    deadline = loop.time() + FIRST_BYTE_TIMEOUT
    while True:
        seen = conversion.job.changed.count
        if finished := _finished(conversion):
            if begin is None or request.method == "HEAD":
                return await _whole(request, conversion, finished)
            return await _rest(request, conversion, finished, begin)
        if request.method == "HEAD":
            return web.Response(headers=_headers(request, conversion))
        if (path := conversion.job.audio) and (response := await _growing(request, conversion, path, begin)):
            return response
        if engine.draining and conversion.status is Status.QUEUED:
            raise errors.ShuttingDown("The server is restarting. Try again in a moment.", retry_after=RETRY_AFTER)
        left = deadline - loop.time()
        if left <= 0 or not await _changed(request, conversion, left, seen):
            raise errors.NotReady(
                "There is no audio yet. Try again in a moment, or follow the conversion's status.",
                retry_after=RETRY_AFTER,
            )


def _begin(request: web.Request) -> float | None:
    """The second at which a player wants to start, if it says one."""
    if (asked := request.query.get("from")) is None:
        return None
    if not _SECONDS.fullmatch(asked):
        raise errors.InvalidRequest('"from" must be a number of seconds, such as from=90 or from=90.5.')
    return float(asked)


async def _growing(
    request: web.Request, conversion: Conversion, path: Path, begin: float | None
) -> web.StreamResponse | None:
    """The unfinished file; None if it has just been published or thrown away, or is not made up to `begin` yet."""
    async with held(request), request.app[CONNECTIONS].file():
        attempt = conversion.job.attempt  # noted before opening, since a new one may begin meanwhile
        if conversion.job.audio != path:
            return None
        async with opened(path) as file:
            if file is None:
                return None
            return await Live(request, conversion, attempt, file).answer(_headers(request, conversion), begin)


async def _rest(request: web.Request, conversion: Conversion, artifact: Artifact, begin: float) -> web.StreamResponse:
    """The finished file from that second on, for a player that asked before it knew that the file is finished."""
    async with held(request), request.app[CONNECTIONS].file(), opened(artifact.path) as file:
        if file is None:
            raise _gone()
        live = Live(request, conversion, conversion.job.attempt, file)
        if response := await live.answer(_headers(request, conversion), begin):
            return response
    raise errors.InvalidRequest("The sound ends before that second.")


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
        raise _gone(conversion.video_id)
    if conversion.status is Status.FAILED:
        raise errors.ConversionFailed(conversion.job.error or errors.JobFailed(), conversion.video_id)
    return conversion.job.artifact if conversion.status is Status.COMPLETED else None


def _gone(video_id: str = "") -> errors.ConversionNotFound:
    words = "There is no such download: the id is unknown, or it was removed or has expired."
    return errors.ConversionNotFound(words, video_id=video_id)


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
