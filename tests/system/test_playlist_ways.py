"""How a playlist is reached: exits, cookies, hosts, and the time there is, with the real yt-dlp."""

from __future__ import annotations

import asyncio
import dataclasses
import errno
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from aiohttp import web
from support.listening import FFMPEG

from server import errors, youtube_url
from server.config import Config, ExitConfig, StorageConfig, YtdlpConfig
from server.media import authorities, forking, ytdlp
from server.media.exits import Exits, exits_of
from server.media.playlists import Lookout, Playlist
from server.offline import OfflineYouTube, lists, offline_youtube, proxy
from server.offline.playlists import RESERVED_LISTS
from server.storage.artifacts import Artifacts

#: Nothing listens there.
DEAD = ExitConfig("dead", proxy="http://127.0.0.1:1")
SHORT = RESERVED_LISTS["PLx-short-----"].url
COOKIES = (
    "# Netscape HTTP Cookie File\n"
    ".youtube.com\tTRUE\t/\tTRUE\t4000000000\tLOGIN_INFO\tthe-login\n"
    ".youtube.com\tTRUE\t/\tTRUE\t4000000000\tSAPISID\tthe-sapisid\n"
)


@dataclasses.dataclass
class Ways:
    """An offline YouTube, and a folder to work in."""

    youtube: OfflineYouTube
    folder: Path

    async def lookout(self, *exits: ExitConfig, cookies: Path | None = None) -> Lookout:
        reached = YtdlpConfig(
            args=("--socket-timeout", "60"),
            proxy=self.youtube.proxy,
            ca_file=self.youtube.ca_file,
            cookies=cookies,
            exits=exits,
        )
        storage = StorageConfig(downloads=self.folder / "downloads", state=self.folder / "state")
        config = dataclasses.replace(Config(), ytdlp=reached, storage=storage)
        artifacts = Artifacts(storage.downloads, budget_bytes=1 << 30)
        await artifacts.open()
        path = self.folder / "authorities.pem"
        bundle = await asyncio.to_thread(authorities.make_ca_bundle, self.youtube.ca_file, path)
        (self.folder / "cache").mkdir(exist_ok=True)
        return Lookout(config, artifacts, self.folder / "cache", bundle, Exits(exits_of(config), 60))


@pytest_asyncio.fixture
async def ways(tmp_path: Path) -> AsyncIterator[Ways]:
    forking.preload(ytdlp.CHILD)
    async with offline_youtube(tmp_path / "youtube", FFMPEG) as youtube:
        yield Ways(youtube, tmp_path)
        staging = tmp_path / "downloads" / ".staging"
        assert not list(staging.iterdir()), "every look removes its folder"


async def look(lookout: Lookout, url: str, *, seconds: float = 60) -> Playlist:
    deadline = asyncio.get_running_loop().time() + seconds
    return await lookout.look(youtube_url.playlist(url), 500, deadline)


async def test_a_dead_exit_costs_nobody_a_playlist_and_is_left_alone(ways: Ways) -> None:
    lookout = await ways.lookout(DEAD, ExitConfig("fine"))
    assert len((await look(lookout, SHORT)).videos) == 3
    dead, fine = lookout.exits.all
    assert (lookout.exits.is_open(dead), lookout.exits.is_open(fine)) == (False, True)


async def test_while_every_exit_cools_down_nothing_is_asked(ways: Ways, monkeypatch: pytest.MonkeyPatch) -> None:
    lookout = await ways.lookout(DEAD)
    with pytest.raises(errors.SourceUnavailable, match="through its proxy"):
        await look(lookout, SHORT)
    monkeypatch.setattr(forking, "fork", None)
    with pytest.raises(errors.SourceUnavailable, match="through its proxy") as refused:
        await look(lookout, SHORT)
    assert 50 <= int(refused.value.headers["Retry-After"]) <= 70


