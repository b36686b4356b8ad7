"""Runs yt-dlp: its options and its events. `reasons.py` explains its failures.

The run itself happens in `ytdlp_child.py`, in a process of its own.
"""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import json
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .. import errors, youtube_url
from ..config import Config, ConfigError
from ..installation import pip_install
from ..jobs import Media
from . import advice, confinement, cookie_file, forking, formats, process, reasons, wholeness
from .confinement import Confinement
from .cookies import NO_LONGER_VALID, Cookies, Copy
from .feeding import Output, filled

log = logging.getLogger(__name__)

CHILD = f"{__package__}.ytdlp_child"

#: What `[ytdlp] args` may change: how YouTube is reached, never what is fetched, where it goes or what is run.
#: The names are the destinations of yt-dlp's own option parser. Not among them: what prints to stdout, which is where
#: the audio goes (`--print-traffic`), and what begins a download anew in mid-stream (`--throttled-rate`).
OPERATOR_MAY_SET = (
    *("buffersize", "client_certificate", "client_certificate_key", "client_certificate_password", "compat_opts"),
    *("cookiesfrombrowser", "extractor_args", "extractor_retries", "file_access_retries", "fragment_retries"),
    *("geo_bypass", "geo_verification_proxy", "headers", "http_chunk_size", "impersonate", "js_runtimes"),
    *("legacy_server_connect", "mark_watched", "max_sleep_interval", "netrc_location", "no_warnings"),
    *("noresizebuffer", "password", "proxy", "ratelimit", "referer", "retries", "retry_sleep", "sleep_interval"),
    *("sleep_interval_requests", "socket_timeout", "source_address", "twofactor", "usenetrc", "user_agent"),
    *("username", "verbose", "videopassword"),
)


def options(config: Config, *, cache: Path, cookies: Path | None = None) -> list[str]:
    """The command line of a run, without the operator's own arguments."""
    argv = [
        "--ignore-config",
        "--no-plugin-dirs",
        "--no-remote-components",
        "--no-update",
        "--use-extractors", "youtube",
        "--no-playlist",
        "--abort-on-error",
        "--abort-on-unavailable-fragments",
        "--output", "-",
        "--no-part",
        "--no-progress",
        "--fixup", "never",
        "--ffmpeg-location", str(cache / "no-ffmpeg"),  # it must start none
        "--color", "never",
        "--max-filesize", f"{config.audio.max_source_mb}M",
        "--socket-timeout", "15",
        "--retries", "3",
        "--fragment-retries", "3",
        "--extractor-retries", "1",
        "--cache-dir", str(cache),
    ]  # fmt: skip
    if config.ytdlp.proxy:
        argv += ["--proxy", config.ytdlp.proxy]
    if config.ytdlp.ca_file:
        argv += ["--compat-options", "no-certifi"]
    if cookies:
        argv += ["--cookies", str(cookies)]
    return argv


@dataclass(frozen=True)
class Versions:
    """The versions of yt-dlp and its tools that were imported, which may differ from those installed since."""

    ytdlp: str
    ejs: str = ""
    runtime: str = ""
    """The JavaScript runtime that yt-dlp finds by itself, like `deno 2.9.8`; empty when there is none."""
    plugins: Mapping[str, str] = field(default_factory=dict)
    """The version of each package of plugins; empty where a plugin belongs to no package."""
    plugin_errors: str = ""
    """What yt-dlp says of plugins that cannot be imported."""

    @property
    def labels(self) -> dict[str, str]:
        """For metrics, whose names have no dots and dashes."""
        return {
            "yt_dlp": self.ytdlp,
            "yt_dlp_ejs": self.ejs,
            "javascript": self.runtime,
            "plugins": self.named_plugins,
        }

    @property
    def named_plugins(self) -> str:
        return ", ".join(f"{name} {version or '(no package)'}" for name, version in self.plugins.items())

    def __str__(self) -> str:
        parts = [f"yt-dlp {self.ytdlp}", f"yt-dlp-ejs {self.ejs or 'missing'}", self.runtime or "no JavaScript runtime"]
        return ", ".join(parts) + (f"; plugins: {self.named_plugins}" if self.plugins else "; no plugins")


