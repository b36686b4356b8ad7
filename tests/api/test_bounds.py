"""Everything has a bound: ten thousand conversions leave nothing behind but their answers, and then not even those."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import time
from pathlib import Path

import pytest
from support.api import KEY, MEDIA, SOON, Api, link, read_head, serving, watch

from server.config import JobsConfig
from server.jobs import Artifact, Job

PROC = Path("/proc/self")
pytestmark = pytest.mark.skipif(not PROC.exists(), reason="NOT TESTED: needs Linux's /proc")


def descriptors() -> int:
    return len(list((PROC / "fd").iterdir()))


def memory() -> int:
    """Bytes of this process in memory, once what can go is gone."""
    gc.collect()
    return int((PROC / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def convert_many(api: Api, begin: int, count: int) -> None:
    """In batches of 50, some at once, with a status, a download and an event stream among them."""

    async def one_batch(first: int) -> None:
        urls = [watch(f"bound{n:06d}") for n in range(first, first + 50)]
        answer = await api.post("/batch-convert", {"urls": urls})
        assert answer.status == 200, answer
        conversion_id = answer.json["jobs"][-1]["conversion_id"]
        done = await api.status(conversion_id, wait=50)
        assert done["status"] == "completed"
        assert (await api.get(link(conversion_id))).status == 200
        assert (await api.get(f"/status/{conversion_id}/events")).status == 200

    for first in range(begin, begin + count, 200):
        await asyncio.gather(*(one_batch(first + part) for part in range(0, 200, 50)))


async def settled(api: Api) -> None:
    """Everything ended, and expired."""
    async with asyncio.timeout(SOON):
        while api.engine.workers.busy or len(api.engine.queue):
            await asyncio.sleep(0.01)
        await api.engine.tidy()
        while api.engine.workers._endings:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("conversions", [1000, pytest.param(10_000, marks=pytest.mark.long)])
async def test_many_conversions_leave_descriptors_threads_and_memory_as_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, conversions: int
) -> None:
    monkeypatch.setattr("server.conversions.engine._TIDY_EVERY", 3600)  # nothing expires before `settled`
    async with serving(tmp_path, jobs=JobsConfig(slots=4)) as api:
        file = tmp_path / "sound.mp3"
        file.write_bytes(b"sound")

        async def run(job: Job) -> Artifact:
            job.media = MEDIA
            job.touch()
            await asyncio.sleep(0)
            return Artifact(job.recipe, file, 5, MEDIA, None)

        async def remove(artifact: Artifact) -> None:
            await asyncio.sleep(0)

        monkeypatch.setattr(api.engine.workers, "_run", run)
        monkeypatch.setattr(api.engine._artifacts, "remove", remove)
        monkeypatch.setattr(api.engine, "_settings", JobsConfig(backlog=10_000))
        monkeypatch.setattr(api.engine.retention, "_keep_seconds", 0.0)
        # What is made once and kept, caches and the loop's threads, is made by now.
        await asyncio.gather(*(asyncio.to_thread(time.sleep, 0.1) for _ in range(32)))
        await convert_many(api, 0, 400)
        await settled(api)
        before = (descriptors(), threading.active_count(), memory())
        await convert_many(api, 1000, conversions)
        await settled(api)
        assert len(api.engine.table) == 0 and api.engine._jobs == {} and api.engine.workers._deadlines == {}
        assert api.engine.table._by_owner == {} and not api.engine.retention._expiring and not api.engine.table._watches
        assert len(api.engine.queue) == 0 and api.engine.workers._lives == {}
        after = (descriptors(), threading.active_count(), memory())
        assert after[0] <= before[0] + 2
        assert after[1] <= before[1] + 2
        assert after[2] <= before[2] + (50 << 20)


@pytest.mark.parametrize("readers", [30])
async def test_readers_that_do_not_read_cost_little_memory(tmp_path: Path, readers: int) -> None:
    async with serving(tmp_path) as api:
        conversion_id = (await api.convert("led-large--"))["conversion_id"]
        take = await api.studio.take("led-large--")
        take.grow(b"x" * (8 << 20))
        before = memory()
        opened = [await asyncio.open_connection("127.0.0.1", api.port) for _ in range(readers)]
        for _, writer in opened:
            writer.write(f"GET {link(conversion_id)} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        for reader, _ in opened:
            assert (await read_head(reader))[0] == 200
        for _ in range(20):
            take.grow(b"y" * (1 << 20))
            await asyncio.sleep(0.01)
        assert memory() - before < readers * (1 << 20), "well below a copy of the file for each"
        for _, writer in opened:
            writer.transport.abort()
        take.finish()
        assert (await api.status(conversion_id, wait=50))["status"] == "completed"
        assert len((await api.get(link(conversion_id))).body) == 28 << 20


async def test_connections_that_come_and_go_leave_nothing(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        await api.get("/status", key=KEY)
        before = descriptors()
        for sent in (b"", b"GET / HT", b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", b"nonsense\r\n\r\n"):
            for _ in range(50):
                _, writer = await asyncio.open_connection("127.0.0.1", api.port)
                writer.write(sent)
                writer.transport.abort()
        async with asyncio.timeout(SOON):
            while descriptors() > before + 2:
                await asyncio.sleep(0.01)
