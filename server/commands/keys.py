"""`keys`: make, list and change API keys."""

from __future__ import annotations

import argparse
import sys

from ..access import key_file
from ..config import Config, ConfigError
from . import streams

#: The limits that a key may have of its own, with what each counts.
LIMITS = {
    "per_minute": "requests a minute",
    "per_hour": "requests an hour",
    "per_day": "requests a day",
    "conversions_per_day": "conversions a day (UTC); 0 is no limit",
    "concurrent": "conversions that are worked on at a time; 0 is no limit",
}
#: The message after each `keys` command.
DONE = {
    "create": "This is the only time the key is shown. A running server accepts it within two seconds.",
    "disable": 'Disabled "{}". A running server refuses it within two seconds.',
    "enable": 'Enabled "{}". A running server accepts it within two seconds.',
    "delete": 'Deleted "{}". A running server refuses it within two seconds; its conversions stay until they expire.',
}


def run(arguments: argparse.Namespace, config: Config) -> int:
    """Do `arguments.action`; the exit status. Raises ConfigError."""
    path = config.keys_file
    try:
        if arguments.action == "create":
            limits = {name: getattr(arguments, name) for name in LIMITS}
            plain = key_file.create(path, arguments.name, {name: n for name, n in limits.items() if n is not None})
            print(plain, flush=True)
            if streams.is_lost():
                key_file.delete(path, arguments.name)
                raise ConfigError("the key was not made, since it could not be shown")
        elif arguments.action == "list":
            if not (lines := key_file.listing(path)):
                make_one = key_file.command(config, "create NAME")
                print(f"There are no keys in {path}. Make one: {make_one}", file=sys.stderr)
            for line in lines:
                print(line)
            return 0
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