async def confinement_of(config: Config, cache: Path, ca_bundle: Path | None = None) -> Confinement:
    """What a child may use, beside a folder of its own. The cache is made if it is not there."""

    def prepared() -> Confinement:
        cache.mkdir(parents=True, exist_ok=True)
        return confinement.of_ytdlp(cache, config.ytdlp.args, ca_bundle=ca_bundle, sandbox=config.jobs.sandbox)

    return await asyncio.to_thread(prepared)


def ca_bundle_of(config: Config) -> Path:
    """Where the authorities lie that yt-dlp trusts if `[ytdlp] ca_file` names one."""
    return config.storage.state / "authorities.pem"


def preload(config: Config, ca_bundle: Path | None = None) -> None:
    """Start importing yt-dlp, and its plugins if they are wanted. Call in the main thread's loop."""
    variables = {} if config.ytdlp.plugins else {"YTDLP_NO_PLUGINS": "1"}
    if bundle := ca_bundle or (ca_bundle_of(config) if config.ytdlp.ca_file else None):
        variables["SSL_CERT_FILE"] = str(bundle)
    forking.preload(CHILD, variables)


async def check(config: Config, cache: Path, source: forking.ForkServer | None = None) -> Versions:
    """Check that yt-dlp runs and that the operator's arguments are harmless. Returns the versions in use.

    `source` is the forkserver to look at, if not the current one.

    Raises ConfigError. This also warms the forkserver, so that the first conversion does not wait for it.
    """
    confined = await confinement_of(config, cache)
    base, own = options(config, cache=cache), list(config.ytdlp.args)
    why = "its check ended early"
    try:
        async with forking.fork(
            CHILD, "check", base, own, OPERATOR_MAY_SET, cache, confinement=confined, source=source
        ) as child:
            report = await read_event(child)
    except forking.ForkServerEnded as error:
        report, why = None, error.reason
    if report is None:
        again = pip_install("--force-reinstall 'yt-dlp[default,deno]'")
        raise ConfigError(f"yt-dlp cannot be imported ({why}). Install it again: {again}")
    found = " ".join(report["named"]) or "none"
    if report["problem"]:
        raise ConfigError(f"ytdlp.args: expected options of yt-dlp that work here, found {found}: {report['problem']}")
    if report["changed"]:
        raise ConfigError(
            "ytdlp.args: expected options that change how YouTube is reached (proxy, sleep, extractor-args …), "
            f"found {found}, which would also change: {', '.join(report['changed'])}"
        )
    return Versions(**report["versions"], plugin_errors=report["plugin_errors"])


def check_cookies(config: Config) -> None:
    """Check that each run can copy the cookies file. Blocking. Raises ConfigError."""
    path = config.ytdlp.cookies
    if path is None:
        return
    try:
        cookie_file.read(path)
    except cookie_file.Spoiled as error:
        raise ConfigError(
            f"{config.file}: ytdlp.cookies: expected a cookies.txt in Netscape's format, found {str(path)!r} "
            f'({error}). Export it from a browser, or set it to ""'
        ) from error


