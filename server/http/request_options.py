"""What a request may ask for beside a video and a quality: clip, loudness and webhook.

Pure functions over the body's fields.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

from .. import errors, levels
from ..clip import LONGEST, SHORTEST, Clip, clock, milliseconds
from ..webhooks import address

#: `m:ss`, `h:mm:ss` or seconds, each also with a fraction. The description has the same pattern.
TIME = re.compile(r"^(?:(?:[0-9]{1,2}:[0-5][0-9]|[0-9]{1,4}):[0-5][0-9]|[0-9]{1,6})(?:\.[0-9]{1,9})?$")


def clip(fields: dict[str, Any]) -> Clip | None:
    """The requested part; None for the whole video. Raises InvalidRequest or InvalidOption."""
    start, end = _time(fields, "start"), _time(fields, "end")
    if not start and end is None:
        return None
    found = Clip.between(start or 0, end)
    if end is not None and end - (start or 0) < milliseconds(SHORTEST):
        raise errors.InvalidOption(
            f'"end" ({clock(end / 1000)}) must be at least {SHORTEST:g} second after "start" ({clock(found.start)}).'
        )
    return found


def loudness(fields: dict[str, Any]) -> float | None:
    """In LUFS; None for the sound as it is. Raises InvalidRequest or InvalidOption."""
    value = fields.get("loudness")
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise errors.InvalidRequest(f'"loudness" must be a number, not {kind(value)}.')
    if not levels.QUIETEST <= value <= levels.LOUDEST:
        raise errors.InvalidOption(
            f'"loudness" must be from {levels.QUIETEST:g} to {levels.LOUDEST:g} LUFS, such as -14.'
        )
    return levels.rounded(value)


def webhook_url(fields: dict[str, Any], allowed: Collection[str]) -> str:
    """Where the end is told; empty for nowhere. `allowed` are the owner's hosts.

    Raises InvalidRequest or InvalidOption.
    """
    value = fields.get("webhook_url")
    if value is None:
        return ""
    if not isinstance(value, str):
        raise errors.InvalidRequest(f'"webhook_url" must be a string, not {kind(value)}.')
    try:
        address.check(value, allowed)
    except ValueError as error:
        raise errors.InvalidOption(f'"webhook_url" must be an https address that anybody can reach: {error}.') from None
    return value


def _time(fields: dict[str, Any], name: str) -> int | None:
    """Milliseconds; absent and null are None."""
    value = fields.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise errors.InvalidRequest(f'"{name}" must be a number of seconds or a string, not {kind(value)}.')
    seconds = _read(value) if isinstance(value, str) else value
    if seconds is None or not 0 <= seconds < LONGEST:
        raise errors.InvalidOption(
            f'"{name}" must be a time in the video: seconds from 0, such as 65.5, or "m:ss", or "h:mm:ss.fff".'
        )
    return min(milliseconds(seconds), milliseconds(LONGEST) - 1)


def _read(text: str) -> float | None:
    """Seconds; None if `text` is no time."""
    if not TIME.fullmatch(text):
        return None
    seconds = 0.0
    for part in text.split(":"):
        seconds = seconds * 60 + float(part)
    return seconds


def kind(value: Any) -> str:
    """What a JSON value is, for messages."""
    for type_, name in ((bool, "true or false"), (dict, "an object"), (list, "an array"), (str, "a string")):
        if isinstance(value, type_):
            return name
    return "null" if value is None else "a number"
