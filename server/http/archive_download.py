"""The download of an archive: a ZIP of MP3s (stored, ZIP64 if need be) that is made while it is sent.

Members are whole: each is taken once its conversion is completed, in the archive's order. What failed is named in a
text file at the end. Once every conversion has ended, the ZIP has a length, and any range of it can be asked for.
zipstream-ng makes the ZIP's bytes; it reads files, so each step of it runs in a thread.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import tempfile
from collections.abc import Generator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from aiohttp import HttpVersion11, web
from zipstream.ng import ZipStream

from .. import completion, errors
from ..conversions.archives import Archive
from ..jobs import Artifact, Conversion, Status
from . import filename, tcp
from .context import ARCHIVES, ARTIFACTS, CONNECTIONS, ENGINE, METRICS, WITHOUT_DEADLINE
from .protocol import cut, held

#: The text file that names what is missing.
MISSING = "Not in this archive.txt"
_RANGE = re.compile(r"bytes=([0-9]{0,15})-([0-9]{0,15})", re.IGNORECASE)
#: The first moment that a ZIP can name. The text file has no time of its own.
_NO_TIME = 315_619_200.0  # 1980-01-02


@dataclass(frozen=True)
class _Member:
    """A file of the ZIP."""

    name: str
    conversion: Conversion
    artifact: Artifact


async def archive(request: web.Request) -> web.StreamResponse:
    """`GET /static/downloads/{archive_id}.zip`; `HEAD` answers at once."""
    request[WITHOUT_DEADLINE] = True
    found = request.app[ARCHIVES].get(request.match_info["archive_id"])
    if found is None:
        raise errors.ArchiveNotFound("There is no such archive: the id is unknown, or all its files have expired.")
    about, conversions = found
    headers = {
        "Content-Type": "application/zip",
        "Content-Disposition": filename.content_disposition(about.name, about.id, "zip"),
        "Cache-Control": "private, no-cache",
    }
    async with held(request), request.app[CONNECTIONS].file():
        download = _Download(request, about, conversions, headers)
        if all(one is None or one.finished for one in conversions):
            return await download.whole()
        return await download.live()


class _Download:
    def __init__(
        self,
        request: web.Request,
        about: Archive,
        conversions: list[Conversion | None],
        headers: dict[str, str],
    ) -> None:
        self._request = request
        self._about = about
        self._conversions = conversions
        self._headers = headers
        self._missing: list[str] = []
        self._left = 0

    # ---- while some conversions are still made

    async def live(self) -> web.StreamResponse:
        """Send each member as soon as it is there."""
        request = self._request
        response = web.StreamResponse(headers={**self._headers, "X-Accel-Buffering": "no"})
        if request.version >= HttpVersion11:
            response.enable_chunked_encoding()
        else:
            response.force_close()
        if request.method == "HEAD":
            return response
        await response.prepare(request)
        made = ZipStream()
        for number, conversion in enumerate(self._conversions):
            while conversion and not conversion.finished:
                await conversion.job.changed.wait(since=conversion.job.changed.count)
            if member := self._member(number, conversion):
                await self._send_member(response, made, member)
        if self._missing:
            made.add(self._note(), MISSING)
        await self._send(response, made.finalize())
        await response.write_eof()
        return response

    # ---- once all have ended

    async def whole(self) -> web.StreamResponse:
        """Send the ZIP, or the requested range of it."""
        made_of = [one.job.artifact for one in self._conversions if one and not one.removed and one.job.artifact]
        await self._request.app[ENGINE].expire_damaged(made_of)
        members = [m for m in (self._member(n, one) for n, one in enumerate(self._conversions)) if m]
        with ExitStack() as stack:
            made = await asyncio.to_thread(self._sized, members, stack)
            size, tag = len(made), self._tag(members)
            first, last, status = self._range(size, tag)
            headers = {**self._headers, "Accept-Ranges": "bytes", "ETag": tag}
            if status == 206:
                headers["Content-Range"] = f"bytes {first}-{last}/{size}"
            response = web.StreamResponse(status=status, headers=headers)
            response.content_length = self._left = last - first + 1
            if self._request.method == "HEAD":
                return response
            await response.prepare(self._request)
            skip = first
            for member in members:
                if self._left:
                    skip = await self._send_member(response, made, member, skip)
            if self._left:
                await self._send(response, made.finalize(), skip)
        await response.write_eof()
        return response

    def _sized(self, members: list[_Member], stack: ExitStack) -> ZipStream:
        """Blocking. Raises ArchiveNotFound if a file has just gone."""
        made = ZipStream(sized=True)
        try:
            for member in members:
                made.add_path(str(member.artifact.path), member.name)
        except FileNotFoundError:
            raise errors.ArchiveNotFound("A file of this archive has just expired. Ask again.") from None
        if self._missing:
            # A file, since zipstream-ng gives what is no file the present time: then no two downloads were the same.
            note = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ytmp3d-archive-"))) / "note.txt"
            note.write_text(self._note(), encoding="utf-8", newline="")
            os.utime(note, (_NO_TIME, _NO_TIME))
            made.add_path(str(note), MISSING)
        return made

    def _tag(self, members: list[_Member]) -> str:
        parts = [f"{one.name}\0{one.artifact.path.name}\0{one.artifact.size}" for one in members]
        digest = hashlib.sha256("\0".join([self._about.id, *parts, *self._missing]).encode()).hexdigest()
        return f'"{digest[:32]}"'

    def _range(self, size: int, tag: str) -> tuple[int, int, int]:
        """The first byte, the last, and the status. Raises RangeNotSatisfiable."""
        request = self._request
        found = _RANGE.fullmatch(request.headers.get("Range", ""))
        if request.method != "GET" or not found or request.headers.get("If-Range", tag) != tag or found[0][6:] == "-":
            return 0, size - 1, 200
        begin, end = found[1], found[2]
        first = int(begin) if begin else max(0, size - int(end))
        last = min(int(end), size - 1) if begin and end else size - 1
        if begin and end and int(end) < first:
            return 0, size - 1, 200
        if first >= size or (not begin and not int(end)):
            said = {"Content-Range": f"bytes */{size}"}
            raise errors.RangeNotSatisfiable("The requested range is not within the archive.", headers=said)
        return first, last, 206

    # ---- members

    def _member(self, number: int, conversion: Conversion | None) -> _Member | None:
        """The member for a conversion that has ended. One that has no file is noted as missing."""
        width = len(str(len(self._conversions)))
        if conversion is None:
            self._missing.append(f"{number + 1:0{width}}  removed or expired")
            return None
        name = f"{number + 1:0{width}} {self._request.app[ENGINE].table.names.of(conversion)}"
        artifact = conversion.job.artifact
        if conversion.status is Status.COMPLETED and artifact and not conversion.removed:
            return _Member(f"{name}.mp3", conversion, artifact)
        error = conversion.job.error
        why = f"{error.code}: {error.message}" if conversion.status is Status.FAILED and error else "removed or expired"
        self._missing.append(f"{name} ({conversion.video_id})  {why}")
        return None

    def _note(self) -> str:
        return "These are missing, and why:\r\n\r\n" + "".join(f"{line}\r\n" for line in self._missing)

    async def _send_member(self, response: web.StreamResponse, made: ZipStream, member: _Member, skip: int = 0) -> int:
        """Send the next member, without its first `skip` bytes. Returns how many are still to be skipped."""
        request = self._request
        with request.app[ARTIFACTS].reading(member.artifact, partial(cut, request)):
            if not made.sized:
                try:
                    await asyncio.to_thread(made.add_path, str(member.artifact.path), member.name)
                except FileNotFoundError:
                    self._missing.append(f"{member.name}  removed or expired")
                    return skip
            return await self._send(response, made.file(), skip)

    async def _send(self, response: web.StreamResponse, pieces: Generator[bytes], skip: int = 0) -> int:
        """Send what comes, without the first `skip` bytes. A file that goes meanwhile cuts the connection."""
        try:
            # A step is never left in the middle: what it reads from can be closed only after it.
            while (piece := await completion.finished(asyncio.to_thread(self._next, pieces))) is not None:
                if skip >= len(piece):
                    skip -= len(piece)
                    continue
                await self._write(response, piece[skip:])
                skip = 0
                if response.content_length is not None and not self._left:
                    break  # the range is whole; what would follow is not even read
        finally:
            pieces.close()  # and with it the file
        return skip

    async def _write(self, response: web.StreamResponse, piece: bytes) -> None:
        """Return once the client has caught up."""
        if response.content_length is not None:
            piece = piece[: self._left]
            self._left -= len(piece)
        await response.write(piece)
        await self._request.writer.drain()
        self._request.app[METRICS].bytes_served.inc(len(piece))
        self._request.app[ENGINE].use.count(self._about.owner, sent=len(piece))

    def _next(self, pieces: Iterator[bytes]) -> bytes | None:
        try:
            return next(pieces, None)
        except (OSError, RuntimeError) as error:  # the latter is zipstream-ng's word for another size than said
            if transport := self._request.transport:
                tcp.reset_on_close(transport)
            raise ConnectionResetError("a file of the archive is gone") from error