async def test_a_rate_limit_closes_the_exit_and_a_missing_list_does_not(ways: Ways) -> None:
    lookout = await ways.lookout()
    (only,) = lookout.exits.all
    with pytest.raises(errors.PlaylistNotFound):
        await look(lookout, RESERVED_LISTS["PLx-missing---"].url)
    assert lookout.exits.is_open(only)
    with pytest.raises(errors.SourceUnavailable, match="limiting"):
        await look(lookout, RESERVED_LISTS["PLx-http-429--"].url)
    assert not lookout.exits.is_open(only)


async def test_the_exits_cookies_are_sent_from_a_copy(ways: Ways, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[str] = []
    answer = lists._first

    async def page(request: web.Request) -> web.StreamResponse:
        sent.append(request.cookies.get("LOGIN_INFO", ""))
        return lists._page(await answer(request.query["list"], with_unavailable=False))

    monkeypatch.setattr(lists, "_playlist", page)
    owners = ways.folder / "cookies.txt"
    owners.write_text(COOKIES)
    async with offline_youtube(ways.folder / "another", FFMPEG) as youtube:
        signed_in = await Ways(youtube, ways.folder).lookout(cookies=owners)
        assert len((await look(signed_in, SHORT)).videos) == 3
    assert sent == ["the-login"] and owners.read_text() == COOKIES


async def test_no_page_leads_a_look_to_another_site(ways: Ways, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    plays = proxy._Proxy.plays

    def noted(self: proxy._Proxy, host: str) -> bool:
        asked.append(host)
        return plays(self, host)

    async def away(request: web.Request) -> web.StreamResponse:
        raise web.HTTPFound("https://intranet.example/secret")

    monkeypatch.setattr(proxy._Proxy, "plays", noted)
    for handler in ("_playlist", "_resolve", "_browse"):
        monkeypatch.setattr(lists, handler, away)
    async with offline_youtube(ways.folder / "another", FFMPEG) as youtube:
        with pytest.raises(errors.SourceUnavailable):
            await look(await Ways(youtube, ways.folder).lookout(), SHORT)
    assert set(asked) == {"www.youtube.com"}


async def test_a_machine_without_room_for_a_child_says_not_now(ways: Ways, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    lookout = await ways.lookout()
    monkeypatch.setattr(forking, "fork", full)
    with pytest.raises(errors.SourceUnavailable, match="Try again later"):
        await look(lookout, SHORT)
    assert lookout.exits.is_open(lookout.exits.all[0])


@pytest.mark.long
async def test_what_came_in_time_is_listed_and_said_to_be_a_part(ways: Ways, monkeypatch: pytest.MonkeyPatch) -> None:
    has_stalled = asyncio.Event()

    async def stalls(list_id: str, start: int) -> web.StreamResponse:
        has_stalled.set()
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(lists, "_continued", stalls)
    lookout, loop = await ways.lookout(), asyncio.get_running_loop()
    link = youtube_url.playlist(RESERVED_LISTS["PLx-230-long--"].url)
    looking = asyncio.create_task(lookout.look(link, 500, loop.time() + 10))
    async with asyncio.timeout(60):
        await has_stalled.wait()
        found = await looking
    assert (len(found.videos), found.count, found.truncated) == (100, 230, True)


async def test_what_does_not_begin_in_time_is_unavailable(ways: Ways, monkeypatch: pytest.MonkeyPatch) -> None:
    async def stalls(request: web.Request) -> web.StreamResponse:
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(lists, "_playlist", stalls)
    async with offline_youtube(ways.folder / "another", FFMPEG) as youtube:
        with pytest.raises(errors.SourceUnavailable, match="took too long"):
            await look(await Ways(youtube, ways.folder).lookout(), SHORT, seconds=2)


async def test_a_list_that_ends_in_the_middle_without_a_word_is_no_whole_list(
    ways: Ways, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nothing(list_id: str, start: int) -> web.StreamResponse:
        return web.json_response({"responseContext": {}})

    monkeypatch.setattr(lists, "_continued", nothing)
    with pytest.raises(errors.SourceUnavailable):
        await look(await ways.lookout(), RESERVED_LISTS["PLx-230-long--"].url)
