"""What a run of yt-dlp answers for: the asked video, and of its formats the best that can be had."""

from __future__ import annotations

import io
from typing import Any

import pytest
from yt_dlp.networking.exceptions import TransportError

from server.media.download import Outlet, Refused
from server.media.session import Session
from server.media.source_hosts import Hosts

Format = dict[str, Any]

SPANISH: Format = {
    **{"format_id": "234", "protocol": "m3u8_native", "vcodec": "none", "url": "https://a/es"},
    **{"language": "es", "language_preference": 10},
}
ENGLISH: Format = {
    **{"format_id": "251", "protocol": "https", "vcodec": "none", "acodec": "opus", "abr": 160.0},
    **{"url": "https://a/en", "language": "en", "language_preference": 5},
}
UNNAMED: Format = {
    "format_id": "18",
    "protocol": "https",
    "vcodec": "avc1",
    "acodec": "mp4a.40.2",
    "url": "https://a/18",
}


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> Session:
    """One for which playlists are gone (404 says 'gone' in the address) or encrypted ('locked')."""
    made = Session({"ffmpeg_location": "/nowhere", "quiet": True}, "asked-video", Outlet(io.BytesIO()), Hosts(), None)

    def playlist(one: Format) -> tuple[str, str]:
        if "gone" in one["url"]:
            raise TransportError("gone")
        method = "SAMPLE-AES" if "locked" in one["url"] else "NONE"
        return one["url"], f"#EXTM3U\n#EXT-X-KEY:METHOD={method}\n#EXTINF:2.5,\na\n#EXT-X-ENDLIST\n"

    monkeypatch.setattr(made, "_playlist", playlist)
    return made


def chosen(session: Session, *listed: Format) -> Format | None:
    return next(session._choose({"formats": listed}), None)


def with_(one: Format, **changes: Any) -> Format:
    return {**one, **changes}


def test_a_playlist_comes_with_its_format_and_says_its_length(session: Session) -> None:
    found = chosen(session, ENGLISH, SPANISH)
    assert found and found["format_id"] == "234" and found["own_length"] == 2.5
    assert found["hls_media_playlist_data"].startswith("#EXTM3U")


def test_what_cannot_be_had_is_passed_over_for_the_same_track_only(session: Session) -> None:
    gone, locked = with_(SPANISH, url="https://gone/"), with_(SPANISH, url="https://locked/")
    muxed = with_(SPANISH, format_id="93", vcodec="avc1", height=360)
    for lost in (gone, locked):
        found = chosen(session, ENGLISH, lost, muxed)
        assert found and found["format_id"] == "93"
        found = chosen(session, ENGLISH, lost, UNNAMED)
        assert found and found["format_id"] == "18"
    with pytest.raises(TransportError):
        chosen(session, ENGLISH, gone)
    with pytest.raises(Refused) as refused:
        chosen(session, ENGLISH, locked)
    assert refused.value.code == "DRM_PROTECTED"


def test_where_nothing_has_sound_nothing_is_chosen(session: Session) -> None:
    assert chosen(session, with_(ENGLISH, acodec="none")) is None


@pytest.mark.parametrize(
    ("found", "code"),
    [
        ({"_type": "url", "id": "the-trailer", "url": "the-trailer"}, "PAYMENT_REQUIRED"),
        ({"_type": "video", "id": "other-video", "formats": []}, "SOURCE_WITHHELD"),
        ({"id": "other-video"}, "SOURCE_WITHHELD"),
    ],
)
def test_only_the_asked_video_is_answered_for(session: Session, found: dict[str, Any], code: str) -> None:
    with pytest.raises(Refused) as refused:
        session.process_ie_result(found)
    assert refused.value.code == code


def test_it_can_start_no_ffmpeg(session: Session) -> None:
    from yt_dlp.downloader.external import FFmpegFD

    assert not FFmpegFD.available()
