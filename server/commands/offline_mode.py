"""`serve --offline`: the same server on the offline YouTube, with a state of its own."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from ..access.keys import Key
from ..config import Config, ConfigError, ExitConfig, YtdlpConfig
from ..logs import logging_to_stderr
from ..media import ffmpeg, ytdlp
from ..offline import offline_youtube
from ..offline.control import Control, operations
from ..offline.keys import PRESETS, RESERVED_KEYS, WEBHOOK_SECRET, described
from . import serve, signals
from .serve import Server

#: The key that published examples carry; offline mode accepts it as it is.
EXAMPLE_KEY = "YOUR_API_KEY"
#: Options of yt-dlp: a test of a client should not wait long for a source that never answers.
YTDLP_ARGS = ("--socket-timeout", "3", "--retries", "1")


def offline(config: Config, *, port_file: Path | None, folder: Path | None, allow_remote: bool) -> int:
    """Serve until a signal; the exit status. Raises ConfigError."""
    with logging_to_stderr(config.log):
        return signals.run(_offline(config, port_file, folder, allow_remote))


async def _offline(config: Config, port_file: Path | None, folder: Path | None, allow_remote: bool) -> int:
    if not await asyncio.to_thread(serve.is_loopback, config.server.host):
        if not allow_remote:
            raise ConfigError(
                f"offline mode has public keys, so it listens on this machine only, not on {config.server.host}. "
                "Add --allow-remote if a client elsewhere (in a container, say) must reach it"
            )
        print("warning: anybody who reaches this address can use this server: its keys are public", file=sys.stderr)
    if not allow_remote:  # a client's tests receive webhooks on this machine
        hosts = (*config.server.webhook_hosts, "localhost", "127.0.0.1", "[::1]")
        config = dataclasses.replace(config, server=dataclasses.replace(config.server, webhook_hosts=hosts))
    async with offline_server(config, folder) as server:
        about = "for the offline videos; more keys and videos are in /docs"
        return await serve.until_stopped(server, port_file, serve.banner(server, EXAMPLE_KEY, about, in_link=True))


@asynccontextmanager
async def offline_server(config: Config, folder: Path | None = None) -> AsyncIterator[Server]:
    """A running server on the offline YouTube, all of whose files are in `folder`, or in a temporary one."""
    async with _folder(folder) as own:
        ytdlp.preload(config, own / "state" / "authorities.pem")  # which comes to be before it is read
        library = None
        if config.storage.library:  # one of its own, too: a real one must not get made-up melodies
            library = own / "library"
            await asyncio.to_thread(library.mkdir, exist_ok=True)
        config = dataclasses.replace(
            config,
            storage=dataclasses.replace(
                config.storage, downloads=own / "downloads", state=own / "state", library=library
            ),
            keys_file=own / "keys.toml",
        )
        path = await ffmpeg.find(config)
        async with offline_youtube(own / "youtube", path, config.offline) as youtube:
            config = dataclasses.replace(
                config,
                ytdlp=YtdlpConfig(
                    args=YTDLP_ARGS,
                    plugins=config.ytdlp.plugins,
                    proxy=youtube.proxy,
                    ca_file=youtube.ca_file,
                    # An id that is refused on purpose must not stop the others.
                    cooldown=config.ytdlp.cooldown if config.offline.block_after else 0,
                    exits=tuple(ExitConfig(one.name, source_address=one.source_address) for one in config.ytdlp.exits),
                ),
            )
            keys = {EXAMPLE_KEY: Key("example", config.limits, webhook_secret=WEBHOOK_SECRET), **RESERVED_KEYS}
            control = Control(PRESETS, await asyncio.to_thread(operations))
            middlewares = [described, control.middleware()]
            async with serve.running(config, keys=keys, middlewares=middlewares, routes=control.routes) as server:
                yield server


@asynccontextmanager
async def _folder(given: Path | None) -> AsyncIterator[Path]:
    if given:
        try:
            await asyncio.to_thread(_make, Path.cwd() / given)
        except OSError as error:
            raise ConfigError(f"--state {given}: {error.strerror}") from error
        yield Path.cwd() / given
        return
    try:
        folder = Path(tempfile.mkdtemp(prefix="ytmp3d-offline-"))  # not in a thread: cancelled, nobody would know of it
    except OSError as error:
        raise ConfigError(f"no temporary folder can be made: {error.strerror}. Name one with TMPDIR") from error
    try:
        yield folder
    finally:
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


def _make(folder: Path) -> None:
    """Make the folder, and use it for temporary files of this process and its children, too."""
    temporary = folder / "tmp"
    temporary.mkdir(parents=True, exist_ok=True)
    tempfile.tempdir = os.environ["TMPDIR"] = str(temporary)
