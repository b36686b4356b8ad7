"""`keys`: make, list and change API keys."""

from __future__ import annotations

import argparse
import sys
import time

from ..access import key_file
from ..access.keys import AUTOMATIC
from ..config import Config, ConfigError
from ..conversions import seen, use
from ..storage import snapshot, state
from ..storage.state import Rows
from . import invitation, streams

#: The limits that a key may have of its own, with what each counts.
LIMITS = {
    "per_minute": "requests a minute",
    "per_hour": "requests an hour",
    "per_day": "requests a day",
    "conversions_per_day": "conversions a day (UTC)",
    "concurrent": "conversions that are worked on at a time",
}
#: The message after each `keys` command.
DONE = {
    "create": "This is the only time that key and secret are shown. A running server accepts it within two seconds.",
    "set": 'Changed the limits of "{}". A running server keeps to them within two seconds.',
    "disable": 'Disabled "{}". A running server refuses it within two seconds.',
    "link": 'The old key of "{}" ends within two seconds, and with it its link. Conversions and limits stay.',
    "secret": 'Shown only now. A running server signs the webhooks of "{}" with it within two seconds.',
    "enable": 'Enabled "{}". A running server accepts it within two seconds.',
    "delete": 'Deleted "{}". A running server refuses it within two seconds; its conversions stay until they expire.',
}


def run(arguments: argparse.Namespace, config: Config) -> int:
    """Do `arguments.action`; the exit status. Raises ConfigError."""
    path = config.keys_file
    try:
        if arguments.action == "create":
            limits = {name: number for name in LIMITS if (number := getattr(arguments, name))}
            is_first = not key_file.listing(path)
            plain = key_file.create(path, arguments.name, limits)
            print(plain, flush=True)
            if streams.is_lost():
                key_file.delete(path, arguments.name)
                raise ConfigError("the key was not made, since it could not be shown")
            print(f"Its webhooks are signed with {key_file.secret_of(path, arguments.name)}", file=sys.stderr)
            invitation.show(config, arguments.name, plain, qr=_wants_code(arguments))
            if is_first and arguments.name != AUTOMATIC:
                own = key_file.command(config, f"create {AUTOMATIC}")
                print(
                    f"From now on no start makes a key by itself. To see what you converted without one: {own}",
                    file=sys.stderr,
                )
        elif arguments.action == "list":
            _list(config)
            return 0
        elif arguments.action == "link":
            _renew(arguments, config)
        elif arguments.action == "secret":
            print(key_file.make_secret(path, arguments.name, renew=arguments.renew), flush=True)
        elif arguments.action == "set":
            changes = {name: number or None for name in LIMITS if (number := getattr(arguments, name)) is not None}
            key_file.set_limits(path, arguments.name, changes)
        elif arguments.action == "delete":
            key_file.delete(path, arguments.name)
        else:
            key_file.set_disabled(path, arguments.name, arguments.action == "disable")
    except ValueError as error:
        raise ConfigError(f"{path}: {error}") from error
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    print(DONE[arguments.action].format(arguments.name), file=sys.stderr)
    return 0


def _renew(arguments: argparse.Namespace, config: Config) -> None:
    """Show a link with a new key. There is none with the old key, which nobody here knows."""
    path, name = config.keys_file, arguments.name
    if not arguments.renew:
        key_file.check_known(path, name)
        raise ValueError(
            f'the key "{name}" is not kept, only its hash, so its link cannot be shown again; --renew makes a new key '
            "and its link, and ends the old key at once (conversions and limits stay with the name)"
        )

    def show(plain: str) -> None:
        print(plain, flush=True)
        if streams.is_lost():
            raise ConfigError("the old key stays, since the new one could not be shown")
        invitation.show(config, name, plain, qr=_wants_code(arguments))

    key_file.renew(path, name, show)


def _wants_code(arguments: argparse.Namespace) -> bool:
    return bool(arguments.qr) or (sys.stdout.isatty() and sys.stderr.isatty())


def _list(config: Config) -> None:
    """Print a line for each key, with what it has used, as far as the database says."""
    if not (lines := key_file.listing(config.keys_file)):
        make_one = key_file.command(config, "create NAME")
        print(f"There are no keys in {config.keys_file}. Make one: {make_one}", file=sys.stderr)
        return
    database = config.storage.state / state.NAME
    rows: dict[str, Rows] | None = None
    try:
        rows = snapshot.tables(database, use.TABLE, seen.TABLE)
    except FileNotFoundError:
        pass  # no server has run yet
    except OSError as error:
        print(f"{database}: what the keys have used cannot be shown: {error.strerror}", file=sys.stderr)
    for name, line in lines.items():
        if rows is not None:
            of_all = use.described(rows[use.TABLE], name, time.time())
            last = seen.described(rows[seen.TABLE], name)
            line = f"{line}  {of_all}; {last}" if last else f"{line}  {of_all}"
        print(line)
