"""What the offline YouTube says of a list, in the shape yt-dlp's own extractor reads. Pure functions.

A page names the place from which the next one goes on, as its continuation.
"""

from __future__ import annotations

from typing import Any

from .catalogue import reserved
from .playlists import VideoList, channel_id
from .videos import video

JSON = dict[str, Any]

#: Videos on one page, and of a mix beside its video; of these, so many were on the page before.
PAGE, MIX_PAGE, MIX_OVERLAP = 100, 50, 25
#: Titles of videos that YouTube does not tell.
_UNTOLD = {"VIDEO_PRIVATE": "[Private video]", "VIDEO_UNAVAILABLE": "[Deleted video]"}


def first_page(found: VideoList, *, with_unavailable: bool) -> JSON:
    """`ytInitialData` of a playlist's page, or the answer of the browse API."""
    items = _items(found, 0, with_unavailable=with_unavailable)
    videos = {"playlistVideoListRenderer": {"playlistId": found.list_id, "contents": items}}
    section = {"itemSectionRenderer": {"contents": [videos]}}
    tab = {"tabRenderer": {"selected": True, "content": {"sectionListRenderer": {"contents": [section]}}}}
    header = {
        "playlistId": found.list_id,
        "title": _text(found.title),
        "stats": [_runs(f"{found.count:,}", " videos")],
        "ownerText": _runs(found.channel),
    }
    return {
        "contents": {"twoColumnBrowseResultsRenderer": {"tabs": [tab]}},
        "header": {"playlistHeaderRenderer": header},
        "metadata": {"playlistMetadataRenderer": {"title": found.title}},
    }


def next_page(found: VideoList, start: int) -> JSON:
    items = _items(found, start, with_unavailable=True)
    return {"onResponseReceivedActions": [{"appendContinuationItemsAction": {"continuationItems": items}}]}


def alert(words: str) -> JSON:
    """The page of a list that is not shown."""
    return {"alerts": [{"alertRenderer": {"type": "ERROR", "text": _runs(words)}}]}


def channel_page(name: str, path: str) -> JSON:
    """A channel's page of videos, whose list is empty here: yt-dlp's answer names the channel."""
    tab = {
        "selected": True,
        "title": "Videos",
        "endpoint": {"commandMetadata": {"webCommandMetadata": {"url": path}}},
        "content": {"richGridRenderer": {"contents": []}},
    }
    return {
        "contents": {"twoColumnBrowseResultsRenderer": {"tabs": [{"tabRenderer": tab}]}},
        "metadata": {"channelMetadataRenderer": {"title": name, "externalId": channel_id(name)}},
    }


def album_page(list_id: str) -> JSON:
    """The music site's page of an album, which names its list."""
    url = f"https://music.youtube.com/playlist?list={list_id}"
    return {"contents": {"sections": 1}, "microformat": {"microformatDataRenderer": {"urlCanonical": url}}}


def mix(found: VideoList, start: int) -> JSON:
    """Videos of a mix from that place on, as a video's `ytInitialData` and the answer of the next API show them."""
    contents = []
    for place, video_id in enumerate(found.part(start, MIX_PAGE), start):
        endpoint = {"watchEndpoint": {"videoId": video_id, "index": place, "playlistId": found.list_id}}
        contents.append({"playlistPanelVideoRenderer": {**_video(video_id), "navigationEndpoint": endpoint}})
    playlist = {"title": found.title, "playlistId": found.list_id, "contents": contents}
    return {"contents": {"twoColumnWatchNextResults": {"playlist": {"playlist": playlist}}}}


def _items(found: VideoList, start: int, *, with_unavailable: bool) -> list[JSON]:
    items: list[JSON] = [
        {"playlistVideoRenderer": _video(video_id)}
        for video_id in found.part(start, PAGE)
        if with_unavailable or reserved(video_id).outcome not in _UNTOLD
    ]
    if start + PAGE < found.count:
        command = {"continuationCommand": {"token": f"{found.list_id} {start + PAGE}"}}
        items.append({"continuationItemRenderer": {"continuationEndpoint": command}})
    return items


def _video(video_id: str) -> JSON:
    entry, shown = reserved(video_id), video(video_id)
    if title := _UNTOLD.get(entry.outcome):
        return {"videoId": video_id, "title": _text(title)}
    renderer: JSON = {
        "videoId": video_id,
        "title": _runs(shown.title),
        "shortBylineText": _runs(shown.channel),
        "lengthSeconds": str(shown.seconds),
        "isPlayable": True,
    }
    if entry.refusal is not None and entry.refusal.upcoming:
        del renderer["lengthSeconds"]
        renderer["upcomingEventData"] = {"startTime": "4102444800"}
    return renderer


def _text(value: str) -> JSON:
    return {"simpleText": value}


def _runs(*values: str) -> JSON:
    return {"runs": [{"text": value} for value in values]}
