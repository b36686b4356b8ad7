"""Puts an unpacked backup in the place of the files there, which are set aside. Everything here blocks.

A running server has its files open, so a backup is unpacked beside them, with a plan of what goes where. `take_over`
carries the plan out while no server runs: `restore` calls it, or else the server's next start. It may be cut at any
point, and is then finished by the next call. Nothing is deleted: what lay there is renamed, and MP3s that the restored
database does not know go into a folder of their own, since a start would remove them.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ..filesystems import move, sync
from . import artifact_names, backup, lock, replacement, snapshot

log = logging.getLogger(__name__)

#: The folder in the state folder, and in the downloads folder, that waits to be taken over.
WAITING = "restore"
_UNFINISHED, _PLAN = ".restore.part", "plan.json"
#: What is between the name of a file that was set aside and the time. With dots: the log hides longer words.
_ASIDE = "before-restore"


class Unwritable(Exception):
    """A folder cannot be written by this user, and nothing was changed."""


@dataclass(frozen=True)
class Plan:
    """Where the files of a backup go; `stamp` is the time in the names of what is set aside."""

    stamp: str
    config: Path
    keys: Path
    database: Path
    cookies: Path
    downloads: Path

    def target(self, name: str) -> Path:
        """Of a member that is none of the downloads."""
        whole = {backup.CONFIG: self.config, backup.KEYS: self.keys, backup.DATABASE: self.database}
        return whole.get(name) or self.cookies / name.removeprefix(backup.COOKIES)


def unpack(reader: backup.Reader, state: Path, plan: Plan, check: Callable[[Path], None]) -> list[str]:
    """Unpack a backup beside the files of a server that may run; the names. Raises BadBackup or OSError.

    `state` is the server's state folder now. An earlier backup that waits there is dropped. `check` is called with the
    folder of what was unpacked, before that waits to be taken over, and may raise, too.
    """
    part, downloads = state / _UNFINISHED, plan.downloads / _UNFINISHED
    folders = (part, downloads, state / WAITING, plan.downloads / WAITING)
    for folder in (state, plan.downloads, plan.config.parent, plan.keys.parent, plan.database.parent):
        _make(folder)
    try:
        for folder in folders[:2]:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(mode=0o700)
        names = reader.unpack(part, downloads)
        check(part)
        if backup.DATABASE in names:
            backup.check_database(part / backup.DATABASE)
        (part / _PLAN).write_text(json.dumps({one: str(value) for one, value in vars(plan).items()}))
        sync(part / _PLAN)
        for folder in folders[:2]:
            for path in (folder, *folder.rglob("*")):
                _own(path, folder.parent)
        for folder in folders[2:]:
            shutil.rmtree(folder, ignore_errors=True)
        downloads.rename(plan.downloads / WAITING)
        part.rename(state / WAITING)
        sync(state)
    except BaseException:
        for folder in folders[:2]:
            shutil.rmtree(folder, ignore_errors=True)
        raise
    return names


def waits(state: Path) -> bool:
    """Whether a backup waits to be taken over."""
    return os.access(state / WAITING / _PLAN, os.F_OK)  # False, too, in a folder that may not be looked into


def take_over(state: Path) -> list[Path]:
    """Put the backup that waits in place; what was set aside.

    Raises lock.Locked while a server runs, Unwritable or OSError.
    """
    waiting = state / WAITING
    plan = _read(waiting / _PLAN)
    held = lock.take(waiting, ".lock", "restore")
    try:
        _own(waiting / ".lock", waiting)
        databases = {plan.database, state / plan.database.name}
        if any(replacement.is_locked(one) for one in databases):
            raise lock.Locked(f"{state}: a server is using this state folder")
        small = [*sorted((waiting / backup.COOKIES).glob("*.json")), waiting / backup.KEYS, waiting / backup.CONFIG]
        moves = [(one, plan.target(str(one.relative_to(waiting)))) for one in small if one.exists()]
        staged = waiting / backup.DATABASE
        targets = [target for one, target in moves if not _is_same(one, target)]
        _check_writable([*targets, plan.database, plan.downloads / staged.name])
        aside: list[Path] = []
        if staged.exists():
            aside += _downloads(staged, plan)
            aside += _database(staged, plan)
        for path, target in moves:
            aside += [] if _is_same(path, target) else _put(path, target, plan.stamp)
        with suppress(FileNotFoundError):
            shutil.rmtree(plan.downloads / WAITING)
        shutil.rmtree(waiting)
    finally:
        os.close(held)
    return aside


def _read(path: Path) -> Plan:
    said = json.loads(path.read_text())
    return Plan(said.pop("stamp"), **{name: Path(value) for name, value in said.items()})


def _downloads(database: Path, plan: Plan) -> list[Path]:
    """Set aside MP3s that the database does not know, and put those of the backup in place."""
    known = {Path(str(record.get("artifact", ""))).stem for _, record in snapshot.rows(database, "conversions")}
    folder = plan.downloads / f"{_ASIDE}.{plan.stamp}"
    for path in list(plan.downloads.iterdir()):
        if path.is_file() and artifact_names.recipe(path.name) and path.stem not in known:
            folder.mkdir(mode=0o700, exist_ok=True)
            path.rename(folder / path.name)
    for path in (plan.downloads / WAITING).glob("*"):
        _own(path, plan.downloads)
        path.replace(plan.downloads / path.name)  # of the same name it has the same content
    return [folder] if folder.exists() else []


def _database(staged: Path, plan: Plan) -> list[Path]:
    _make(plan.database.parent)
    aside = replacement.set_aside(plan.database, _ASIDE)
    _own(staged, plan.database.parent)
    move(staged, plan.database)
    sync(plan.database.parent)
    return [aside] if aside else []


def _is_same(path: Path, target: Path) -> bool:
    return target.exists() and path.exists() and path.read_bytes() == target.read_bytes()


def _check_writable(targets: Iterable[Path]) -> None:
    for target in targets:
        folder = next(one for one in target.parents if one.exists())
        if not os.access(folder, os.W_OK | os.X_OK):
            raise Unwritable(f"{folder}: this user cannot write there")


def _put(path: Path, target: Path, stamp: str) -> list[Path]:
    """Move `path` to `target`. It gets the rights of the file that it replaces, which is set aside."""
    _make(target.parent)
    aside = target.with_name(f"{target.name}.{_ASIDE}.{stamp}")
    _own(path, target.parent)
    if target.exists():
        found = target.stat()
        path.chmod(found.st_mode & 0o777)
        if not os.geteuid():
            os.chown(path, found.st_uid, found.st_gid)
        shutil.copy2(target, aside)  # not renamed: there is a whole file under the name at any time
    move(path, target)
    sync(target.parent)
    return [aside] if aside.exists() else []


def _make(folder: Path) -> None:
    """Make a folder that is missing, for the owner of the folder that it is made in."""
    if not folder.is_dir():
        _make(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)
        _own(folder, folder.parent)


def _own(path: Path, folder: Path) -> None:
    """Root gives what it writes to the owner of the folder: a service that runs as another user must read it."""
    if not os.geteuid():
        found = folder.stat()
        os.chown(path, found.st_uid, found.st_gid)
