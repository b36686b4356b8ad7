"""The download link: the finished file, or the MP3 while it is being made, to any number of readers at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from pathlib import Path
from typing import Any, NoReturn

import aiofiles
from aiohttp import HttpVersion11, web
from aiohttp.abc import AbstractStreamWriter
from prometheus_client import Counter

from server import border, errors, filename
from server.appkeys import ARTIFACTS, ENGINE, METRICS, UNHURRIED
from server.jobs import Artifact, Conversion, Job, Status

#: How long a reader waits for the first byte, in seconds: proxies give up at 60.
PATIENCE = 50.0
#: When to ask again, in seconds.
RETRY_AFTER = 10
_CHUNK = 64 * 1024


async def audio(request: web.Request) -> web.StreamResponse:
    """`GET /static/downloads/{conversion_id}.mp3`; `HEAD` answers at once."""
    request[UNHURRIED] = True
    engine = request.app[ENGINE]
    conversion = engine.get(request.match_info["conversion_id"])
    if conversion is None:
        raise _gone()
    loop = asyncio.get_running_loop()
    deadline = loop.time() + PATIENCE
    while True:
        seen = conversion.job.changed.count
        if finished := _finished(conversion):
            return Download(
                finished.path,
                headers=_headers(conversion),
                reading=request.app[ARTIFACTS].reading(finished),
                served=request.app[METRICS].bytes_served,
            )
        if request.method == "HEAD":
            return web.Response(headers=_headers(conversion))
        if conversion.job.audio and request.version >= HttpVersion11:
            async with _opened(conversion.job.audio) as file:
                if file:
                    return await _live(request, conversion, file)
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
    conversion = request.app[ENGINE].get(request.match_info["conversion_id"])
    if conversion is None or conversion.removed or conversion.status in (Status.FAILED, Status.CANCELLED):
        raise _gone()
    job = conversion.job
    picture = job.artifact.cover if job.artifact else job.cover
    if picture is None:
        raise errors.NotFound("This conversion has no cover.")
    return Download(picture, headers={"Content-Type": "image/jpeg", "Cache-Control": "private, max-age=3600"})


def _finished(conversion: Conversion) -> Artifact | None:
    """The file, if it is complete. Raises what a link answers that leads nowhere any more."""
    if conversion.removed or conversion.status is Status.CANCELLED:
        raise _gone()
    if conversion.status is Status.FAILED:
        raise errors.ConversionFailed(conversion.job.error or errors.JobFailed())
    return conversion.job.artifact if conversion.status is Status.COMPLETED else None


def _gone() -> errors.ConversionNotFound:
    return errors.ConversionNotFound("There is no such download: the id is unknown, or it was removed or has expired.")


def _headers(conversion: Conversion) -> dict[str, str]:
    media = conversion.job.media
    return {
        "Content-Type": "audio/mpeg",
        "Content-Disposition": filename.content_disposition(media.title if media else conversion.video_id),
        "Cache-Control": "private, no-cache",
    }


async def _live(request: web.Request, conversion: Conversion, file: Any) -> web.StreamResponse:
    """The growing file from byte 0 to its end; with `?tag=no`, from the end of its tag.

    A failure, a cancel or a new attempt cuts the connection.
    """
    job, attempt = conversion.job, conversion.job.attempt
    served = request.app[METRICS].bytes_served
    # The last header asks nginx not to hold the stream back.
    response = web.StreamResponse(headers={**_headers(conversion), "X-Accel-Buffering": "no"})
    response.enable_chunked_encoding()
    await response.prepare(request)
    if request.query.get("tag") == "no":
        # For the page's player: Chromium reads a minute of audio ahead before it plays anything that has a cover.
        await file.seek(_tag_size(await file.read(10)))
    while True:
        seen, complete = job.changed.count, conversion.status is Status.COMPLETED
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


def _tag_size(start: bytes) -> int:
    """The bytes of the tag a file that starts so begins with (ID3v2.3 §3.1: 28 bits in four bytes)."""
    if len(start) < 10 or not start.startswith(b"ID3"):
        return 0
    high, upper, lower, low = start[6:10]
    return 10 + (high << 21 | upper << 14 | lower << 7 | low)


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
        await file.close()


class Download(web.FileResponse):
    """aiohttp's file answer (ranges, ETag, conditional requests, sendfile), whose refusals are the error envelope."""

    def __init__(
        self,
        path: Path,
        *,
        headers: dict[str, str],
        reading: AbstractContextManager[None] | None = None,
        served: Counter | None = None,
    ) -> None:
        """`reading` is held while the file is sent, and its bytes are added to `served`."""
        super().__init__(path, headers=headers)
        self._reading = reading or nullcontext()
        self._served = served
        self._refusal = b""

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        with self._reading:
            writer = await super().prepare(request)
        if self._served and request.method == "GET" and self.status in (200, 206):
            self._served.inc(self.content_length or 0)
        return writer

    def refuse(self) -> None:
        """In `on_response_prepare`: aiohttp has decided on an error status by now, without a body."""
        error: errors.RequestError
        if self.status == 416:
            error = errors.RangeNotSatisfiable("The requested range is beyond the end of the file.")
        elif self.status == 412:
            error = errors.PreconditionFailed("The file is not the one the request's condition names.")
        else:
            self.set_status(404)
            error = _gone()
        self._refusal = border.envelope(error)
        self.headers.popall("Content-Disposition", None)
        self.content_type = "application/json"
        self.content_length = len(self._refusal)

    async def write_eof(self, data: bytes = b"") -> None:
        await super().write_eof(data or self._refusal)


async def refuse_in_envelope(request: web.Request, response: web.StreamResponse) -> None:
    """The application's `on_response_prepare`."""
    if isinstance(response, Download) and response.status >= 400:
        response.refuse()
