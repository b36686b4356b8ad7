"""The configuration: a TOML file becomes one frozen value, or one line that says what is wrong.

Unknown keys, wrong types and values out of range are refused with the file, the key, what was expected and what was
found. Relative paths are taken from the folder of the file. Nothing is read at import.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import re
import tomllib
import typing
import urllib.parse
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

#: What a command reads when none is named, if it is there.
DEFAULT_FILE = Path("config.toml")

_KINDS: dict[type, str] = {str: "a string", list: "a list of other things", dict: "a table"}
#: In an address, however wrong it is; a scheme is left.
_USER_INFO = re.compile(r"^(['\"](?:[a-z0-9+.-]*:/+)?)?.*@", re.IGNORECASE)


class ConfigError(Exception):
    """One line for the operator; the command ends with exit status 2."""


def _number(default: int, low: int, high: int) -> Any:
    return field(default=default, metadata={"low": low, "high": high})


def _choice(default: str, *choices: str) -> Any:
    return field(default=default, metadata={"choices": choices})


@dataclass(frozen=True)
class ServerConfig:
    host: str = "127.0.0.1"
    port: int = _number(8080, 0, 65535)
    public_url: str = ""
    trusted_proxies: tuple[str, ...] = ()
    cors_origins: tuple[str, ...] = ()
    metrics_public: bool = False
    shutdown_grace: int = _number(25, 0, 3600)


@dataclass(frozen=True)
class JobsConfig:
    slots: int = _number(0, 0, 1024)
    backlog: int = _number(1000, 1, 1_000_000)
    max_batch: int = _number(50, 1, 1000)
    timeout: int = _number(1800, 1, 86_400)
    keep_hours: int = _number(24, 1, 87_600)
    keep_conversions: int = _number(100_000, 100, 10_000_000)
    retry_pause: int = _number(2, 0, 600)


@dataclass(frozen=True)
class LimitsConfig:
    per_minute: int = _number(100, 1, 1_000_000_000)
    per_hour: int = _number(1000, 1, 1_000_000_000)
    per_day: int = _number(10_000, 1, 1_000_000_000)


@dataclass(frozen=True)
class AudioConfig:
    max_duration: int = _number(14_400, 1, 864_000)
    max_source_mb: int = _number(2048, 1, 1_000_000)
    cover: bool = True


@dataclass(frozen=True)
class StorageConfig:
    downloads: Path = Path("static/downloads")
    state: Path = Path("state")
    disk_budget_mb: int = _number(10_240, 10, 1_000_000_000)


@dataclass(frozen=True)
class YtdlpConfig:
    args: tuple[str, ...] = ()
    proxy: str = ""
    ca_file: Path | None = None
    cookies: Path | None = None


@dataclass(frozen=True)
class FfmpegConfig:
    path: Path | None = None


@dataclass(frozen=True)
class LogConfig:
    level: str = _choice("info", "debug", "info", "warning", "error")
    format: str = _choice("text", "text", "json")


@dataclass(frozen=True)
class OfflineConfig:
    rate_kbps: int = _number(0, 0, 10_000_000)


@dataclass(frozen=True)
class Config:
    """Every setting. `keys_file` is where the API keys live: beside the configuration's own `file`, if it has one."""

    server: ServerConfig = field(default_factory=ServerConfig)
    jobs: JobsConfig = field(default_factory=JobsConfig)
    limits: LimitsConfig = field(default_factory=LimitsConfig)
    audio: AudioConfig = field(default_factory=AudioConfig)
    storage: StorageConfig = field(default_factory=StorageConfig)
    ytdlp: YtdlpConfig = field(default_factory=YtdlpConfig)
    ffmpeg: FfmpegConfig = field(default_factory=FfmpegConfig)
    log: LogConfig = field(default_factory=LogConfig)
    offline: OfflineConfig = field(default_factory=OfflineConfig)
    keys_file: Path = Path("keys.toml")
    file: Path | None = field(default=None, compare=False)

    @property
    def sections(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in _SECTIONS}


_SECTIONS = tuple(f.name for f in dataclasses.fields(Config) if f.name not in ("keys_file", "file"))


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
        if name not in _SECTIONS:
            raise ConfigError(f"{path}: [{name}]: expected one of {_names(_SECTIONS)}, found an unknown section")
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
    return Config(**parts, keys_file=path.parent / "keys.toml", file=path)


def _section_of(name: str, value: Any) -> str | None:
    """Where the setting `name` belongs, if it is one that stands outside of any section."""
    if isinstance(value, dict) or name in _SECTIONS:
        return None
    return next((one for one, section in Config().sections.items() if hasattr(section, name)), None)


def _section(path: Path, section: str, table: dict[str, Any]) -> Any:
    cls = typing.get_type_hints(Config)[section]
    fields = {f.name: f for f in dataclasses.fields(cls)}
    hints = typing.get_type_hints(cls)
    values: dict[str, Any] = {}
    for name, value in table.items():
        key = f"{section}.{name}"
        if name not in fields:
            raise ConfigError(f"{path}: {key}: expected one of {_names(fields)}, found an unknown key")
        try:
            values[name] = _value(path, key, value, hints[name], fields[name].metadata)
        except ValueError as expected:
            raise ConfigError(f"{path}: {key}: expected {expected}, found {_found(key, value)}") from None
    return cls(**values)


def _value(path: Path, key: str, value: Any, hint: Any, limits: Any) -> Any:
    """The setting's value; ValueError carries what was expected."""
    if hint is bool:
        if not isinstance(value, bool):
            raise ValueError("true or false")
        return value
    if hint is int:
        if isinstance(value, bool) or not isinstance(value, int) or not limits["low"] <= value <= limits["high"]:
            raise ValueError(f"a whole number from {limits['low']} to {limits['high']}")
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
    """The few strings with a form of their own; ValueError carries what was expected."""
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
    """What stands there, but nothing in it that may be a password: a word of yt-dlp's, or who uses a proxy."""
    if key == "ytdlp.args" and type(value) in _KINDS:
        return _KINDS[type(value)]
    shown = _USER_INFO.sub(r"\1…@", repr(value)) if not isinstance(value, bool) else str(value).lower()
    return shown if len(shown) <= 60 else shown[:57] + "..."
