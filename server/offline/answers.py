"""What the offline YouTube says of a video, in the shape yt-dlp's own extractor reads. Pure functions.

The watch page carries everything yet no formats, since yt-dlp takes those of its default clients from the player API;
with ``STS`` and ``PLAYER_JS_URL`` in the page's configuration it fetches no script unless a format needs it.
"""

from __future__ import annotations

import json
from typing import Any

from . import streams, thumbnails
from .attestation import VISITOR_DATA
from .behaviours import Formats, Refusal, Reserved
from .challenge import PLAYER_PATH, SIGNATURE_TIMESTAMP, UNREADABLE_PATH, Challenge
from .offers import Says
from .videos import Video
from .withheld import WEB_PLAYER

JSON = dict[str, Any]


def watch_page(video: Video, entry: Reserved, response: JSON) -> str:
    """The HTML of ``/watch``, with a player response in it.

    No title or channel can end a script early: the JSON is all ASCII without ``<``.
    """
    script = UNREADABLE_PATH if entry.formats is Formats.UNSOLVABLE else PLAYER_PATH
    return _page(script, f"var ytInitialPlayerResponse = {_script_json(response)};", initial_data(video, entry))


def page(data: JSON) -> str:
    """The HTML of a page without a player, such as a playlist's."""
    return _page(PLAYER_PATH, "", data)


def _page(script: str, statements: str, data: JSON) -> str:
    client = {"clientName": WEB_PLAYER, "clientVersion": "2.20260708.00.00", "visitorData": VISITOR_DATA}
    configuration = {
        "STS": SIGNATURE_TIMESTAMP,
        "PLAYER_JS_URL": script,
        "VISITOR_DATA": VISITOR_DATA,
        "INNERTUBE_CONTEXT": {"client": client},
    }
    return (
        "<!DOCTYPE html><html><head><title>Offline YouTube</title></head><body><script>"
        f"ytcfg.set({_script_json(configuration)});{statements}var ytInitialData = {_script_json(data)};"
        "</script></body></html>"
    )


def embed_page() -> str:
    """The HTML of ``/embed/ID``, from which yt-dlp takes a client's configuration when there is an age gate."""
    client = {"clientName": "WEB_EMBEDDED_PLAYER", "clientVersion": "2.20260708.00.00"}
    configuration = {
        "STS": SIGNATURE_TIMESTAMP,
        "PLAYER_JS_URL": PLAYER_PATH,
        "INNERTUBE_CONTEXT": {"client": client},
    }
    return f"<!DOCTYPE html><html><body><script>ytcfg.set({_script_json(configuration)});</script></body></html>"


def iframe_api() -> str:
    """The script of ``/iframe_api``, where yt-dlp looks for the player's edition when it got no page."""
    return f"var scriptUrl = {_script_json(PLAYER_PATH)};\n"


def initial_data(video: Video, entry: Reserved) -> JSON:
    """``ytInitialData``, from which the channel's name, the song and the chapters are taken."""
    secondary: JSON = {"owner": {"videoOwnerRenderer": {"title": {"runs": [{"text": video.channel}]}}}}
    if entry.song:
        named = {"Song": entry.song.track, "Artist": entry.song.artist, "Album": entry.song.album}
        rows = [
            {"metadataRowRenderer": {"title": _text(key), "contents": [_text(value)]}} for key, value in named.items()
        ]
        secondary["metadataRowContainer"] = {"metadataRowContainerRenderer": {"rows": rows}}
    contents = [{"videoSecondaryInfoRenderer": secondary}]
    data: JSON = {"contents": {"twoColumnWatchNextResults": {"results": {"results": {"contents": contents}}}}}
    if entry.chapters:
        chapters = [
            {"chapterRenderer": {"title": _text(title), "timeRangeStartMillis": 1000 * start}}
            for start, title in entry.chapters
        ]
        bar = {"playerBar": {"chapteredPlayerBarRenderer": {"chapters": chapters}}}
        decorated = {"decoratedPlayerBarRenderer": {"decoratedPlayerBarRenderer": bar}}
        data["playerOverlays"] = {"playerOverlayRenderer": decorated}
    return data


def _text(value: str) -> JSON:
    return {"simpleText": value}


def description(video: Video, entry: Reserved) -> JSON:
    """A player response without formats."""
    response: JSON = {
        "playabilityStatus": _playability(entry.refusal),
        "videoDetails": {
            "videoId": video.video_id,
            "title": video.title,
            "author": video.channel,
            "lengthSeconds": str(video.seconds),
            "shortDescription": entry.description or f"Made offline from the id {video.video_id}.",
            "keywords": ["offline"],
            "viewCount": "1",
            "isLiveContent": entry.formats is Formats.LIVE,
            "thumbnail": {"thumbnails": [thumbnails.address(video.video_id, entry.thumbnail)]},
        },
        "microformat": {
            "playerMicroformatRenderer": {
                "uploadDate": f"{video.uploaded.isoformat()}T12:00:00+00:00",
                "availableCountries": ["AQ"],
                "category": "Music",
                "isFamilySafe": True,
            }
        },
    }
    details = response["videoDetails"]
    if entry.says is Says.NOTHING:
        del details["lengthSeconds"]
    elif entry.says is Says.ZERO:
        details["lengthSeconds"] = "0"
    if entry.formats is Formats.LIVE:
        details["isLive"] = True
        details["lengthSeconds"] = "0"
    if entry.refusal is not None and entry.refusal.upcoming:
        details["isUpcoming"] = details["isLiveContent"] = True
        details["lengthSeconds"] = "0"
    if entry.refusal is not None and entry.refusal.status == "ERROR":
        del response["videoDetails"], response["microformat"]
    return response


def player_response(video: Video, entry: Reserved, attempt: int, challenge: Challenge) -> JSON:
    """The answer of the player API. ``attempt`` counts, from 1, those at an id whose attempts fare differently."""
    response = description(video, entry)
    if entry.refusal is not None:
        return response
    response["streamingData"] = streams.streaming_data(video, entry, attempt, challenge)
    return response


def _playability(refusal: Refusal | None) -> JSON:
    if refusal is None:
        return {"status": "OK", "playableInEmbed": True}
    status: JSON = {"status": refusal.status, "reason": refusal.reason}
    if refusal.subreason:
        message = {"reason": {"simpleText": refusal.reason}, "subreason": {"simpleText": refusal.subreason}}
        status["errorScreen"] = {"playerErrorMessageRenderer": message}
    if refusal.trailer:
        renderer = {"trailerVideoId": refusal.trailer}
        status["errorScreen"] = {"playerLegacyDesktopYpcTrailerRenderer": renderer}
    if refusal.captcha:
        status["errorScreen"] = {"playerCaptchaViewModel": {"captchaType": "CAPTCHA_TYPE_RECAPTCHA"}}
    return status


def _script_json(value: JSON | str) -> str:
    return json.dumps(value).replace("<", "\\u003c")
