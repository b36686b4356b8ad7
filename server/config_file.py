"""The configuration file: turns TOML into a `Config`, or says in one line what is wrong.

Unknown keys, wrong types and values out of range are refused with the file, the key, what was expected and what was
found. Relative paths start at the folder of the file. Nothing is read at import.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import re
import tomllib
import typing
import urllib.parse
from pathlib import Path
from typing import Any

from . import naming
from .config import SECTIONS, Config, ConfigError, ExitConfig, StorageConfig, whole_number

#: Ways to YouTube.
MOST_EXITS = 100
_EXIT = re.compile(r"exits\[\d+\]\.")
#: A name or an address, with or without a port.
_HOST = re.compile(r"([A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(:[0-9]{1,5})?")
_KINDS: dict[type, str] = {str: "a string", list: "a list of other things", dict: "a table"}
#: User name and password in an address, even a malformed one. The scheme is kept.
_USER_INFO = re.compile(r"^(['\"](?:[a-z0-9+.-]*:/+)?)?.*@", re.IGNORECASE)


def load(path: Path) -> Config:
    """The configuration in `path`. Raises ConfigError."""
    try:
        table = tomllib.loads(path.read_bytes().decode())
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from error
    parts: dict[str, Any] = {}
    for name, value in table.items():
        if home := _section_of(name, value):
            raise ConfigError(f"{path}: {name}: expected below [{home}], found above all sections")
        if name not in SECTIONS:
            raise ConfigError(f"{path}: [{name}]: expected one of {_names(SECTIONS)}, found an unknown section")
        if not isinstance(value, dict):
            raise ConfigError(f"{path}: {name}: expected a section [{name}], found {_found(name, value)}")
        parts[name] = _section(path, name, value)
    # A default means the same whether it is written down or not: it starts at the folder of the file, too.
    written = table.get("storage", {})
    storage = parts.get("storage", StorageConfig())
    starts = {name: path.parent / getattr(storage, name) for name in ("downloads", "state") if name not in written}
    storage = parts["storage"] = dataclasses.replace(storage, **starts)
    state, downloads = storage.state.resolve(), storage.downloads.resolve()
    if state == downloads or state.is_relative_to(downloads / ".staging"):  # the latter is emptied at every start
        expected = "a folder that is neither storage.downloads nor in its .staging"
        found = _found("storage.state", written.get("state", str(StorageConfig.state)))
        raise ConfigError(f"{path}: storage.state: expected {expected}, found {found}")
    if storage.library and any(storage.library.resolve().is_relative_to(own) for own in (state, downloads)):
        expected = "a folder that is not in storage.downloads or storage.state"
        found = _found("storage.library", written["library"])
        raise ConfigError(f"{path}: storage.library: expected {expected}, found {found}")
    return Config(**parts, keys_file=path.parent / "keys.toml", file=path)


def _section_of(name: str, value: Any) -> str | None:
    """The section of the setting `name`, if it stands outside of any section."""
    if isinstance(value, dict) or name in SECTIONS:
        return None
    return next((one for one, section in Config().sections.items() if hasattr(section, name)), None)


def _section(path: Path, section: str, table: dict[str, Any]) -> Any:
    return _table(path, typing.get_type_hints(Config)[section], section, table)


def _table(path: Path, cls: type, where: str, table: dict[str, Any]) -> Any:
    """A `cls` of the settings in `table`, which stands at `where` in the file."""
    fields = {f.name: f for f in dataclasses.fields(cls)}
    hints = typing.get_type_hints(cls)
    values: dict[str, Any] = {}
    for name, value in table.items():
        key = f"{where}.{name}"
        if name not in fields:
            raise ConfigError(f"{path}: {key}: expected one of {_names(fields)}, found an unknown key")
        try:
            if hints[name] is int:
                values[name] = whole_number(cls, name, value)
            elif name == "exits":
                values[name] = _exits(path, key, value)
            else:
                values[name] = _value(path, key, value, hints[name], fields[name].metadata)
        except ValueError as expected:
            raise ConfigError(f"{path}: {key}: expected {expected}, found {_found(key, value)}") from None
    return cls(**values)


def _exits(path: Path, key: str, value: Any) -> tuple[ExitConfig, ...]:
    """The tables [[ytdlp.exits]]; ValueError carries what was expected of them together."""
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise ValueError("tables [[ytdlp.exits]]")
    exits = tuple(_table(path, ExitConfig, f"{key}[{number}]", one) for number, one in enumerate(value))
    names = [one.name for one in exits]
    if not all(names) or len(set(names)) < len(names):
        raise ValueError("a name of its own in each [[ytdlp.exits]]")
    if len(exits) > MOST_EXITS:
        raise ValueError(f"at most {MOST_EXITS} [[ytdlp.exits]]")
    return exits


def _value(path: Path, key: str, value: Any, hint: Any, limits: Any) -> Any:
    """The setting's value; ValueError carries what was expected."""
    if hint is bool:
        if not isinstance(value, bool):
            raise ValueError("true or false")
        return value
    if hint == tuple[str, ...]:
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise ValueError("a list of strings")
        for item in value:
            _check_text(key, item)
        return tuple(value)
    if not isinstance(value, str) or "\0" in value:
        raise ValueError("a string")
    if hint in (Path, Path | None):
        if not value:
            if hint is Path:
                raise ValueError("a path")
            return None
        return path.parent / Path(value).expanduser()
    if choices := limits.get("choices"):
        if value not in choices:
            raise ValueError("one of " + ", ".join(f'"{choice}"' for choice in choices))
        return value
    _check_text(key, value)
    return value.rstrip("/") if key == "server.public_url" else value


