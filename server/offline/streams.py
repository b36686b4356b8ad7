"""The formats of a video as its player response and its manifests list them. Pure functions."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote, urlencode

from .behaviours import ENORMOUS_BYTES, Formats, Media, Reserved
from .challenge import Challenge
from .offers import Delivery, Layout, Offer, Says
from .videos import Video

MEDIA_HOST = "rr1---sn-offline.googlevideo.com"
UNREACHABLE_HOST = "unreachable.googlevideo.com"
MANIFEST_HOST = "manifest.googlevideo.com"
JSON = dict[str, Any]

CODECS = {"opus": "opus", "aac": "mp4a.40.2", "eac3": "ec-3"}
SPATIAL = {Layout.AMBISONIC: "SPATIAL_AUDIO_TYPE_AMBISONICS_QUAD"}
EXTINF = re.compile(r"#EXTINF:([\d.]+),")


def streaming_data(video: Video, entry: Reserved, attempt: int, challenge: Challenge) -> JSON:
    """``streamingData`` of a playable video. ``attempt`` counts as for ``answers.player_response``."""
    if entry.formats is Formats.LIVE:
        return {"hlsManifestUrl": hls_manifest_url(video)}
    if entry.formats is Formats.VIDEO_ONLY:
        return {**_data(), "adaptiveFormats": [{**_video_only(), "url": _media_url(video, entry, {})}]}
    data = _data()
    deliveries = {stream.offer.delivery for stream in video.streams}
    if Delivery.HLS in deliveries:
        data["hlsManifestUrl"] = hls_manifest_url(video)
    if Delivery.DASH in deliveries:
        data["dashManifestUrl"] = f"https://{MANIFEST_HOST}/api/manifest/dash/id/{video.video_id}"
    for stream in video.streams:
        if stream.offer.delivery is Delivery.HTTPS:
            address = _address(video, entry, stream.offer, attempt, challenge)
            listed = data["formats" if stream.offer.height else "adaptiveFormats"]
            listed.append(_format(video, entry, stream.offer) | address)
    return data


def hls_manifest_url(video: Video) -> str:
    return f"https://{MANIFEST_HOST}/api/manifest/hls_variant/id/{video.video_id}/index.m3u8"


def live_manifest(video: Video) -> str:
    """An HLS master playlist with one variant."""
    return (
        "#EXTM3U\n"
        '#EXT-X-STREAM-INF:BANDWIDTH=300000,CODECS="mp4a.40.5,avc1.42c00b",RESOLUTION=256x144,FRAME-RATE=15\n'
        f"{_playlist_url(video, 91)}\n"
    )


def hls_manifest(video: Video) -> str:
    """An HLS master playlist of a video's HLS streams; renditions without a picture belong to a silent variant."""
    lines = ["#EXTM3U", "#EXT-X-INDEPENDENT-SEGMENTS"]
    for stream in video.streams:
        offer, url = stream.offer, _playlist_url(video, stream.offer.itag)
        if offer.delivery is not Delivery.HLS:
            continue
        sound = CODECS[offer.codec]
        if offer.height:
            size = f"{offer.height * 16 // 9}x{offer.height}"
            codecs = f',CODECS="avc1.4D401E,{sound}"' if offer.codec_named else ""
            lines += [f"#EXT-X-STREAM-INF:BANDWIDTH={offer.height * 2000}{codecs},RESOLUTION={size}", url]
        else:
            group = f'TYPE=AUDIO,GROUP-ID="{offer.itag}",NAME="Default",DEFAULT=YES,AUTOSELECT=YES'
            codecs = f'CODECS="avc1.4D401E,{sound}",AUDIO="{offer.itag}"'
            lines += [f'#EXT-X-MEDIA:URI="{url}",{group}']
            lines += [f"#EXT-X-STREAM-INF:BANDWIDTH=500000,{codecs},RESOLUTION=640x360", _playlist_url(video, 230)]
    return "\n".join(lines) + "\n"


def hls_playlist(video: Video, offer: Offer, made: str) -> str:
    """The playlist of a stream's fragments; ``made`` is that of the fragments as they lie in their folder."""
    base = _fragments_url(video, offer)
    lines = [line if line.startswith("#") or not line else f"{base}{line}/file/seg.ts" for line in made.splitlines()]
    if offer.encrypted:
        key = '#EXT-X-KEY:METHOD=SAMPLE-AES,URI="https://www.youtube.com/api/drm/fps"'
        lines.insert(next(number for number, line in enumerate(lines) if line.startswith("#EXTINF")), key)
    return "\n".join(lines) + "\n"


