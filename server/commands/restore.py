"""`restore`: put the files of a backup in place; what lies there is set aside, never deleted."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from ..access import key_file
from ..config import Config, ConfigError
from ..config_file import load
from ..media.cookies import kept_file
from ..places import Places, for_new_settings
from ..storage import backup, restoring, state
from ..storage.lock import Locked


def run(arguments: argparse.Namespace, places: Places) -> int:
    """Restore `arguments.file`; the exit status. Raises ConfigError."""
    file: Path = arguments.file
    has_settings = places.file is not None and places.file.exists()
    now = load(places if has_settings else replace(places, file=None), os.environ)
    try:
        with closing(backup.Reader(file)) as reader:
            then = _settings(reader.settings(), places, now, os.environ)
            plan = _plan(then, now)
            names = restoring.unpack(reader, now.storage.state, plan, _check_keys)
    except backup.BadBackup as error:
        raise ConfigError(f"{error}. Nothing was changed") from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConfigError(f"{error.filename or file}: {reason}. Nothing was changed") from error
    made = datetime.fromtimestamp(reader.head.created).astimezone()
    print(f"{file}: made {made:%Y-%m-%d %H:%M} by ytmp3d {reader.head.version}", file=sys.stderr)
    try:
        take_over(now.storage.state)
    except restoring.Unwritable as error:
        raise ConfigError(f"{error}; the backup in {now.storage.state / restoring.WAITING} waits") from error
    except Locked:
        print(
            "A server is running, and goes on with what it has. Its next start takes the backup over, and sets aside "
            "what it has then.",
            file=sys.stderr,
        )
    print(
        f"Keys: {plan.keys}. Settings: {plan.config if backup.CONFIG in names else now.file or 'the defaults'}. "
        f"State: {plan.database.parent}. Downloads: {plan.downloads}.",
        file=sys.stderr,
    )
    return 0


def take_over(folder: Path) -> None:
    """Put a backup that waits in this state folder in place. Raises Locked, restoring.Unwritable or ConfigError."""
    if not restoring.waits(folder):
        return
    try:
        aside = restoring.take_over(folder)
    except OSError as error:
        where = error.filename or folder
        raise ConfigError(f"{where}: {error.strerror}; the backup in {folder / restoring.WAITING} waits") from error
    print("The backup is in place.", file=sys.stderr)
    for one in aside:
        print(f"What was there is now {one}", file=sys.stderr)


def _settings(content: bytes | None, places: Places, now: Config, environment: Mapping[str, str]) -> Config:
    """The settings once the backup is in place. Raises BadBackup if they are no longer understood."""
    if content is None:
        return now
    try:
        return load(for_new_settings(places, environment), environment, content)
    except ConfigError as error:
        raise backup.BadBackup(f"the settings in the backup are not accepted: {error}") from error


def _plan(then: Config, now: Config) -> restoring.Plan:
    return restoring.Plan(
        stamp=f"{datetime.now(UTC):%Y%m%dT%H%M%S.%f}",
        config=(then.file or now.keys_file.with_name("config.toml")).absolute(),
        keys=then.keys_file.absolute(),
        database=(then.storage.state / state.NAME).absolute(),
        cookies=kept_file(then.storage.state).parent.absolute(),
        downloads=then.storage.downloads.absolute(),
    )


def _check_keys(folder: Path) -> None:
    path = folder / backup.KEYS
    if path.exists():
        try:
            key_file.parse(path, path.read_bytes())
        except ConfigError as error:
            raise backup.BadBackup(f"the keys in the backup are not accepted: {error}") from error
