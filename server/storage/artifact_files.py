"""One artifact on disk: `NAME.mp3` with its description `NAME.json`, and maybe `NAME.jpg`. All of this blocks.

The MP3 comes last and goes first, so that a half-made artifact never looks whole. NAME is made
by `artifact_names.py`; a video id may begin with "-", so a name must never reach a command line bare.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import shutil
import tempfile
from pathlib import Path

from ..filesystems import move, sync
from ..jobs import Artifact, Media, Recipe
from . import artifact_names

log = logging.getLogger(__name__)

#: The subfolder in which attempts work.
STAGING = ".staging"
#: The version of the description beside each MP3.
VERSION = 1


def sweep(folder: Path) -> list[tuple[Artifact, int]]:
    """Make `folder`, remove incomplete artifacts, and return the complete ones, oldest first, with their sizes.

    A size is that of all files of an artifact. Only files with a name of ytmp3d's own are removed, and everything in
    the staging folder. Raises OSError.
    """
    staging = folder / STAGING
    folder.mkdir(parents=True, exist_ok=True)
    make_private(staging)
    for leftover in staging.iterdir():
        remove_tree(leftover)
    ours = {path: recipe for path in folder.iterdir() if (recipe := _recipe(path))}
    found: list[tuple[int, Artifact, int]] = []
    complete: set[Path] = set()
    for path, recipe in ours.items():
        if path.suffix == ".mp3" and (read := _read(path, recipe)) is not None:
            artifact, size = read
            complete |= _files(path)
            found.append((path.stat().st_mtime_ns, artifact, size))
    stray = ours.keys() - complete
    for path in stray:
        path.unlink(missing_ok=True)
    if stray:
        log.info("%s: swept %d files that were no part of a complete artifact", folder, len(stray))
    found.sort(key=lambda item: item[0])
    return [item[1:] for item in found]


def make_private(folder: Path) -> None:
    """Make `folder` for its owner only, and missing folders above it, unless it exists."""
    for each in (folder.parent, folder):
        each.mkdir(mode=0o700, parents=True, exist_ok=True)


def disk_usage(staging: Path) -> tuple[int, int]:
    """Total and free bytes of the disk. Raises OSError."""
    make_private(staging)
    usage = shutil.disk_usage(staging)
    return usage.total, usage.free


def try_to_write(staging: Path) -> None:
    """Make a file and remove it. Raises OSError."""
    make_private(staging)
    with tempfile.TemporaryFile(dir=staging):
        pass


def _recipe(path: Path) -> Recipe | None:
    return artifact_names.recipe(path.name) if path.is_file() else None


def _files(path: Path) -> set[Path]:
    return {path, path.with_suffix(".json"), path.with_suffix(".jpg")}


def _read(path: Path, recipe: Recipe) -> tuple[Artifact, int] | None:
    """The artifact at `path` and the bytes of all its files, or None when it is not complete."""
    size = path.stat().st_size
    described = _read_sidecar(path.with_suffix(".json"))
    if described is None or described[0] != size:
        return None
    cover = path.with_suffix(".jpg")
    total = sum(file.stat().st_size for file in _files(path) if file.exists())
    return Artifact(recipe, path, size, described[1], cover if cover.exists() else None), total


def publish(audio: Path, cover: Path | None, path: Path, recipe: Recipe, media: Media) -> tuple[Artifact, int]:
    """Give `audio` its final name `path`, last of all its files; the artifact and the bytes of all its files.

    Raises OSError; then nothing under a final name remains.
    """
    try:
        sync(audio)
        size = audio.stat().st_size
        sidecar = audio.with_suffix(".json")
        _write_sidecar(sidecar, size, media)
        sync(sidecar)
        if cover is not None:
            picture = path.with_suffix(".jpg")
            shutil.copyfile(cover, picture)  # not moved: it is shown from where it is until the conversion is completed
            sync(picture)
        move(sidecar, path.with_suffix(".json"))
        move(audio, path)
        sync(path.parent)
        total = sum(file.stat().st_size for file in _files(path) if file.exists())
    except BaseException:
        unlink(path)
        raise
    return Artifact(recipe, path, size, media, path.with_suffix(".jpg") if cover is not None else None), total


def is_whole(artifact: Artifact) -> bool:
    """Whether the MP3 is on disk, of the size it was published with."""
    try:
        return artifact.path.stat().st_size == artifact.size
    except OSError:
        return False


def unlink(path: Path) -> None:
    """Remove an artifact's files, the MP3 first. Missing ones are fine. Raises OSError."""
    for file in (path, path.with_suffix(".json"), path.with_suffix(".jpg")):
        file.unlink(missing_ok=True)


def remove_tree(path: Path) -> None:
    """Remove a file or a whole folder, or log why it cannot be removed."""
    if path.is_symlink() or path.is_file():
        path.unlink(missing_ok=True)
    else:
        shutil.rmtree(path, ignore_errors=True)
    if path.exists():
        log.warning("%s: cannot be removed", path)


def _write_sidecar(path: Path, size: int, media: Media) -> None:
    """Write the description of an MP3 of `size` bytes that was made from `media`. Raises OSError."""
    path.write_text(json.dumps({"v": VERSION, "size": size, "media": dataclasses.asdict(media)}))


def _read_sidecar(path: Path) -> tuple[int, Media] | None:
    """The MP3's size and its `Media`; None if the description is missing or invalid. Raises OSError."""
    try:
        described = json.loads(path.read_bytes())
        if described["v"] != VERSION or not isinstance(described["size"], int):
            return None
        return described["size"], Media.restored(described["media"])
    except (FileNotFoundError, ValueError, TypeError, KeyError, RecursionError):
        return None
