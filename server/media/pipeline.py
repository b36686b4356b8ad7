"""One conversion from URL to published file: yt-dlp ══ pipe ══► ffmpeg ──► a file that grows."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

from .. import completion, errors, youtube_url
from ..config import Config
from ..jobs import Artifact, Job, Media
from ..storage.artifacts import Artifacts
from . import ffmpeg, id3, process, ytdlp

log = logging.getLogger(__name__)

#: How long the first byte may wait for a cover, in seconds.
COVER_PATIENCE = 1.0
#: How long yt-dlp may take to notice that ffmpeg has gone, in seconds.
_GOODBYE = 1.0


@dataclass(frozen=True)
class Pipeline:
    """What every conversion needs. `run` is what the engine is given.

    `observe` is told how many seconds each stage took: `extract`, `cover`, `encode`, `publish`.
    """

    config: Config
    artifacts: Artifacts
    ffmpeg: str
    cache: Path
    ca_bundle: Path | None
    observe: Callable[[str, float], None]

    async def run(self, job: Job) -> Artifact:
        """Convert, reporting to `job` all along. Raises JobError; whatever it raises, nothing stays behind."""
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
        async with ytdlp.run(
            self.config, job.video_id, folder=folder, cache=self.cache, ca_bundle=self.ca_bundle
        ) as source:
            job.media = media = await source.media()
            job.touch()
            clock.passed("extract")
            job.cover = await self._cover(source, folder)
            job.touch()
            clock.passed("cover")
            part = folder / "audio.part"
            begin = asyncio.to_thread(_begin, part, media, youtube_url.canonical_url(job.video_id), job.cover)
            with await completion.started(begin, _close) as target:
                seconds = await self._encode(job, source, part, target)
        _verify(media, seconds)
        clock.passed("encode")
        artifact = await self.artifacts.publish(part, job.cover, recipe=job.recipe, media=media)
        job.cover = artifact.cover  # where it is from now on; the staging folder goes
        clock.passed("publish")
        return artifact

    async def _cover(self, source: ytdlp.Run, folder: Path) -> Path | None:
        """The front cover, if there is one in time. A failing thumbnail never fails the conversion."""
        square = folder / "cover.jpg"
        try:
            async with asyncio.timeout(COVER_PATIENCE):
                picture = await source.cover()
                if picture is None:
                    return None
                await process.run(ffmpeg.cover_command(self.ffmpeg, picture, square), timeout=COVER_PATIENCE)
        except TimeoutError:
            return None
        except process.ChildFailed as error:
            log.info("a thumbnail could not be read: %s", error.stderr[-200:])
            return None
        return square

    async def _encode(self, job: Job, source: ytdlp.Run, part: Path, target: FileIO) -> float:
        """Encode what yt-dlp sends; the seconds of audio made. Raises the first real cause when either fails."""
        argv = ffmpeg.encode_command(
            self.ffmpeg,
            target.fileno(),
            bitrate_kbps=job.bitrate_kbps,
            sample_rate=source.sample_rate,
            channels=source.channels,
        )
        stdin, group = source.child.output.fileno(), source.child.pid
        try:
            async with ffmpeg.encode(argv, stdin=stdin, target=target.fileno(), group=group) as encoder:
                source.child.output.close()
                target.close()
                async for done in encoder.progress():
                    if job.audio is None and done.size:
                        job.audio = part
                    _report(job, done)
                await _both(source, encoder)
        except process.ChildFailed as error:
            # Its group is gone: yt-dlp died before ffmpeg could join.
            await source.finish()
            raise errors.JobFailed() from error
        return encoder.encoded.seconds


def _begin(part: Path, media: Media, url: str, cover: Path | None) -> FileIO:
    """Write the tag to `part`, whole before any audio, so that nothing heard live ever changes; open to append to."""
    part.write_bytes(id3.tag(media, url=url, cover=cover.read_bytes() if cover else None))
    return part.open("ab", buffering=0)


async def _close(file: FileIO) -> None:
    file.close()


def _report(job: Job, done: ffmpeg.Progress) -> None:
    before = job.progress
    if job.media and job.media.duration:
        job.report_progress(100 * done.seconds / job.media.duration)
    if job.progress != before:
        job.touch()
    else:
        job.changed.notify()


async def _both(source: ytdlp.Run, encoder: ffmpeg.Encoder) -> None:
    """Wait for both ends of the pipe; the first real cause is raised, not the broken pipe that follows from it."""
    failure: errors.JobError | None = None
    try:
        await encoder.finish()
    except errors.JobError as error:
        failure = error
    try:
        async with asyncio.timeout(_GOODBYE if failure else None):
            await source.finish()
    except ytdlp.BrokenPipe as error:
        raise failure or errors.EncodeFailed() from error
    except TimeoutError:
        pass
    except errors.JobError:
        if failure is None or not isinstance(failure, errors.DiskFull):
            raise
    if failure:
        raise failure


def _verify(media: Media, seconds: float) -> None:
    """Completed means checked: within 1 s or 1 % of what the source said, whichever is larger."""
    if media.duration and media.duration - seconds > max(1.0, media.duration / 100):
        raise errors.Truncated() from ValueError(f"{seconds:.2f} s of {media.duration:g} s")
    if not seconds:
        raise errors.NoAudio()


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
