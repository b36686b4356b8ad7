"""A server's folder with conversions in its database, as if they had been made: in seconds instead of days."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from server.access.key_file import ENVIRONMENT, Stored
from server.conversions import records
from server.jobs import Artifact, Conversion, Job, Media, Quality, Recipe, Source, new_id
from server.storage import artifact_files, artifact_names
from server.storage.state import State

from .ours import KEY

#: As many finished MP3s as a disk budget of 10 GB keeps; more conversions than that share them.
ARTIFACTS = 1000
#: Records in one commit.
_STEP = 5000


@dataclass(frozen=True)
class Kept:
    """One conversion: the key that may ask for it, its id and its video."""

    key: str
    id: str
    video_id: str


def fill(folder: Path, *, keys: int = 1, conversions: int, size: int = 1000) -> list[Kept]:
    """Make keys, each with as many completed conversions. An MP3 has `size` bytes, none of them sound."""
    folder.mkdir()
    plain = [KEY, *(f"key-of-the-bench-{number:05}" for number in range(1, keys))]
    owners = [ENVIRONMENT, *(f"key-{number:05}" for number in range(1, keys))]
    now = datetime.now(UTC)
    stored = (
        Stored(name, hashlib.sha256(key.encode()).hexdigest(), now) for name, key in zip(owners, plain, strict=True)
    )
    (folder / "keys.toml").write_text("\n".join(one.toml() for one in stored if one.name != ENVIRONMENT))
    made = [_artifact(folder, number, size) for number in range(min(conversions, ARTIFACTS))]
    taken = list(itertools.islice(itertools.cycle(zip(owners, plain, strict=True)), conversions))
    kept = []
    for number, (owner, _) in enumerate(taken):
        job = Job(made[number // keys % len(made)].recipe)
        job.complete(made[number // keys % len(made)])
        moment = now - timedelta(milliseconds=conversions - number)
        conversion = Conversion(new_id(), owner, Quality.HIGH, moment, job, expires_at=now + timedelta(hours=24))
        conversion.name = f"Bench - {conversion.video_id} {number}"
        job.join(conversion)
        kept.append(conversion)
    asyncio.run(_write(folder / "state", kept))
    return [Kept(key, one.id, one.video_id) for one, (_, key) in zip(kept, taken, strict=True)]


def _artifact(folder: Path, number: int, size: int) -> Artifact:
    recipe = Recipe(f"filled{number:05}", Quality.HIGH.bitrate_kbps)
    media = Media(f"Song {number}", "Bench", 240.0, "2026-11-26", Source("opus", 128))
    audio, path = folder / "audio.part", folder / "downloads" / artifact_names.new(recipe)
    path.parent.mkdir(exist_ok=True)
    audio.write_bytes(os.urandom(size))
    return artifact_files.publish(audio, None, path, recipe, media)[0]


async def _write(folder: Path, conversions: list[Conversion]) -> None:
    state, _ = await State.open(folder)
    try:
        for start in range(0, len(conversions), _STEP):
            await state.commit(records.TABLE, records.of(conversions[start : start + _STEP]))
    finally:
        await state.close()
