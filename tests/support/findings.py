"""Reading what `doctor` finds."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterable, Iterable
from typing import Any

from server.commands.checks import Finding
from server.config import Config


def only(findings: Iterable[Finding]) -> Finding:
    (finding,) = findings
    return finding


async def gathered(findings: AsyncIterable[Finding]) -> list[Finding]:
    return [finding async for finding in findings]


def with_(section: str, **settings: Any) -> Config:
    return dataclasses.replace(Config(), **{section: dataclasses.replace(getattr(Config(), section), **settings)})
