"""The checks of `doctor`: each yields ok, or a warning or problem with its fix.

All but `proxy` block for a moment.
"""

from __future__ import annotations

import asyncio
import errno
import http.client
import os
import shutil
import stat
import tempfile
import time
import urllib.parse
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

from ..access.keys import environment_key
from ..config import Config, ConfigError
from ..filesystems import lacks
from ..http.listener import listening_sockets
from ..media import authorities, cookie_file, landlock
from ..media.confinement import Confinement
from ..media.cookies import kept_file
from ..media.kept_cookies import KeptCookies
from ..storage import library_files

OK, WARNING, PROBLEM = "ok", "warning", "problem"
#: Free space below which conversions soon fail, in bytes.
_LITTLE = 1 << 30
#: Cookies older than this are rarely still good, in days.
_STALE_DAYS = 180
_FIRST_SANE_DAY = 1_767_225_600  # 2026-01-01, when this was written: a clock before it is wrong
#: How long another program may take to answer, in seconds.
_ANSWER_TIMEOUT = 5.0
_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Finding:
    level: str
    subject: str
    text: str


def keys_file(config: Config) -> Iterator[Finding]:
    """Whether others can read the keys, and whether the environment's key is valid. `doctor.py` checks the rest."""
    try:
        environment_key(os.environ.get("YTMP3D_KEY"))
    except ConfigError as error:
        yield Finding(PROBLEM, "keys", str(error))
    if _others_can_look(config.keys_file):
        yield Finding(WARNING, "keys", f"others can read it: chmod 600 {config.keys_file}")
    for lack in lacks(config.keys_file.parent):
        yield Finding(WARNING, "keys", f"{config.keys_file.parent}: {lack}. Run one `keys` command at a time.")


def sandbox(config: Config, of_ffmpeg: Confinement) -> Finding:
    """Whether the kernel holds yt-dlp and ffmpeg to their own files. `of_ffmpeg` is what was tried with ffmpeg."""
    version = landlock.version()
    if not config.jobs.sandbox:
        return Finding(WARNING, "sandbox", "[jobs] sandbox is false: yt-dlp and ffmpeg may read what the server may")
    if not version:
        return Finding(WARNING, "sandbox", "no Landlock here: yt-dlp and ffmpeg may read what the server may")
    if not of_ffmpeg.sandbox:
        return Finding(WARNING, "sandbox", f"Landlock {version} holds yt-dlp, but this ffmpeg does not run in it")
    network = "" if version >= landlock.NETWORK_VERSION else "; it is too old to keep ffmpeg from the network"
    return Finding(OK, "sandbox", f"Landlock {version} holds yt-dlp and ffmpeg to their own files{network}")


def cookies(config: Config) -> Iterator[Finding]:
    path = config.ytdlp.cookies
    if path is None:
        return
    try:
        file = cookie_file.read(path)
    except cookie_file.Spoiled as error:
        yield Finding(
            PROBLEM, "cookies", f"{path} is no readable cookies.txt ({error}). Export it from a browser again."
        )
        return
    if file.mode & 0o077:
        yield Finding(WARNING, "cookies", f"others can read it, and with it the account: chmod 600 {path}")
    kept = KeptCookies(kept_file(config.storage.state), writes=False)
    kept.of_file(file.fingerprint)
    now = time.time()
    fresh = [one for one in kept.applied(file.cookies) if one.is_youtubes and not one.has_expired(now)]
    days = (now - file.modified) / 86_400
    if not fresh:
        yield Finding(PROBLEM, "cookies", f"{path} has no unexpired cookie of youtube.com. Export it again, signed in.")
    elif days > _STALE_DAYS:
        yield Finding(WARNING, "cookies", f"{path} is {days:.0f} days old. Export it again if videos ask to sign in.")
    else:
        renewed = f", {len(kept)} of them renewed by YouTube since" if len(kept) else ""
        yield Finding(OK, "cookies", f"{path}: {len(fresh)} for youtube.com{renewed}")


async def proxy(config: Config) -> AsyncIterator[Finding]:
    if not config.ytdlp.proxy:
        return
    parts = urllib.parse.urlsplit(config.ytdlp.proxy)
    host, port = parts.hostname or "", parts.port or _DEFAULT_PORTS.get(parts.scheme, 1080)
    try:
        async with asyncio.timeout(_ANSWER_TIMEOUT):
            _, writer = await asyncio.open_connection(host, port)
    except (OSError, TimeoutError) as error:
        text = f"{host}:{port} cannot be reached ({_reason(error)}). Start it, or correct [ytdlp] proxy."
        yield Finding(PROBLEM, "proxy", text)
    else:
        writer.close()
        yield Finding(OK, "proxy", f"{host}:{port} answers")


