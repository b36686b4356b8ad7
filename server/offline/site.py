"""The offline YouTube's web site as an aiohttp application: watch page, player API, media, thumbnails."""

from __future__ import annotations

import asyncio
import collections
import secrets
from pathlib import Path

from aiohttp import web

from ..config import OfflineConfig
from . import account, answers, attestation, challenge, lists, media, sound, streams, thumbnails, withheld
from .behaviours import Api, Formats, Media, Reserved, Thumbnail
from .catalogue import reserved
from .clips import Studio
from .offers import Delivery
from .playlists import MIX
from .posted import posted
from .pushback import PushBack, latency
from .videos import VIDEO_ID, Stream, Video, video

NEEDLESS = {Media.FORBIDDEN, Media.GONE, Media.UNREACHABLE, Media.RESET, Media.GARBAGE}
"""Media for which no clip is ever read."""
HLS = "application/vnd.apple.mpegurl"
ANOTHER = "another-one"
"""The id of the video that comes in place of another."""
LONGEST_AHEAD = 3600
"""Seconds up to which a clip is begun when its watch page is asked for, so that it is there when it is wanted."""


class Site:
    """The handlers and the little they remember."""

    def __init__(self, studio: Studio, settings: OfflineConfig) -> None:
        self._studio = studio
        self._settings = settings
        self._push_back = PushBack(settings)
        self._examiner = challenge.Examiner(secrets.token_bytes(16))
        self._attempts: collections.Counter[str] = collections.Counter()

    def application(self) -> web.Application:
        slow = [latency(self._settings.latency_ms)] if self._settings.latency_ms else []
        application = web.Application(client_max_size=1024 * 1024, middlewares=slow)
        application.router.add_routes(
            [
                web.get("/watch", self.watch),
                web.get("/embed/{id}", self.embed),
                web.get("/iframe_api", self.iframe_api),
                web.post("/youtubei/v1/player", self.player),
                web.post("/youtubei/v1/next", self.next),
                web.get(challenge.PLAYER_PATH, self.player_script),
                web.get(challenge.UNREADABLE_PATH, self.unreadable_script),
                web.get("/api/manifest/hls_variant/id/{id}/index.m3u8", self.hls_manifest),
                web.get("/api/manifest/hls_playlist/id/{id}/itag/{itag}/index.m3u8", self.hls_playlist),
                web.get("/api/manifest/dash/id/{id}", self.dash_manifest),
                web.get("/videoplayback", self.media),
                web.get("/videoplayback/id/{id}/itag/{itag}/sq/{number:\\d+}{rest:.*}", self.fragment),
                web.get("/vi/{id}/{name}", self.thumbnail),
                web.get("/vi_webp/{id}/{name}", self.thumbnail),
                *lists.routes(),
            ]
        )
        return application

    async def watch(self, request: web.Request) -> web.StreamResponse:
        entry, shown = _asked_for(request.query.get("v", ""))
        if (list_id := request.query.get("list", "")).startswith(MIX):
            return await lists.mix(list_id)
        self._push_back.count(request.remote or "")
        entry = self._push_back.shown(request.remote or "", entry)
        if entry.media is Media.FORBIDDEN_FIRST:
            # Here, since how many player APIs an attempt asks is yt-dlp's to choose.
            self._attempts[entry.video_id] += 1
        playable = entry.refusal is None and entry.formats is Formats.AUDIO
        if playable and entry.media not in NEEDLESS and shown.seconds <= LONGEST_AHEAD:
            for stream in shown.streams:
                self._studio.start_clip(stream.clip)
            if entry.thumbnail is Thumbnail.DRAWN:
                self._studio.start_thumbnail(entry.video_id)  # a cover that comes late is none
        hidden = entry.formats in withheld.WITHHELD
        shown = account.seen_by(request, shown, entry)
        response = self._handed_out(entry, shown, withheld.WEB_PLAYER) if hidden else answers.description(shown, entry)
        page = web.Response(text=answers.watch_page(shown, entry, response), content_type="text/html")
        account.answer(request, page, entry)
        return page

    async def embed(self, request: web.Request) -> web.StreamResponse:
        _asked_for(request.match_info["id"])
        return web.Response(text=answers.embed_page(), content_type="text/html")

    async def iframe_api(self, request: web.Request) -> web.StreamResponse:
        return web.Response(text=answers.iframe_api(), content_type="text/javascript")

    async def player(self, request: web.Request) -> web.StreamResponse:
        video_id, client = await _video_posted(request)
        entry, shown = _asked_for(video_id)
        entry = self._push_back.shown(request.remote or "", entry)
        if entry.api is Api.FORBIDDEN:
            raise web.HTTPForbidden
        if entry.api is Api.LIMITED:
            raise web.HTTPTooManyRequests
        if entry.api is Api.RESET:
            media.reset(request)
            return web.Response()
        return web.json_response(self._handed_out(entry, shown, client))

    async def next(self, request: web.Request) -> web.StreamResponse:
        asked = await posted(request)
        if "playlistId" in asked:
            return await lists.mix_goes_on(str(asked["playlistId"]), asked.get("index"))
        video_id, _ = await _video_posted(request)
        entry, shown = _asked_for(video_id)
        return web.json_response(answers.initial_data(shown, entry))

    async def player_script(self, request: web.Request) -> web.StreamResponse:
        return web.FileResponse(challenge.PLAYER_SCRIPT)

    async def unreadable_script(self, request: web.Request) -> web.StreamResponse:
        return web.Response(text=challenge.UNREADABLE_SCRIPT, content_type="text/javascript")

    async def hls_manifest(self, request: web.Request) -> web.StreamResponse:
        entry, shown = _asked_for(request.match_info["id"])
        live = entry.formats is Formats.LIVE
        text = streams.live_manifest(shown) if live else streams.hls_manifest(shown)
        return web.Response(text=text, content_type=HLS)

    async def hls_playlist(self, request: web.Request) -> web.StreamResponse:
        shown, stream = _fragmented(request, Delivery.HLS)
        made = await _read(await self._studio.fragments(stream) / sound.PLAYLIST)
        return web.Response(text=streams.hls_playlist(shown, stream.offer, made), content_type=HLS)

    async def dash_manifest(self, request: web.Request) -> web.StreamResponse:
        _, shown = _asked_for(request.match_info["id"])
        stream = next((one for one in shown.streams if one.offer.delivery is Delivery.DASH), None)
        if stream is None:
            raise web.HTTPNotFound
        made = await _read(await self._studio.fragments(stream) / sound.PLAYLIST)
        return web.Response(text=streams.dash_manifest(shown, stream.offer, made), content_type="application/dash+xml")

    async def fragment(self, request: web.Request) -> web.StreamResponse:
        _, stream = _fragmented(request, Delivery.HLS, Delivery.DASH)
        folder = await self._studio.fragments(stream)
        number, last = int(request.match_info["number"]), (await _read(folder / sound.PLAYLIST)).count("#EXTINF")
        missing = {
            Media.FIRST_MISSING: 1,
            Media.MIDDLE_MISSING: last // 2 + 1,
            Media.LAST_MISSING: last,
        }.get(reserved(request.match_info["id"]).media)
        if number == missing or number > last:
            raise web.HTTPNotFound
        return await media.fragment(request, folder / str(number))

    async def media(self, request: web.Request) -> web.StreamResponse:
        entry, shown = _asked_for(request.query.get("id", ""))
        if entry.formats not in (Formats.AUDIO, Formats.WITH_TOKEN):
            raise web.HTTPNotFound
        if entry.media is Media.RESET:
            media.reset(request)
            return web.Response()
        if entry.media is Media.GARBAGE:
            return web.Response(body=media.GARBAGE, content_type="audio/webm")
        if not self._allowed(entry, request):
            raise web.HTTPForbidden
        if entry.media is Media.GONE:
            raise web.HTTPGone
        stream = shown.stream(request.query.get("itag", ""))
        if stream is None or stream.offer.delivery is not Delivery.HTTPS:
            raise web.HTTPNotFound
        path = await self._studio.clip(stream.clip)
        return await media.serve(
            request, path, stream.clip, entry.media, media.bandwidth(entry, self._settings.rate_kbps)
        )

    async def thumbnail(self, request: web.Request) -> web.StreamResponse:
        entry, _ = _asked_for(request.match_info["id"])
        return await thumbnails.serve(request, entry, self._studio)

    def _handed_out(self, entry: Reserved, shown: Video, client: str) -> answers.JSON:
        posed = self._examiner.pose(secrets.token_hex(8))
        answer = answers.player_response(shown, entry, self._attempts[entry.video_id], posed)
        return withheld.handed_out(answer, entry, client)

    def _allowed(self, entry: Reserved, request: web.Request) -> bool:
        query = request.query
        if entry.formats is Formats.WITH_TOKEN:
            return attestation.passes(query.get("pot", ""))
        if entry.media is Media.FORBIDDEN_FIRST:
            return query.get("attempt", "").endswith(("0", "2", "4", "6", "8"))
        if entry.media is Media.CHALLENGED:
            return self._examiner.passes(query.get("ei", ""), query.get("n", ""), query.get("sig", ""))
        return entry.media is not Media.FORBIDDEN


