"""How two channels are made of one, six or ambisonic ones: measured in what the real ffmpeg makes."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from support.listening import FFMPEG, levels

from server.media import ffmpeg

#: Near full scale, the same in every channel, so that a sum is as loud as it gets.
LOUD = "0.6*sin(2*PI*97*t)+0.3*sin(2*PI*431*t)+0.09*sin(2*PI*3011*t)"


def source(folder: Path, layout: str, channels: int, *codec: str, rate: int = 48_000) -> Path:
    path = folder / "source.mkv"
    sound = f"aevalsrc={'|'.join([LOUD] * channels)}:c={layout}:s={rate}:d=2"
    if layout == "ambisonic 1":
        silent = "".join(f"|c{number}=0*c0" for number in range(1, channels))
        sound = f"aevalsrc={LOUD}:c=mono:s={rate}:d=2,pan={layout}|c0=c0{silent}"
    subprocess.run([FFMPEG, "-v", "error", "-y", "-f", "lavfi", "-i", sound, *codec, path], check=True, timeout=60)
    return path


def converted(folder: Path, made_from: Path, mixing: str) -> Path:
    path = folder / "made.mp3"
    with made_from.open("rb") as audio, path.open("wb") as target:
        command = ffmpeg.encode_command(FFMPEG, target.fileno(), bitrate_kbps=320, size_limit=1 << 20, mixing=mixing)
        subprocess.run(
            command, stdin=audio, stdout=subprocess.DEVNULL, pass_fds=[target.fileno()], check=True, timeout=60
        )
    return path


@pytest.mark.parametrize(
    ("layout", "channels", "codec"),
    [
        ("5.1", 6, ("-c:a", "eac3", "-b:a", "384k")),
        ("5.1", 6, ("-c:a", "aac", "-b:a", "384k")),
        ("7.1", 8, ("-c:a", "libopus", "-b:a", "512k")),
        ("quad", 4, ("-c:a", "flac")),
    ],
    ids=lambda value: value[1] if isinstance(value, tuple) else None,
)
@pytest.mark.parametrize("known", [True, False])
def test_surround_is_mixed_down_within_full_scale(
    tmp_path: Path, layout: str, channels: int, codec: tuple[str, ...], known: bool
) -> None:
    mixing = ffmpeg.mixing(channels if known else None)
    left, right = levels(converted(tmp_path, source(tmp_path, layout, channels, *codec), mixing))
    assert -3 < left[0] <= 0.1 and -3 < right[0] <= 0.1


def test_left_to_itself_ffmpeg_exceeds_full_scale(tmp_path: Path) -> None:
    """Else the tests above prove nothing."""
    made = converted(tmp_path, source(tmp_path, "5.1", 6, "-c:a", "eac3"), "")
    assert levels(made)[0][0] > 5


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("rate", [22_050, 44_100, 48_000])
def test_one_channel_is_as_loud_on_both_sides_as_it_was(tmp_path: Path, known: bool, rate: int) -> None:
    made_from = source(tmp_path, "mono", 1, "-c:a", "flac", rate=rate)
    before = levels(made_from)[0]
    left, right = levels(converted(tmp_path, made_from, ffmpeg.mixing(1 if known else None)))
    assert left == right and abs(left[1] - before[1]) < 0.6


def test_two_channels_are_left_as_they_are_whether_known_or_not(tmp_path: Path) -> None:
    made_from = source(tmp_path, "stereo", 2, "-c:a", "libopus")
    known = converted(tmp_path, made_from, ffmpeg.mixing(2)).read_bytes()
    assert known == converted(tmp_path, made_from, ffmpeg.mixing(None)).read_bytes()


def test_of_ambisonic_channels_the_first_is_heard(tmp_path: Path) -> None:
    codec = ("-c:a", "libopus", "-mapping_family", "2", "-b:a", "256k")
    made_from = source(tmp_path, "ambisonic 1", 4, *codec)
    left, right = levels(converted(tmp_path, made_from, ffmpeg.mixing(4, ambisonic=True)))
    assert left == right and -7 < left[1] < -5 and left[0] <= 0.1
    with pytest.raises(subprocess.CalledProcessError):  # never silence that looks like success
        converted(tmp_path, made_from, ffmpeg.mixing(None))


@pytest.mark.parametrize(
    ("channels", "filters"),
    [
        (4, "pan=stereo|c0<c0|c1<c0,"),
        (9, "pan=stereo|c0<c0|c1<c0,"),
        (6, "pan=stereo|c0<c0+c4|c1<c0+c5,"),
        (11, "pan=stereo|c0<c0+c9|c1<c0+c10,"),
    ],
)
def test_beside_ambisonic_channels_there_may_be_two_of_stereo(channels: int, filters: str) -> None:
    assert ffmpeg.mixing(channels, ambisonic=True) == filters
