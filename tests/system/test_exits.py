"""YouTube pushes back, and the work goes on through another exit, or waits: with the real yt-dlp."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from support.clips import with_shared_clips
from support.listening import FFMPEG
from support.waiting import SOON

from server.access.keys import Key
from server.commands import doctor, serve
from server.config import (
    Config,
    ExitConfig,
    JobsConfig,
    LimitsConfig,
    OfflineConfig,
    ServerConfig,
    StorageConfig,
    YtdlpConfig,
)
from server.offline import OfflineYouTube, offline_youtube
from server.offline.pushback import PushBack
from server.places import beside

KEY = "a-key-of-the-test"
KEYS = {KEY: Key("test", LimitsConfig(10**6, 10**6, 10**6))}
#: Nothing listens there.
DEAD = "http://127.0.0.1:1"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses that ask the offline YouTube for a video, once for each extraction."""
    addresses: list[str] = []
    count = PushBack.count

    def counting(self: PushBack, address: str) -> None:
        addresses.append(address)
        count(self, address)

    monkeypatch.setattr(PushBack, "count", counting)
    return addresses


@asynccontextmanager
async def server(
    folder: Path,
    youtube: OfflineYouTube,
    *exits: ExitConfig,
    cooldown: int = 60,
    patience: int = 600,
    slots: int = 2,
) -> AsyncIterator[aiohttp.ClientSession]:
    config = Config(
        server=ServerConfig(port=0, metrics_public=True),
        jobs=JobsConfig(slots=slots, fetchers=slots, retry_pause=0, patience=patience, max_batch=50),
        storage=StorageConfig(downloads=folder / "downloads", state=folder / "state"),
        ytdlp=YtdlpConfig(
            ca_file=youtube.ca_file, cooldown=cooldown, exits=exits, proxy="" if exits else youtube.proxy
        ),
        keys_file=folder / "keys.toml",
    )
    async with serve.running(config, keys=KEYS) as running:
        headers = {"Authorization": f"Bearer {KEY}"}
        timeout = aiohttp.ClientTimeout(SOON)
        async with aiohttp.ClientSession(running.url, headers=headers, timeout=timeout) as client:
            yield client


@asynccontextmanager
async def pushing_back(folder: Path, **settings: int) -> AsyncIterator[OfflineYouTube]:
    with_shared_clips(folder)
    async with offline_youtube(folder, FFMPEG, OfflineConfig(**settings)) as youtube:
        yield youtube


async def submitted(client: aiohttp.ClientSession, count: int) -> list[str]:
    """The ids of so many conversions."""
    urls = [f"https://youtu.be/wanted-{number:04}" for number in range(count)]
    async with client.post("/batch-convert", json={"urls": urls, "quality": "low"}) as answer:
        return [job["conversion_id"] for job in (await answer.json())["jobs"]]


async def blocked(client: aiohttp.ClientSession) -> None:
    """Use up the one video that an address may ask for."""
    async with client.post("/convert", json={"url": "https://youtu.be/the-last-ok"}) as answer:
        conversion_id = (await answer.json())["conversion_id"]
    await when(client, all_ended)
    async with client.delete(f"/status/{conversion_id}") as answer:
        assert answer.status == 200


async def listed(client: aiohttp.ClientSession) -> list[dict[str, Any]]:
    async with client.get("/status?limit=100") as answer:
        found: list[dict[str, Any]] = (await answer.json())["jobs"]
        return found


async def when(client: aiohttp.ClientSession, holds: Callable[[list[dict[str, Any]]], bool]) -> list[dict[str, Any]]:
    async with asyncio.timeout(SOON):
        while not holds(found := await listed(client)):
            await asyncio.sleep(0.05)
        return found


def all_ended(conversions: list[dict[str, Any]]) -> bool:
    return all(one["status"] in ("completed", "failed") for one in conversions)


async def text(client: aiohttp.ClientSession, path: str) -> str:
    async with client.get(path) as answer:
        return await answer.text()


async def test_a_dead_exit_costs_nobody_anything_and_the_owner_learns_of_it(tmp_path: Path) -> None:
    async with pushing_back(tmp_path / "youtube") as youtube:
        exits = ExitConfig("dead", proxy=DEAD), ExitConfig("fine", proxy=youtube.proxy)
        async with server(tmp_path, youtube, *exits) as client:
            await submitted(client, 6)
            assert {one["status"] for one in await when(client, all_ended)} == {"completed"}
            assert "Exit dead cools down until about" in await text(client, "/readyz")
            metrics = await text(client, "/metrics")
    assert 'ytmp3d_exit_up{exit="dead"} 0.0' in metrics and 'ytmp3d_exit_up{exit="fine"} 1.0' in metrics
    assert 'ytmp3d_exit_failures_total{code="NETWORK_ERROR",exit="dead"} 1.0' in metrics


