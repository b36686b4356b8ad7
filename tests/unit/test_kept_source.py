"""A kept source: fetched once for all who read it, no further than needed, and gone with the last of them."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path
from typing import Any, cast

import pytest
from support.waiting import eventually

from server import errors
from server.jobs import Media, Source
from server.media import kept_source, wholeness, ytdlp
from server.media.kept_source import AHEAD_BYTES, KeptSource
from server.media.kept_sources import MOST_IDLE, KeptSources
from server.storage.artifacts import Artifacts

MEDIA = Media("A title", "An artist", 100.0, "2026-01-31", Source("opus", 130))
PIECE = bytes(range(256)) * 128
DEADLINE = 20


@dataclass
class Fetch:
    """Stands for a run of yt-dlp, which writes `pieces` as fast as they are taken and then ends with `failure`."""

    pieces: int = 4
    failure: errors.JobError | None = None
    began: int = 0
    ended: int = 0
    written: int = 0
    going: asyncio.Event = field(default_factory=asyncio.Event)
    sample_rate: int | None = 48_000
    channels: int | None = 2
    ambisonic: bool = False
    delivered: bool | None = None
    expectation: wholeness.Expectation = field(default_factory=lambda: wholeness.expectation(100.0, 100))
    output: Any = None

    @asynccontextmanager
    async def run(self, folder: Path) -> AsyncIterator[ytdlp.Run]:
        self.began += 1
        reading, writing = os.pipe()
        self.output = os.fdopen(reading, "rb", buffering=0)
        writer = asyncio.create_task(self._write(writing), name="write")
        try:
            yield cast(ytdlp.Run, self)
        finally:
            writer.cancel()
            await asyncio.gather(writer, return_exceptions=True)
            self.output.close()
            self.ended += 1

    async def _write(self, pipe: int) -> None:
        os.set_blocking(pipe, False)
        try:
            await self.going.wait()
            for _ in range(self.pieces):
                rest = PIECE
                while rest:
                    try:
                        rest = rest[os.write(pipe, rest) :]
                    except BlockingIOError:
                        await asyncio.sleep(0.001)
                self.written += len(PIECE)
        finally:
            os.close(pipe)

    async def media(self) -> Media:
        return MEDIA

    async def cover(self) -> Path | None:
        return None

    async def look(self) -> None:
        pass

    async def finish(self) -> None:
        if self.failure:
            raise self.failure
        self.delivered = True


@pytest.fixture
async def artifacts(tmp_path: Path) -> Artifacts:
    artifacts = Artifacts(tmp_path, budget_bytes=1 << 30)
    await artifacts.open()
    return artifacts


async def read(source: KeptSource) -> bytes:
    """All of it, as an encoder would read it."""
    async with source.sound() as sound:
        content = await asyncio.to_thread(sound.output.read)
        await sound.finish()
        assert sound.delivered
    return content


def staged(artifacts: Artifacts) -> list[Path]:
    return list((artifacts._folder / ".staging").iterdir())


@asynccontextmanager
async def held(sources: KeptSources, fetch: Fetch, video_id: str = "some-video-") -> AsyncIterator[KeptSource]:
    async with sources.source(video_id, "direct", fetch.run, cover_timeout=1) as source:
        yield source


async def test_all_who_read_at_once_or_later_share_one_fetch(artifacts: Artifacts) -> None:
    sources, fetch = KeptSources(artifacts), Fetch(pieces=40)
    fetch.going.set()
    async with asyncio.timeout(DEADLINE), held(sources, fetch) as first, held(sources, fetch) as second:
        assert first is second and await first.media() == MEDIA and await first.cover() is None
        assert list(await asyncio.gather(read(first), read(second))) == [PIECE * 40, PIECE * 40]
        assert await read(first) == PIECE * 40, "it is still there"
        assert artifacts.used_bytes == len(PIECE) * 40 and len(staged(artifacts)) == 1
    assert (fetch.began, fetch.ended, artifacts.used_bytes, staged(artifacts)) == (1, 1, 0, [])


async def test_nothing_is_fetched_far_ahead_of_its_readers(artifacts: Artifacts) -> None:
    sources, fetch = KeptSources(artifacts), Fetch(pieces=200)
    fetch.going.set()
    async with asyncio.timeout(DEADLINE), held(sources, fetch) as source:
        await source.media()
        await eventually(lambda: artifacts.used_bytes >= AHEAD_BYTES)
        async with source.sound() as sound:
            await asyncio.to_thread(os.read, sound.output.fileno(), 1)
        assert artifacts.used_bytes <= 2 * AHEAD_BYTES
        assert fetch.written < 3 * AHEAD_BYTES < len(PIECE) * fetch.pieces
    assert (fetch.ended, artifacts.used_bytes, staged(artifacts)) == (1, 0, [])


async def test_it_is_fetched_whole_and_kept_as_long_as_somebody_waits_for_it(
    artifacts: Artifacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_source, "CHECK_WANTED", 0.01)
    sources, fetch, awaited = KeptSources(artifacts), Fetch(pieces=40), {"some-video-"}
    sources.is_awaited = lambda video_id: video_id in awaited
    fetch.going.set()
    async with asyncio.timeout(DEADLINE):
        async with held(sources, fetch) as source:
            await source.media()
        await eventually(lambda: artifacts.used_bytes == len(PIECE) * 40 and fetch.ended == 1)
        async with held(sources, Fetch()) as again:
            assert again is source and await read(again) == PIECE * 40
        awaited.clear()
        await eventually(lambda: not (staged(artifacts) or artifacts.used_bytes or sources._tasks))


async def test_a_failure_is_everybodys_own_and_the_next_one_fetches_again(artifacts: Artifacts) -> None:
    sources, fetch = KeptSources(artifacts), Fetch(pieces=1, failure=errors.SourceForbidden())
    found: list[Exception] = []
    async with asyncio.timeout(DEADLINE), held(sources, fetch) as first, held(sources, fetch) as second:
        fetch.going.set()
        for source in (first, second):
            with pytest.raises(errors.SourceForbidden) as raised:
                await read(source)
            found.append(raised.value)
        async with held(sources, fetch) as third:
            assert third is not first and await third.media() == MEDIA
    assert found[0] is not found[1], "each is marked by its own job"
    assert (fetch.began, fetch.ended, staged(artifacts)) == (2, 2, [])


async def test_a_full_disk_fails_all_and_is_no_longer_counted(
    artifacts: Artifacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(file: FileIO, piece: bytes) -> None:
        if artifacts.used_bytes:
            raise OSError(errno.ENOSPC, "no space")
        file.write(piece)

    monkeypatch.setattr(kept_source, "_write", write)
    sources, fetch = KeptSources(artifacts), Fetch(pieces=40)
    fetch.going.set()
    async with asyncio.timeout(DEADLINE), held(sources, fetch) as source:
        with pytest.raises(OSError, match="no space"):
            await read(source)
    assert (fetch.ended, artifacts.used_bytes, staged(artifacts)) == (1, 0, [])


async def test_of_many_that_nobody_reads_the_oldest_go(artifacts: Artifacts) -> None:
    sources = KeptSources(artifacts)
    sources.is_awaited = lambda video_id: True
    fetches = [Fetch() for _ in range(MOST_IDLE + 2)]
    async with asyncio.timeout(DEADLINE):
        for number, fetch in enumerate(fetches):
            async with held(sources, fetch, f"video-{number:05}") as source:
                await source.media()
        assert [fetch.ended for fetch in fetches] == [1] * 2 + [0] * MOST_IDLE
        await sources.close()
    assert [fetch.ended for fetch in fetches] == [1] * len(fetches) and staged(artifacts) == []


async def test_a_job_that_is_cancelled_ends_its_fetch_before_it_is_gone(artifacts: Artifacts) -> None:
    sources, fetch = KeptSources(artifacts), Fetch()

    async def job() -> None:
        async with held(sources, fetch) as source:
            await read(source)

    task = asyncio.create_task(job())
    async with asyncio.timeout(DEADLINE):
        await eventually(lambda: fetch.began == 1)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert (fetch.ended, staged(artifacts)) == (1, [])
