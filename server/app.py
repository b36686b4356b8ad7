"""The composition root: makes every part in a cleanup context, and ends them in reverse order."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Middleware

from . import errors, filesystems
from .access.keys import Key, Keys
from .access.ratelimit import RateLimiter
from .config import Config, StorageConfig
from .conversions import records, seen, use
from .conversions.archives import TABLE as ARCHIVES_TABLE
from .conversions.archives import Archives
from .conversions.engine import Engine
from .conversions.workers import Run
from .gate import Gate
from .http import (
    api,
    archive_download,
    archives,
    documents,
    downloads,
    events,
    health,
    pages,
    playlists,
    representation,
    request_body,
    retry,
    server,
)
from .http.connections import Connections
from .http.context import (
    ARCHIVES,
    ARTIFACTS,
    ASSETS,
    BROKEN,
    CONFIG,
    CONNECTIONS,
    ENGINE,
    IDEMPOTENCY,
    KEYS,
    LIMITER,
    LONG_ANSWERS,
    METRICS,
    PLAYLISTS,
    READINESS,
    UNBELIEVED,
)
from .http.descriptors import room_for_connections
from .http.idempotency import Idempotency
from .http.long_answers import LongAnswers
from .http.unbelieved import Unbelieved
from .media import authorities, daily, environment, ffmpeg, forking, id3, process, updates, ytdlp
from .media.exit_settings import configurations
from .media.exits import Exits, exits_of
from .media.kept_sources import KeptSources
from .media.pipeline import Pipeline
from .media.playlists import Look, Lookout, Playlist, Playlists
from .media.readiness import Readiness, ytdlp_released
from .metrics import Metrics
from .storage import lock
from .storage.artifacts import Artifacts
from .storage.library import Library
from .storage.state import State
from .webhooks import webhooks
from .webhooks.sender import Sender
from .webhooks.webhooks import Webhooks

log = logging.getLogger(__name__)

Route = tuple[str, str, Callable[[web.Request], Awaitable[web.StreamResponse]]]

ROUTES: tuple[Route, ...] = (
    ("POST", "/convert", api.convert),
    ("POST", "/batch-convert", api.batch_convert),
    ("POST", "/playlist", playlists.playlist),
    ("POST", "/retry", retry.retry),
    ("GET", "/status", api.list_own),
    ("DELETE", "/status", api.clear),
    ("GET", "/status/{conversion_id}", api.status),
    ("DELETE", "/status/{conversion_id}", api.delete),
    ("GET", "/status/{conversion_id}/events", events.of_one),
    ("GET", "/events", events.of_all),
    ("POST", "/archives", archives.create),
    ("GET", "/static/downloads/{conversion_id}.mp3", downloads.audio),
    ("GET", "/static/downloads/{conversion_id}.jpg", downloads.cover),
    ("GET", "/static/downloads/{archive_id}.zip", archive_download.archive),
    ("GET", "/healthz", health.healthz),
    ("GET", "/readyz", health.readyz),
    ("GET", "/metrics", health.metrics),
    ("GET", "/openapi.json", pages.openapi),
    ("GET", "/docs", pages.docs),
    ("GET", "/docs/youtube", pages.youtube),
    ("GET", "/docs/{name}", documents.document),
    ("GET", "/", pages.page),
    ("GET", "/static/{name}", pages.asset),
)


def create_app(
    config: Config,
    middlewares: Sequence[Middleware] = (),
    *,
    keys: Mapping[str, Key] | None = None,
    routes: Iterable[Route] = (),
    run: Run | None = None,
    look: Look | None = None,
    gate: Gate | None = None,
) -> web.Application:
    """The whole server. `keys` are accepted beside those of the keys file, by the plain key; `routes` are added.

    `run` takes the place of yt-dlp and ffmpeg, `look` that of yt-dlp for playlists, and `gate` that of the exits, in
    tests of what is around them. Starting
    the application raises ConfigError for what only shows then, and lock.Locked when another server uses the same
    folders.
    """
    app = web.Application(middlewares=middlewares, client_max_size=request_body.MAX_BYTES)
    app[CONFIG] = config
    app[METRICS] = Metrics(by_key=config.server.metrics_keys)
    running = config.jobs.fetchers + (config.jobs.slots or _cores())
    app[CONNECTIONS] = Connections(room_for_connections(running), config.server.connections_per_address)
    app[LIMITER] = RateLimiter()
    app[UNBELIEVED] = Unbelieved()
    app[IDEMPOTENCY] = Idempotency()
    app[BROKEN] = asyncio.Event()
    app[KEYS] = Keys(
        config.keys_file,
        config.limits,
        environment_key=os.environ.get("YTMP3D_KEY"),
        environment_secret=os.environ.get("YTMP3D_WEBHOOK_SECRET", "").strip(),
        extra=keys or {},
    )
    app[LONG_ANSWERS] = LongAnswers(app[KEYS])
    app[ASSETS] = pages.assets()
    for method, path, handler in (*ROUTES, *routes):
        app.router.add_route(method, path, handler)
        if method == "GET" and handler not in (events.of_one, events.of_all):
            app.router.add_route("HEAD", path, handler)
    app.on_response_prepare.append(server.add_headers)

    async def lifetime(app: web.Application) -> AsyncIterator[None]:
        async with (
            _keys(app),
            _conversions(app, run, look, gate),
            _background(app, app[CONNECTIONS].watch(), "watch connections"),
        ):
            yield

    app.cleanup_ctx.append(lifetime)
    return app


@asynccontextmanager
async def _keys(app: web.Application) -> AsyncIterator[None]:
    await app[KEYS].load()
    async with _background(app, app[KEYS].watch(), "watch keys"):
        yield


@asynccontextmanager
async def _conversions(
    app: web.Application, run: Run | None, look: Look | None, gate: Gate | None
) -> AsyncIterator[None]:
    config, metrics = app[CONFIG], app[METRICS]
    storage = config.storage
    async with AsyncExitStack() as stack:
        state, rows = await State.open(storage.state)
        stack.push_async_callback(state.close)
        stack.callback(os.close, await asyncio.to_thread(_lock_downloads, storage.downloads))
        artifacts = app[ARTIFACTS] = Artifacts(storage.downloads, budget_bytes=storage.disk_budget_mb << 20)
        found = await artifacts.open()
        ffmpeg_path, versions = "ffmpeg", ytdlp.Versions("unknown", runtime="unknown")
        exits = Exits(exits_of(config), config.ytdlp.cooldown, observe=metrics.exit_failed)
        sources = KeptSources(artifacts, metrics.sources_kept.inc)
        stack.push_async_callback(sources.close)
        real, before = run is None, await asyncio.to_thread(updates.installed)
        if run is None:
            ffmpeg_path, versions, ca_bundle, cache = await _tools(config)
            confined = await ffmpeg.confined(ffmpeg_path, config)
            pipeline = Pipeline(
                config,
                artifacts,
                ffmpeg_path,
                confined,
                cache,
                ca_bundle,
                exits,
                metrics.stage,
                sources,
                lambda job: engine.workers.encoder(job),
            )
            run = pipeline.run
            look = look or Lookout(config, artifacts, cache, ca_bundle, exits).look
        engine = app[ENGINE] = Engine(
            run,
            state=state,
            artifacts=artifacts,
            settings=config.jobs,
            file_name=config.audio.file_name,
            slots=config.jobs.slots or _cores(),
            metrics=metrics,
            gate=gate or exits,
        )
        engine.bound_of = lambda owner: app[KEYS].limits_of(owner).concurrent
        app[KEYS].listeners.append(engine.queue.look_again)
        sources.is_awaited = engine.queue.awaits_source
        for one in exits.all:
            metrics.exit(one.name, partial(exits.is_open, one))
        readiness = app[READINESS] = Readiness(config, versions, ffmpeg_path, artifacts, state, exits)
        readiness.lacks = await asyncio.to_thread(_lacks, storage)
        app[PLAYLISTS] = Playlists(look or _nothing, metrics.playlist)
        if storage.library:
            library = readiness.library = Library(storage.library, storage.library_name, id3.origin)
            engine.on_artifact = library.add
            await stack.enter_async_context(_background(app, library.run_forever(), "library"))
        metrics.tools(versions.labels)
        if real:
            readiness.updates = _updates(config, readiness, metrics)
            watch = readiness.updates.watch(before)
            await stack.enter_async_context(_background(app, watch, "watch installed packages"))
            if config.ytdlp.update == "daily":
                stamp = storage.state / "updated"
                work = daily.update_daily(stamp, lambda: bool(engine.workers.busy or len(engine.queue)), _update)
                await stack.enter_async_context(_background(app, work, "daily update"))
        telling = _webhooks(app, state)
        telling.restore(rows[webhooks.TABLE])
        engine.use.restore(rows[use.TABLE])
        engine.seen.restore(rows[seen.TABLE])
        await engine.restore(rows[records.TABLE], found)
        app[ARCHIVES] = Archives(engine.table, state)
        app[ARCHIVES].restore(rows[ARCHIVES_TABLE])
        metrics.gauge("queue_depth", "Conversions that wait for their turn.", lambda: len(engine.queue))
        metrics.gauge("slots", "Conversions that may encode at a time.", lambda: engine.workers.encoders.count)
        metrics.gauge("slots_busy", "Conversions that encode.", lambda: engine.workers.encoders.busy)
        metrics.gauge("fetchers", "Conversions that may fetch at a time.", lambda: engine.workers.fetchers)
        metrics.gauge("fetchers_busy", "Conversions that fetch or wait for a slot.", lambda: engine.workers.fetching)
        metrics.gauge("connections", "Connections that are open.", lambda: len(app[CONNECTIONS]))
        used = "Size of all finished files, and of sources that are kept."
        metrics.gauge("disk_used_bytes", used, lambda: artifacts.used_bytes)
        metrics.gauge("disk_budget_bytes", "What finished files may take.", lambda: storage.disk_budget_mb << 20)
        metrics.gauge("disk_bytes", "Size of the downloads folder's disk.", lambda: artifacts.disk[0])
        metrics.gauge("disk_free_bytes", "Free room on the downloads folder's disk.", lambda: artifacts.disk[1])
        metrics.gauge("state_failing", "Whether the last write into the database was refused.", lambda: state.failing)
        released = "When the yt-dlp that runs was released, in seconds since the epoch."
        metrics.gauge("yt_dlp_released_timestamp_seconds", released, lambda: ytdlp_released(readiness.versions.ytdlp))
        metrics.gauge("webhooks_waiting", "Webhooks that are not delivered yet.", lambda: len(telling.waiting))
        async with (
            _background(app, telling.run_forever(), "webhooks"),
            _background(app, engine.run_forever(), "engine"),
        ):
            yield
            await engine.drain(0)


async def _nothing(*_: object) -> Playlist:
    """Stands for yt-dlp where there is none."""
    raise errors.PlaylistNotFound("There is no such playlist.")


def _webhooks(app: web.Application, state: State) -> Webhooks:
    config, engine = app[CONFIG], app[ENGINE]
    telling = Webhooks(
        state,
        Sender(config.server.webhook_hosts),
        secret_of=app[KEYS].webhook_secret_of,
        render=lambda conversion, base: representation.to_bytes(conversion, engine.queue, base),
        metrics=app[METRICS],
        folder=config.storage.state,
    )
    telling.on_taken = engine.webhook_taken
    engine.on_end, engine.check_webhooks = telling.ended, telling.check_room
    return telling


def _lock_downloads(folder: Path) -> int:
    """Lock the folder: a second server would remove the first one's files."""
    folder.mkdir(parents=True, exist_ok=True)
    return lock.take(folder, ".lock", "downloads")


