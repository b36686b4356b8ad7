"""`webhooks`: list what is not delivered yet, and have it tried at once."""

from __future__ import annotations

import argparse
import sys
from datetime import datetime

from ..config import Config, ConfigError
from ..printable import printable
from ..storage import snapshot, state
from ..webhooks import requests
from ..webhooks.delivery import Delivery
from ..webhooks.webhooks import TABLE


def run(arguments: argparse.Namespace, config: Config) -> int:
    """Do `arguments.action`; the exit status. Raises ConfigError."""
    folder = config.storage.state
    known = _deliveries(config)
    if arguments.action == "list":
        for one in known.values():
            print(printable(_line(one)))
        if not known:
            print("Every webhook is delivered.", file=sys.stderr)
        return 0
    for key in arguments.ids:
        if key not in known:
            raise ConfigError(f'there is no webhook "{key}" that is not delivered')
    ids = arguments.ids or list(known)
    try:
        if ids:
            requests.ask(folder, ids)
    except OSError as error:
        raise ConfigError(f"{folder}: {error.strerror}") from error
    print(f"A running server tries {len(ids)} webhooks within two seconds, else the next start does.", file=sys.stderr)
    return 0


def _deliveries(config: Config) -> dict[str, Delivery]:
    """What is not delivered, oldest first."""
    path = config.storage.state / state.NAME
    try:
        rows = snapshot.rows(path, TABLE)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    found = []
    for key, record in rows:
        try:
            found.append(Delivery.restored(key, record))
        except (KeyError, TypeError, ValueError):
            continue  # the server sets it aside at its next start
    return {one.id: one for one in sorted(found, key=lambda one: one.created)}


def _line(one: Delivery) -> str:
    attempts = "1 attempt" if one.attempts == 1 else f"{one.attempts} attempts"
    when = "given up" if one.given_up else f"next {_time(one.due)}"
    failure = f"  {one.failure}" if one.failure else ""
    return f"{one.id}  {one.owner}  {one.host}  {_time(one.created)}  {attempts}, {when}{failure}"


def _time(moment: float) -> str:
    return datetime.fromtimestamp(moment).astimezone().strftime("%Y-%m-%d %H:%M:%S")