class Run:
    """A run of yt-dlp. `output` is the audio. Ask in the order of the methods.

    After `media`: `expectation` is how long the audio should be, `sample_rate` and `channels` what YouTube says of it,
    None where it says nothing. After `finish`: `delivered` is whether all came, None where nobody can tell.
    """

    def __init__(self, child: forking.Forked, name: str, setup: advice.Setup, copy: Copy | None) -> None:
        """`name` is the work's name in the log."""
        self.child = child
        self._name = name
        self._setup = setup
        self._copy = copy
        self.sample_rate: int | None = None
        self.channels: int | None = None
        self.ambisonic = False
        self.delivered: bool | None = None
        self.expectation = wholeness.expectation(None, None)
        self._came: dict[str, dict[str, Any]] = {}

    async def media(self) -> Media:
        """The description of the video. Raises the JobError that says why there is none."""
        event = await self._event("media")
        if self._copy:
            await self._copy.note_accepted()
        self.sample_rate, self.channels = event["sample_rate"], event["channels"]
        media = Media.restored(event["media"])
        self.expectation = wholeness.expectation(event["length"], media.duration, muxed=event["muxed"])
        return dataclasses.replace(media, duration=media.duration or event["length"] or 0.0)

    async def cover(self) -> Path | None:
        """The thumbnail as received, or None. A short clip may be downloaded before its cover."""
        event = await self._event("cover")
        return Path(event["file"]) if event["file"] else None

    async def flows(self) -> None:
        """Return once there is audio in the pipe. Raises the JobError that says why none comes."""
        if not await filled(self.output):
            await self.finish()

    @property
    def output(self) -> Output:
        return self.child.output

    @property
    def group(self) -> int:
        return self.child.pid

    @asynccontextmanager
    async def sound(self) -> AsyncIterator[Run]:
        """The audio from its start, for one encoder."""
        await self.look()
        yield self

    async def look(self) -> None:
        """Correct `channels` and `ambisonic` by the audio's first bytes, where YouTube's word is not enough."""
        if self._came["media"]["head"]:
            head = base64.b64decode((await self._event("head"))["data"])
            channels, self.ambisonic = formats.opus_channels(head)
            self.channels = channels or self.channels

    async def finish(self) -> None:
        """Returns after the last audio; sets `delivered`. Raises the JobError that says why the download failed."""
        self.delivered = (await self._event("downloaded"))["delivered"]

    async def _event(self, name: str) -> dict[str, Any]:
        """The event of that name, which comes once. Other events before it are kept."""
        while name not in self._came:
            event = await self._next()
            self._came[event["event"]] = event
        return self._came[name]

    async def _next(self) -> dict[str, Any]:
        event = await read_event(self.child)
        while event and event["event"] == "said":
            self._hear(event["text"])
            event = await read_event(self.child)
        if event is None:
            raise errors.JobFailed() from process.ChildFailed(f"yt-dlp ended with {await self.child.wait()}")
        if event["event"] == "refused":
            raise _refusal(event["code"]) from process.ChildFailed(event["message"])
        if event["event"] == "failed":
            cause = process.ChildFailed(event["message"])
            raise reasons.failure(event["message"], event["warnings"], self._setup) from cause
        return event

    async def hear_rest(self) -> None:
        """Log the remaining messages. Call once the child has ended."""
        while event := await read_event(self.child):
            if event["event"] == "said":
                self._hear(event["text"])

    def _hear(self, words: str) -> None:
        log.debug("%s yt-dlp: %s", self._name, words)
        if self._copy and NO_LONGER_VALID in words:
            self._copy.note_refused()


def _refusal(code: str) -> errors.JobError:
    return wholeness.Oversized() if code == "OVERSIZED" else errors.JOB_ERRORS[code]()


@asynccontextmanager
async def run(
    config: Config,
    video_id: str,
    *,
    folder: Path,
    cache: Path,
    ca_bundle: Path | None,
    cookies: Cookies | None,
    name: str = "",
) -> AsyncIterator[Run]:
    """One run for one video, working in `folder`; it has ended when the block is left.

    `name` is the work's name in the log, which gets yt-dlp's own words at `debug`.
    """
    copy = await cookies.copy(folder) if cookies else None
    argv = options(config, cache=cache, cookies=copy.path if copy else None) + list(config.ytdlp.args)
    rules = {
        "video_id": video_id,
        "max_duration": config.audio.max_duration,
        "cover": config.audio.cover,
        **surroundings(folder, cache, ca_bundle, copy),
    }
    source: Run | None = None
    try:
        own = (await confinement_of(config, cache, ca_bundle)).with_folder(folder)
        url = youtube_url.canonical_url(video_id)
        async with forking.fork(CHILD, "main", argv, url, rules, confinement=own) as child:
            source = Run(child, name or video_id, advice.setup(config), copy)
            yield source
    finally:
        if source:
            await source.hear_rest()
        if copy:
            await copy.keep()


def surroundings(folder: Path, cache: Path, ca_bundle: Path | None, copy: Copy | None) -> dict[str, Any]:
    """The rules of a child that say what it works with."""
    return {
        # Left to itself, Deno keeps its cache in the home folder, which a service may not have.
        "environment": {"DENO_DIR": str(cache / "deno"), **({"SSL_CERT_FILE": str(ca_bundle)} if ca_bundle else {})},
        "folder": str(folder),
        "renewed": str(copy.renewed) if copy else None,
    }


async def read_event(child: forking.Forked) -> dict[str, Any] | None:
    """The child's next event; None when it ended without one."""
    line = await child.events.readline()
    if not line.endswith(b"\n"):
        return None
    event: dict[str, Any] = json.loads(line)
    return event


async def javascript_runtime() -> str:
    """The JavaScript runtime that yt-dlp finds by itself, like `deno 2.9.8`; empty without one."""
    async with forking.fork(CHILD, "runtime") as child:
        event = await read_event(child)
    return str(event["runtime"]) if event else ""