def authority(config: Config) -> Iterator[Finding]:
    """The extra certificate authority."""
    if config.ytdlp.ca_file is None:
        return
    try:
        authorities.read(config.ytdlp.ca_file)
    except ConfigError as error:
        yield Finding(PROBLEM, "authority", f"{error}. Correct [ytdlp] ca_file.")
    else:
        yield Finding(OK, "authority", str(config.ytdlp.ca_file))


def folders(config: Config) -> Iterator[Finding]:
    for name, folder in (("state", config.storage.state), ("downloads", config.storage.downloads)):
        existing = next(one for one in (folder, *folder.absolute().parents) if os.path.lexists(one))
        try:
            with tempfile.TemporaryFile(dir=existing):
                pass
            free = shutil.disk_usage(existing).free
        except OSError as error:
            fix = "Change its owner or rights" if existing.is_dir() else "Remove it"
            text = f"{existing} cannot be written ({_reason(error)}). {fix}, or name another [storage] {name}."
            yield Finding(PROBLEM, name, text)
            continue
        for lack in lacks(existing):
            yield Finding(WARNING, name, f"{folder}: {lack}. Name a [storage] {name} on a disk of this machine.")
        if name == "downloads":
            yield _room(config, existing, free)
        elif _others_can_look(folder):
            yield Finding(WARNING, name, f"others can look into it: chmod 700 {folder}")
        else:
            yield Finding(OK, name, str(folder))


def library(config: Config) -> Iterator[Finding]:
    """The folder where players find the MP3s."""
    if (folder := config.storage.library) is None:
        return
    try:
        library_files.try_to_write(folder)
    except OSError as error:
        fix = "Make it" if not os.path.lexists(folder) else "Change its owner or rights"
        text = f"{folder} cannot be written ({_reason(error)}). {fix}, or name another [storage] library."
        yield Finding(PROBLEM, "library", text)
    else:
        yield Finding(OK, "library", str(folder))


def _room(config: Config, existing: Path, free: int) -> Finding:
    budget = config.storage.disk_budget_mb << 20
    if free < min(_LITTLE, budget):
        return Finding(PROBLEM, "downloads", f"only {free >> 20} MB are free at {existing}. Make room.")
    if free < budget:
        fix = f"less than [storage] disk_budget_mb ({budget >> 20}). Lower it or make room."
        return Finding(WARNING, "downloads", f"{free >> 20} MB are free, {fix}")
    return Finding(OK, "downloads", f"{config.storage.downloads} ({free >> 20} MB free)")


def port(config: Config) -> Iterator[Finding]:
    host, number = config.server.host, config.server.port
    where = f"{host}:{number}"
    if number == 0:
        yield Finding(OK, "port", f"each start takes a free one of {host}")
        return
    try:
        for probe in listening_sockets(host, number):
            probe.close()
    except OSError as error:
        if error.errno == errno.EADDRINUSE and _is_ytmp3d(host, number):
            yield Finding(OK, "port", f"{where} is where a ytmp3d server is running already")
        elif error.errno == errno.EADDRINUSE:
            text = f"{where} is taken by another program. Stop it, or set another [server] port."
            yield Finding(PROBLEM, "port", text)
        elif error.errno in (errno.EACCES, errno.EPERM):
            yield Finding(PROBLEM, "port", f"{where} is not for this user. Set a [server] port from 1024 on.")
        else:
            text = f"{where} cannot be listened on ({_reason(error)}). Correct [server] host."
            yield Finding(PROBLEM, "port", text)
    else:
        yield Finding(OK, "port", f"{where} is free")


def clock(config: Config) -> Iterator[Finding]:
    if time.time() < _FIRST_SANE_DAY:
        yield Finding(PROBLEM, "clock", "it is in the past, so no certificate will be valid. Set it, or turn on NTP.")
    else:
        yield Finding(OK, "clock", time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()))


def _others_can_look(path: Path) -> bool:
    try:
        return bool(stat.S_IMODE(path.stat().st_mode) & 0o077)
    except OSError:
        return False


def _is_ytmp3d(host: str, number: int) -> bool:
    connection = http.client.HTTPConnection(host, number, timeout=_ANSWER_TIMEOUT)
    try:
        connection.request("GET", "/healthz")
        answer = connection.getresponse()
        return answer.status == 200 and b'"ok"' in answer.read(1000) and "X-Request-ID" in answer.headers
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _reason(error: Exception) -> str:
    """The system's message for the error, if there is one."""
    if isinstance(error, TimeoutError) and not error.errno:
        return f"no answer in {_ANSWER_TIMEOUT:g} s"
    number = getattr(error, "errno", None) or 0
    return os.strerror(number) if number > 0 else getattr(error, "strerror", None) or str(error)
