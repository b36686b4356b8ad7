"""The application on a real socket, with a studio in place of yt-dlp and ffmpeg, and clients that trust nothing.

Every answer that passes through here is held to what is promised for all of them: see `checked`.
"""

from __future__ import annotations

import asyncio
import dataclasses
import email.parser
import json
import re
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from aiohttp.typedefs import Middleware
from multidict import CIMultiDict
from yarl import URL

from server import errors
from server.access.keys import Key
from server.app import Route, create_app
from server.config import Config, JobsConfig, LimitsConfig, StorageConfig
from server.conversions.engine import Engine
from server.gate import Gate
from server.http import error_answer, server
from server.http.context import ARTIFACTS, ENGINE
from server.http.listener import listening_sockets
from server.jobs import Artifact, Change, Conversion, Job, Media, Order, Quality, Source
from server.media.playlists import Playlist
from server.storage.artifacts import Artifacts
from server.youtube_url import ListLink
from support.waiting import SOON as SOON
from support.waiting import eventually as eventually

KEY, OTHER = "the-key-of-anna", "the-key-of-ben"
UNLIMITED = LimitsConfig(1_000_000, 1_000_000, 1_000_000)
KEYS = {KEY: Key("anna", UNLIMITED), OTHER: Key("ben", UNLIMITED)}
MEDIA = Media("A Title", "An Artist", 12.5, "2026-01-31", Source("opus", 141))
CODES = errors.REQUEST_ERRORS.keys() | errors.JOB_ERRORS.keys()


