"""The commands: `serve`, `demo`, `keys`, `webhooks`, `backup`, `restore`, `doctor`, `update`.

Exit status 2 asks the operator to change something.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from ..config import Config, ConfigError, LimitsConfig, whole_number
from ..config_file import load
from ..installation import program
from ..places import VARIABLE, Places, find
from ..printable import printable
from ..storage.backup import FORMS
from ..storage.lock import Locked
from ..storage.restoring import Unwritable
from . import backup, deploy, doctor, keys, restore, serve, streams, update, version, webhooks


def parser() -> argparse.ArgumentParser:
    """Every command and option; a test holds the README to it."""
    whole = argparse.ArgumentParser(prog=program(), description="ytmp3d: a YouTube-to-MP3 server.")
    whole.add_argument("--version", action="store_true", help="show the version")
    whole.add_argument("-v", dest="tools", action="store_true", help="with --version: also those of the tools")
    commands = whole.add_subparsers(dest="command", metavar="COMMAND")

    one = commands.add_parser("serve", help="run the server")
    _config_option(one)
    one.add_argument("--host", type=_host, help="address to listen on")
    one.add_argument("--port", type=_port, help="port to listen on; 0 takes a free one")
    one.add_argument("--port-file", type=Path, metavar="FILE", help="write the port into FILE once listening")
    one.add_argument("--offline", action="store_true", help="serve made-up videos without a network, for tests")
    one.add_argument(
        "--state", type=Path, metavar="DIR", help="with --offline: keep all files in DIR, not a temporary one"
    )
    one.add_argument("--allow-remote", action="store_true", help="with --offline: may listen beyond this machine")
    one.set_defaults(run=_serve)

    one = commands.add_parser("demo", help="convert three made-up videos without a network and save the MP3s")
    one.add_argument("--output", type=Path, default=Path("demo-output"), metavar="DIR", help="where to save them")
    one.set_defaults(run=_demo)

    one = commands.add_parser("keys", help="make, list and change API keys")
    _config_option(one)
    actions = one.add_subparsers(dest="action", required=True, metavar="ACTION")
    action = actions.add_parser("create", help="make a key and show it once")
    action.add_argument("name")
    for name, meaning in keys.LIMITS.items():
        action.add_argument(f"--{name.replace('_', '-')}", type=partial(_limit, name), metavar="N", help=meaning)
    action.add_argument("--qr", action="store_true", help="show the link's QR code although this is no terminal")
    actions.add_parser("list", help="list the keys, with what each has used, and when last")
    action = actions.add_parser("link", help="make a link for a key that exists, with a new key; the old one ends")
    action.add_argument("name")
    action.add_argument("--renew", action="store_true", help="end the old key")
    action.add_argument("--qr", action="store_true", help="show the link's QR code although this is no terminal")
    action = actions.add_parser("set", help="change a key's limits; 0 or none takes one back to the default")
    action.add_argument("name")
    for name, meaning in keys.LIMITS.items():
        action.add_argument(f"--{name.replace('_', '-')}", type=partial(_new_limit, name), metavar="N", help=meaning)
    action = actions.add_parser("secret", help="make a secret that signs a key's webhooks, and show it once")
    action.add_argument("name")
    action.add_argument("--renew", action="store_true", help="replace the one it has")
    for name, meaning in (
        ("disable", "refuse a key from now on"),
        ("enable", "accept it again"),
        ("delete", "forget it"),
    ):
        actions.add_parser(name, help=meaning).add_argument("name")
    one.set_defaults(run=_keys)

    one = commands.add_parser("webhooks", help="list webhooks that are not delivered yet, and try them at once")
    _config_option(one)
    actions = one.add_subparsers(dest="action", required=True, metavar="ACTION")
    actions.add_parser("list", help="list what is not delivered, and why")
    action = actions.add_parser("retry", help="try deliveries at once, also those that were given up; without ID all")
    action.add_argument("ids", nargs="*", metavar="ID")
    one.set_defaults(run=_webhooks)

    one = commands.add_parser("doctor", help="check everything a server needs, with the fix for each problem")
    _config_option(one)
    one.add_argument("--url", help="also convert this video and show how long each stage takes")
    one.add_argument("--public", metavar="URL", help="ask a running server at this address instead, as others do")
    one.set_defaults(run=_doctor)

    one = commands.add_parser("deploy", help="print a file for systemd, a reverse proxy or containers")
    one.add_argument("what", choices=deploy.FILES, metavar="|".join(deploy.FILES))
    _config_option(one)
    one.add_argument("--public-url", metavar="URL", help="what links begin with (default: [server] public_url)")
    one.add_argument("--box", action="append", metavar="HOST:PORT", help="with nginx: one of several servers")
    one.set_defaults(run=_deploy)

    one = commands.add_parser("backup", help="put settings, keys and database into one file, also while a server runs")
    _config_option(one)
    one.add_argument("file", type=Path, metavar="FILE", help=f"a new file that ends with {', '.join(FORMS)}")
    one.add_argument("--downloads", action="store_true", help="also the finished MP3s")
    one.set_defaults(run=lambda arguments: backup.run(arguments, _load(arguments)))

    one = commands.add_parser("restore", help="put a backup in place; a running server takes it over at its next start")
    _config_option(one)
    one.add_argument("file", type=Path, metavar="FILE", help="what `backup` has made")
    one.set_defaults(run=lambda arguments: restore.run(arguments, _places(arguments)))

    one = commands.add_parser("update", help="install a newer yt-dlp and plugins, and keep them if they work")
    one.set_defaults(run=lambda _: update.run())
    return whole


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; the exit status. What cannot be printed ends no command in its middle."""
    os.umask(os.umask(0o077) | 0o002)  # whatever it was: no file is for everybody to write
    with streams.kept() as output:
        whole = parser()
        arguments = whole.parse_args(argv)
        if arguments.tools and not arguments.version:
            whole.error("-v goes with --version")
        if arguments.command is None and not arguments.version:
            whole.error("the following arguments are required: COMMAND")
        ended = _run(arguments)
        output.flush()
        return ended if arguments.command == "serve" else streams.status(output, ended)


