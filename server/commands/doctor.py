"""`doctor`: checks everything that a server needs, and says how to fix each problem."""

from __future__ import annotations

import asyncio
import os
import platform
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

from .. import __version__, errors, youtube_url
from ..access import key_file
from ..access.keys import Keys
from ..config import Config, ConfigError
from ..config_file import load
from ..installation import CONFIG_EXAMPLE
from ..jobs import Job, Recipe
from ..media import authorities, ffmpeg, process, readiness, ytdlp
from ..media.exit_settings import configurations
from ..media.exits import Exit, Exits, exits_of
from ..media.kept_sources import KeptSources
from ..media.pipeline import Pipeline
from ..places import Places
from ..printable import printable
from ..storage.artifacts import Artifacts
from . import checks, outside
from .checks import OK, PROBLEM, WARNING, Finding
from .serve import is_loopback
from .signals import run as until_signal


def run(places: Places, *, url: str | None, public: str | None = None) -> int:
    """Print a line for each check; the exit status is 1 if anything is a problem, else 0."""
    if public:
        return until_signal(_run(outside.examine(public, os.environ.get("YTMP3D_KEY", "").strip(), url)))
    return until_signal(_run(examine(places, url)))


async def _run(findings: AsyncIterator[Finding]) -> int:
    worst = 0
    async for finding in findings:
        print(f"{finding.level:8} {finding.subject:11} {printable(finding.text)}", flush=True)
        worst = max(worst, finding.level == PROBLEM)
    return worst


async def examine(places: Places, url: str | None = None) -> AsyncIterator[Finding]:
    """Every finding, one after the other, for the settings there and, if given, a conversion of `url`."""
    yield Finding(OK, "ytmp3d", f"{__version__}, Python {platform.python_version()}, {platform.platform()}")
    try:
        config = load(places, os.environ)
    except ConfigError as error:
        yield Finding(PROBLEM, "config", f"{error}. Correct that; {CONFIG_EXAMPLE} shows every setting.")
        return
    ytdlp.preload(config)
    without = (
        f"no config.toml: every setting has its default, as in {CONFIG_EXAMPLE}, unless a variable YTMP3D_… sets it"
    )
    yield Finding(OK, "config", str(places.file) if places.file else without)
    healthy = True
    tools: dict[str, str] = {}
    for check in (
        _in_thread(checks.keys_file, config),
        _keys(config),
        _ffmpeg(config, tools),
        _ytdlp(config),
        _exits(config),
        _in_thread(checks.authority, config),
        _in_thread(checks.folders, config),
        _in_thread(checks.library, config),
        _in_thread(checks.port, config),
        _in_thread(checks.clock, config),
    ):
        async for finding in check:
            healthy = healthy and finding.level != PROBLEM
            yield finding
    if url is not None and healthy:
        for one in exits_of(config, keeps=False):
            yield _through(config, one.name, await _convert(config, url, tools["ffmpeg"], one))
            for warning in await one.cookies.warnings() if one.cookies else []:
                yield _through(config, one.name, Finding(WARNING, "cookies", warning))
    elif url is not None:
        yield Finding(WARNING, "conversion", "not tried: mend the problems above first")


async def _in_thread(check: Callable[[Config], Iterator[Finding]], config: Config) -> AsyncIterator[Finding]:
    for finding in await asyncio.to_thread(lambda: list(check(config))):
        yield finding


async def _exits(config: Config) -> AsyncIterator[Finding]:
    """What each way to YouTube needs: its cookies and its proxy."""
    for name, own in configurations(config):
        for check in (_in_thread(checks.cookies, own), checks.proxy(own)):
            async for finding in check:
                yield _through(config, name, finding)


def _through(config: Config, name: str, finding: Finding) -> Finding:
    """The finding, with the name of the exit that it is about where there are several."""
    if not config.ytdlp.exits:
        return finding
    return Finding(finding.level, finding.subject, f"exit {name}: {finding.text}")


async def _keys(config: Config) -> AsyncIterator[Finding]:
    accepted = Keys(config.keys_file, config.limits, environment_key=os.environ.get("YTMP3D_KEY"))
    try:
        await accepted.load()
    except ConfigError as error:
        yield Finding(PROBLEM, "keys", f"{error}. Correct or delete the file, then make keys anew.")
        return
    make = key_file.command(config, "create NAME")
    if accepted.any_keys:
        yield Finding(OK, "keys", str(config.keys_file))
    elif await asyncio.to_thread(is_loopback, config.server.host):
        yield Finding(WARNING, "keys", f"there are none, so each start makes one that is good until the next: {make}")
    else:
        text = f"there are none, and {config.server.host} can be reached from outside, so it won't start: {make}"
        yield Finding(PROBLEM, "keys", text)


