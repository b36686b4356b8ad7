"""`backup`: put settings, keys and database into one file, also while a server runs."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from .. import __version__
from ..config import Config, ConfigError
from ..filesystems import sync
from ..media.cookies import kept_file
from ..storage import artifact_names, backup, state


def run(arguments: argparse.Namespace, config: Config) -> int:
    """Write the backup `arguments.file`; the exit status. Raises ConfigError."""
    file: Path = arguments.file
    how = backup.form(file)
    if how is None:
        raise ConfigError(f"{file}: expected a name that ends with {', '.join(backup.FORMS)}")
    if not file.absolute().parent.is_dir():
        raise ConfigError(f"{file}: expected a file in a folder that exists")
    if file.exists():
        raise ConfigError(f"{file}: it exists already, and no backup is overwritten. Choose another name")
    try:
        # Beside the file: there must be room, and it is for the same eyes.
        with tempfile.TemporaryDirectory(prefix=".ytmp3d-", dir=file.absolute().parent) as folder:
            files = _files(config, Path(folder), downloads=arguments.downloads)
            sizes = backup.write(part := Path(folder) / "part", how, files, __version__)
            part.rename(file)
            sync(file.absolute().parent)
    except OSError as error:
        raise ConfigError(f"{error.filename or file}: {error.strerror or error}. No backup was made") from error
    _tell(file, config, sizes, downloads=arguments.downloads)
    return 0


def _files(config: Config, folder: Path, *, downloads: bool) -> dict[str, Path]:
    """What is backed up, by member. The database comes before the MP3s: those that it knows are there, or expired."""
    files: dict[str, Path] = {}
    if config.file:
        files[backup.CONFIG] = config.file
    if config.keys_file.exists():
        files[backup.KEYS] = config.keys_file
    for kept in sorted(kept_file(config.storage.state).parent.glob("*.json")):
        files[backup.COOKIES + kept.name] = kept
    database = config.storage.state / state.NAME
    if database.exists():
        files[backup.DATABASE] = backup.copy_database(database, folder)
    if downloads and config.storage.downloads.is_dir():
        found = sorted(config.storage.downloads.iterdir())
        ours = (one for one in found if artifact_names.recipe(one.name) and one.suffix != ".part" and one.is_file())
        files |= {backup.DOWNLOADS + one.name: one for one in ours}
    return files


def _tell(file: Path, config: Config, sizes: dict[str, int], *, downloads: bool) -> None:
    names = {backup.CONFIG: "settings", backup.KEYS: "keys", backup.DATABASE: "database"}
    parts = [what for member, what in names.items() if member in sizes]
    if downloads:
        parts.append(f"{sum(member.endswith('.mp3') for member in sizes)} MP3s")
    missing = [what for member, what in names.items() if member not in sizes]
    print(f"{file}: {', '.join(parts) or 'nothing'}, {file.stat().st_size / 1e6:,.1f} MB", file=sys.stderr)
    if missing:
        print(f"There was nothing to back up of: {', '.join(missing)}.", file=sys.stderr)
    named = {config.ytdlp.cookies, config.ytdlp.ca_file, *(one.cookies for one in config.ytdlp.exits)} - {None}
    if named:
        print(f"Not in it, though the settings name it: {', '.join(sorted(map(str, named)))}", file=sys.stderr)
    print("It holds secrets: only its owner may read it. `ytmp3d restore FILE` takes it.", file=sys.stderr)
