"""Encodes one source (a pipe ══► ffmpeg ──► a growing file), and fails if the result is not whole."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable
from io import FileIO
from pathlib import Path
from typing import Protocol

from .. import errors
from ..jobs import Job, Media, Source
from . import clipping, ffmpeg, process, transport, wholeness
from .confinement import Confinement
from .feeding import Output

#: How long yt-dlp may take to notice that ffmpeg has gone, in seconds.
BROKEN_PIPE_TIMEOUT = 1.0
#: Seconds that ffmpeg may write beyond the expected length, so that too much audio is noticed.
OVERRUN = 0.5


class Sound(Protocol):
    """The audio of a video, as it comes.

    `expectation` is how long all of it should be; `sample_rate` and `channels` are None where nobody says. After
    `finish`: `delivered` is whether all came, None where nobody can tell.
    """

    sample_rate: int | None
    channels: int | None
    ambisonic: bool
    delivered: bool | None
    expectation: wholeness.Expectation

    @property
    def output(self) -> Output:
        """The pipe that it comes from, to hand on to the encoder and then close."""

    @property
    def group(self) -> int | None:
        """The process group for the encoder to join; None for one of its own."""

    async def finish(self) -> None:
        """Call once the encoder has ended. Raises the JobError that says why the audio broke off."""


class Encoding:
    """Reports a job's progress, gives its readers the file, and ends a source that is too long.

    `max_duration` in seconds is for a source of unknown length. `gain` is in dB; None leaves the sound as it is. The
    progress begins at `begin` per cent. `on_audio` is called once there is audio to hear.
    """

    def __init__(
        self,
        job: Job,
        source: Sound,
        *,
        max_duration: float,
        gain: float | None = None,
        begin: float = 0,
        on_audio: Callable[[], None] = lambda: None,
    ) -> None:
        self._job = job
        self._gain, self._begin = gain, begin
        self._on_audio = on_audio
        self._source = source
        self._clip = clip = job.recipe.clip
        self._expected = clipping.expectation(source.expectation, clip) if clip else source.expectation
        self._max_duration = max_duration
        self._limit = self._expected.limit(max_duration)
        self._asks = job.media is not None and _is_incomplete(job.media.source)
        self._written = 0.0

    async def run(self, program: str, confinement: Confinement, part: Path, target: FileIO) -> float:
        """Encode the audio into `part`, open as `target`; returns the seconds of audio.

        Raises the first real cause if either process fails, or the reason why the audio is not whole.
        """
        source = self._source
        stdin, group, argv = source.output.fileno(), source.group, self._command(program)
        try:
            async with ffmpeg.encode(argv, confinement, stdin=stdin, target=target.fileno(), group=group) as encoder:
                source.output.close()
                target.close()
                async for done in encoder.progress():
                    self._follow(done, part, encoder)
                failure = await failure_of(source, encoder)
        except process.ChildFailed as error:
            # yt-dlp died before ffmpeg could join its group.
            await source.finish()
            raise errors.JobFailed() from error
        if failure:
            raise self._explained(failure)
        recording = wholeness.Recording(
            self._written, encoder.encoded.seconds, delivered=source.delivered, clean=encoder.clean
        )
        if self._clip and clipping.starts_behind(recording, source.expectation, self._clip):
            raise errors.ClipOutOfRange() from ValueError("the sound ends before the clip starts")
        wholeness.check(self._expected, recording, self._max_duration)
        return self._written

    def _command(self, program: str) -> list[str]:
        source, bitrate_kbps = self._source, self._job.bitrate_kbps
        return ffmpeg.encode_command(
            program,
            ffmpeg.TARGET,
            bitrate_kbps=bitrate_kbps,
            size_limit=wholeness.bytes_written(self._limit + OVERRUN, bitrate_kbps),
            sample_rate=source.sample_rate,
            trim=clipping.trim(self._clip) if self._clip else "",
            mixing=ffmpeg.mixing(source.channels, ambisonic=source.ambisonic),
            gain=self._gain,
            report_source=self._asks,
        )

    def _follow(self, done: ffmpeg.Progress, part: Path, encoder: ffmpeg.Encoder) -> None:
        """Take in one report of ffmpeg's. Raises the reason when too much was written."""
        job = self._job
        self._written = wholeness.seconds_written(done.size, job.bitrate_kbps)
        if self._written > self._limit:
            raise wholeness.beyond_limit(self._expected) from ValueError(f"{self._written:.1f} s and no end")
        if job.audio is None and done.size:
            job.audio = part
            self._on_audio()
        before = job.progress, job.media
        if self._asks and job.media and (found := encoder.source):
            job.media = _with_source(job.media, *found)
            self._asks = False
        if self._expected.seconds:
            job.report_progress(self._begin + (100 - self._begin) * self._written / self._expected.seconds)
        if (job.progress, job.media) != before:
            job.touch()
        else:
            job.changed.notify()

    def _explained(self, failure: errors.JobError) -> errors.JobError:
        """The error for a failed encoding. A source that breaks off cannot be encoded to its end."""
        if isinstance(failure, errors.EncodeFailed) and not isinstance(failure, ffmpeg.Interrupted) and self._written:
            return _caused(errors.Truncated(), failure.__cause__)
        return failure


def _is_incomplete(source: Source) -> bool:
    """Whether YouTube did not say what the audio is."""
    return source.codec == "unknown" or source.bitrate_kbps is None


def _with_source(media: Media, codec: str, kbps: int | None) -> Media:
    """`media` with what the encoder found out about its source, if YouTube did not say."""
    said = media.source
    source = Source(codec if said.codec == "unknown" else said.codec, said.bitrate_kbps or kbps)
    return dataclasses.replace(media, source=source)


async def failure_of(source: Sound, encoder: ffmpeg.Encoder) -> errors.JobError | None:
    """Wait for both; the first real cause of a failure, not the broken pipe that follows from it."""
    failure: errors.JobError | None = None
    try:
        await encoder.finish()
    except errors.JobError as error:
        failure = error
    try:
        async with asyncio.timeout(BROKEN_PIPE_TIMEOUT if failure else None):
            await source.finish()
    except transport.BrokenPipe as error:
        failure = failure or _caused(errors.EncodeFailed(), error)
    except TimeoutError:
        pass
    except errors.JobError as error:
        failure = failure if isinstance(failure, errors.DiskFull) else error
    return failure


def _caused(error: errors.JobError, cause: BaseException | None) -> errors.JobError:
    error.__cause__ = cause
    return error
