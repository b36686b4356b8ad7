"""Formats that the offline YouTube has but hands to nobody, in the shapes that the real one uses. Pure functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .behaviours import Formats, Reserved

JSON = dict[str, Any]
#: The page's own player, which alone is offered what needs a proof-of-origin token.
WEB_PLAYER = "WEB"
_SABR = "https://rr1---sn-offline.googlevideo.com/videoplayback?sabr=1"
#: Small pictures along the video, which are all that is left in such an answer.
STORYBOARDS: JSON = {
    "playerStoryboardSpecRenderer": {
        "spec": "https://i.ytimg.com/sb/offline/storyboard3_L$L/$N.jpg?sqp=offline|48#27#100#10#10#0#default#rs$offline"
    }
}


def _sabr(stream: JSON, client: str) -> JSON:
    """Server-side adaptive streaming: what there is, without a word of where."""
    described = {key: value for key, value in stream.items() if key not in ("url", "signatureCipher")}
    return {"serverAbrStreamingUrl": _SABR, "adaptiveFormats": [described]}


def _with_token(stream: JSON, client: str) -> JSON:
    return {"adaptiveFormats": [stream]} if client == WEB_PLAYER else {}


def _protected(stream: JSON, client: str) -> JSON:
    licence = {"drmFamily": "WIDEVINE", "url": "https://www.youtube.com/api/drm/widevine"}
    return {"adaptiveFormats": [{**stream, "drmFamilies": ["WIDEVINE"]}], "licenseInfos": [licence]}


_HANDED_OUT: dict[Formats, Callable[[JSON, str], JSON]] = {
    Formats.SABR: _sabr,
    Formats.WITH_TOKEN: _with_token,
    Formats.PROTECTED: _protected,
}
WITHHELD = {*_HANDED_OUT, Formats.UNSOLVABLE}


def handed_out(answer: JSON, entry: Reserved, client: str) -> JSON:
    """What of a player response the player named ``client`` gets."""
    if entry.formats not in WITHHELD:
        return answer
    data = answer["streamingData"]
    if change := _HANDED_OUT.get(entry.formats):
        data = change(data["adaptiveFormats"][0], client)
    return {**answer, "streamingData": data, "storyboards": STORYBOARDS}
