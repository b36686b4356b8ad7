"""ffmpeg: which one, the command lines, its progress, and what its failures mean."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import math
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from signal import SIGABRT, SIGBUS, SIGKILL, SIGSEGV, SIGTERM

import imageio_ffmpeg

from .. import errors
from ..config import Config, ConfigError
from . import confinement, process, tools, wholeness
from .confinement import Confinement

log = logging.getLogger(__name__)

#: The descriptor of the file that an encoder writes.
TARGET = 3
_OLDEST = 7
#: Seconds that it may take to answer at start, and later: a busy machine or a slow disk needs long to load it.
_START_TIMEOUT, _ASK_TIMEOUT = 120.0, 20.0
_MOST_KBPS = 320
#: Its status when it heeded a signal such as SIGTERM, and what a shell around it makes of one that ended it.
_INTERRUPTED = {255, *(128 + one for one in (SIGABRT, SIGBUS, SIGKILL, SIGSEGV, SIGTERM))}
#: Bytes of a file that are not audio, at most: its cover and its texts.
_ROOM_FOR_TAG = 64 << 20
#: The layouts whose channels are all mixed by name when nobody says how many there are.
_LAYOUTS = "mono|stereo|2.1|3.0|3.0(back)|3.1|4.0|4.1|quad|quad(side)|5.0|5.0(side)|5.1|5.1(side)|6.0|6.1|7.0|7.1"
#: Surround is mixed down to this part of full scale at most; a lossy codec overshoots by the rest.
_SURROUND_SCALE = 0.9
_SOURCE = re.compile(r"^ +Stream #0:\d\S*: Audio: (\w+)(?:.*, (\d+) kb/s)?", re.MULTILINE)
_DAMAGE = re.compile(
    r"Error submitting packet to decoder|[Ii]nvalid (data|as first byte)|[Cc]orrupt|Error parsing|partial file"
)


class Slow(process.ChildFailed):
    """It did not answer in time, which says nothing about what it can do."""


async def find(config: Config) -> str:
    """The ffmpeg to use: the configured one, else one on PATH that is new enough, else the wheel's.

    Raises ConfigError when the chosen one cannot encode MP3, or is too slow to say so.
    """
    if config.ffmpeg.path:
        if problem := await _problem(str(config.ffmpeg.path)):
            raise _unusable(str(config.ffmpeg.path), problem)
        return str(config.ffmpeg.path)
    on_path = await asyncio.to_thread(shutil.which, "ffmpeg")
    if on_path and not await _problem(on_path, oldest=_OLDEST):
        return on_path
    try:
        wheels = str(await asyncio.to_thread(imageio_ffmpeg.get_ffmpeg_exe))
    except RuntimeError as error:  # it tries its own, and anything else that it finds
        raise _unusable("none that runs", process.ChildFailed("not even imageio-ffmpeg's")) from error
    if problem := await _problem(wheels):
        raise _unusable(f"imageio-ffmpeg's {wheels}", problem)
    return wheels


async def confined(ffmpeg: str, config: Config) -> Confinement:
    """What ffmpeg may use, tried. If it does not run in a sandbox, as a wrapper script may not, only limits hold.

    Raises ConfigError if it does not run within the limits either.
    """
    size = wholeness.bytes_written(config.audio.max_duration, _MOST_KBPS) + _ROOM_FOR_TAG
    wanted = confinement.of_tool(ffmpeg, file_size=size, sandbox=config.jobs.sandbox)
    try:
        return await _tried(ffmpeg, wanted)
    except process.ChildFailed as error:
        why = error.stderr or str(error)
    try:
        limited = await _tried(ffmpeg, dataclasses.replace(wanted, sandbox=False))
    except process.ChildFailed as error:
        reason = error.stderr or error
        raise ConfigError(f"ffmpeg.path: expected an ffmpeg that can be started, found {ffmpeg}: {reason}") from error
    log.warning("%s does not run in the sandbox, so only limits hold it: %s", ffmpeg, why)
    return limited


async def _tried(ffmpeg: str, wanted: Confinement) -> Confinement:
    await tools.run([ffmpeg, "-version"], wanted, timeout=_START_TIMEOUT)
    return wanted


async def version(ffmpeg: str, *, timeout: float = _ASK_TIMEOUT) -> str:
    """The version as ffmpeg prints it, like `9.0-static`. Raises ChildFailed, or Slow after `timeout` seconds."""
    banner = (await _asked(ffmpeg, "-version", timeout=timeout)).decode(errors="replace")
    found = re.match(r"ffmpeg version (\S+)", banner)
    return found[1] if found else "unknown"


async def _asked(ffmpeg: str, *arguments: str, timeout: float) -> bytes:
    """At the server's own priority: behind other programs' work it may get no turn at all."""
    try:
        async with asyncio.timeout(timeout):
            return await process.run([ffmpeg, *arguments], timeout=math.inf, niceness=0)
    except TimeoutError:
        raise Slow(f"{ffmpeg} has not answered in {timeout:g} s, so this machine or its disk is very busy") from None


async def _problem(ffmpeg: str, *, oldest: int = 0) -> process.ChildFailed | None:
    try:
        encoders = await _asked(ffmpeg, "-hide_banner", "-encoders", timeout=_START_TIMEOUT)
        number = re.match(r"n?(\d+)", await version(ffmpeg, timeout=_START_TIMEOUT))
    except process.ChildFailed as error:
        return error
    if b"libmp3lame" not in encoders:
        return process.ChildFailed("it has no libmp3lame encoder")
    if number and int(number[1]) < oldest:
        return process.ChildFailed(f"it is older than {oldest}")
    return None


def _unusable(found: str, problem: process.ChildFailed) -> ConfigError:
    if isinstance(problem, Slow):
        error = ConfigError(f"ffmpeg.path: {problem}. Start again when it is not")
    else:
        error = ConfigError(f"ffmpeg.path: expected an ffmpeg with libmp3lame, found {found}: {problem}")
    error.__cause__ = problem
    return error


def mixing(channels: int | None, *, ambisonic: bool = False) -> str:
    """The filters that turn a source's `channels` (None: unknown) into two, for `encode_command`.

    One channel keeps its level on both sides; ffmpeg by itself would make it 3 dB quieter. More than two are mixed so
    that their sum stays within full scale. The first ambisonic channel is the sound from all directions; two channels
    beyond a square number are stereo that does not turn with the head (RFC 8486, 3.2).
    """
    if channels == 2 and not ambisonic:
        return ""
    if ambisonic and channels:
        fixed = math.isqrt(channels - 2) ** 2 == channels - 2 if channels > 3 else False
        left, right = (f"+c{channels - 2}", f"+c{channels - 1}") if fixed else ("", "")
        return f"pan=stereo|c0<c0{left}|c1<c0{right},"
    if channels and channels > 2:
        return f"aresample=out_chlayout=stereo:rematrix_maxval={_SURROUND_SCALE},"
    # `<` scales by the sum of what is there, so one channel keeps its level. No layout is without these names.
    sides = (f"F{side}<F{side}+0.7*FC+0.7*S{side}+0.7*B{side}+0.5*BC" for side in "LR")
    return f"aformat=channel_layouts={_LAYOUTS},pan=stereo|{'|'.join(sides)},"


def encode_command(
    ffmpeg: str,
    target: int,
    *,
    bitrate_kbps: int,
    size_limit: int,
    sample_rate: int | None = None,
    trim: str = "",
    mixing: str = "",
    gain: float | None = None,
    report_source: bool = False,
) -> list[str]:
    """Constant-bitrate stereo MP3 from stdin to the open descriptor `target`: frames of audio and nothing else.

    44.1 and 48 kHz are kept, any other `sample_rate` becomes 44.1. `trim` has the filters that cut, and `mixing` those
    that make two channels; `gain` in dB changes the level. ffmpeg stops at `size_limit` bytes, which looks like
    success. There is no Xing frame, so the bytes streamed while encoding are the bytes of the finished file; at a
    constant bitrate no player needs one. With `report_source` ffmpeg prints what it reads, for `Encoder.source`.
    """
    louder = "" if gain is None else f",volume={gain:.2f}dB"
    return [
        *_reading(ffmpeg, "info" if report_source else "warning"),
        *_mp3(bitrate_kbps, f"{trim}{mixing}{_format(sample_rate)}{louder}"),
        "-id3v2_version", "0", "-write_id3v1", "0", "-write_xing", "0",
        "-flush_packets", "1", "-fs", str(size_limit),
        "-f", "mp3", f"pipe:{target}",
    ]  # fmt: skip


def measure_command(
    ffmpeg: str, *, bitrate_kbps: int, seconds: float, sample_rate: int | None = None, trim: str = "", mixing: str = ""
) -> list[str]:
    """Encode stdin as `encode_command` does, decode that again, and print its loudness and true peak at the end.

    Nothing is written. ffmpeg stops after so many `seconds`. It must be of version 7 or later.
    """
    return [
        *_reading(ffmpeg, "info"),
        *_mp3(bitrate_kbps, f"{trim}{mixing}{_format(sample_rate)}"),
        "-t", f"{seconds:.3f}", "-f", "null", "-",
        "-dec", "0:0", "-filter_complex_threads", "1",
        "-filter_complex", "[dec:0]ebur128=peak=true:framelog=quiet[heard]",
        "-map", "[heard]", "-f", "null", "-",
    ]  # fmt: skip


def _reading(ffmpeg: str, level: str) -> list[str]:
    return [
        ffmpeg, "-hide_banner", "-nostdin", "-loglevel", level,
        "-stats_period", "0.05", "-progress", "pipe:1", "-nostats",
        "-protocol_whitelist", "pipe",
        "-format_whitelist", "matroska,webm,mov,mp4,m4a,3gp,3g2,mj2,aac,ogg,mpegts,flv,mp3",
        "-i", "pipe:0",
    ]  # fmt: skip


def _mp3(bitrate_kbps: int, filters: str) -> list[str]:
    return [
        "-map", "0:a:0", "-map_metadata", "-1", "-map_chapters", "-1",
        "-filter_threads", "1", "-af", filters, "-c:a", "libmp3lame", "-b:a", f"{bitrate_kbps}k", "-abr", "0",
    ]  # fmt: skip


def _format(sample_rate: int | None) -> str:
    rates = "44100|48000" if sample_rate is None or sample_rate <= 48_000 else "44100"
    return f"aformat=sample_rates={rates}:channel_layouts=stereo"


class Interrupted(errors.EncodeFailed):
    """A signal ended ffmpeg: somebody's, the system's for want of memory, or its own crash. The sound may be whole."""

    text = "The encoder was ended before it was done. Try again."
    owner = "this machine may lack memory; the system's log says what it killed."


@dataclass(frozen=True)
class Progress:
    """How much is encoded: `size` in bytes, and the end of the last sound in `seconds`."""

    seconds: float
    size: int


class Encoder:
    """A running encoder."""

    def __init__(self, child: tools.Tool) -> None:
        self._child = child
        self.encoded = Progress(0.0, 0)

    @property
    def source(self) -> tuple[str, int | None] | None:
        """Codec and kbit/s of the source; None until ffmpeg reports them."""
        found = _SOURCE.search(self._child.stderr)
        return (found[1], int(found[2]) if found[2] else None) if found else None

    @property
    def clean(self) -> bool:
        """Whether ffmpeg found no damage in the source."""
        return _DAMAGE.search(self._child.stderr) is None

    async def progress(self) -> AsyncIterator[Progress]:
        """ffmpeg's reports, some twenty a second, until the last one."""
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
        """Returns once the file is whole. Raises DiskFull, Interrupted or EncodeFailed."""
        status = await self._child.wait()
        if "No space left on device" in self._child.stderr or "Disk quota exceeded" in self._child.stderr:
            raise errors.DiskFull()
        if status:
            cause = process.ChildFailed(f"ffmpeg ended with {status}", returncode=status, stderr=self._child.stderr)
            raise (Interrupted() if status < 0 or status in _INTERRUPTED else errors.EncodeFailed()) from cause


@asynccontextmanager
async def encode(
    argv: list[str], confinement: Confinement, *, stdin: int, target: int, group: int | None
) -> AsyncIterator[Encoder]:
    """Run an encoder on the audio from `stdin`, in the process `group`. It has ended when the block is left.

    `target` is the file that it writes; for `argv` that is the descriptor `TARGET`.
    """
    async with tools.spawn(argv, confinement, stdin=stdin, passed=[target], group=group) as child:
        yield Encoder(child)
