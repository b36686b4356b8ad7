"""Finished MP3s in the library: a folder of the owner's, in which players and other programs find them.

Nothing there is ever overwritten or removed, and the folder itself is never made: a missing one may be a disk that is
not mounted. An MP3 comes there as a hard link, else as a copy; an unfinished copy lies in `OWN`. The description beside
the finished file says in which library it is. All of this blocks.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
import tempfile
import threading
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from ..filesystems import sync
from ..naming import folded

#: The subfolder for unfinished copies, which is emptied at each start.
OWN = ".ytmp3d"
#: Bytes that are copied at a time.
_PIECE = 1 << 20


class Gone(Exception):
    """The finished file is not there any more."""


def clear(root: Path) -> None:
    """Remove unfinished copies. Raises OSError."""
    with contextlib.suppress(FileNotFoundError):
        for leftover in (root / OWN).iterdir():
            leftover.unlink(missing_ok=True)


def try_to_write(root: Path) -> None:
    """Make a file and remove it. Raises OSError."""
    (root / OWN).mkdir(exist_ok=True)
    with tempfile.TemporaryFile(dir=root / OWN):
        pass


def put(
    file: Path,
    root: Path,
    places: Iterable[PurePosixPath],
    is_same: Callable[[Path], bool],
    stop: threading.Event,
) -> Path:
    """Put the finished `file` at the first of the `places` that is free, or leave it where it is already.

    `is_same` says whether a file there is of the same video and bitrate. `stop` ends a copy. Returns where it lies.
    Raises Gone or OSError.
    """
    for place in places:
        folder = _folder(root, place.parent)
        taken = _entry(folder, place.name)
        if taken is None:
            path = folder / place.name
            with contextlib.suppress(FileExistsError):
                _link_or_copy(file, path, root, stop)
                return path
            taken = path
        if _is_one_file(taken, file) or is_same(taken):
            return taken
    raise FileExistsError(errno.EEXIST, "too many other files have its name", str(root))


def _folder(root: Path, below: PurePosixPath) -> Path:
    """The folder `below` the root, made if need be. One of the same name to some file system is taken."""
    for name in below.parts:
        root = _entry(root, name) or root / name
        root.mkdir(exist_ok=True)
    return root


def _entry(folder: Path, name: str) -> Path | None:
    """What is in `folder` under a name that is `name` to some file system."""
    if os.path.lexists(folder / name):
        return folder / name
    with os.scandir(folder) as entries:
        return next((folder / one.name for one in entries if folded(one.name) == folded(name)), None)


def _is_one_file(path: Path, other: Path) -> bool:
    try:
        return path.samefile(other)
    except FileNotFoundError:
        return False


def _link_or_copy(file: Path, path: Path, root: Path, stop: threading.Event) -> None:
    """Raises FileExistsError when there is something at `path`, Gone or OSError."""
    try:
        os.link(file, path)
    except FileExistsError:
        raise
    except OSError:  # another disk, a file system without links, too many of them
        _copy(file, path, root, stop)
    sync(path.parent)


def _copy(file: Path, path: Path, root: Path, stop: threading.Event) -> None:
    """As `_link_or_copy`. Never shows an unfinished file at `path`."""
    part = root / OWN / secrets.token_hex(8)
    part.parent.mkdir(exist_ok=True)
    try:
        with _opened(file) as source, part.open("xb") as target:
            while piece := source.read(_PIECE):
                target.write(piece)
                if stop.is_set():
                    raise InterruptedError(errno.EINTR, "the server stops", str(path))
        sync(part)
        _rename(part, path)
    finally:
        part.unlink(missing_ok=True)


def _opened(file: Path) -> BinaryIO:
    try:
        return file.open("rb")
    except FileNotFoundError:
        raise Gone from None


def _rename(part: Path, path: Path) -> None:
    """Give `part` its name. Raises FileExistsError rather than to overwrite.

    Known limit: where the file system has no links, a program that makes the same file in the same moment loses.
    """
    try:
        os.link(part, path)
    except FileExistsError:
        raise
    except OSError:
        if os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from None
        part.rename(path)


def is_in(file: Path, root: Path) -> bool:
    """Whether the description beside the finished `file` says that it was put into this library."""
    try:
        return bool(json.loads(file.with_suffix(".json").read_bytes()).get("library") == str(root))
    except (OSError, ValueError, AttributeError, RecursionError):
        return False


def note(file: Path, root: Path) -> None:
    """Say so. Raises OSError."""
    sidecar, part = file.with_suffix(".json"), file.with_suffix(".part")
    try:
        described = json.loads(sidecar.read_bytes())
    except FileNotFoundError:
        return  # removed meanwhile
    try:
        part.write_text(json.dumps({**described, "library": str(root)}))
        sync(part)
        part.replace(sidecar)
    finally:
        part.unlink(missing_ok=True)
    if not file.exists():
        sidecar.unlink(missing_ok=True)  # removed meanwhile
