"""What each exit has for settings: those of `[ytdlp]`, and its own."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from ..config import Config, ExitConfig
from .cookies import DEFAULT


def configurations(config: Config) -> Iterator[tuple[str, Config]]:
    """The name of each exit, with the whole configuration as it is for that exit."""
    if not config.ytdlp.exits:
        yield DEFAULT, config
    for one in config.ytdlp.exits:
        yield one.name, _configured(config, one)


def _configured(config: Config, one: ExitConfig) -> Config:
    base = config.ytdlp
    address = ("--source-address", one.source_address) if one.source_address else ()
    own = dataclasses.replace(
        base,
        proxy=one.proxy or base.proxy,
        cookies=one.cookies or base.cookies,
        args=(*base.args, *address, *one.args),
    )
    return dataclasses.replace(config, ytdlp=own)
