"""A yt-dlp for one video: it refuses any other video and chooses the format. The server never imports this."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from yt_dlp.downloader.hls import HlsFD
from yt_dlp.networking import Request
from yt_dlp.networking.exceptions import RequestError, TransportError

from . import formats
from .download import Outlet, Refused
from .guarded_ytdlp import GuardedYtdlp
from .source_hosts import Hosts

#: Bytes by which a source may differ from the size it announced: YouTube now and then changes the end of a file.
SIZE_SLACK = 100

#: An HLS playlist is no larger than this, in bytes: some 20 hours in segments of five seconds.
PLAYLIST_BYTES = 8 << 20
#: The highest bitrate that a source may have beyond what it says, in kbit/s: sound alone, and sound with a picture.
_MOST_KBPS, _MOST_MUXED_KBPS = 2_000, 60_000


class Session(GuardedYtdlp):
    """`outlet` is where the download goes (see `download.install`)."""

    def __init__(
        self, options: dict[str, Any], video_id: str, outlet: Outlet, hosts: Hosts, renewed: Path | None
    ) -> None:
        self.outlet = outlet
        self._video_id = video_id
        super().__init__({**options, "format": self._choose}, hosts, renewed)

    def note_request(self) -> None:
        self.outlet.note_request()

    def process_ie_result(self, ie_result: dict[str, Any], *args: Any, **named: Any) -> Any:
        """Refuse any other video: YouTube offers a trailer instead of a paid film."""
        found = ie_result.get("id")
        if ie_result.get("_type", "video") != "video":
            raise Refused("PAYMENT_REQUIRED", f"YouTube names {found} in place of {self._video_id}: a trailer")
        if found != self._video_id:
            raise Refused("SOURCE_WITHHELD", f"asked for {self._video_id}, got {found}")
        formats.remember_lengths(ie_result.get("formats") or [])
        return super().process_ie_result(ie_result, *args, **named)

    def _choose(self, context: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """The best format that can be fetched. A dub never replaces an unavailable original. None if all are silent."""
        unreachable: RequestError | None = None
        listed = formats.ranked(context["formats"])
        for one in listed:
            if one.get("language") and formats.language(one) < formats.language(listed[0]):
                continue
            try:
                chosen = self._prepared(dict(one))
            except RequestError as error:
                unreachable = unreachable or error
                continue
            if chosen:
                yield chosen
                return
        if unreachable:
            raise unreachable
        if listed:
            raise Refused("DRM_PROTECTED", "every format is encrypted in a way that only another program could undo")

    def _prepared(self, one: dict[str, Any]) -> dict[str, Any] | None:
        """An HLS format with its playlist, which yt-dlp then does not fetch again; None when it is locked."""
        if one["protocol"] != "m3u8_native":
            return one
        url, playlist = self._playlist(one)
        if not HlsFD.can_download(playlist, one):
            return None
        return {
            **one,
            "url": url,
            "hls_media_playlist_data": playlist,
            formats.LENGTH: formats.playlist_length(playlist),
        }

    def _playlist(self, one: dict[str, Any]) -> tuple[str, str]:
        """Its address after redirections, and the playlist. A lost connection is tried once more."""
        request = Request(one["url"], headers=one.get("http_headers") or {})
        try:
            response = self.urlopen(request)
        except TransportError:
            response = self.urlopen(request)
        with response:
            return response.url, response.read(PLAYLIST_BYTES).decode("utf-8", "replace")


def is_delivered(outlet: Outlet, info: dict[str, Any]) -> bool | None:
    """Whether all came that was announced; None when nothing was. Raises Refused when what came is not one file.

    YouTube's figure is not always exact, so a caller with a better measure may ignore this.
    """
    outlet.end()
    if "fragments" in info or info.get("protocol") == "m3u8_native":  # each was checked by itself
        return True
    size = info.get("filesize") or outlet.total
    return outlet.sent >= size - SIZE_SLACK if size else None


def bound(outlet: Outlet, info: dict[str, Any], most: float) -> None:
    """Limit `outlet` to `most` bytes and to the announced size of the chosen format."""
    outlet.most = (most, "TOO_LARGE")
    if size := info.get("filesize"):
        outlet.size_limit = (size * 1.05 + (64 << 10), "OVERSIZED")
        likely = size * 4  # a server that does not resume sends some of it again
    elif seconds := info.get(formats.LENGTH) or info.get("duration"):
        kbps = (info.get("tbr") or 0) * 2
        likely = seconds * 125 * max(kbps, _MOST_MUXED_KBPS if formats.has_picture(info) else _MOST_KBPS)
    else:
        return
    outlet.most = min(outlet.most, (likely + (4 << 20), "OVERSIZED"))
