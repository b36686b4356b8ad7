"""`--version`: the version of ytmp3d and, with `-v`, of its tools."""

from __future__ import annotations

import platform
from importlib import metadata

from .. import __version__
from ..config import Config, ConfigError
from ..media import ffmpeg, process, ytdlp
from .signals import run as until_signal


def run(*, tools: bool) -> int:
    """Print a line for each; the exit status."""
    print(f"ytmp3d {__version__}")
    return until_signal(_tools()) if tools else 0


async def _tools() -> int:
    """Print the tools that a server without a configuration would use."""
    ytdlp.preload(Config())
    print(f"yt-dlp {installed('yt-dlp')}", f"yt-dlp-ejs {installed('yt-dlp-ejs')}", sep="\n")
    try:
        path = await ffmpeg.find(Config())
        print(f"ffmpeg {await ffmpeg.version(path)} ({path})")
    except (ConfigError, process.ChildFailed) as error:
        print(f"ffmpeg: {error}")
    print(await ytdlp.javascript_runtime() or "no JavaScript runtime")
    print(f"Python {platform.python_version()}")
    return 0


def installed(distribution: str) -> str:
    """Its version in this environment. Blocks for a moment."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "is not installed"
