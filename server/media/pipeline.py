"""One conversion from URL to published file: yt-dlp ══ pipe ══► ffmpeg ──► a file that grows.

What is made from a part of a source has a file between yt-dlp and ffmpeg: see `kept_source.py`.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

from .. import completion, youtube_url
from ..config import Config
from ..errors import JobError
from ..jobs import Artifact, Job, Media
from ..storage.artifacts import Artifacts
from . import authorities, clipping, cover, id3, loudness, process, ytdlp
from .confinement import Confinement
from .encoding import Encoding
from .exits import Exit, Exits
from .kept_source import KeptSource
from .kept_sources import KeptSources

log = logging.getLogger(__name__)

#: Seconds that the first byte may wait for a cover: for fetching and making it together.
COVER_TIMEOUT = 1.0


@dataclass(frozen=True)
class Pipeline:
    """What every conversion needs. `run` is what the engine is given. `confinement` is ffmpeg's.

    `observe` is told how many seconds each stage took: `extract`, `cover`, `wait`, `measure`, `encode`, `publish`.
    `encoder` is a block that begins once the job may encode.
    """

    config: Config
    artifacts: Artifacts
    ffmpeg: str
    confinement: Confinement
    cache: Path
    ca_bundle: authorities.CaBundle | None
    exits: Exits
    observe: Callable[[str, float], None]
    sources: KeptSources
    encoder: Callable[[Job], AbstractAsyncContextManager[None]] = lambda job: nullcontext()

    async def run(self, job: Job) -> Artifact:
        """Convert, reporting to `job` all along, through one exit after the other while that may help.

        Raises JobError; whatever it raises, nothing stays behind.
        """
        while True:
            exit_name = self.exits.of(job).name
            try:
                artifact = await self._attempt(job)
            except JobError as error:
                if not self.exits.failed(job, error):
                    raise
                log.warning("%s failed through exit %s: %s: %s", job, exit_name, error.code, error.__cause__ or error)
            else:
                self.exits.worked(job)
                return artifact

    async def _attempt(self, job: Job) -> Artifact:
        artifact: Artifact | None = None
        try:
            async with self.artifacts.staging() as folder:
                artifact = await self._convert(job, folder)
            return artifact
        except BaseException:
            if artifact:  # cancelled in the moment after publishing: nobody would ever know of the file
                await self.artifacts.remove(artifact)
            raise

    async def _convert(self, job: Job, folder: Path) -> Artifact:
        clock = _Stages(job, self.observe)
        clip = job.recipe.clip
        if self.ca_bundle:
            await asyncio.to_thread(self.ca_bundle.restore)
        async with self._source(job, folder) as source:
            media = await source.media()
            job.media = media = clipping.media(media, clip, source.expectation) if clip else media
            job.touch()
            clock.passed("extract")
            job.cover = await self._cover(source, folder)
            job.touch()
            clock.passed("cover")
            await source.flows()
            async with self.encoder(job):
                clock.passed("wait")
                change = await self._measured(job, source)
                if change:
                    clock.passed("measure")
                part = folder / "audio.part"
                written = await self._encode(job, media, source, part, change)
        job.media = media = dataclasses.replace(job.media, duration=round(written, 3))
        clock.passed("encode")
        artifact = await self.artifacts.publish(part, job.cover, recipe=job.recipe, media=media)
        job.cover = artifact.cover  # its final place; the staging folder is removed
        clock.passed("publish")
        return artifact

    async def _encode(
        self, job: Job, media: Media, source: ytdlp.Run | KeptSource, part: Path, change: loudness.Change | None
    ) -> float:
        """Encode into the file `part`. Returns the seconds of audio."""
        async with source.sound() as sound:
            url, tags = youtube_url.canonical_url(job.video_id), change.tags if change else []
            begin = asyncio.to_thread(_begin, part, media, url, job.cover, tags)
            with await completion.started(begin, _close) as target:
                encoding = Encoding(
                    job,
                    sound,
                    max_duration=self.config.audio.max_duration,
                    gain=change.gain if change else None,
                    begin=loudness.MEASURING_PERCENT if change else 0,
                    on_audio=lambda: self.exits.heard(job),
                )
                return await encoding.run(self.ffmpeg, self.confinement, part, target)

    def _source(self, job: Job, folder: Path) -> AbstractAsyncContextManager[ytdlp.Run | KeptSource]:
        """The video's audio: straight from yt-dlp, which then works in `folder`, or from a file if it must be kept."""
        way = self.exits.of(job)
        if not job.recipe.needs_source:
            return self._ytdlp(job, way, folder)
        return self.sources.source(
            job.video_id, way.name, lambda folder: self._ytdlp(job, way, folder), cover_timeout=COVER_TIMEOUT
        )

    def _ytdlp(self, job: Job, way: Exit, folder: Path) -> AbstractAsyncContextManager[ytdlp.Run]:
        return ytdlp.run(
            dataclasses.replace(self.config, ytdlp=way.ytdlp),
            job.video_id,
            folder=folder,
            cache=self.cache,
            ca_bundle=self.ca_bundle.path if self.ca_bundle else None,
            cookies=way.cookies,
            name=str(job),
        )

    async def _measured(self, job: Job, source: ytdlp.Run | KeptSource) -> loudness.Change | None:
        """What is to be done to the sound; None if it stays as it is."""
        target = job.recipe.loudness
        if target is None:
            return None

        def report(percent: float) -> None:
            self.exits.heard(job)
            before = job.progress
            job.report_progress(percent * loudness.MEASURING_PERCENT / 100)
            if job.progress != before:
                job.touch()

        async with source.sound() as sound:
            measured = await loudness.measure(
                self.ffmpeg,
                self.confinement,
                sound,
                bitrate_kbps=job.bitrate_kbps,
                clip=job.recipe.clip,
                max_duration=self.config.audio.max_duration,
                report=report,
            )
        return loudness.change(measured, target)

    async def _cover(self, source: ytdlp.Run | KeptSource, folder: Path) -> Path | None:
        """The front cover, if there is one in time. A failing thumbnail never fails the conversion."""
        square = folder / "cover.jpg"
        try:
            async with asyncio.timeout(COVER_TIMEOUT):
                thumbnail = await source.cover()
                if thumbnail is None:
                    return None
                own = self.confinement.with_folder(folder).reading(thumbnail)
                await cover.make(self.ffmpeg, thumbnail, square, own, timeout=COVER_TIMEOUT)
        except TimeoutError:
            return None
        except (process.ChildFailed, ValueError) as error:
            log.info("a thumbnail could not be read: %s %s", error, getattr(error, "stderr", "")[-200:])
            return None
        return square


def _begin(part: Path, media: Media, url: str, cover: Path | None, more: Sequence[tuple[str, str]] = ()) -> FileIO:
    """Write the tag to `part`, whole before any audio, so that nothing heard live ever changes; open to append to."""
    part.write_bytes(id3.tag(media, url=url, cover=cover.read_bytes() if cover else None, more=more))
    return part.open("ab", buffering=0)


async def _close(file: FileIO) -> None:
    file.close()


class _Stages:
    """Says how long each stage took."""

    def __init__(self, job: Job, observe: Callable[[str, float], None]) -> None:
        self._job = job
        self._observe = observe
        self._since = time.monotonic()

    def passed(self, stage: str) -> None:
        now = time.monotonic()
        self._observe(stage, now - self._since)
        log.info("%s %s %.2f s", self._job, stage, now - self._since)
        self._since = now
