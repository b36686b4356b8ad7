"""What a running server takes over when it is told that its settings are others now."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Callable

from aiohttp import web

from ..config import Config, ConfigError
from ..http.context import CONFIG, KEYS
from .supervisor import Supervisor

log = logging.getLogger(__name__)

#: The settings that hold from a reload on. All others hold from a start on.
AT_ONCE = ("limits", "log.level")


async def reload(app: web.Application, supervisor: Supervisor, configured: Callable[[], Config]) -> None:
    """Read keys and settings again. What is wrong with them is logged, and then all stays as it was."""
    supervisor.reloading()
    try:
        config = await asyncio.to_thread(configured)
        await app[KEYS].load(config.limits)
    except ConfigError as error:
        log.error("the settings stay as they were: %s", error)
    else:
        logging.getLogger().setLevel(config.log.level.upper())
        waiting = [one for one in changed(app[CONFIG], config) if not one.startswith(AT_ONCE)]
        more = f"; these wait for a restart: {', '.join(waiting)}" if waiting else ""
        log.info("keys and settings read anew%s", more)
    finally:
        supervisor.tell("READY=1")


def changed(old: Config, new: Config) -> list[str]:
    """The names of the settings that differ."""
    return [
        f"{name}.{field.name}"
        for name, section in old.sections.items()
        for field in dataclasses.fields(section)
        if getattr(section, field.name) != getattr(new.sections[name], field.name)
    ]