def _lacks(storage: StorageConfig) -> list[str]:
    """Log what the folders' file systems cannot do. Returns it without paths, for anybody who asks."""
    found = []
    for name, folder in (("state", storage.state), ("downloads", storage.downloads)):
        for lack in filesystems.lacks(folder):
            log.warning("%s: %s", folder, lack)
            found.append(f"[storage] {name}: {lack}.")
    return found


def _cores() -> int:
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _updates(config: Config, readiness: Readiness, metrics: Metrics) -> updates.Updates:
    async def check(fresh: forking.ForkServer) -> ytdlp.Versions:
        return await ytdlp.check(config, config.storage.state / "yt-dlp-cache", fresh)

    def adopt(versions: ytdlp.Versions) -> None:
        readiness.versions = versions
        metrics.tools(versions.labels)

    return updates.Updates(check, adopt)


async def _update() -> None:
    try:
        said = await process.run(
            process.python("-m", __package__, "update"), timeout=daily.TIMEOUT, variables=environment.for_owner()
        )
    except process.ChildFailed as error:
        log.warning("the daily update failed: %s", " | ".join((error.stderr or str(error)).splitlines()))
    else:
        log.info("the daily update: %s", " | ".join(said.decode(errors="replace").splitlines()))


async def _tools(config: Config) -> tuple[str, ytdlp.Versions, authorities.CaBundle | None, Path]:
    """ffmpeg, the versions of yt-dlp, the bundle of authorities and yt-dlp's cache; each proven to work. May raise."""
    ytdlp.preload(config)
    cache = config.storage.state / "yt-dlp-cache"
    ca_bundle = None
    if config.ytdlp.ca_file:
        path = ytdlp.ca_bundle_of(config)
        ca_bundle = await asyncio.to_thread(authorities.make_ca_bundle, config.ytdlp.ca_file, path)
    ffmpeg_path, versions = await asyncio.gather(ffmpeg.find(config), ytdlp.check(config, cache))
    for _, own in configurations(config):
        if own.ytdlp.args != config.ytdlp.args:
            await ytdlp.check(own, cache)
    return ffmpeg_path, versions, ca_bundle, cache


@asynccontextmanager
async def _background(app: web.Application, work: Coroutine[Any, Any, None], name: str) -> AsyncIterator[None]:
    """Do `work` all along. Without it the server is no server, so if it fails, the server stops."""

    async def guarded() -> None:
        try:
            await work
        except Exception:
            log.critical("%s failed; stopping", name, exc_info=True)
            app[BROKEN].set()
            signal.raise_signal(signal.SIGTERM)

    task = asyncio.create_task(guarded(), name=name)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        work.close()  # cancelled before its first step, the task has never begun it
