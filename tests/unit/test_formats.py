"""Which format is fetched, over lists as yt-dlp makes them of what YouTube hands out, fields missing and all."""

from __future__ import annotations

from typing import Any

import pytest

from server.media import formats

Format = dict[str, Any]

OPUS: Format = {
    **{"format_id": "251", "protocol": "https", "ext": "webm", "vcodec": "none", "acodec": "opus"},
    **{"abr": 129.0, "tbr": 129.0, "audio_channels": 2, "format_note": "medium", "language_preference": -1},
}
AAC: Format = {**OPUS, "format_id": "140", "ext": "m4a", "acodec": "mp4a.40.2", "abr": 129.5, "tbr": 129.5}
SURROUND: Format = {
    **{**OPUS, "format_id": "328", "ext": "m4a", "acodec": "ec-3", "abr": 384.0, "tbr": 384.0, "audio_channels": 6},
    "format_note": "high",
}
AMBISONIC: Format = {
    **{**OPUS, "format_id": "338", "abr": 480.0, "tbr": 480.0, "audio_channels": 4},
    "format_note": "high, ambisonics_quad",
}
MUXED: Format = {
    **{"format_id": "18", "protocol": "https", "ext": "mp4", "vcodec": "avc1.42001E", "acodec": "mp4a.40.2"},
    **{"tbr": 500.0, "height": 360, "audio_channels": 2, "language_preference": -1},
}
RENDITION: Format = {"format_id": "234", "protocol": "m3u8_native", "ext": "mp4", "vcodec": "none"}
HLS: Format = {
    **{"format_id": "93", "protocol": "m3u8_native", "ext": "mp4", "vcodec": "avc1.4d401e", "acodec": "mp4a.40.2"},
    **{"height": 360, "tbr": 900.0},
}
STORYBOARD: Format = {"format_id": "sb0", "protocol": "mhtml", "ext": "mhtml", "vcodec": "none", "acodec": "none"}
SILENT: Format = {"format_id": "247", "protocol": "https", "ext": "webm", "vcodec": "vp9", "acodec": "none"}


def chosen(*listed: Format) -> str | None:
    best = formats.ranked(listed)
    return str(best[0]["format_id"]) if best else None


def with_(one: Format, **changes: Any) -> Format:
    return {**one, **changes}


def without(one: Format, *names: str) -> Format:
    return {key: value for key, value in one.items() if key not in names}


ORIGINAL_AAC = with_(AAC, format_note="Spanish (original), medium", language="es", language_preference=10)
DUB = with_(OPUS, format_note="English (default), medium", language="en", language_preference=5)


@pytest.mark.parametrize(
    ("listed", "best"),
    [
        # The best bitrate; Opus counts for more.
        ((with_(OPUS, format_id="250", abr=64.0, tbr=64.0), OPUS), "251"),
        ((OPUS, AAC), "251"),
        ((with_(OPUS, abr=64.0, tbr=64.0), AAC), "140"),
        ((AAC, without(OPUS, "abr")), "251"),
        ((AAC, without(OPUS, "abr", "tbr")), "140"),
        # Two channels before more, and before one.
        ((SURROUND, OPUS), "251"),
        ((AMBISONIC, OPUS), "251"),
        ((AMBISONIC, SURROUND), "328"),
        ((with_(AAC, audio_channels=1), OPUS), "251"),
        ((with_(OPUS, audio_channels=1, abr=32.0), SURROUND), "251"),
        ((without(SURROUND, "audio_channels"), AAC), "140"),
        ((SURROUND, MUXED), "18"),
        ((SURROUND,), "328"),
        ((AMBISONIC,), "338"),
        # The original language before all of that.
        ((DUB, ORIGINAL_AAC), "140"),
        ((DUB, with_(SURROUND, language_preference=10)), "328"),
        ((DUB, with_(MUXED, language_preference=10)), "18"),
        ((DUB, with_(HLS, language_preference=10, has_drm="maybe")), "93"),
        ((with_(OPUS, format_note="English descriptive", language_preference=-10), AAC), "140"),
        # Where only the name or the address says which is the original.
        ((RENDITION, with_(RENDITION, format_id="233-1", format_note="Spanish (original)")), "233-1"),
        ((with_(OPUS, url="https://a/?xtags=acont%3Ddubbed-auto%3Alang%3Den"), AAC), "140"),
        ((with_(RENDITION, url="https://a/xtags/acont%3Doriginal:lang%3Des/x"), with_(OPUS)), "234"),
        # Never what has its dynamic range compressed.
        ((with_(OPUS, format_id="251-drc", format_note="medium, DRC"), AAC), "140"),
        ((with_(OPUS, url="https://a/?xtags=drc%3D1"), with_(AAC, abr=48.0)), "140"),
        ((with_(OPUS, format_id="251-drc"),), None),
        # HLS names no codec; it is taken, after what is known to be better.
        ((RENDITION,), "234"),
        ((with_(RENDITION, format_id="233"), RENDITION), "234"),
        ((STORYBOARD, SILENT, RENDITION), "234"),
        ((RENDITION, AAC), "140"),
        ((HLS, RENDITION), "234"),
        # A picture is fetched only where it must be, and then the smallest.
        ((MUXED, OPUS), "251"),
        ((HLS, with_(HLS, format_id="96", height=1080, tbr=4000.0), with_(HLS, format_id="91", height=144)), "91"),
        ((with_(HLS, format_id="95", height=None), HLS), "93"),
        ((HLS, MUXED), "18"),
        # DASH is as good as https, but for being in pieces.
        ((with_(OPUS, format_id="251-dash", protocol="http_dash_segments"), OPUS), "251"),
        ((with_(OPUS, format_id="251-dash", protocol="http_dash_segments"), AAC), "251-dash"),
        # What is damaged or locked comes last, or not at all.
        ((with_(OPUS, format_note="medium, DAMAGED", preference=-10), with_(AAC, abr=48.0)), "140"),
        ((with_(OPUS, format_note="medium, DAMAGED"),), "251"),
        ((with_(OPUS, format_note="medium, MISSING POT"), HLS), "93"),
        ((with_(RENDITION, has_drm="maybe"), HLS), "93"),
        ((with_(OPUS, has_drm=True),), None),
        # What yt-dlp would hand to another program.
        ((with_(OPUS, protocol="m3u8"), AAC), "140"),
        ((with_(OPUS, protocol="rtmp"), without(OPUS, "protocol")), None),
        # Nothing with sound.
        ((SILENT, STORYBOARD), None),
        ((), None),
    ],
)
def test_the_best_format(listed: tuple[Format, ...], best: str | None) -> None:
    assert chosen(*listed) == best


