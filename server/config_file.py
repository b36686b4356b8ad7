"""The configuration file: turns TOML into a `Config`, or says in one line what is wrong.

Unknown keys, wrong types and values out of range are refused with the file, the key, what was expected and what was
found. Relative paths start at the folder of the file; variables of the environment take none. Nothing is read at
import.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import re
import tomllib
import typing
import urllib.parse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from . import naming
from .config import SECTIONS, Config, ConfigError, ExitConfig, StorageConfig, whole_number
from .places import NAME, Places

#: Ways to YouTube.
MOST_EXITS = 100
_EXIT = re.compile(r"exits\[\d+\]\.")
#: A name or an address, with or without a port.
_HOST = re.compile(r"([A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(:[0-9]{1,5})?")
#: A setting of the environment. What has no "__" is something else: YTMP3D_KEY, or what Kubernetes says of a service.
_VARIABLE = re.compile(r"YTMP3D_([A-Z0-9]+)__([A-Z0-9_]+)")
_KINDS: dict[type, str] = {str: "a string", list: "a list of other things", dict: "a table"}
#: User name and password in an address, even a malformed one. The scheme is kept.
_USER_INFO = re.compile(r"^(['\"](?:[a-z0-9+.-]*:/+)?)?.*@", re.IGNORECASE)


def load(places: Places, environment: Mapping[str, str], content: bytes | None = None) -> Config:
    """The settings of the file, then those of variables such as `YTMP3D_SERVER__PORT`. Raises ConfigError.

    With `content`, as if the file held that.
    """
    table = _read(places.file, content) if places.file else {}
    path = places.file or Path(NAME)
    parts: dict[str, Any] = {}
    for name, value in table.items():
        if home := _section_of(name, value):
            raise ConfigError(f"{path}: {name}: expected below [{home}], found above all sections")
        if name not in SECTIONS:
            raise ConfigError(f"{path}: [{name}]: expected one of {_names(SECTIONS)}, found an unknown section")
        if not isinstance(value, dict):
            raise ConfigError(f"{path}: {name}: expected a section [{name}], found {_found(name, value)}")
        parts[name] = _section(path, name, value)
    written = dict(table.get("storage", {}))
    for variable, text in sorted(environment.items()):
        if found := _VARIABLE.fullmatch(variable):
            section, name = found[1].lower(), found[2].lower()
            parts[section] = _with_variable(variable, parts.get(section), section, name, text)
            written |= {name: text} if section == "storage" else {}
    storage = parts.get("storage", StorageConfig())
    defaults = {"downloads": places.downloads, "state": places.state}
    starts = {name: default for name, default in defaults.items() if not written.get(name)}
    storage = parts["storage"] = dataclasses.replace(storage, **starts)
    state, downloads = storage.state.resolve(), storage.downloads.resolve()
    if state == downloads or state.is_relative_to(downloads / ".staging"):  # the latter is emptied at every start
        shown = written.get("state") or str(storage.state)
        expected = "a folder that is neither storage.downloads nor in its .staging"
        raise ConfigError(f"{path}: storage.state: expected {expected}, found {_found('', shown)}")
    if storage.library and any(storage.library.resolve().is_relative_to(own) for own in (state, downloads)):
        expected = "a folder that is not in storage.downloads or storage.state"
        raise ConfigError(f"{path}: storage.library: expected {expected}, found {_found('', written['library'])}")
    return Config(**parts, keys_file=places.keys, file=places.file, named=places.named)


def _read(path: Path, content: bytes | None) -> dict[str, Any]:
    try:
        return tomllib.loads((path.read_bytes() if content is None else content).decode())
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from error


def _with_variable(variable: str, part: Any, section: str, name: str, text: str) -> Any:
    """The section `part`, with the setting that an environment variable gives."""
    if section not in SECTIONS:
        raise ConfigError(f"${variable}: expected a section of {_names(SECTIONS)}, found {section!r}")
    cls = typing.get_type_hints(Config)[section]
    fields = {f.name: f for f in dataclasses.fields(cls)}
    if name not in fields:
        raise ConfigError(f"${variable}: expected a setting of {_names(fields)}, found {name!r}")
    key, hint = f"{section}.{name}", typing.get_type_hints(cls)[name]
    value = _typed(text, hint)
    try:
        return dataclasses.replace(part or cls(), **{name: _checked(None, cls, key, name, value)})
    except ValueError as expected:
        raise ConfigError(f"${variable}: expected {expected}, found {_found(key, value)}") from None
    except ConfigError as error:  # of a table within
        raise ConfigError(f"${variable}: {error}") from None


def _typed(text: str, hint: Any) -> Any:
    """The value that a variable stands for: a text as it is, all else as in TOML. One value is a list of it, too."""
    if hint in (str, Path, Path | None):
        return text
    is_list = text.lstrip().startswith("[")
    if hint == tuple[str, ...] and not is_list:
        return [text] if text else []
    try:
        (value,) = tomllib.loads(f"value = {text.lower() if hint is bool else text}").values()
    except ValueError:  # no TOML, or more than a value
        return text
    return value


def _section_of(name: str, value: Any) -> str | None:
    """The section of the setting `name`, if it stands outside of any section."""
    if isinstance(value, dict) or name in SECTIONS:
        return None
    return next((one for one, section in Config().sections.items() if hasattr(section, name)), None)


def _section(path: Path, section: str, table: dict[str, Any]) -> Any:
    return _table(path, typing.get_type_hints(Config)[section], section, table)


def _table(path: Path | None, cls: type, where: str, table: dict[str, Any]) -> Any:
    """A `cls` of the settings in `table`, which stands at `where` in the file, or in a variable."""
    fields = {f.name for f in dataclasses.fields(cls)}
    values: dict[str, Any] = {}
    for name, value in table.items():
        key = f"{where}.{name}"
        place = f"{path}: {key}" if path else key
        if name not in fields:
            known = _names(f.name for f in dataclasses.fields(cls))
            raise ConfigError(f"{place}: expected one of {known}, found an unknown key")
        try:
            values[name] = _checked(path, cls, key, name, value)
        except ValueError as expected:
            raise ConfigError(f"{place}: expected {expected}, found {_found(key, value)}") from None
    return cls(**values)


def _checked(path: Path | None, cls: type, key: str, name: str, value: Any) -> Any:
    """The setting's value. ValueError carries what was expected."""
    (field,) = (one for one in dataclasses.fields(cls) if one.name == name)
    hint = typing.get_type_hints(cls)[name]
    if hint is int:
        return whole_number(cls, name, value)
    if name == "exits":
        return _exits(path, key, value)
    return _value(path, key, value, hint, field.metadata)


def _exits(path: Path | None, key: str, value: Any) -> tuple[ExitConfig, ...]:
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


def _value(path: Path | None, key: str, value: Any, hint: Any, limits: Any) -> Any:
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
            return limits.get("placed") and Path()
        given = Path(value).expanduser()
        if path is None and not given.is_absolute():
            raise ValueError("a path that begins with /")
        return path.parent / given if path else given
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
