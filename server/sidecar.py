"""The description beside each finished file, by which a restart knows it again."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from server.jobs import Media, Source

VERSION = 1


def write_sidecar(path: Path, size: int, media: Media) -> None:
    """Say that an MP3 of `size` bytes was made from `media`. Raises OSError."""
    path.write_text(json.dumps({"v": VERSION, "size": size, "media": dataclasses.asdict(media)}))


def read_sidecar(path: Path) -> tuple[int, Media] | None:
    """The MP3's size and what it was made from; None when the file is missing or says neither. Raises OSError."""
    try:
        described = json.loads(path.read_bytes())
        if described["v"] != VERSION or not isinstance(described["size"], int):
            return None
        return described["size"], _media(described["media"])
    except (FileNotFoundError, ValueError, TypeError, KeyError, RecursionError):
        return None


def _media(table: dict[str, Any]) -> Media:
    media = Media(**{**table, "source": Source(**table["source"])})
    texts = (media.title, media.artist, media.date, media.source.codec)
    numbers = (media.duration, media.source.bitrate_kbps or 0)
    if not all(isinstance(text, str) for text in texts) or not all(isinstance(n, int | float) for n in numbers):
        raise TypeError("a field of another type")
    return media
