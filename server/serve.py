"""`serve`: start, say where, wait for a signal, stop without losing anything."""

from __future__ import annotations

import asyncio
import dataclasses
import ipaddress
import os
import secrets
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web
from aiohttp.typedefs import Middleware

from server import auth, border, ffmpeg, journal, process, ytdlp
from server.app import create_app, default_limits
from server.appkeys import ENGINE
from server.auth import Key
from server.config import Config, ConfigError, YtdlpConfig
from server.logs import logging_to_stderr
from server.offline import offline_youtube
from server.offline.keys import RESERVED_KEYS, offline_faults

#: The key that published examples carry; offline mode accepts it as it is.
EXAMPLE_KEY = "YOUR_API_KEY"
#: Who tests a client does not want to wait for a source that never answers.
IMPATIENT = ("--socket-timeout", "3", "--retries", "1")
#: The name of the key that is made when none is configured.
AUTOMATIC = "local"
#: Bytes: a socket's path has at most 104 (macOS), of which multiprocessing adds some 33 to that of its folder.
_LONGEST_TEMPORARY = 70
EXAMPLE_URL = "https://www.youtube.com/watch?v=dQw4w9WgXcQ"


def online(config: Config, *, port_file: Path | None = None) -> int:
    """Serve until a signal; the exit status. Raises ConfigError."""
    with logging_to_stderr(config.log):
        return asyncio.run(_online(config, port_file))


async def _online(config: Config, port_file: Path | None) -> int:
    keys: dict[str, Key] = {}
    stored = auth.Keys(config.keys_file, default_limits(config), environment_key=os.environ.get("YTMP3D_KEY"))
    await stored.load()
    if not stored.any_keys:
        if not await asyncio.to_thread(is_loopback, config.server.host):
            raise ConfigError(
                f"no API key is configured, and {config.server.host} can be reached from outside. "
                "Make one first: python -m server keys create NAME"
            )
        keys[f"ytmp3d_{secrets.token_urlsafe(24)}"] = Key(AUTOMATIC, default_limits(config))
    async with running(config, keys=keys) as server, _port_in(port_file, server.port):
        shown = next(iter(keys), None)
        _announce(server, shown, "made for this run" if shown else "one of `python -m server keys list`")
        return await server.until_signal(config.server.shutdown_grace)


def offline(config: Config, *, port_file: Path | None, folder: Path | None, allow_remote: bool) -> int:
    """The same server on the offline YouTube, with a state of its own; the exit status. Raises ConfigError."""
    with logging_to_stderr(config.log):
        return asyncio.run(_offline(config, port_file, folder, allow_remote))


async def _offline(config: Config, port_file: Path | None, folder: Path | None, allow_remote: bool) -> int:
    if not await asyncio.to_thread(is_loopback, config.server.host):
        if not allow_remote:
            raise ConfigError(
                f"offline mode has public keys, so it listens on this machine only, not on {config.server.host}. "
                "Add --allow-remote if a client elsewhere (in a container, say) must reach it"
            )
        print("warning: anybody who reaches this address can use this server: its keys are public", file=sys.stderr)
    async with offline_server(config, folder) as server, _port_in(port_file, server.port):
        _announce(server, EXAMPLE_KEY, "for the offline videos; more keys and videos are in /docs")
        return await server.until_signal(config.server.shutdown_grace)


@asynccontextmanager
async def offline_server(config: Config, folder: Path | None = None) -> AsyncIterator[Server]:
    """A running server on the offline YouTube, all of whose files are in `folder`, or in a temporary one."""
    process.preload(ytdlp.CHILD)
    async with _folder(folder) as own:
        config = dataclasses.replace(
            config,
            storage=dataclasses.replace(config.storage, downloads=own / "downloads", state=own / "state"),
            keys_file=own / "keys.toml",
        )
        path = await ffmpeg.find(config)
        async with offline_youtube(own / "youtube", path, rate_kbps=config.offline.rate_kbps) as youtube:
            config = dataclasses.replace(
                config,
                ytdlp=YtdlpConfig(args=IMPATIENT, proxy=youtube.proxy, ca_file=youtube.ca_file),
            )
            keys = {EXAMPLE_KEY: Key("example", default_limits(config)), **RESERVED_KEYS}
            async with running(config, keys=keys, middlewares=[offline_faults()]) as server:
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
    folder = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="ytmp3d-offline-"))
    try:
        yield folder
    finally:
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