def _asked_for(video_id: str) -> tuple[Reserved, Video]:
    """Raises the 404 of what is no id, and whatever status all of a reserved id's pages answer."""
    if not VIDEO_ID.fullmatch(video_id):
        raise web.HTTPNotFound
    entry = reserved(video_id)
    if entry.http_status == web.HTTPTooManyRequests.status_code:
        raise web.HTTPTooManyRequests
    return entry, video(ANOTHER if entry.api is Api.ANOTHER else video_id)


def _fragmented(request: web.Request, *deliveries: Delivery) -> tuple[Video, Stream]:
    """The video and its stream that an address names. Raises the 404 of what is none."""
    _, shown = _asked_for(request.match_info["id"])
    stream = shown.stream(request.match_info["itag"])
    if stream is None or stream.offer.delivery not in deliveries:
        raise web.HTTPNotFound
    return shown, stream


async def _read(path: Path) -> str:
    return await asyncio.to_thread(path.read_text)


async def _video_posted(request: web.Request) -> tuple[str, str]:
    """The id that is asked for, and the name of the player that asks."""
    body = await posted(request)
    try:
        return str(body["videoId"]), str(body.get("context", {}).get("client", {}).get("clientName", ""))
    except (AttributeError, KeyError, TypeError):
        raise web.HTTPBadRequest from None
