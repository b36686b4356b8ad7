"""The packages that an update replaces: lists them, copies them aside, and puts the copy back.

An update that fails, or is killed half way, must leave a working version. So the old packages are copied first, as hard
links if possible, and a manifest says that the copy is complete. While there is a manifest, the installed packages may
be incomplete. Everything here blocks.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import shutil
import site
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from importlib import metadata
from pathlib import Path

from ..config import ConfigError

#: yt-dlp, its challenge solver, and the library with which it imitates a browser.
TOOLS = ("yt-dlp", "yt-dlp-ejs", "deno", "curl-cffi")
#: Seconds after which an update that has not ended is taken to have been killed.
LONGEST_UPDATE = 1200.0

_PLUGINS = "yt_dlp_plugins"


def backup_folder() -> Path:
    return Path(sys.prefix) / ".ytmp3d-update"


def plugins() -> dict[str, str]:
    """The packages of this environment that hold plugins of yt-dlp, with their versions."""
    return {
        normalized(package.metadata["Name"]): package.version
        for package in metadata.distributions(path=site.getsitepackages())
        if any(str(file).startswith(f"{_PLUGINS}/") for file in package.files or ())
    }


def version(name: str) -> str | None:
    """The version of a package in this environment; None if it is not installed."""
    found = _found(name)
    return found[0].version if found else None


def normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def is_updating() -> bool:
    """Whether the installed packages may be incomplete now."""
    return _manifest().exists()


def was_interrupted() -> bool:
    """Whether an update has begun so long ago that it must have been killed."""
    try:
        return time.time() - _manifest().stat().st_mtime > LONGEST_UPDATE
    except OSError:
        return False


def keep(names: Iterable[str]) -> None:
    """Keep a copy of the packages `names`; those that are not installed yet are remembered as such. Raises OSError."""
    folder = backup_folder()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    kept: dict[str, list[str]] = {}
    for name in names:
        kept[name] = []
        for package in _found(name):
            for file in _files(package):
                _copy(Path(sys.prefix) / file, folder / "files" / file)
                kept[name].append(str(file))
    part = folder / "manifest.part"
    part.write_text(json.dumps(kept))
    part.replace(_manifest())


def put_back() -> None:
    """Put the copy back. May be repeated after an interruption. Raises OSError."""
    kept: dict[str, list[str]] = json.loads(_manifest().read_text())
    for name, files in kept.items():
        for package in _found(name):
            about = _about(package)  # before its list of files goes
            for file in _files(package):
                (Path(sys.prefix) / file).unlink(missing_ok=True)
            for folder in about:
                shutil.rmtree(folder, ignore_errors=True)
        for top in _tops(files):  # an interrupted installation has no list of files
            shutil.rmtree(top, ignore_errors=True)
    for name in kept:
        for one in kept[name]:
            _copy(backup_folder() / "files" / one, Path(sys.prefix) / one)
    importlib.invalidate_caches()
    forget()


def forget() -> None:
    """Delete the copy: the installed packages work."""
    with suppress(FileNotFoundError):
        _manifest().unlink()
    shutil.rmtree(backup_folder(), ignore_errors=True)


def _manifest() -> Path:
    return backup_folder() / "manifest.json"


def _found(name: str) -> list[metadata.Distribution]:
    return list(metadata.distributions(name=name, path=site.getsitepackages()))


def _files(package: metadata.Distribution) -> Iterator[Path]:
    """The existing files, relative to the environment. Raises ConfigError for files that pip cannot replace."""
    if package.files is None:
        raise ConfigError(f"{package.metadata['Name']} was not installed by pip, so it cannot be updated with it")
    for file in package.files:
        path = Path(os.path.normpath(str(package.locate_file(file))))
        if path.suffix != ".pyc" and path.exists():
            if not path.is_relative_to(sys.prefix):
                raise ConfigError(
                    f"{package.metadata['Name']} is not in this environment, so it cannot be updated here"
                )
            yield path.relative_to(sys.prefix)


def _about(package: metadata.Distribution) -> set[Path]:
    """The package's metadata folder; none if it has no list of files."""
    names = {str(file).split("/")[0] for file in package.files or () if ".dist-info/" in str(file)}
    return {Path(str(package.locate_file(name))) for name in names}


def _tops(files: Iterable[str]) -> set[Path]:
    """The folders in site-packages that hold nothing but these files."""
    tops = set()
    for folder in site.getsitepackages():
        for file in files:
            path = Path(sys.prefix) / file
            if path.is_relative_to(folder):
                top, *rest = path.relative_to(folder).parts
                if rest and top != _PLUGINS:
                    tops.add(Path(folder) / top)
    return tops


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
