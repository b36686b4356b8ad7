"""`doctor`: everything a box owner can get wrong, each with its fix."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import stat
import tempfile
import time
import urllib.parse
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from http.cookiejar import LoadError, MozillaCookieJar
from pathlib import Path

from server import auth, errors, ffmpeg, process, readiness, youtube, ytdlp
from server.app import default_limits
from server.artifacts import Artifacts
from server.config import Config, ConfigError, load
from server.jobs import Job
from server.pipeline import Pipeline

OK, WARNING, PROBLEM = "ok", "warning", "problem"
#: Free space below which a warning comes, in bytes.
_LITTLE = 1 << 30
#: Cookies older than this are rarely still good, in days.
_STALE_DAYS = 180
_FIRST_SANE_DAY = 1_767_225_600  # 2026-01-01, when this was written: a clock before it is wrong


@dataclass(frozen=True)
class Finding:
    level: str
    subject: str
    text: str


def run(path: Path | None, *, url: str | None) -> int:
    """Print a line for each check; the exit status is 1 if anything is a problem, else 0."""
    return asyncio.run(_run(path, url))


async def _run(path: Path | None, url: str | None) -> int:
    process.preload(ytdlp.CHILD)
    worst = 0
    try:
        config = load(path) if path else Config()
        _show(Finding(OK, "config", str(path) if path else "no config.toml: every setting has its default"))
    except ConfigError as error:
        _show(Finding(PROBLEM, "config", f"{error}. Correct that line; config.example.toml shows every setting."))
        return 1
    tools: dict[str, str] = {}
    checks: list[Callable[[], AsyncIterator[Finding]]] = [
        lambda: _in_thread(_keys_file, config),
        lambda: _keys(config),
        lambda: _ffmpeg(config, tools),
        lambda: _ytdlp(config, tools),
        lambda: _in_thread(_cookies, config),
        lambda: _proxy(config),
        lambda: _in_thread(_folders, config),
        lambda: _in_thread(_port, config),
        lambda: _in_thread(_clock, config),
    ]
    for check in checks:
        async for finding in check():
            _show(finding)
            worst = max(worst, finding.level == PROBLEM)
    if url is not None:
        if worst:
            _show(Finding(WARNING, "conversion", "not tried: mend the problems above first"))
        else:
            async for finding in _convert(config, url, tools):
                _show(finding)
                worst = max(worst, finding.level == PROBLEM)
    return worst


def _show(finding: Finding) -> None:
    print(f"{finding.level:8} {finding.subject:11} {finding.text}", flush=True)


async def _in_thread(check: Callable[[Config], Iterator[Finding]], config: Config) -> AsyncIterator[Finding]:
    for finding in await asyncio.to_thread(lambda: list(check(config))):
        yield finding


async def _keys(config: Config) -> AsyncIterator[Finding]:
    keys = auth.Keys(config.keys_file, default_limits(config), environment_key=os.environ.get("YTMP3D_KEY"))
    try:
        await keys.load()
    except ConfigError as error:
        yield Finding(PROBLEM, "keys", f"{error}. Correct or delete the file, then make keys anew.")
        return
    if keys.any_keys:
        yield Finding(OK, "keys", str(config.keys_file))
    else:
        yield Finding(WARNING, "keys", "there are none, so each start makes one: python -m server keys create NAME")


def _keys_file(config: Config) -> Iterator[Finding]:
    if config.keys_file.exists() and stat.S_IMODE(config.keys_file.stat().st_mode) & 0o077:
        yield Finding(WARNING, "keys", f"others can read it: chmod 600 {config.keys_file}")


async def _ffmpeg(config: Config, tools: dict[str, str]) -> AsyncIterator[Finding]:
    try:
        tools["ffmpeg"] = await ffmpeg.find(config)
        yield Finding(OK, "ffmpeg", f"{await ffmpeg.version(tools['ffmpeg'])}, with libmp3lame: {tools['ffmpeg']}")
    except (ConfigError, process.ChildFailed) as error:
        yield Finding(PROBLEM, "ffmpeg", f"{error}. Name another with [ffmpeg] path, or run `make run` again.")


async def _ytdlp(config: Config, tools: dict[str, str]) -> AsyncIterator[Finding]:
    try:
        version = tools["ytdlp"] = await ytdlp.check(config, config.storage.state / "yt-dlp-cache")
    except ConfigError as error:
        yield Finding(PROBLEM, "yt-dlp", f"{error}.")
        return
    age = readiness.ytdlp_age(version)
    if age is not None and age > readiness.OLD_AFTER_DAYS:
        yield Finding(WARNING, "yt-dlp", f"{version} is {age} days old. {readiness.UPDATE_YTDLP}")
    else:
        yield Finding(OK, "yt-dlp", version)
    runtime = await ytdlp.javascript_runtime()
    yield Finding(OK, "javascript", runtime) if runtime else Finding(WARNING, "javascript", readiness.NO_RUNTIME)


def _cookies(config: Config) -> Iterator[Finding]:
    path = config.ytdlp.cookies
    if path is None:
        return
    jar = MozillaCookieJar()
    try:
        jar.load(str(path), ignore_discard=True, ignore_expires=True)
    except (OSError, LoadError) as error:
        yield Finding(
            PROBLEM, "cookies", f"{path} is no readable cookies.txt: {error}. Export it from a browser again."
        )
        return
    now = time.time()
    youtubes = [cookie for cookie in jar if "youtube.com" in cookie.domain]
    fresh = [cookie for cookie in youtubes if not cookie.expires or cookie.expires > now]
    age = (now - path.stat().st_mtime) / 86_400
    if not fresh:
        yield Finding(PROBLEM, "cookies", f"{path} has no unexpired cookie of youtube.com. Export it again, signed in.")
    elif age > _STALE_DAYS:
        yield Finding(WARNING, "cookies", f"{path} is {age:.0f} days old. Export it again if videos ask to sign in.")
    else:
        yield Finding(OK, "cookies", f"{path}: {len(fresh)} for youtube.com")


async def _proxy(config: Config) -> AsyncIterator[Finding]:
    if not config.ytdlp.proxy:
        return
    parts = urllib.parse.urlsplit(config.ytdlp.proxy)
    host, port = parts.hostname or "", parts.port or (1080 if parts.scheme.startswith("socks") else 80)
    try:
        async with asyncio.timeout(5):
            _, writer = await asyncio.open_connection(host, port)
        writer.close()
        yield Finding(OK, "proxy", f"{host}:{port} answers")
    except (OSError, TimeoutError) as error:
        text = f"{host}:{port} cannot be reached ({error or 'no answer in 5 s'}). Start it, or correct [ytdlp] proxy."
        yield Finding(PROBLEM, "proxy", text)


def _folders(config: Config) -> Iterator[Finding]:
    for name, folder in (("state", config.storage.state), ("downloads", config.storage.downloads)):
        existing = next(one for one in (folder, *folder.absolute().parents) if one.exists())
        try:
            with tempfile.TemporaryFile(dir=existing):
                pass
        except OSError as error:
            yield Finding(
                PROBLEM, name, f"{existing} cannot be written ({error.strerror}). Change its owner or rights."
            )
            continue
        if name == "state" and folder.exists() and stat.S_IMODE(folder.stat().st_mode) & 0o077:
            yield Finding(WARNING, name, f"others can look into it: chmod 700 {folder}")
        free = shutil.disk_usage(existing).free
        budget = config.storage.disk_budget_mb << 20
        if name == "downloads" and free < _LITTLE:
            yield Finding(PROBLEM, name, f"only {free >> 20} MB are free at {existing}. Make room.")
        elif name == "downloads" and free < budget:
            text = (
                f"{free >> 20} MB are free, less than [storage] disk_budget_mb ({budget >> 20}). Lower it or make room."
            )
            yield Finding(WARNING, name, text)
        else:
            yield Finding(OK, name, f"{folder} ({free >> 20} MB free)")


def _port(config: Config) -> Iterator[Finding]:
    host, port = config.server.host, config.server.port
    try:
        family, kind, number, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, number) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        text = f"{host}:{port} is not free ({error.strerror}). Stop what uses it, or set another [server] port."
        yield Finding(WARNING, "port", text + " If this server itself is running, all is well.")
    else:
        yield Finding(OK, "port", f"{host}:{port} is free")


def _clock(config: Config) -> Iterator[Finding]:
    if time.time() < _FIRST_SANE_DAY:
        yield Finding(PROBLEM, "clock", "it is in the past, so no certificate will be valid. Set it, or turn on NTP.")
    else:
        yield Finding(OK, "clock", time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()))


async def _convert(config: Config, url: str, tools: dict[str, str]) -> AsyncIterator[Finding]:
    """One real conversion in a temporary folder, stage by stage."""
    try:
        video_id = youtube.video_id(url)
    except errors.InvalidUrl as error:
        yield Finding(PROBLEM, "conversion", error.message)
        return
    stages: list[tuple[str, float]] = []
    with tempfile.TemporaryDirectory(prefix="ytmp3d-doctor-") as name:
        folder = Path(name)
        artifacts = Artifacts(folder / "downloads", budget_bytes=config.storage.disk_budget_mb << 20)
        await artifacts.open()
        bundle = None
        if config.ytdlp.ca_file:
            bundle = folder / "authorities.pem"
            await asyncio.to_thread(ytdlp.make_ca_bundle, config.ytdlp.ca_file, bundle)
        convert: Callable[[Job], Awaitable[object]] = Pipeline(
            config,
            artifacts,
            tools["ffmpeg"],
            folder / "cache",
            bundle,
            lambda stage, took: stages.append((stage, took)),
        ).run
        job = Job(video_id, 320)
        job.begin_attempt()
        failure: errors.JobError | None = None
        try:
            async with asyncio.timeout(config.jobs.timeout):
                await convert(job)
        except (errors.JobError, TimeoutError) as error:
            failure = error if isinstance(error, errors.JobError) else errors.Timeout()
    times = ", ".join(f"{stage} {took:.2f} s" for stage, took in stages)
    if failure:
        yield Finding(PROBLEM, "conversion", f"{failure.code}: {failure.message} {f'({times})' if times else ''}")
    else:
        title = job.media.title if job.media else video_id
        yield Finding(OK, "conversion", f"{title}: {times}")