@dataclass(frozen=True)
class Answer:
    status: int
    headers: CIMultiDict[str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        return str(self.json["error"]["code"])

    @property
    def message(self) -> str:
        return str(self.json["error"]["message"])


def checked(answer: Answer, method: str = "GET") -> Answer:
    """`answer`, which has the headers that every answer has, and is the envelope if it is an error.

    Only `GET /readyz` says in words of its own what is wrong.
    """
    for name, value in error_answer.SECURITY_HEADERS.items():
        assert answer.headers.getall(name) == [value], answer
    assert re.fullmatch(r"[A-Za-z0-9._-]{1,64}", answer.headers["X-Request-ID"])
    if answer.status >= 400 and method != "HEAD":
        assert answer.headers["Content-Type"].startswith("application/json"), answer
        if answer.status == 503 and answer.json.get("status") == "unavailable":
            return answer
        assert answer.json.keys() == {"error"}, answer
        error = answer.json["error"]
        assert error.keys() == {"code", "message"} and error["code"] in CODES and error["message"], answer
    return answer


class Take:
    """One attempt at a job, led by the test: what it lets grow, live readers get."""

    def __init__(self, job: Job, folder: Path) -> None:
        self.job = job
        self.part = folder / "audio.part"
        self.cover: Path | None = None
        self.end: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def know(self, media: Media = MEDIA, cover: bytes | None = None) -> None:
        """The extraction is done."""
        self.job.media = media
        if cover:
            self.cover = self.job.cover = self.part.with_name("cover.jpg")
            self.cover.write_bytes(cover)
        self.job.touch()

    def grow(self, content: bytes, percent: float = 0) -> None:
        with self.part.open("ab") as file:
            file.write(content)
        self.job.audio = self.part
        self.job.report_progress(percent)
        self.job.touch()

    def finish(self) -> None:
        self.end.set_result(None)

    def fail(self, error: Exception) -> None:
        self.end.set_exception(error)


class Studio:
    """Takes the pipeline's place. A video whose id begins with "led" waits for the test; others are made at once."""

    def __init__(self) -> None:
        self.app: web.Application | None = None
        self.takes: list[Take] = []
        self.looks: list[ListLink] = []
        self.looked = asyncio.Event()
        self.media = MEDIA
        self._began = Change()

    async def look(self, link: ListLink, most: int, deadline: float) -> Playlist:
        """A playlist. One whose id begins with "PLled" waits for the test, with "PLmissing" or "PLrefused" it fails."""
        self.looks.append(link)
        if link.name.startswith("PLmissing"):
            raise errors.PlaylistNotFound("There is no such playlist.")
        if link.name.startswith("PLrefused"):
            raise errors.SourceUnavailable("Not now.", retry_after=60)
        self._began.notify()
        if link.name.startswith("PLled"):
            await self.looked.wait()
        videos = [
            {"video_id": f"video-{n:05}", "title": "é", "channel": None, "duration": 5, "available": True}
            for n in range(most)
        ]
        return Playlist(link.name, "A List", "A Channel", most, truncated=False, videos=videos)

    async def looking(self, count: int) -> None:
        """Return once so many looks have begun."""
        async with asyncio.timeout(SOON):
            while len(self.looks) < count:
                await self._began.wait()

    async def run(self, job: Job) -> Artifact:
        """As `Pipeline.run`: whatever it raises, nothing stays behind."""
        assert self.app
        artifacts = self.app[ARTIFACTS]
        artifact: Artifact | None = None
        try:
            async with artifacts.staging() as folder:
                artifact = await self._make(job, folder, artifacts)
            return artifact
        except BaseException:
            if artifact:
                await artifacts.remove(artifact)
            raise

    async def _make(self, job: Job, folder: Path, artifacts: Artifacts) -> Artifact:
        take = Take(job, folder)
        self.takes.append(take)
        self._began.notify()
        if not job.video_id.startswith("led"):
            take.know(self.media)
            take.grow(content_of(job.video_id, job.bitrate_kbps))
            take.finish()
        await take.end
        return await artifacts.publish(
            take.part,
            take.cover,
            recipe=job.recipe,
            media=job.media or MEDIA,
        )

    @property
    def videos(self) -> list[str]:
        """What was worked on, in the order of its start."""
        return [take.job.video_id for take in self.takes]

    async def take(self, video_id: str, attempt: int = 1) -> Take:
        """That attempt at a video, once it has begun."""
        async with asyncio.timeout(SOON):
            while True:
                found = [take for take in self.takes if take.job.video_id == video_id]
                if len(found) >= attempt:
                    return found[attempt - 1]
                await self._began.wait()


def job_of(api: Api, conversion_id: str) -> Job:
    conversion = api.engine.table.get(conversion_id)
    assert conversion
    return conversion.job


async def waited_for(job: Job, waiters: int = 1) -> None:
    """Return once so many requests wait for the next change of `job`."""
    await eventually(lambda: len(job.changed._waiters) >= waiters)


def content_of(video_id: str, bitrate_kbps: int = 320) -> bytes:
    return f"{video_id} at {bitrate_kbps} ".encode() * 1500


def link(conversion_id: str) -> str:
    return f"/static/downloads/{conversion_id}.mp3"


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


class Api:
    """A client of the running application."""

    def __init__(self, runner: web.AppRunner, studio: Studio, session: aiohttp.ClientSession, port: int) -> None:
        self.runner = runner
        self.app = runner.app
        self.studio = studio
        self.session = session
        self.port = port
        self.url = f"http://127.0.0.1:{self.port}"

    @property
    def engine(self) -> Engine:
        return self.app[ENGINE]

    def address(self, path: str) -> URL:
        """`path` exactly as it is."""
        return URL(self.url + path, encoded=True)

    async def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        key: str | None = KEY,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """`body` is sent as JSON, or as it is when it is bytes."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        plain = {"Accept-Encoding": "identity"}  # aiohttp's client would ask for gzip
        head = CIMultiDict({**plain, **(bearer(key) if key else {}), **(headers or {})})
        async with (
            asyncio.timeout(SOON),
            self.session.request(method, self.address(path), data=data, headers=head, allow_redirects=False) as got,
        ):
            return checked(Answer(got.status, CIMultiDict(got.headers), await got.read()), method)

    async def get(self, path: str, **more: Any) -> Answer:
        return await self.request("GET", path, **more)

    async def post(self, path: str, body: Any, **more: Any) -> Answer:
        return await self.request("POST", path, body, **more)

    async def convert(self, video_id: str, quality: str = "high", *, key: str = KEY) -> Any:
        """The accepted conversion."""
        answer = await self.post("/convert", {"url": watch(video_id), "quality": quality}, key=key)
        assert answer.status == 200, answer
        return answer.json

    async def status(self, conversion_id: str, *, key: str = KEY, wait: int = 0) -> Any:
        """As it is, or once it has ended (within `wait` seconds)."""
        headers = {"Prefer": f"wait={wait}"} if wait else {}
        answer = await self.get(f"/status/{conversion_id}", key=key, headers=headers)
        assert answer.status == 200, answer
        return answer.json

    async def made(self, video_id: str, quality: str = "high", *, key: str = KEY) -> Any:
        """A completed conversion."""
        accepted = await self.convert(video_id, quality, key=key)
        conversion = await self.status(accepted["conversion_id"], key=key, wait=50)
        assert conversion["status"] == "completed", conversion
        return conversion

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        """A bare connection."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=1 << 20)
        try:
            async with asyncio.timeout(SOON):
                yield reader, writer
        finally:
            writer.transport.abort()

    async def raw(self, sent: bytes | str, *, answers: int = 1) -> list[Answer]:
        """What comes back when exactly `sent` is sent."""
        async with self.connected() as (reader, writer):
            writer.write(sent if isinstance(sent, bytes) else sent.encode())
            method = "HEAD" if sent[:5] in (b"HEAD ", "HEAD ") else "GET"
            return [checked(await read_answer(reader, method), method) for _ in range(answers)]


async def submit(api: Api, video_id: str, owner: str = "anna") -> Conversion:
    """Accepted by the engine, without HTTP."""
    (conversion,) = await api.engine.submit(owner, [Order(video_id, Quality.HIGH)])
    return conversion


async def finish(api: Api, video_id: str, attempt: int = 1) -> None:
    """End a led attempt well."""
    take = await api.studio.take(video_id, attempt)
    take.grow(b"sound")
    take.finish()


async def read_answer(reader: asyncio.StreamReader, method: str = "GET") -> Answer:
    """One answer, whole. Raises IncompleteReadError or ConnectionError when it is cut off."""
    status, headers = await read_head(reader)
    if method == "HEAD" or status in (204, 304) or status < 200:
        return Answer(status, headers, b"")
    assert not ("Content-Length" in headers and "Transfer-Encoding" in headers), headers
    if headers.get("Transfer-Encoding") == "chunked":
        return Answer(status, headers, b"".join([chunk async for chunk in read_chunks(reader)]))
    if "Content-Length" in headers:
        return Answer(status, headers, await reader.readexactly(int(headers["Content-Length"])))
    return Answer(status, headers, await reader.read())


async def read_head(reader: asyncio.StreamReader) -> tuple[int, CIMultiDict[str]]:
    first, _, rest = (await reader.readuntil(b"\r\n\r\n")).decode().partition("\r\n")
    protocol, status = first.split(" ")[:2]
    assert protocol in ("HTTP/1.1", "HTTP/1.0"), first
    return int(status), CIMultiDict(email.parser.Parser().parsestr(rest).items())


async def read_chunks(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """The chunks up to the last. Raises when the connection ends before it."""
    while True:
        size = int(await reader.readuntil(b"\r\n"), 16)
        chunk = await reader.readexactly(size + 2)
        if not size:
            return
        yield chunk[:-2]


def watch(video_id: str) -> str:
    return f"https://www.youtube.com/watch?v={video_id}"


@asynccontextmanager
async def serving(
    folder: Path,
    *,
    keys: Mapping[str, Key] | None = None,
    middlewares: Sequence[Middleware] = (),
    gate: Gate | None = None,
    routes: Iterable[Route] = (),
    **sections: Any,
) -> AsyncIterator[Api]:
    """The application with these sections of the configuration, all its files in `folder`."""
    storage = StorageConfig(downloads=folder / "downloads", state=folder / "state")
    sections = {"jobs": JobsConfig(slots=2, retry_pause=0), "storage": storage, **sections}
    jobs = sections["jobs"]
    sections["jobs"] = dataclasses.replace(jobs, fetchers=jobs.slots or jobs.fetchers)  # the studio's runs never encode
    config = Config(**sections, keys_file=folder / "keys.toml")
    studio = Studio()
    app = studio.app = create_app(
        config, middlewares, keys=keys or KEYS, routes=routes, run=studio.run, look=studio.look, gate=gate
    )
    runner = server.make_runner(app)
    await runner.setup()
    try:
        sockets = await asyncio.to_thread(listening_sockets, "127.0.0.1", 0)
        connector = aiohttp.TCPConnector(limit=0)
        async with (
            server.listening(runner, sockets) as listener,
            aiohttp.ClientSession(connector=connector, auto_decompress=False) as session,
        ):
            yield Api(runner, studio, session, listener.port)
    finally:
        await app[ENGINE].drain(0)
        await runner.cleanup()
