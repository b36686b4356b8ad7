"""ffmpeg: which one, the command lines, its progress, and what its failures mean."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import imageio_ffmpeg

from .. import errors
from ..config import Config, ConfigError
from . import process

#: The cover's edge, in pixels: what players show large, at some 60 kB.
COVER_SIZE = 600
_OLDEST = 7
_ASK_TIMEOUT = 20.0


async def find(config: Config) -> str:
    """The ffmpeg to use: the configured one, else one on PATH that is new enough, else the wheel's.

    Raises ConfigError when the chosen one cannot encode MP3.
    """
    if config.ffmpeg.path:
        problem = await _problem(str(config.ffmpeg.path))
        if problem:
            raise ConfigError(f"ffmpeg.path: expected an ffmpeg with libmp3lame, found {config.ffmpeg.path}: {problem}")
        return str(config.ffmpeg.path)
    on_path = await asyncio.to_thread(shutil.which, "ffmpeg")
    if on_path and not await _problem(on_path, oldest=_OLDEST):
        return on_path
    wheels = await asyncio.to_thread(imageio_ffmpeg.get_ffmpeg_exe)
    if problem := await _problem(wheels):
        raise ConfigError(f"ffmpeg.path: expected an ffmpeg with libmp3lame, found imageio-ffmpeg's: {problem}")
    return str(wheels)


async def version(ffmpeg: str) -> str:
    """Its own words, like `9.0-static`. Raises ChildFailed."""
    banner = (await process.run([ffmpeg, "-version"], timeout=_ASK_TIMEOUT)).decode(errors="replace")
    found = re.match(r"ffmpeg version (\S+)", banner)
    return found[1] if found else "unknown"


async def _problem(ffmpeg: str, *, oldest: int = 0) -> str | None:
    try:
        encoders = await process.run([ffmpeg, "-hide_banner", "-encoders"], timeout=_ASK_TIMEOUT)
        number = re.match(r"n?(\d+)", await version(ffmpeg))
    except process.ChildFailed as error:
        return str(error)
    if b"libmp3lame" not in encoders:
        return "it has no libmp3lame encoder"
    if number and int(number[1]) < oldest:
        return f"it is older than {oldest}"
    return None


def cover_command(ffmpeg: str, source: Path, target: Path) -> list[str]:
    """The middle square of a picture as JPEG, whatever format it came in."""
    return [
        ffmpeg, "-hide_banner", "-nostdin", "-loglevel", "error", "-y",
        "-protocol_whitelist", "file",
        "-format_whitelist", "image2,jpeg_pipe,webp_pipe,png_pipe,mjpeg",
        "-i", str(source),
        "-frames:v", "1",
        "-vf", f"crop='min(iw,ih)':'min(iw,ih)',scale={COVER_SIZE}:{COVER_SIZE}",
        "-pix_fmt", "yuvj420p", "-q:v", "3", "-update", "1",
        "-f", "image2", "-c:v", "mjpeg", str(target),
    ]  # fmt: skip


def encode_command(
    ffmpeg: str, target: int, *, bitrate_kbps: int, sample_rate: int | None = None, channels: int | None = None
) -> list[str]:
    """Constant-bitrate stereo MP3 from stdin to the open descriptor `target`: frames of audio and nothing else.

    44.1 and 48 kHz are kept, any other `sample_rate` becomes 44.1. One of one `channels` is heard on both sides as loud
    as it was: left to itself, ffmpeg makes it 3 dB quieter. There is no Xing frame, so that the bytes streamed
    while encoding are the bytes of the finished file; at constant bitrate no player needs one.
    """
    copied = "pan=stereo|c0=c0|c1=c0," if channels == 1 else ""
    rates = "44100|48000" if sample_rate is None or sample_rate <= 48_000 else "44100"
    return [
        ffmpeg, "-hide_banner", "-nostdin", "-loglevel", "warning",
        "-stats_period", "0.05", "-progress", "pipe:1", "-nostats",
        "-protocol_whitelist", "pipe",
        "-format_whitelist", "matroska,webm,mov,mp4,m4a,3gp,3g2,mj2,aac,ogg,mpegts,flv,mp3",
        "-i", "pipe:0",
        "-map", "0:a:0", "-map_metadata", "-1", "-map_chapters", "-1",
        "-af", f"{copied}aformat=sample_rates={rates}:channel_layouts=stereo",
        "-c:a", "libmp3lame", "-b:a", f"{bitrate_kbps}k", "-abr", "0",
        "-id3v2_version", "0", "-write_id3v1", "0", "-write_xing", "0",
        "-flush_packets", "1",
        "-f", "mp3", f"pipe:{target}",
    ]  # fmt: skip


@dataclass(frozen=True)
class Progress:
    """How much is encoded: `seconds` of audio, `size` in bytes."""

    seconds: float
    size: int


class Encoder:
    """A running encoder."""

    def __init__(self, child: process.Spawned) -> None:
        self._child = child
        self.encoded = Progress(0.0, 0)

    async def progress(self) -> AsyncIterator[Progress]:
        """Its reports, some twenty a second, until it has nothing more to say."""
        seconds, size = 0.0, 0
        async for line in self._child.stdout:
            name, _, value = line.decode(errors="replace").strip().partition("=")
            if name == "out_time_us" and value.lstrip("-").isdigit():
                seconds = max(seconds, int(value) / 1e6)
            elif name == "total_size" and value.isdigit():
                size = int(value)
            elif name == "progress":
                self.encoded = Progress(seconds, size)
                yield self.encoded

    async def finish(self) -> None:
        """Returns once the file is whole. Raises DiskFull or EncodeFailed."""
        status = await self._child.wait()
        if "No space left on device" in self._child.stderr or "Disk quota exceeded" in self._child.stderr:
            raise errors.DiskFull()
        if status:
            cause = process.ChildFailed(f"ffmpeg ended with {status}", returncode=status, stderr=self._child.stderr)
            raise errors.EncodeFailed() from cause


@asynccontextmanager
async def encode(argv: list[str], *, stdin: int, target: int, group: int) -> AsyncIterator[Encoder]:
    """Run an encoder on the audio from `stdin`, in yt-dlp's process group. It has ended when the block is left.

    `target` is the descriptor that `argv` writes to.
    """
    async with process.spawn(argv, stdin=stdin, pass_fds=(target,), group=group) as child:
        yield Encoder(child)
