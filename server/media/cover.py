"""The front cover: the middle square of a thumbnail without its black bars, as a JPEG."""

from __future__ import annotations

import asyncio
from pathlib import Path

from . import picture, tools
from .confinement import Confinement

#: The cover's edge at most, in pixels; nothing is enlarged.
LONGEST_EDGE = 1000
#: The edge of the small picture in which bars are looked for.
_PROBE_EDGE = 480
#: What ffmpeg may use, in bytes: for one picture of `picture.MOST_PIXELS`, all its copies included.
MEMORY = 512 << 20
#: The size of the written cover at most, in bytes.
FILE_SIZE = 16 << 20


async def make(ffmpeg: str, thumbnail: Path, target: Path, confinement: Confinement, *, timeout: float) -> None:
    """Write the cover of `thumbnail` to `target`. `timeout` in seconds for each run of ffmpeg.

    Raises ChildFailed when it cannot be read as what its header says, and ValueError for a header that is refused.
    """
    header = await asyncio.to_thread(lambda: picture.header(thumbnail.read_bytes()))
    if header is None or not header.acceptable:
        raise ValueError(f"no picture that can be a cover: {header}")
    width, height = probe_size(header)
    command = [*square_command(ffmpeg, thumbnail, header, target), *probe_output(header)]
    grey = await tools.run(command, confinement, timeout=timeout)
    box = await asyncio.to_thread(picture.square, grey, width, height)
    if max(box.right - box.left, box.bottom - box.top) < min(width, height):
        command = square_command(ffmpeg, thumbnail, header, target, box)
        await tools.run(command, confinement, timeout=timeout)


def probe_size(header: picture.Header) -> tuple[int, int]:
    """Width and height of the small picture in which bars are looked for."""
    factor = min(1.0, _PROBE_EDGE / max(header.width, header.height))
    return max(1, round(header.width * factor)), max(1, round(header.height * factor))


def probe_output(header: picture.Header) -> list[str]:
    """More output of a `square_command`: the whole picture in grey, small, to stdout."""
    width, height = probe_size(header)
    scaled = f"{_flat(header)}scale={width}:{height}:flags=area,format=gray"
    return ["-map", "0:v", "-frames:v", "1", "-vf", scaled, "-threads", "1", "-f", "rawvideo", "pipe:1"]


def square_command(
    ffmpeg: str, source: Path, header: picture.Header, target: Path, box: picture.Box | None = None
) -> list[str]:
    """The middle square of `source` as JPEG into `target`, or the square `box` of its small picture.

    Transparent parts become white. ffmpeg is told the format, reads one file, and refuses to decode more pixels than
    allowed, even if there is a second header.
    """
    if box is None:
        edge = min(header.width, header.height)
        left, top = (header.width - edge) // 2, (header.height - edge) // 2
    else:
        factor = header.width / probe_size(header)[0]
        left, top, edge = (int(length * factor) for length in (box.left, box.top, box.right - box.left))
    shown = min(edge, LONGEST_EDGE)
    demuxer = header.format if header.format == "webp_anim" else f"{header.format}_pipe"
    return [
        ffmpeg, "-hide_banner", "-nostdin", "-loglevel", "error", "-y",
        "-max_alloc", str(MEMORY // 4), "-filter_threads", "1",
        "-protocol_whitelist", "file", "-format_whitelist", demuxer,
        "-f", demuxer, "-max_pixels", str(picture.MOST_PIXELS), "-threads", "1", "-noautorotate",
        "-i", str(source),
        "-map", "0:v", "-frames:v", "1",
        "-vf", f"{_flat(header)}crop={edge}:{edge}:{left}:{top},scale={shown}:{shown},setsar=1,format=yuvj420p",
        "-threads", "1", "-c:v", "mjpeg", "-q:v", "3", "-flags", "+bitexact",
        "-f", "image2", "-update", "1", str(target),
    ]  # fmt: skip


def _flat(header: picture.Header) -> str:
    """A filter, followed by a comma, that puts a transparent picture on white."""
    return "" if header.format == "jpeg" else _ON_WHITE + ","


_ON_WHITE = (
    "format=rgba,split[bare][copy];[copy]drawbox=color=white:thickness=fill:replace=1[white];"
    "[white][bare]overlay=format=rgb"
)
