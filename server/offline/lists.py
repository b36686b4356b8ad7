"""The offline YouTube's pages of playlists, albums, channels and mixes, and the API behind them."""

from __future__ import annotations

import asyncio
import re
from typing import Any

from aiohttp import web

from . import answers, playlist_pages
from .playlists import ALBUM, ALERTS, ENDLESS, LIST_ID, RESERVED_LISTS, VideoList, video_list
from .posted import posted

#: What yt-dlp asks for with it: the videos that are unavailable, too.
_WITH_UNAVAILABLE = "wgYCCAA="
_TOKEN = re.compile(r"([0-9A-Za-z_-]{10,100}) ([0-9]{1,9})")
_ALBUM_PAGE = re.compile(r"https://music\.youtube\.com/browse/(MPREb_[0-9A-Za-z_-]+)")
_PLAYLIST_PAGE = re.compile(r"https://www\.youtube\.com/playlist\?list=([0-9A-Za-z_-]+)")
_ALBUM_ID = re.compile(r"MPREb_([0-9A-Za-z_-]+)")


def routes() -> list[web.RouteDef]:
    return [
        web.get("/playlist", _playlist),
        web.get("/{name:@[^/]+}/videos", _channel),
        web.get("/{kind:c|user|channel}/{name}/videos", _channel),
        web.post("/youtubei/v1/browse", _browse),
        web.post("/youtubei/v1/navigation/resolve_url", _resolve),
    ]


async def mix(list_id: str) -> web.StreamResponse:
    """The page of a video beside which a mix is shown."""
    return _page(await asyncio.to_thread(playlist_pages.mix, _known(list_id), 0))


async def mix_goes_on(list_id: str, index: object) -> web.StreamResponse:
    """The answer of the next API, asked beside the video at that place of the mix."""
    place = index if isinstance(index, int) and 0 <= index < ENDLESS else 0
    start = max(0, place - playlist_pages.MIX_OVERLAP)
    return web.json_response(await asyncio.to_thread(playlist_pages.mix, _known(list_id), start))


async def _playlist(request: web.Request) -> web.StreamResponse:
    list_id = request.query.get("list", "")
    return _page(await _first(list_id, with_unavailable=False))


async def _channel(request: web.Request) -> web.StreamResponse:
    name = request.match_info["name"].removeprefix("@")
    return _page(playlist_pages.channel_page(name, request.path))


async def _browse(request: web.Request) -> web.StreamResponse:
    asked = await posted(request)
    if token := _TOKEN.fullmatch(str(asked.get("continuation", ""))):
        return await _continued(token[1], int(token[2]))
    browse_id = str(asked.get("browseId", ""))
    if album := _ALBUM_ID.fullmatch(browse_id):
        return web.json_response(playlist_pages.album_page(ALBUM + album[1]))
    everything = asked.get("params") == _WITH_UNAVAILABLE
    return web.json_response(await _first(browse_id.removeprefix("VL"), with_unavailable=everything))


async def _continued(list_id: str, start: int) -> web.StreamResponse:
    found = _known(list_id)
    if (entry := RESERVED_LISTS.get(list_id)) and entry.stalls:
        await asyncio.Event().wait()  # until the client leaves
    return web.json_response(await asyncio.to_thread(playlist_pages.next_page, found, start))


async def _resolve(request: web.Request) -> web.StreamResponse:
    """Which page of the API belongs to an address."""
    url = str((await posted(request)).get("url", ""))
    if album := _ALBUM_PAGE.fullmatch(url):
        browse_id = album[1]
    elif named := _PLAYLIST_PAGE.fullmatch(url):
        browse_id = f"VL{_known(named[1]).list_id}"
    else:
        raise web.HTTPNotFound
    return web.json_response({"endpoint": {"browseEndpoint": {"browseId": browse_id}}})


async def _first(list_id: str, *, with_unavailable: bool) -> dict[str, Any]:
    found = _known(list_id)
    if words := ALERTS.get(list_id):
        return playlist_pages.alert(words)
    return await asyncio.to_thread(playlist_pages.first_page, found, with_unavailable=with_unavailable)


def _known(list_id: str) -> VideoList:
    if not LIST_ID.fullmatch(list_id):
        raise web.HTTPNotFound
    entry = RESERVED_LISTS.get(list_id)
    if entry and entry.http_status == web.HTTPTooManyRequests.status_code:
        raise web.HTTPTooManyRequests
    return video_list(list_id)


def _page(data: dict[str, Any]) -> web.Response:
    return web.Response(text=answers.page(data), content_type="text/html")
