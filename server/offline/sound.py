"""The command lines of ffmpeg that make clips and thumbnails, without the path of what they make. Pure functions."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from . import melody
from .behaviours import Thumbnail
from .offers import Layout
from .videos import Clip

LONGEST_WHOLE = 30
"""Seconds up to which a clip is one tune from start to end; a longer one repeats its first ``REPEATED`` seconds."""
REPEATED = 20

QUIET = ("-nostdin", "-hide_banner", "-v", "error", "-y")
REPRODUCIBLE = ("-map_metadata", "-1", "-fflags", "+bitexact", "-flags", "+bitexact", "-threads", "1")
ENCODERS = {
    "opus": ("-c:a", "libopus", "-vbr", "off", "-compression_level", "3"),
    "aac": ("-c:a", "aac"),
    "eac3": ("-c:a", "eac3"),
}
MUXERS = {
    "webm": ("-f", "webm"),
    # In fragments, as YouTube's own: readable from a pipe.
    "m4a": ("-movflags", "+empty_moov+default_base_moof+delay_moov", "-frag_duration", "2000000", "-f", "mp4"),
    "mp4": ("-movflags", "+faststart", "-f", "mp4"),
    # Made of frames alone, so that any number of them is a stream.
    "adts": ("-f", "adts"),
}
LAYOUTS = {
    Layout.SURROUND: "pan=5.1|FL=c0|FR=c1|FC=0.5*c0+0.5*c1|LFE=0*c0|BL=c0|BR=c1",
    Layout.AMBISONIC: "pan=ambisonic 1|c0=0.5*c0+0.5*c1|c1=0.5*c0-0.5*c1|c2=0*c0|c3=0*c0",
}
FRAMES = {"opus": (960, 48_000), "aac": (1024, 0)}
"""Samples in a packet, and how many of them make a second (0: as many as the clip has)."""
TICKS = {"opus": 20, "aac": 1024}
"""The length of a packet in the units of its container."""
SHAPES = {
    Thumbnail.LETTERBOXED: "scale=480:270,pad=480:360:0:45",
    Thumbnail.PILLARBOXED: "crop=720:720,pad=1280:720:280:0",
}
PICTURE = "color=c=navy:s={width}x{height}:r=5:d={seconds}[picture]"
FRAGMENT_SECONDS = 2


def clip_command(ffmpeg: str, clip: Clip) -> list[str]:
    picture = ("-map", "[picture]", "-c:v", "mpeg4", "-g", "5") if clip.height else ()
    mapping = ("-mapping_family", "2") if clip.layout is Layout.AMBISONIC else ()
    channels = ("-ac", str(clip.channels)) if clip.layout is Layout.PLAIN else ()
    return [
        *(ffmpeg, *QUIET, "-filter_complex_threads", "1", "-filter_complex", _graph(clip), "-map", "[sound]", *picture),
        *("-ar", str(clip.sample_rate), *channels),
        *(*ENCODERS[clip.codec], *mapping, "-b:a", f"{clip.kbps}k", *REPRODUCIBLE, *MUXERS[clip.container]),
    ]


def _graph(clip: Clip) -> str:
    silence = f"anullsrc=r={clip.sample_rate}[out]"
    tune = silence if clip.silent else melody.sound_graph(clip.seed, clip.seconds, clip.sample_rate)
    layout = "," + LAYOUTS[clip.layout] if clip.layout in LAYOUTS else ""
    graph = f"{tune};[out]atrim=end={clip.seconds}{layout}[sound]"
    if clip.height:
        width = clip.height * 16 // 9
        graph += ";" + PICTURE.format(width=width, height=clip.height, seconds=clip.picture_seconds)
    return graph


def segment_command(ffmpeg: str, clip: Clip) -> list[str]:
    """As a clip, but of whole packets, so that it can be repeated without a gap."""
    *command, muxer, form = clip_command(ffmpeg, clip)
    return [*command, "-bsf:a", f"noise=drop=gte(n\\,{packets(clip)})", muxer, form]


def repeat_command(ffmpeg: str, segment: Path, clip: Clip) -> list[str]:
    """Copies packets, encodes nothing."""
    # Whoever goes back to the beginning may miss its first packet.
    rounds = packets(clip) // (packets(dataclasses.replace(clip, seconds=REPEATED)) - 1) + 1
    return [
        *(ffmpeg, *QUIET, "-stream_loop", str(rounds - 1), "-i", str(segment), "-map", "0:a", "-c", "copy"),
        *("-bsf:a", f"setts=ts=N*{TICKS[clip.codec]}", "-frames:a", str(packets(clip))),
        *(*REPRODUCIBLE, *MUXERS[clip.container]),
    ]


def packets(clip: Clip) -> int:
    samples, rate = FRAMES[clip.codec]
    return clip.seconds * (rate or clip.sample_rate) // samples


def fragments_command(ffmpeg: str, whole: Path, folder: Path, *, mp4: bool) -> list[str]:
    """Cuts ``whole`` into fragments named by their number in ``folder``, which is there already; all of the command.

    ``mp4``: into MP4 with an initialisation of number 0, else into MPEG-TS. What there is says ``PLAYLIST``.
    """
    kind = ("fmp4", "-hls_fmp4_init_filename", "0") if mp4 else ("mpegts",)
    return [
        *(ffmpeg, *QUIET, "-i", str(whole), "-map", "0", "-c", "copy", *REPRODUCIBLE, "-f", "hls"),
        *("-hls_time", str(FRAGMENT_SECONDS), "-hls_playlist_type", "vod", "-start_number", "1"),
        *("-hls_segment_type", *kind, "-hls_segment_filename", str(folder / "%d"), str(folder / PLAYLIST)),
    ]


PLAYLIST = "index.m3u8"


def thumbnail_command(ffmpeg: str, seed: str, thumbnail: Thumbnail) -> list[str]:
    graph = melody.picture_graph(seed)
    if shape := SHAPES.get(thumbnail):
        graph += "," + shape
    webp = thumbnail is Thumbnail.WEBP
    picture = ("-c:v", "libwebp") if webp else ("-q:v", "4", "-c:v", "mjpeg", "-pix_fmt", "yuvj420p")
    return [
        *(ffmpeg, *QUIET, "-filter_complex_threads", "1", "-filter_complex", graph, "-frames:v", "1"),
        *(*REPRODUCIBLE, *picture, "-f", "webp" if webp else "image2", *(() if webp else ("-update", "1"))),
    ]
