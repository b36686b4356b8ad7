"""A backup: a tar file with the settings, the keys, the database and, if wanted, the finished MP3s. Everything blocks.

The first member says what it is and by which version, the last one has the SHA-256 of all others: without it, or with
others, the file is damaged. Only members of the names below are ever unpacked, each a plain file of a name that is made
here, so that no archive writes anywhere else.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import json
import os
import re
import shutil
import sqlite3
import tarfile
import time
import zlib
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from lzma import LZMAError
from pathlib import Path
from typing import IO, Any, Literal, cast

from ..filesystems import sync_open
from . import artifact_names, snapshot
from .schema import MIGRATIONS

#: The version of this form; a later one is refused.
FORMAT = 1
CONFIG, KEYS, DATABASE = "config.toml", "keys.toml", "ytmp3d.db"
DOWNLOADS, COOKIES = "downloads/", "cookies/"
_HEAD, _SUMS = "ytmp3d-backup.json", "checksums.json"
#: How the tar file is compressed, by the end of its name.
FORMS = {".tar": "", ".tar.gz": "gz", ".tgz": "gz", ".tar.xz": "xz"}
#: Bytes of the members that are read into memory, or that no owner's file exceeds.
_SMALL = 64 << 20
_COOKIE = re.compile(r"cookies/[A-Za-z0-9._%~-]{1,200}\.json")
#: Bytes that are copied at a time.
_PIECE = 1 << 20


class BadBackup(Exception):
    """The file cannot be restored; the message says why, and what to do."""


@dataclass(frozen=True)
class Head:
    """What a backup says of itself."""

    version: str
    created: float
    schema: int


def form(path: Path) -> str | None:
    """The compression that the name of the file asks for; None for another name."""
    return next((how for end, how in FORMS.items() if path.name.endswith(end)), None)


def copy_database(path: Path, folder: Path) -> Path:
    """A copy in `folder`, in one file, of the database that a server may have open. Raises OSError."""
    copied = snapshot.copy(path, folder)
    try:
        with closing(snapshot.opened(copied)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            (said,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.Error as error:
        raise OSError(errno.EIO, f"the database cannot be read ({error})", str(path)) from error
    if said != b"ok":
        raise OSError(errno.EIO, "the database is damaged; its server sets aside what it cannot read", str(path))
    return copied


def check_database(path: Path) -> None:
    """Raise BadBackup unless an unpacked database can be read by this version."""
    try:
        with closing(snapshot.opened(path)) as connection:
            (said,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            (schema,) = connection.execute("PRAGMA user_version").fetchone()
    except sqlite3.Error as error:
        raise BadBackup(f"the database in the backup cannot be read ({error}). Take another one") from error
    if said != b"ok" or not 0 < schema <= len(MIGRATIONS):
        raise BadBackup("the database in the backup is damaged. Take another one")


def write(part: Path, how: str, files: Mapping[str, Path], version: str) -> dict[str, int]:
    """Write a backup of `files`, by member, to the new file `part`; the bytes of each.

    Downloads that are removed meanwhile are left out. Raises OSError.
    """
    sizes: dict[str, int] = {}
    sums: dict[str, str] = {}
    descriptor = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as raw:
        with tarfile.open(fileobj=raw, mode=cast(Literal["w:gz"], f"w:{how}")) as tar:
            head = {"format": FORMAT, "version": version, "created": time.time(), "schema": len(MIGRATIONS)}
            _add(tar, _HEAD, json.dumps(head).encode())
            for name, path in files.items():
                try:
                    source = path.open("rb")
                except FileNotFoundError:
                    if not name.startswith(DOWNLOADS):
                        raise
                    continue
                with source:
                    member = tarfile.TarInfo(name)
                    found = os.fstat(source.fileno())
                    member.size, member.mtime, member.mode = found.st_size, int(found.st_mtime), found.st_mode & 0o777
                    counted = _Hashed(source)
                    tar.addfile(member, counted)
                    sizes[name], sums[name] = member.size, counted.sum.hexdigest()
            _add(tar, _SUMS, json.dumps(sums).encode())
        raw.flush()
        sync_open(raw.fileno())
    return sizes


class Reader:
    """The members of a backup, in their order. Every method raises BadBackup or OSError."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with self._explained():
            self._tar = tarfile.open(path, "r:*")  # noqa: SIM115  # closed by `close`
        try:
            self.head = self._read_head()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._tar.close()

    def settings(self) -> bytes | None:
        """The settings, if there are any; they stand before all that is long."""
        with self._explained():
            for member in self._tar:
                if member.name not in (_HEAD, CONFIG):
                    break
                if member.name == CONFIG:
                    return self._content(member)
        return None

    def unpack(self, folder: Path, downloads: Path) -> list[str]:
        """Write all members into `folder`, the downloads into `downloads`, both empty; the names, each checked."""
        sums: dict[str, str] = {}
        told: Any = None
        with self._explained():
            for member in self._tar:
                if told is not None:
                    raise self._damaged("something follows its end")
                if member.name == _HEAD:
                    continue
                if member.name == _SUMS:
                    told = json.loads(self._content(member))
                    continue
                target = self._target(member, folder, downloads)
                target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                if member.size > shutil.disk_usage(target.parent).free:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target.parent))
                sums[member.name] = self._write(member, target)
        if told != sums:
            raise self._damaged("its end is missing" if told is None else "a checksum differs")
        return list(sums)

    def _read_head(self) -> Head:
        with self._explained():
            first = self._tar.next()
            if first is None or first.name != _HEAD:
                raise BadBackup(f"{self._path}: expected a backup made by `ytmp3d backup`, found another archive")
            said = json.loads(self._content(first))
            if said["format"] > FORMAT or said["schema"] > len(MIGRATIONS):
                raise BadBackup(
                    f"{self._path}: made by ytmp3d {said['version']}, which is newer than this one. "
                    "Install that version or a later one, then restore again"
                )
            return Head(str(said["version"]), float(said["created"]), int(said["schema"]))

    def _target(self, member: tarfile.TarInfo, folder: Path, downloads: Path) -> Path:
        name = member.name
        if member.isreg():
            if name in (CONFIG, KEYS, DATABASE) or _COOKIE.fullmatch(name):
                return folder / name
            if name.startswith(DOWNLOADS) and artifact_names.recipe(name.removeprefix(DOWNLOADS)):
                return downloads / name.removeprefix(DOWNLOADS)
        raise BadBackup(f"{self._path}: expected only files of a backup, found {name[:100]!r}")

    def _write(self, member: tarfile.TarInfo, target: Path) -> str:
        """The SHA-256 of what was written."""
        mode = member.mode & 0o644 if member.name == CONFIG else 0o600
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "wb") as file:
            source = _Hashed(self._opened(member))
            while piece := source.read(_PIECE):
                file.write(piece)
            file.flush()
            sync_open(file.fileno())
        os.utime(target, (member.mtime, member.mtime))  # the order of use of the downloads
        return source.sum.hexdigest()

    def _content(self, member: tarfile.TarInfo) -> bytes:
        if member.size > _SMALL:
            raise self._damaged(f"{member.name} is too large")
        return self._opened(member).read()

    def _opened(self, member: tarfile.TarInfo) -> IO[bytes]:
        if not member.isreg() or (source := self._tar.extractfile(member)) is None:
            raise self._damaged(f"{member.name} is no file")
        return source

    def _damaged(self, how: str) -> BadBackup:
        return BadBackup(f"{self._path}: the backup is damaged ({how}). Take another one")

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except tarfile.ReadError as error:
            if not self._path.stat().st_size or "could not be opened" in str(error):
                raise BadBackup(
                    f"{self._path}: expected a backup made by `ytmp3d backup`, found no tar file"
                ) from error
            raise self._damaged(str(error)) from error
        except (tarfile.TarError, EOFError, zlib.error, LZMAError, ValueError, KeyError, TypeError) as error:
            raise self._damaged(str(error) or type(error).__name__) from error
        except OSError as error:
            if error.errno is None:  # gzip's own, for what is no gzip
                raise self._damaged(str(error)) from error
            raise


class _Hashed:
    """Reads from `source`; `sum` is that of all that was read."""

    def __init__(self, source: IO[bytes]) -> None:
        self._source = source
        self.sum = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        piece = self._source.read(size)
        self.sum.update(piece)
        return piece


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode, member.mtime = len(content), 0o600, int(time.time())
    tar.addfile(member, io.BytesIO(content))