async def _ffmpeg(config: Config, tools: dict[str, str]) -> AsyncIterator[Finding]:
    try:
        tools["ffmpeg"] = await ffmpeg.find(config)
        yield Finding(OK, "ffmpeg", f"{await ffmpeg.version(tools['ffmpeg'])}, with libmp3lame: {tools['ffmpeg']}")
        yield checks.sandbox(config, await ffmpeg.confined(tools["ffmpeg"], config))
    except (ConfigError, process.ChildFailed) as error:
        if isinstance(error, ffmpeg.Slow) or isinstance(error.__cause__, ffmpeg.Slow):
            yield Finding(PROBLEM, "ffmpeg", f"{error}.")
            return
        yield Finding(PROBLEM, "ffmpeg", f"{error}. Name another with [ffmpeg] path, or {readiness.REINSTALL_FFMPEG}.")


async def _ytdlp(config: Config) -> AsyncIterator[Finding]:
    try:
        with tempfile.TemporaryDirectory(prefix="ytmp3d-doctor-") as cache:
            versions = await ytdlp.check(config, Path(cache))
    except ConfigError as error:
        yield Finding(PROBLEM, "yt-dlp", f"{error}." + (" Take it out of [ytdlp] args." if config.ytdlp.args else ""))
        return
    age = readiness.ytdlp_age(versions.ytdlp)
    if age is not None and age > readiness.OLD_AFTER_DAYS:
        yield Finding(WARNING, "yt-dlp", f"{versions.ytdlp} is {age} days old. {readiness.UPDATE_YTDLP}")
    else:
        yield Finding(OK, "yt-dlp", versions.ytdlp)
    if not config.ytdlp.plugins:
        yield Finding(OK, "plugins", "none is loaded: [ytdlp] plugins is false")
    elif versions.plugin_errors:
        said = " ".join(versions.plugin_errors.split())[-500:]
        yield Finding(PROBLEM, "plugins", f"one cannot be imported. Update or remove its package. yt-dlp says: {said}")
    else:
        yield Finding(OK, "plugins", versions.named_plugins or "none is installed")
    solver = f"{versions.runtime}, yt-dlp-ejs {versions.ejs or 'missing'}"
    has_runtime = bool(versions.runtime)
    yield Finding(OK, "javascript", solver) if has_runtime else Finding(WARNING, "javascript", readiness.NO_RUNTIME)


async def _convert(config: Config, url: str, ffmpeg_path: str, way: Exit) -> Finding:
    """One real conversion in a temporary folder, stage by stage. Renewed cookies are not kept."""
    try:
        video_id = youtube_url.video_id(url)
    except errors.InvalidUrl as error:
        return Finding(PROBLEM, "conversion", error.message)
    stages: list[tuple[str, float]] = []
    try:
        temporary = tempfile.TemporaryDirectory(prefix="ytmp3d-doctor-")
    except OSError as error:
        text = f"not tried: no temporary folder can be made: {error.strerror}. Name one with TMPDIR."
        return Finding(PROBLEM, "conversion", text)
    with temporary as name:
        folder = Path(name)
        artifacts = Artifacts(folder / "downloads", budget_bytes=config.storage.disk_budget_mb << 20)
        await artifacts.open()
        bundle = None
        if config.ytdlp.ca_file:
            path = folder / "authorities.pem"
            bundle = await asyncio.to_thread(authorities.make_ca_bundle, config.ytdlp.ca_file, path)
        convert: Callable[[Job], Awaitable[object]] = Pipeline(
            config,
            artifacts,
            ffmpeg_path,
            await ffmpeg.confined(ffmpeg_path, config),
            folder / "cache",
            bundle,
            Exits((way,), 0),
            lambda stage, took: stages.append((stage, took)),
            KeptSources(artifacts),
        ).run
        job = Job(Recipe(video_id, 320))
        job.begin_attempt()
        failure: errors.JobError | None = None
        try:
            async with asyncio.timeout(config.jobs.timeout):
                await convert(job)
        except errors.JobError as error:
            failure = error
        except TimeoutError:
            failure = errors.Timeout()
        except OSError as error:
            return Finding(PROBLEM, "conversion", f"{folder} cannot be written: {error.strerror}. Make room there.")
    times = ", ".join(f"{stage} {took:.2f} s" for stage, took in stages)
    if failure:
        cause = " ".join(str(failure.__cause__ or "").split())[:300]
        details = [f"({times})"] * bool(times) + [f"The cause: {cause}"] * bool(cause)
        return Finding(PROBLEM, "conversion", " ".join([f"{failure.code}: {failure.message}", *details]))
    title = job.media.title if job.media else video_id
    return Finding(OK, "conversion", f"{title}: {times}")