def _check_text(key: str, value: str) -> None:
    """Check strings that must have a certain form; ValueError carries what was expected."""
    if key.endswith("].name") and not re.fullmatch(r"[A-Za-z0-9._-]{1,40}", value):
        raise ValueError("up to 40 letters, digits, dots, dashes or underscores")
    key = _EXIT.sub("", key)
    if key == "ytdlp.source_address" and value:
        try:
            ipaddress.ip_address(value)
        except ValueError:
            raise ValueError('"" or an address of this machine like "192.0.2.7"') from None
    if key == "server.public_url" and value and not _is_url(value, ("http", "https")):
        raise ValueError('"" or an address like "https://mp3.example.org"')
    if key == "ytdlp.proxy" and value and not _is_url(value, ("http", "https", "socks4", "socks5", "socks5h")):
        raise ValueError('"" or an address like "http://proxy.example.org:3128"')
    is_origin = _is_url(value, ("http", "https")) and value.count("/") == 2
    if key == "server.cors_origins" and value != "*" and not is_origin:
        raise ValueError('origins like "https://app.example.org", or "*"')
    if key == "server.trusted_proxies":
        try:
            ipaddress.ip_network(value)
        except ValueError:
            raise ValueError('addresses or networks like "127.0.0.1" or "10.0.0.0/8"') from None
    if key == "server.webhook_hosts" and not _HOST.fullmatch(value):
        raise ValueError('hosts like "n8n.example.org", "127.0.0.1:5678" or "[fd00::7]"')
    if key == "audio.file_name":
        naming.parse(value)
    if key == "storage.library_name":
        naming.parse_path(value)
    if key == "server.host" and not value:
        raise ValueError("an address or host name")


def _is_url(value: str, schemes: tuple[str, ...]) -> bool:
    try:
        parts = urllib.parse.urlsplit(value)
        _ = parts.port
    except ValueError:
        return False
    bare = value.isprintable() and not (parts.query or parts.fragment)
    return parts.scheme in schemes and bool(parts.hostname) and bare


def _names(names: Any) -> str:
    return ", ".join(names)


def _found(key: str, value: Any) -> str:
    """The value found, without anything that may be a password: yt-dlp's arguments, or a proxy's user."""
    if _EXIT.sub("", key) == "ytdlp.args" and type(value) in _KINDS:
        return _KINDS[type(value)]
    shown = _USER_INFO.sub(r"\1…@", repr(value)) if not isinstance(value, bool) else str(value).lower()
    return shown if len(shown) <= 60 else shown[:57] + "..."
