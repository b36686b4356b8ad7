"""`serve`: starts the server, prints its address, waits for a signal, and stops without losing anything."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import os
import secrets
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

from aiohttp import web
from aiohttp.typedefs import Middleware

from .. import memory
from ..access import key_file
from ..access.keys import AUTOMATIC, Key, Keys, environment_key, environment_secret
from ..app import Route, create_app
from ..config import Config, ConfigError
from ..http.context import BROKEN, CONFIG, ENGINE, READINESS
from ..http.descriptors import raise_limit
from ..http.listener import listening_sockets
from ..http.server import listening, make_runner
from ..logs import logging_to_stderr
from ..media import ytdlp
from ..storage import lock
from . import signals
from .reload import reload
from .supervisor import Supervisor

log = logging.getLogger(__name__)

EXAMPLE_URL = "https://www.youtube.com/watch?v=dQw4w9WgXcQ"


def online(configured: Callable[[], Config], *, port_file: Path | None = None) -> int:
    """Serve until a signal; the exit status. A reload calls `configured` again. Raises ConfigError."""
    config = configured()
    with logging_to_stderr(config.log):
        return signals.run(_online(config, port_file, configured))


async def _online(config: Config, port_file: Path | None, configured: Callable[[], Config]) -> int:
    of_environment = environment_key(os.environ.get("YTMP3D_KEY"))
    environment_secret(os.environ.get("YTMP3D_WEBHOOK_SECRET"))
    await asyncio.to_thread(ytdlp.check_cookies, config)
    stored = Keys(config.keys_file, config.limits, environment_key=of_environment)
    await stored.load()
    keys: dict[str, Key] = {}
    if of_environment:
        shown, about = "$YTMP3D_KEY", "the one in the server's environment"
    elif stored.any_keys:
        shown, about = "YOUR_KEY", f"put one of yours in its place: {key_file.command(config, 'list')}"
    elif await asyncio.to_thread(is_loopback, config.server.host):
        shown, about = f"ytmp3d_{secrets.token_urlsafe(24)}", "made for this run"
        keys[shown] = Key(AUTOMATIC, config.limits)
    else:
        raise ConfigError(await asyncio.to_thread(_why_not_without_a_key, config))
    async with running(config, keys=keys) as server:
        if stored.any_keys and AUTOMATIC not in stored and server.app[ENGINE].table.older(AUTOMATIC, None, 1):
            own = key_file.command(config, f"create {AUTOMATIC}")
            about += f";\n         what was made with the key of an earlier start: {own}"
        text = banner(server, shown, about, in_link=bool(keys))
        return await until_stopped(server, port_file, text, configured)


def _why_not_without_a_key(config: Config) -> str:
    """The message for a host that others can reach. Blocking: a name is looked up."""
    host = config.server.host
    try:
        socket.getaddrinfo(host, None)
    except OSError as error:
        return f"cannot listen on {host}: {error.strerror}"
    make_one = key_file.command(config, "create NAME")
    return f"no API key is configured, and {host} can be reached from outside. Make one first: {make_one}"


async def until_stopped(
    server: Server, port_file: Path | None, text: str, configured: Callable[[], Config] | None = None
) -> int:
    """Wait for SIGTERM or SIGINT, then drain: new requests get 503, running jobs their grace; the exit status.

    SIGHUP reloads what `configured` gives then, if the server runs in no terminal, whose end is that signal, too.

    The status is 1 when the server stops because a part of it broke, so that a supervisor restarts it.
    """
    stop = asyncio.Event()
    signals.on_first_signal(lambda _: stop.set())
    async with _port_in(port_file, server.port), _supervised(server, configured) as supervisor:
        print(text, flush=True)
        _report(server.app[READINESS].versions)
        await asyncio.to_thread(memory.give_back)  # what only the start needed
        await stop.wait()
        supervisor.tell("STOPPING=1")
        engine, grace = server.app[ENGINE], server.app[CONFIG].server.shutdown_grace
        if (busy := engine.workers.busy) and grace:
            what = "1 conversion" if busy == 1 else f"{busy} conversions"
            print(f"stopping: waiting up to {grace} s for {what}; Ctrl-C again stops now", file=sys.stderr, flush=True)
        await engine.drain(grace)
    return 1 if server.app[BROKEN].is_set() else 0


@asynccontextmanager
async def _supervised(server: Server, configured: Callable[[], Config] | None) -> AsyncIterator[Supervisor]:
    """While the block is open, systemd knows that the server is ready and alive, and can have it reload."""
    supervisor = Supervisor(os.environ)
    engine = server.app[ENGINE]

    def status() -> str:
        return f"{server.url}: {engine.workers.busy} conversions running, {len(engine.queue)} waiting"

    async with AsyncExitStack() as stack:
        if configured and not sys.stdin.isatty():
            await stack.enter_async_context(signals.on_hangup(partial(reload, server.app, supervisor, configured)))
        supervisor.tell("READY=1")
        telling = asyncio.create_task(supervisor.run_forever(status), name="supervisor")
        try:
            yield supervisor
        finally:
            telling.cancel()
            await asyncio.gather(telling, return_exceptions=True)


class Server:
    """A listening server. `url` is how this machine reaches it."""

    def __init__(self, app: web.Application, host: str, port: int) -> None:
        self.app = app
        self.host, self.port = host, port

    @property
    def url(self) -> str:
        return url({"0.0.0.0": "127.0.0.1", "::": "127.0.0.1"}.get(self.host, self.host), self.port)  # noqa: S104  # it names, it binds nothing


@asynccontextmanager
async def running(
    config: Config, *, keys: Mapping[str, Key], middlewares: Sequence[Middleware] = (), routes: Iterable[Route] = ()
) -> AsyncIterator[Server]:
    """A server that listens while the block is open. Raises ConfigError when it cannot."""
    ytdlp.preload(config)
    raise_limit()
    host, port = config.server.host, config.server.port
    runner = make_runner(create_app(config, middlewares, keys=keys, routes=routes))
    try:
        try:
            await runner.setup()
        except lock.Locked as error:
            raise ConfigError(str(error)) from error
        except OSError as error:
            raise ConfigError(_unusable(config, error)) from error
        try:
            sockets = await asyncio.to_thread(listening_sockets, host, port)
        except OSError as error:
            raise ConfigError(f"cannot listen on {host}:{port}: {error.strerror or error}") from error
        async with listening(runner, sockets) as listener:
            yield Server(runner.app, host, listener.port)
    except asyncio.CancelledError as stopped:
        if runner.app[BROKEN].is_set():
            raise signals.Broken from stopped
        raise
    finally:
        await runner.cleanup()


def _report(versions: ytdlp.Versions) -> None:
    log.info("%s", versions)
    if versions.plugin_errors:
        log.warning("a plugin of yt-dlp cannot be imported: %s", " | ".join(versions.plugin_errors.split("\n")))


def _unusable(config: Config, error: OSError) -> str:
    """The message for a file that could not be used at start; it names the setting."""
    place, reason = Path(error.filename or "a file"), error.strerror or error
    for name in ("downloads", "state"):
        if place.is_relative_to(getattr(config.storage, name)):
            return f"storage.{name}: expected a folder that can be written, found {place}: {reason}"
    return f"{place}: {reason}"


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches `host`. Blocking: a name is looked up."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return False
    return all(ipaddress.ip_address(str(address[4][0]).partition("%")[0]).is_loopback for address in found)


def banner(server: Server, key: str, about: str, *, in_link: bool) -> str:
    """The text printed at start. `key` is the example request's key; `in_link` adds it to the page's link."""
    fragment = f"#key={key}" if in_link else ""
    base = server.app[CONFIG].server.public_url or server.url
    others = ""
    if server.host in ("0.0.0.0", "::") and base == server.url:  # noqa: S104  # it is asked, not bound
        others = f"  others {url(socket.gethostname(), server.port)} (by this machine's name, or its address)\n"
    quote = '"' if key.startswith("$") else "'"
    return f"""ytmp3d listens on {server.url}

{others}  page   {base}/{fragment}
  docs   {base}/docs
  key    {key} ({about})
  files  {server.app[CONFIG].storage.state}; settings: {server.app[CONFIG].file or "the defaults"}

  curl -s {base}/convert -H {quote}Authorization: Bearer {key}{quote} \\
       -H 'Content-Type: application/json' -d '{{"url": "{EXAMPLE_URL}"}}'
"""


def url(host: str, port: int | str) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


@asynccontextmanager
async def _port_in(file: Path | None, port: int) -> AsyncIterator[None]:
    """Keep the port in `file` while the block is open. It is written whole, so that nobody reads half a number."""
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