def test_the_order_in_which_they_are_listed_decides_between_equals_alone() -> None:
    listed = [OPUS, AAC, SURROUND, AMBISONIC, MUXED, RENDITION, HLS, STORYBOARD, SILENT, DUB, ORIGINAL_AAC]
    assert chosen(*listed) == chosen(*reversed(listed)) == "140"
    assert [one["format_id"] for one in formats.ranked([with_(OPUS, format_id="a"), with_(OPUS, format_id="b")])] == [
        "b",
        "a",
    ]


def test_a_format_of_which_hardly_anything_is_known_is_no_error() -> None:
    bare = {"protocol": "https"}
    assert formats.ranked([bare, {**bare, **dict.fromkeys(OPUS), "protocol": "https"}])


@pytest.mark.parametrize(
    ("one", "seconds"),
    [
        ({"url": "https://a/videoplayback?clen=1&dur=212.091&x=1"}, 212.091),
        ({"url": "https://a/videoplayback?x=1&dur=55.001"}, 55.001),
        ({"url": "https://a/m.mpd", "fragment_base_url": "https://a/id/x/dur/61.5/"}, 61.5),
        ({"url": "https://a/?dur=0.000"}, None),
        ({"url": "https://a/?endur=3.000"}, None),
        ({"url": "https://a/", "tbr": 129.0, "filesize_approx": int(55.001 * 129.0 * 125)}, 55.001),
        ({"url": "https://a/", "tbr": None, "filesize_approx": 1000}, None),
        ({"url": "https://a/", "fragments": [{"url": "init"}, {"duration": 5.0}, {"duration": 2.5}]}, 7.5),
        ({"url": "https://a/", "fragments": [{"url": "a"}, {"url": "b"}]}, None),
        ({}, None),
    ],
)
def test_a_formats_own_length(one: Format, seconds: float | None) -> None:
    formats.remember_lengths([one])
    assert one.get(formats.LENGTH) == pytest.approx(seconds, abs=0.001)


@pytest.mark.parametrize(
    ("playlist", "seconds"),
    [
        ("#EXTM3U\n#EXTINF:5.005,\na\n#EXTINF:2.995,title\nb\n#EXT-X-ENDLIST\n", 8.0),
        ("#EXTM3U\n#EXTINF:5.0,\na\n", None),  # it may go on
        ("#EXTM3U\n#EXTINF:5,\na\n#EXTINF:5,\nb\n#EXT-X-ENDLIST\n", None),  # rounded
        ("", None),
    ],
)
def test_the_length_of_a_playlist(playlist: str, seconds: float | None) -> None:
    assert formats.playlist_length(playlist) == pytest.approx(seconds)


def opus_head(channels: int, family: int) -> bytes:
    return b"\x1aE\xdf\xa3..." + b"OpusHead\x01" + bytes([channels]) + bytes(8) + bytes([family]) + b"..."


@pytest.mark.parametrize(
    ("head", "found"),
    [
        (opus_head(4, 2), (4, True)),
        (opus_head(6, 2), (6, True)),
        (opus_head(6, 1), (6, False)),
        (opus_head(2, 0), (2, False)),
        (b"ftypdash", (0, False)),
        (b"OpusHead\x01", (0, False)),
    ],
)
def test_opus_says_itself_what_its_channels_are(head: bytes, found: tuple[int, bool]) -> None:
    assert formats.opus_channels(head) == found


def test_first_bytes_are_looked_at_only_where_there_may_be_ambisonics() -> None:
    looked_at = [AMBISONIC, with_(OPUS, audio_channels=6), without(OPUS, "audio_channels")]
    assert all(map(formats.may_be_ambisonic, looked_at))
    assert not any(map(formats.may_be_ambisonic, [OPUS, AAC, SURROUND, MUXED, RENDITION, HLS]))
