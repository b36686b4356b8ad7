"""The configuration as one frozen value: every setting with its type, its default and its bounds."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import naming


class ConfigError(Exception):
    """One line for the operator; the command ends with exit status 2."""


def _number(default: int, low: int, high: int) -> Any:
    return field(default=default, metadata={"low": low, "high": high})


def whole_number(section: type, name: str, value: object) -> int:
    """`value`, if the setting `name` of that section's class takes it. ValueError says what was expected."""
    bounds = {one.name: one.metadata for one in dataclasses.fields(section)}[name]
    if isinstance(value, bool) or not isinstance(value, int) or not bounds["low"] <= value <= bounds["high"]:
        raise ValueError(f"a whole number from {bounds['low']} to {bounds['high']}")
    return value


def _choice(default: str, *choices: str) -> Any:
    return field(default=default, metadata={"choices": choices})


@dataclass(frozen=True)
class ServerConfig:
    host: str = "127.0.0.1"
    port: int = _number(8080, 0, 65535)
    public_url: str = ""
    trusted_proxies: tuple[str, ...] = ()
    connections_per_address: int = _number(100, 1, 10_000)
    cors_origins: tuple[str, ...] = ()
    metrics_public: bool = False
    metrics_keys: bool = False
    webhook_hosts: tuple[str, ...] = ()
    shutdown_grace: int = _number(25, 0, 3600)


@dataclass(frozen=True)
class JobsConfig:
    slots: int = _number(0, 0, 1024)
    fetchers: int = _number(4, 1, 1024)
    backlog: int = _number(1000, 1, 1_000_000)
    max_batch: int = _number(50, 1, 1000)
    max_playlist: int = _number(500, 1, 5000)
    timeout: int = _number(1800, 1, 86_400)
    keep_hours: int = _number(24, 1, 87_600)
    keep_conversions: int = _number(100_000, 100, 10_000_000)
    retry_pause: int = _number(2, 0, 600)
    patience: int = _number(600, 0, 86_400)
    sandbox: bool = True


@dataclass(frozen=True)
class LimitsConfig:
    """Requests that a key may make in each window, and its conversions: a day, and at a time. There 0 is no limit."""

    per_minute: int = _number(100, 1, 1_000_000_000)
    per_hour: int = _number(1000, 1, 1_000_000_000)
    per_day: int = _number(10_000, 1, 1_000_000_000)
    conversions_per_day: int = _number(0, 0, 1_000_000_000)
    concurrent: int = _number(0, 0, 1024)


@dataclass(frozen=True)
class AudioConfig:
    max_duration: int = _number(14_400, 1, 864_000)
    max_source_mb: int = _number(2048, 1, 1_000_000)
    cover: bool = True
    file_name: str = naming.DEFAULT


@dataclass(frozen=True)
class StorageConfig:
    """`downloads` and `state` are where `places.py` says, unless they are set."""

    downloads: Path = field(default=Path("static/downloads"), metadata={"placed": True})
    state: Path = field(default=Path("state"), metadata={"placed": True})
    disk_budget_mb: int = _number(10_240, 10, 1_000_000_000)
    library: Path | None = None
    library_name: str = naming.DEFAULT_PATH


@dataclass(frozen=True)
class ExitConfig:
    """One of several ways to YouTube. What it leaves empty is as `[ytdlp]` says; its `args` come after those there."""

    name: str = ""
    proxy: str = ""
    cookies: Path | None = None
    source_address: str = ""
    args: tuple[str, ...] = ()


@dataclass(frozen=True)
class YtdlpConfig:
    args: tuple[str, ...] = ()
    plugins: bool = True
    update: str = _choice("", "", "daily")
    proxy: str = ""
    ca_file: Path | None = None
    cookies: Path | None = None
    cooldown: int = _number(60, 0, 3600)
    exits: tuple[ExitConfig, ...] = ()


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
    latency_ms: int = _number(0, 0, 60_000)
    block_after: int = _number(0, 0, 1_000_000)
    block_seconds: int = _number(60, 1, 86_400)


@dataclass(frozen=True)
class Config:
    """Every setting. `keys_file` is where the API keys live, `file` the one that was read, if any.

    `named` says that other commands for this server need `--config`, too; see `places.py`.
    """

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
    named: bool = field(default=False, compare=False)

    @property
    def sections(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in SECTIONS}


SECTIONS = tuple(f.name for f in dataclasses.fields(Config) if f.name not in ("keys_file", "file", "named"))