async def test_one_address_is_blocked_and_the_work_goes_on_through_the_other(tmp_path: Path, asked: list[str]) -> None:
    async with pushing_back(tmp_path / "youtube", block_after=1, block_seconds=3600) as youtube:
        one, two = (
            ExitConfig(name, proxy=youtube.proxy, source_address=address)
            for name, address in (("one", "127.0.0.2"), ("two", "127.0.0.3"))
        )
        async with server(tmp_path, youtube, one, slots=1) as client:
            await submitted(client, 1)
            await when(client, all_ended)
        async with server(tmp_path / "again", youtube, one, two, slots=1) as client:
            await submitted(client, 1)
            (done,) = await when(client, all_ended)
    assert done["status"] == "completed", done["error"]
    assert asked == ["127.0.0.2", "127.0.0.2", "127.0.0.3"]


async def test_fifty_links_on_a_blocked_address_cost_a_handful_of_requests(tmp_path: Path, asked: list[str]) -> None:
    async with (
        pushing_back(tmp_path / "youtube", block_after=1, block_seconds=3600) as youtube,
        server(tmp_path, youtube) as client,
    ):
        await blocked(client)
        await submitted(client, 50)
        found = await when(client, lambda all: sum(bool(one["notice"]) for one in all) == 50)
        assert all("The next try is at about" in one["notice"] for one in found)
        assert sorted(one["queue_position"] for one in found if one["notice"]) == list(range(1, 51))
        assert "No exit is open, so conversions wait" in await text(client, "/readyz")
        assert 'ytmp3d_exit_up{exit="default"} 0.0' in await text(client, "/metrics")
    assert len(asked) <= 1 + 5


@pytest.mark.long
async def test_once_youtube_opens_again_all_is_done_without_a_touch(tmp_path: Path, asked: list[str]) -> None:
    async with (
        pushing_back(tmp_path / "youtube", block_after=4, block_seconds=3) as youtube,
        server(tmp_path, youtube, cooldown=1) as client,
    ):
        await submitted(client, 10)
        found = await when(client, all_ended)
        assert {one["status"] for one in found} == {"completed"}, found
        assert [one["notice"] for one in found] == [None] * 10
        assert "cools down" not in await text(client, "/readyz")
    assert len(asked) <= 10 + 2 * 6, "of two blocks, each costs those in the two slots and some trials"


@pytest.mark.long
async def test_what_waits_too_long_fails_with_the_exits_reason(tmp_path: Path) -> None:
    async with (
        pushing_back(tmp_path / "youtube", block_after=1, block_seconds=3600) as youtube,
        server(tmp_path, youtube, patience=2) as client,
    ):
        await blocked(client)
        await submitted(client, 7)
        found = await when(client, all_ended)
    assert [one["error"] and one["error"]["code"] for one in found] == ["BOT_CHECK"] * 7


async def test_cancelling_what_waits_for_an_exit_leaves_nothing(tmp_path: Path) -> None:
    async with (
        pushing_back(tmp_path / "youtube", block_after=1, block_seconds=3600) as youtube,
        server(tmp_path, youtube) as client,
    ):
        await blocked(client)
        ids = await submitted(client, 5)
        await when(client, lambda all: sum(bool(one["notice"]) for one in all) == 5)
        for conversion_id in ids:
            async with client.delete(f"/status/{conversion_id}") as answer:
                assert answer.status == 200
        found = await listed(client)
        assert all(one["status"] == "cancelled" and one["notice"] is None for one in found)


async def test_the_doctor_tries_each_exit(tmp_path: Path) -> None:
    async with pushing_back(tmp_path / "youtube") as youtube:
        config = tmp_path / "config.toml"
        config.write_text(
            f'[server]\nport = 0\n[ytdlp]\nca_file = "{youtube.ca_file}"\n'
            f'[[ytdlp.exits]]\nname = "fine"\nproxy = "{youtube.proxy}"\n'
            f'[[ytdlp.exits]]\nname = "also"\nproxy = "{youtube.proxy}"\nsource_address = "127.0.0.2"\n'
        )
        found = [finding async for finding in doctor.examine(beside(config), "https://youtu.be/dQw4w9WgXcQ")]
        tried = [(one.level, one.text.split(":")[0]) for one in found if one.subject == "conversion"]
        assert tried == [("ok", "exit fine"), ("ok", "exit also")]
        config.write_text(f'{config.read_text()}[[ytdlp.exits]]\nname = "dead"\nproxy = "{DEAD}"\n')
        found = [finding async for finding in doctor.examine(beside(config))]
    bad = [one for one in found if one.level != "ok" and one.subject == "proxy"]
    assert len(bad) == 1 and bad[0].text.startswith("exit dead: 127.0.0.1:1 cannot be reached")