def _make(folder: Path) -> None:
    """Also for the temporary files of this process and its children, unless a socket there got too long a path."""
    temporary = folder / "tmp"
    temporary.mkdir(parents=True, exist_ok=True)
    if len(os.fsencode(temporary)) <= _LONGEST_TEMPORARY:
        tempfile.tempdir = os.environ["TMPDIR"] = str(temporary)


class Server:
    """A listening server. `url` is how this machine reaches it."""

    def __init__(self, app: web.Application, host: str, port: int, stop: asyncio.Event) -> None:
        self.app = app
        self.host, self.port = host, port
        self._stop = stop

    @property
    def url(self) -> str:
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104  # it names, it binds nothing
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    async def until_signal(self, grace: int) -> int:
        """Wait for SIGTERM or SIGINT, then drain: 503 to who comes now, `grace` seconds for who is served."""
        await self._stop.wait()
        await self.app[ENGINE].drain(grace)
        return 0


@asynccontextmanager
async def running(
    config: Config, *, keys: Mapping[str, Key], middlewares: Sequence[Middleware] = ()
) -> AsyncIterator[Server]:
    """A server that listens while the block is open. Raises ConfigError when it cannot."""
    process.preload(ytdlp.CHILD)
    host, port = config.server.host, config.server.port
    runner = border.make_runner(create_app(config, middlewares, keys=keys))
    stop = asyncio.Event()
    try:
        try:
            await runner.setup()
        except journal.Locked as error:
            raise ConfigError(str(error)) from error
        except OSError as error:
            raise ConfigError(f"{error.filename or 'a file'}: {error.strerror or error}") from error
        try:
            site = web.TCPSite(runner, host, port, backlog=1024)
            await site.start()
        except OSError as error:
            number = error.errno or 0  # negative when a name is not known; asyncio's own words repeat the address
            reason = os.strerror(number) if number > 0 else error.strerror
            raise ConfigError(f"cannot listen on {host}:{port}: {reason or error}") from error
        _on_signals(stop)
        yield Server(runner.app, host, runner.addresses[0][1], stop)
    finally:
        await runner.cleanup()


def _on_signals(stop: asyncio.Event) -> None:
    """The first signal stops in order, the second at once: the children end with the process."""

    def handle() -> None:
        if stop.is_set():
            os._exit(1)
        stop.set()

    for one in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(one, handle)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches `host`. Blocking: a name is looked up."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return False
    return all(ipaddress.ip_address(str(address[4][0]).partition("%")[0]).is_loopback for address in found)


def _announce(server: Server, key: str | None, about: str) -> None:
    fragment = f"#key={key}" if key else ""
    shown = key or "YOUR_API_KEY"
    print(f"""ytmp3d listens on {server.url}

  page   {server.url}/{fragment}
  docs   {server.url}/docs
  key    {shown} ({about})

  curl -s {server.url}/convert -H 'Authorization: Bearer {shown}' \\
       -H 'Content-Type: application/json' -d '{{"url": "{EXAMPLE_URL}"}}'
""", flush=True)  # fmt: skip


@asynccontextmanager
async def _port_in(file: Path | None, port: int) -> AsyncIterator[None]:
    """The port stands in `file` while the block is open: whole, so that nobody who waits for it reads half a number."""
    if file is None:
        yield
        return
    part = file.with_name(file.name + ".part")
    try:
        await asyncio.to_thread(part.write_text, f"{port}\n")
        await asyncio.to_thread(part.replace, file)
    except OSError as error:
        raise ConfigError(f"--port-file {file}: {error.strerror}") from error
    try:
        yield
    finally:
        await asyncio.to_thread(file.unlink, missing_ok=True)
