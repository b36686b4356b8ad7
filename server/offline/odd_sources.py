"""The reserved ids whose media comes broken, doubled or without end, or in formats that need care."""

from __future__ import annotations

from .behaviours import Media, Refusal, Reserved
from .offers import Delivery, Layout, Offer, Says

OPUS = Offer(251, codec="opus", kbps=96)
AAC = Offer(140, sample_rate=44_100)
SURROUND = Offer(328, codec="eac3", channels=6, kbps=384, layout=Layout.SURROUND)
AMBISONIC = Offer(338, codec="opus", channels=4, kbps=256, layout=Layout.AMBISONIC)
RENDITION = Offer(234, Delivery.HLS, sample_rate=44_100, codec_named=False)
MUXED_HLS = tuple(
    Offer(itag, Delivery.HLS, sample_rate=44_100, height=height) for itag, height in ((96, 1080), (93, 360), (91, 144))
)
DASH = Offer(140, Delivery.DASH, sample_rate=44_100)
PROGRESSIVE = Offer(18, sample_rate=44_100, height=360)

#: Bytes to which a few seconds of sound are filled up, so that they come in two pieces.
TWO_PIECES = 12_000_000

ODD_SOURCES = (
    # Not whole.
    Reserved(
        "x-hole-webm", "TRUNCATED", "A fifth of the WebM is zeros.", media=Media.HOLED, seconds=10, offers=(OPUS,)
    ),
    Reserved("x-hole-m4a-", "TRUNCATED", "A fifth of the M4A is zeros.", media=Media.HOLED, seconds=10, offers=(AAC,)),
    Reserved("x-empty----", "TRUNCATED", "The media is answered 200 without a byte.", media=Media.EMPTY),
    Reserved(
        "x-hls-first",
        "TRUNCATED",
        "HLS whose first fragment is missing (404).",
        media=Media.FIRST_MISSING,
        seconds=8,
        offers=(RENDITION,),
    ),
    Reserved(
        "x-hls-hole-",
        "TRUNCATED",
        "HLS with a fragment missing in the middle (404).",
        media=Media.MIDDLE_MISSING,
        seconds=8,
        offers=(RENDITION,),
    ),
    Reserved(
        "x-hls-last-",
        "TRUNCATED",
        "HLS whose last fragment is missing (404).",
        media=Media.LAST_MISSING,
        seconds=8,
        offers=(RENDITION,),
    ),
    Reserved(
        "x-dash-hole",
        "TRUNCATED",
        "DASH with a fragment missing in the middle (404).",
        media=Media.MIDDLE_MISSING,
        seconds=8,
        offers=(DASH,),
    ),
    Reserved(
        "x-dash-last",
        "TRUNCATED",
        "DASH whose last fragment is missing (404).",
        media=Media.LAST_MISSING,
        seconds=8,
        offers=(DASH,),
    ),
    Reserved(
        "x-resume-no",
        "TRUNCATED",
        "The connection drops, and the request for the rest is answered 200 with other bytes.",
        media=Media.RESUMED_OTHER,
        seconds=10,
    ),
    Reserved(
        "x-twice----", "TOO_LONG", "One answer has everything twice.", media=Media.TWICE, seconds=6, offers=(AAC,)
    ),
    Reserved(
        "x-endless--", "TOO_LONG", "Says 10 s and never stops sending.", media=Media.ENDLESS, seconds=10, offers=(AAC,)
    ),
    Reserved(
        "x-silence--",
        "TOO_LONG",
        "Says 10 s and never stops sending silence, of which hours are small.",
        media=Media.ENDLESS,
        seconds=10,
        silent=True,
        offers=(AAC,),
    ),
    Reserved(
        "x-trailer--",
        "PAYMENT_REQUIRED",
        "A film to be paid for, in whose place a trailer is named.",
        refusal=Refusal("UNPLAYABLE", "This video requires payment to watch", trailer="a-trailer--"),
    ),
    Reserved(
        "x-sampleaes",
        "DRM_PROTECTED",
        "HLS alone, encrypted with SAMPLE-AES.",
        seconds=6,
        offers=(Offer(234, Delivery.HLS, sample_rate=44_100, encrypted=True),),
    ),
    # Odd and yet whole.
    Reserved(
        "x-resume-ok",
        "completed",
        "The connection drops, and the request for the rest is answered 200 with the whole.",
        media=Media.RESUMED_WHOLE,
        seconds=10,
    ),
    Reserved(
        "x-2nd-piece",
        "completed",
        "12 MB in pieces; any but the first is answered 200 with the whole.",
        media=Media.PIECES_WHOLE,
        seconds=10,
        size=TWO_PIECES,
        offers=(AAC,),
    ),
    Reserved(
        "x-flaky----",
        "completed",
        "12 MB over a connection that drops after every one.",
        media=Media.FLAKY,
        seconds=10,
        size=TWO_PIECES,
        offers=(AAC,),
    ),
    Reserved("x-no-length", "completed", "Nobody says how long it is.", says=Says.NOTHING, seconds=8),
    Reserved("x-0-length-", "completed", "Says to be 0 s long.", says=Says.ZERO, seconds=8),
    Reserved(
        "x-says-less",
        "completed",
        "Says 6 s, has 12, and the format says so.",
        seconds=6,
        clip_seconds=12,
        format_ms=12_000,
    ),
    Reserved(
        "x-picture--",
        "completed",
        "The picture is 12 s long, the sound 8, and the format says so.",
        seconds=12,
        clip_seconds=8,
        format_ms=8_001,
    ),
    Reserved(
        "x-muxed-mp4",
        "completed",
        "Sound only beside a picture, which goes on for 4 s longer; the format says the picture's length.",
        seconds=12,
        clip_seconds=8,
        offers=(PROGRESSIVE,),
    ),
    Reserved("x-hls------", "completed", "HLS alone, whose codec nobody names.", seconds=8, offers=(RENDITION,)),
    Reserved(
        "x-hls-muxed",
        "completed",
        "HLS with sound only beside pictures of 1080, 360 and 144 lines; the smallest is fetched.",
        seconds=8,
        offers=MUXED_HLS,
    ),
    Reserved("x-dash-----", "completed", "DASH alone.", seconds=8, offers=(DASH,)),
    Reserved(
        "x-dub------",
        "completed",
        "The original in AAC, a dub in Opus; the original is fetched.",
        seconds=8,
        offers=(
            Offer(251, codec="opus", kbps=160, language="en", track="English", is_default=True),
            Offer(140, sample_rate=44_100, language="es", track="Spanish (original)"),
        ),
    ),
    Reserved(
        "x-drc------",
        "completed",
        "Opus with its dynamic range compressed, AAC as it was; the latter is fetched.",
        seconds=8,
        offers=(Offer(251, codec="opus", kbps=160, compressed=True), AAC),
    ),
    Reserved(
        "x-surround-", "completed", "5.1 beside stereo; the stereo is fetched.", seconds=8, offers=(SURROUND, OPUS)
    ),
    Reserved("x-only-5-1-", "completed", "5.1 alone, and loud; it is mixed down.", seconds=8, offers=(SURROUND,)),
    Reserved(
        "x-ambisonic",
        "completed",
        "Ambisonic beside stereo; the stereo is fetched.",
        seconds=8,
        offers=(AMBISONIC, OPUS),
    ),
    Reserved("x-only-ambi", "completed", "Ambisonic alone; it is mixed down.", seconds=8, offers=(AMBISONIC,)),
)
