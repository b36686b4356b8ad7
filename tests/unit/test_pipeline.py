"""What the growing file must be before anybody may hear it. How a conversion goes is in test_end_to_end.py."""

from __future__ import annotations

import subprocess
from pathlib import Path

import imageio_ffmpeg

from server.jobs import Media, Source
from server.media import ffmpeg, id3
from server.media.pipeline import _begin

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
MEDIA = Media("Title", "Artist", 15, "2026-01-31", Source("opus", 64))
URL = "https://www.youtube.com/watch?v=some-video-"


def test_the_tag_is_whole_before_there_is_audio_and_no_byte_of_it_ever_changes(tmp_path: Path) -> None:
    sound, cover, part = tmp_path / "sound.webm", tmp_path / "cover.jpg", tmp_path / "part"
    make = [FFMPEG, "-v", "error", "-f", "lavfi", "-i", "sine=duration=15", "-c:a", "libopus", sound]
    subprocess.run(make, check=True, timeout=60)
    cover.write_bytes(b"\xff\xd8 a picture \xff\xd9" * 10_000)
    with _begin(part, MEDIA, URL, cover) as target:
        tag = part.read_bytes()
        assert id3.tag_size(tag) == len(tag) > cover.stat().st_size
        command = ffmpeg.encode_command(
            FFMPEG, target.fileno(), bitrate_kbps=320, size_limit=1 << 30, sample_rate=48_000
        )
        with sound.open("rb") as source:
            subprocess.run(
                command, stdin=source, stdout=subprocess.DEVNULL, pass_fds=[target.fileno()], check=True, timeout=60
            )
    whole = part.read_bytes()
    assert whole.startswith(tag)
    audio = whole[len(tag) :]
    assert (
        audio.startswith(b"\xff\xfb") and b"Xing" not in audio and b"Info" not in audio and b"TAG" not in audio[-128:]
    )
    assert len(audio) == 40_000 * 15 + 960 * round((len(audio) - 600_000) / 960), "frames of 24 ms and nothing else"
