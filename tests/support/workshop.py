"""The pipeline by itself, in this process, with the real yt-dlp and ffmpeg and a source that misbehaves to order."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from server.config import AudioConfig, Config, YtdlpConfig
from server.jobs import Artifact, Job, Recipe
from server.media import authorities, ffmpeg, forking, ytdlp
from server.media.exits import Exits, exits_of
from server.media.kept_sources import KeptSources
from server.media.pipeline import Pipeline
from server.offline import catalogue, media, offline_youtube
from server.offline.behaviours import Reserved
from server.offline.clips import Studio
from server.offline.videos import video
from server.storage.artifacts import Artifacts
from support.clips import with_shared_clips
from support.listening import FFMPEG

#: What a source answers to a request for a file, or for a fragment, of its own.
Serve = Callable[[web.Request, Path], Awaitable[web.StreamResponse]]
KBPS = 128


@dataclass(frozen=True)
class Workshop:
    pipeline: Pipeline
    clips: Path

    async def convert(self, entry: Reserved, *, serve: Serve | None = None, audio: AudioConfig | None = None) -> Made:
        """One attempt at a video that is as `entry` says, whose files come by `serve`. Raises JobError."""
        pipeline = self.pipeline
        if audio:
            pipeline = dataclasses.replace(pipeline, config=dataclasses.replace(pipeline.config, audio=audio))
        job = Job(Recipe(entry.video_id, KBPS))
        with known(entry), served_by(serve):
            async with asyncio.timeout(120):
                return Made(job, await pipeline.run(job))

    async def original(self, entry: Reserved) -> Path:
        """What there is of the first format."""
        with known(entry):
            clip = video(entry.video_id).clip
        return await Studio(self.clips, FFMPEG).clip(clip)


@contextmanager
def known(entry: Reserved) -> Iterator[None]:
    """The offline YouTube has this video."""
    catalogue.RESERVED[entry.video_id] = entry
    try:
        yield
    finally:
        del catalogue.RESERVED[entry.video_id]


@contextmanager
def served_by(serve: Serve | None) -> Iterator[None]:
    """The offline YouTube answers requests for files and fragments so."""

    async def ours(request: web.Request, path: Path, *_: object) -> web.StreamResponse:
        assert serve
        return await serve(request, path)

    usual = media.serve, media.fragment
    if serve:
        media.serve, media.fragment = ours, ours  # type: ignore[assignment]  # it needs no more
    try:
        yield
    finally:
        media.serve, media.fragment = usual


@dataclass(frozen=True)
class Made:
    job: Job
    artifact: Artifact

    @property
    def content(self) -> bytes:
        return self.artifact.path.read_bytes()


@asynccontextmanager
async def workshop(folder: Path) -> AsyncIterator[Workshop]:
    forking.preload(ytdlp.CHILD)
    youtube_folder = await asyncio.to_thread(with_shared_clips, folder / "youtube")
    async with offline_youtube(youtube_folder, FFMPEG) as youtube:
        reached = YtdlpConfig(args=("--socket-timeout", "5"), proxy=youtube.proxy, ca_file=youtube.ca_file)
        config = dataclasses.replace(Config(), ytdlp=reached)
        path = folder / "authorities.pem"
        bundle = await asyncio.to_thread(authorities.make_ca_bundle, youtube.ca_file, path)
        artifacts = Artifacts(folder / "downloads", budget_bytes=1 << 30)
        await artifacts.open()
        sources = KeptSources(artifacts)
        confined, exits = await ffmpeg.confined(FFMPEG, config), Exits(exits_of(config), 0)
        pipeline = Pipeline(
            config, artifacts, FFMPEG, confined, folder / "cache", bundle, exits, lambda *_: None, sources
        )
        yield Workshop(pipeline, youtube_folder / "clips")
        assert not list((folder / "downloads" / ".staging").iterdir())