def dash_manifest(video: Video, offer: Offer, made: str) -> str:
    """The manifest of a stream's fragments, of which number 0 is the initialisation; ``made`` as above."""
    lengths = [round(1000 * float(length)) for length in EXTINF.findall(made)]
    timeline = "".join(f'<S d="{length}"/>' for length in lengths)
    addresses = "".join(f'<SegmentURL media="{number}"/>' for number in range(1, len(lengths) + 1))
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"'
        f' mediaPresentationDuration="PT{sum(lengths) / 1000:.3f}S">'
        '<Period><AdaptationSet mimeType="audio/mp4">'
        f'<Representation id="{offer.itag}" codecs="{CODECS[offer.codec]}" audioSamplingRate="{offer.sample_rate}"'
        f' bandwidth="{offer.kbps * 1000}"><BaseURL>{_fragments_url(video, offer)}</BaseURL>'
        f'<SegmentList timescale="1000"><Initialization sourceURL="0"/>'
        f"<SegmentTimeline>{timeline}</SegmentTimeline>{addresses}</SegmentList>"
        "</Representation></AdaptationSet></Period></MPD>"
    )


def _playlist_url(video: Video, itag: int) -> str:
    return f"https://{MANIFEST_HOST}/api/manifest/hls_playlist/id/{video.video_id}/itag/{itag}/index.m3u8"


def _fragments_url(video: Video, offer: Offer) -> str:
    return f"https://{MEDIA_HOST}/videoplayback/id/{video.video_id}/itag/{offer.itag}/sq/"


def _data() -> JSON:
    return {"expiresInSeconds": "21540", "formats": [], "adaptiveFormats": []}


def _media_url(video: Video, entry: Reserved, query: dict[str, str]) -> str:
    host = UNREACHABLE_HOST if entry.media is Media.UNREACHABLE else MEDIA_HOST
    return f"https://{host}/videoplayback?{urlencode({'id': video.video_id, **query}, quote_via=quote)}"


def _address(video: Video, entry: Reserved, offer: Offer, attempt: int, challenge: Challenge) -> JSON:
    query = {"itag": str(offer.itag), "attempt": str(attempt)}
    if entry.media is Media.CHALLENGED:
        url = _media_url(video, entry, query | {"n": challenge.n, "ei": challenge.nonce})
        return {"signatureCipher": urlencode({"s": challenge.scrambled, "sp": "sig", "url": url})}
    return {"url": _media_url(video, entry, query)}


def _format(video: Video, entry: Reserved, offer: Offer) -> JSON:
    kind = "video/mp4" if offer.height else "audio/webm" if offer.codec == "opus" else "audio/mp4"
    codecs = ", ".join([*(["avc1.42001E"] if offer.height else []), CODECS[offer.codec]])
    described: JSON = {
        "itag": offer.itag,
        "mimeType": f'{kind}; codecs="{codecs}"' if offer.codec_named else kind,
        "bitrate": offer.kbps * 1000,
        "averageBitrate": offer.kbps * 1000,
        "audioQuality": "AUDIO_QUALITY_MEDIUM",
        "audioSampleRate": str(offer.sample_rate),
        "audioChannels": offer.channels,
    }
    if entry.says is not Says.NOTHING:
        length = 0 if entry.says is Says.ZERO else entry.format_ms or video.seconds * 1000
        described["approxDurationMs"] = str(length)
    if entry.media is Media.ENORMOUS:
        described["contentLength"] = str(ENORMOUS_BYTES)
    if entry.size:
        described["contentLength"] = str(entry.size)
    if offer.height:
        described |= {"width": offer.height * 16 // 9, "height": offer.height, "quality": "medium"}
    if offer.compressed:
        described["isDrc"] = True
    if offer.track:
        track = {"displayName": offer.track, "id": f"{offer.language}.4", "audioIsDefault": offer.is_default}
        described["audioTrack"] = track
    if offer.layout in SPATIAL:
        described["spatialAudioType"] = SPATIAL[offer.layout]
    return described


def _video_only() -> JSON:
    return {
        "itag": 247,
        "mimeType": 'video/webm; codecs="vp9"',
        "bitrate": 1_000_000,
        "width": 1280,
        "height": 720,
        "fps": 25,
        "quality": "hd720",
        "qualityLabel": "720p",
    }
