"""How loudness is changed: one gain, from what was measured, with room for the peaks; and how the tags say so."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from mutagen.id3 import ID3

from server import errors
from server.jobs import Media, Source
from server.media import ffmpeg, id3, loudness
from server.media.loudness import GATE, Change, Measured, change

MEDIA = Media("A title", "An artist", 100.0, "2026-01-31", Source("opus", 130))
CEILING = loudness.HIGHEST_PEAK - loudness.PEAK_MARGIN
SUMMARY = """\
[Parsed_ebur128_0 @ 0x5581] Summary:

  Integrated loudness:
    I:         -15.8 LUFS
    Threshold: -26.1 LUFS

  Loudness range:
    LRA:         3.2 LU

  True peak:
    Peak:       -0.7 dBFS
"""


@pytest.mark.parametrize(
    ("before", "target", "gain"),
    [
        (Measured(-9.6, 0.3), -14.0, -4.4),
        (Measured(-23.0, -12.0), -16.0, 7.0),
        (Measured(-23.0, -4.0), -14.0, CEILING + 4.0),
        (Measured(-9.0, 1.2), -5.0, CEILING - 1.2),
        (Measured(-math.inf, -math.inf), -14.0, 0.0),
        (Measured(GATE, -60.0), -14.0, 0.0),
    ],
)
def test_the_gain_reaches_the_target_or_the_highest_peak(before: Measured, target: float, gain: float) -> None:
    assert change(before, target).gain == pytest.approx(gain)


def test_the_tags_say_what_was_done_and_what_it_is_now() -> None:
    tags = dict(Change(Measured(-9.6, 0.4), -4.4).tags)
    assert tags == {
        "REPLAYGAIN_TRACK_GAIN": "-4.00 dB",
        "REPLAYGAIN_TRACK_PEAK": "0.630957",
        "REPLAYGAIN_REFERENCE_LOUDNESS": "-18.00 LUFS",
        "LOUDNESS": "-14.0 LUFS; changed by -4.4 dB from -9.6 LUFS",
    }
    assert Change(Measured(-math.inf, -math.inf), 0.0).tags == []


def test_they_are_texts_that_players_find_by_name(tmp_path: Path) -> None:
    path = tmp_path / "tag"
    tags = Change(Measured(-9.6, 0.4), -4.4).tags
    path.write_bytes(id3.tag(MEDIA, url="https://www.youtube.com/watch?v=some-video-", more=tags) + b"\xff\xfb")
    read = ID3(path, translate=False)
    assert {frame.desc: frame.text[0] for frame in read.getall("TXXX")} == dict(tags)


def test_a_measurement_is_read_from_the_last_summary() -> None:
    assert loudness._read("    I: -70.0 LUFS\n    Peak: -inf dBFS\n" + SUMMARY) == Measured(-15.8, -0.7)
    assert loudness._read(SUMMARY.replace("-0.7", "-inf")).peak == -math.inf
    assert loudness._read(SUMMARY.replace("-15.8", "nan")).integrated == -math.inf
    with pytest.raises(errors.EncodeFailed):
        loudness._read("Conversion failed!")


def test_what_is_measured_is_what_would_be_encoded() -> None:
    trim, mixing = "atrim=start=1.000,", "pan=mono|c0=c0,"
    measuring = ffmpeg.measure_command("f", bitrate_kbps=192, seconds=7.5, sample_rate=44_100, trim=trim, mixing=mixing)
    encoding = ffmpeg.encode_command(
        "f", 9, bitrate_kbps=192, size_limit=7, sample_rate=44_100, trim=trim, mixing=mixing, report_source=True
    )
    assert encoding[: encoding.index("-id3v2_version")] == measuring[: measuring.index("-t")]
    louder = ffmpeg.encode_command("f", 9, bitrate_kbps=192, size_limit=7, gain=-4.4)
    assert louder[louder.index("-af") + 1].endswith("channel_layouts=stereo,volume=-4.40dB")
