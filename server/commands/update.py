"""`update`: installs a newer yt-dlp and newer plugins with pip, and keeps them only if an offline conversion works."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from ..config import ConfigError
from ..installation import pip_install
from ..media import environment, packages, process
from ..storage import lock
from . import signals

#: Seconds that pip may take to find out what is new, and to install it.
PIP_TIMEOUT = 600.0
#: Seconds that the test conversion may take.
PROOF_TIMEOUT = 180.0


def run() -> int:
    """Update and print the result; the exit status, 1 if the old versions were put back. Raises ConfigError."""
    return signals.run(_locked())


async def _locked() -> int:
    for module, what in (("pip", "pip is not in this environment"), ("trustme", "the offline YouTube is missing")):
        if importlib.util.find_spec(module) is None:
            wanted = "--upgrade " + _quoted(requirements()) if module == "pip" else "'ytmp3d[offline]'"
            raise ConfigError(f"{what}. Use: {pip_install(wanted)}")
    try:
        held = await asyncio.to_thread(lock.take, Path(sys.prefix), ".ytmp3d-update.lock", "environment")
    except lock.Locked:
        raise ConfigError("another update is running, or what is left of one: try again in a minute") from None
    except OSError as error:
        raise ConfigError(f"{sys.prefix} cannot be written: {error.strerror}. Run this as its owner") from error
    try:
        await _finish_interrupted()
        return await _update(held)
    finally:
        os.close(held)


async def _finish_interrupted() -> None:
    """Finish or undo an update that was killed: its copy of the old versions is still there."""
    if not packages.is_updating():
        return
    print("An earlier update was interrupted.", flush=True)
    try:
        print(f"What is installed works: {await _proven()}", flush=True)
        await asyncio.to_thread(packages.forget)
    except process.ChildFailed:
        await asyncio.to_thread(packages.put_back)
        print("The versions from before it were put back.", flush=True)


async def _update(held: int) -> int:
    """`held` is the lock. pip inherits it: one that outlives this process still writes, and nobody else may."""
    wanted = await _newer()
    if not wanted:
        print("Everything is the newest already.")
        return 0
    before = {name: await asyncio.to_thread(packages.version, name) for name in wanted}
    for name, new in wanted.items():
        print(f"{name} {before[name] or '(none)'} -> {new}", flush=True)
    await asyncio.to_thread(packages.keep, wanted)
    try:
        await _pip("install", "--no-deps", *(f"{name}=={new}" for name, new in wanted.items()), passed=(held,))
        works = await _proven()
    except process.ChildFailed as error:
        await asyncio.to_thread(packages.put_back)
        print(f"It does not work: {_reason(error)}", file=sys.stderr)
        print(f"The versions from before were put back. {await _old_works()}", file=sys.stderr)
        return 1
    except BaseException:  # Ctrl-C
        await asyncio.shield(asyncio.to_thread(packages.put_back))
        raise
    await asyncio.to_thread(packages.forget)
    print(f"It works: {works}")
    return 0


async def _newer() -> dict[str, str]:
    """The packages that pip would install, with their versions."""
    look = ("install", "--dry-run")
    try:
        # When pip cannot reach its index, it takes what is installed for the newest, unless it may not look at that.
        await _pip(*look, "--ignore-installed", "--no-deps", *requirements())
        report = await _pip(*look, "--report", "-", "--upgrade", *requirements())
    except process.ChildFailed as error:
        command = pip_install("--upgrade " + _quoted(requirements()))
        raise ConfigError(f"pip cannot find out what is new: {_reason(error)}. By hand it is: {command}") from error
    found = [one["metadata"] for one in json.loads(report)["install"]]
    return {packages.normalized(one["name"]): one["version"] for one in found}


def requirements() -> list[str]:
    """The packages to update: yt-dlp with its dependencies, and the installed plugins."""
    extras = "default,deno" + (",curl-cffi" if packages.version("curl-cffi") else "")
    return [f"yt-dlp[{extras}]", *packages.plugins()]


async def _pip(*arguments: str, passed: Sequence[int] = ()) -> bytes:
    command = process.python("-m", "pip", *arguments, "--quiet", "--no-input", "--disable-pip-version-check")
    return await process.run(command, timeout=PIP_TIMEOUT, variables=environment.for_owner(), passed=passed)


async def _proven() -> str:
    """The versions that run, once a fresh process has converted with them. Raises ChildFailed."""
    module = f"{__package__}.proof"
    command = process.python("-m", module)
    return (await process.run(command, timeout=PROOF_TIMEOUT, variables=environment.for_owner())).decode().strip()


async def _old_works() -> str:
    try:
        return f"They work: {await _proven()}"
    except process.ChildFailed as error:
        return f"They do not work either, so the fault is elsewhere: {_reason(error)}"


def _reason(error: process.ChildFailed) -> str:
    lines = [line for line in error.stderr.splitlines() if line.strip()]
    return lines[-1].strip().removesuffix(".") if lines else str(error)


def _quoted(wanted: list[str]) -> str:
    return " ".join(f"'{one}'" if "[" in one else one for one in wanted)