def _run(arguments: argparse.Namespace) -> int:
    try:
        if arguments.version:
            return version.run(tools=arguments.tools)
        status: int = arguments.run(arguments)
    except ConfigError as error:
        print(f"ytmp3d: {printable(str(error))}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return status


def _serve(arguments: argparse.Namespace) -> int:
    for option in ("state", "allow_remote"):
        if getattr(arguments, option) and not arguments.offline:
            raise ConfigError(f"--{option.replace('_', '-')} goes with --offline")
    if arguments.offline:
        from . import offline_mode  # the offline YouTube takes memory that a real server can spare

        return offline_mode.offline(
            _configured(arguments),
            port_file=arguments.port_file,
            folder=arguments.state,
            allow_remote=arguments.allow_remote,
        )
    _take_over_backup(arguments)
    return serve.online(partial(_configured, arguments), port_file=arguments.port_file)


def _take_over_backup(arguments: argparse.Namespace) -> None:
    """Put in place what `restore` has left for the next start."""
    state = _load(arguments).storage.state
    try:
        restore.take_over(state)
    except Locked as error:
        raise ConfigError(str(error)) from error
    except Unwritable as error:  # a service may be kept from its settings
        waiting = f"The backup in {state} waits, and the server goes on with what it has"
        print(f"{waiting}: {error}. Stop it, and restore again as somebody who may.", file=sys.stderr)


def _configured(arguments: argparse.Namespace) -> Config:
    config = _load(arguments)
    overrides = {name: getattr(arguments, name) for name in ("host", "port") if getattr(arguments, name) is not None}
    return dataclasses.replace(config, server=dataclasses.replace(config.server, **overrides))


def _demo(arguments: argparse.Namespace) -> int:
    from . import demo  # as above

    return demo.run(arguments.output)


def _keys(arguments: argparse.Namespace) -> int:
    if arguments.action == "set" and all(getattr(arguments, name) is None for name in keys.LIMITS):
        raise ConfigError(f"keys set: expected one of --{', --'.join(keys.LIMITS)}".replace("_", "-"))
    config = _load(arguments)
    status = keys.run(arguments, config)
    _tell(f"Keys: {config.keys_file}", config)
    return status


def _webhooks(arguments: argparse.Namespace) -> int:
    config = _load(arguments)
    status = webhooks.run(arguments, config)
    _tell(f"State: {config.storage.state}", config)
    return status


def _tell(what: str, config: Config) -> None:
    """Tell somebody at a terminal which files were used; a script reads no more than it asked for."""
    if sys.stderr.isatty():
        print(f"{what}. Settings: {config.file or 'the defaults'}.", file=sys.stderr)


def _deploy(arguments: argparse.Namespace) -> int:
    boxes = arguments.box or ()
    return deploy.run(arguments.what, _load(arguments), public_url=arguments.public_url, boxes=boxes)


def _doctor(arguments: argparse.Namespace) -> int:
    return doctor.run(_places(arguments), url=arguments.url, public=arguments.public)


def _load(arguments: argparse.Namespace) -> Config:
    return load(_places(arguments), os.environ)


def _places(arguments: argparse.Namespace) -> Places:
    return find(arguments.config, os.environ)


def _config_option(command: argparse.ArgumentParser) -> None:
    command.add_argument("--config", type=Path, metavar="FILE", help=f"settings (default: ${VARIABLE}, config.toml …)")


def _host(text: str) -> str:
    if not text:  # an empty host would mean every address
        raise argparse.ArgumentTypeError("expected an address or host name, found ''")
    return text


def _port(text: str) -> int:
    if not text.isdigit() or not 0 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"expected a port from 0 to 65535, found {text!r}")
    return int(text)


def _limit(window: str, text: str) -> int:
    try:
        return whole_number(LimitsConfig, window, int(text) if text.isascii() and text.isdigit() else text)
    except ValueError as expected:
        raise argparse.ArgumentTypeError(f"expected {expected}, found {text!r}") from None


def _new_limit(window: str, text: str) -> int:
    """0 is the default."""
    return 0 if text in ("0", "none") else _limit(window, text)
