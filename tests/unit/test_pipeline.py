"""What the growing file must be before anybody may hear it. How a conversion goes is in test_end_to_end.py."""

from __future__ import annotations

import subprocess
from pathlib import Path

import imageio_ffmpeg
import pytest

from server.jobs import Media, Source
from server.media import ffmpeg, id3
from server.media.pipeline import _has_audio

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
TAG = b"ID3\x03\0\0" + bytes([0, 0, 1, 2]) + b"t" * 130


@pytest.mark.parametrize(
    ("content", "ready"),
    [
        (b"", False),
        (TAG[:5], False),
        (TAG[:6] + b"\0\0\0\0" + b"t" * 5000, False),  # the tag's length is not written yet
        (TAG[:100], False),
        (TAG, False),
        (TAG + b"\xff", True),
    ],
)
def test_audio_is_there_once_the_tag_is_finished(tmp_path: Path, content: bytes, ready: bool) -> None:
    (tmp_path / "part").write_bytes(content)
    assert _has_audio(tmp_path / "part") is ready
    assert id3.tag_size(content) in (0, 10, len(TAG))


def test_from_then_on_no_byte_changes(tmp_path: Path) -> None:
    """ffmpeg writes the header, the cover, and then the header's length over zeros."""
    sound, cover, part = tmp_path / "sound.webm", tmp_path / "cover.jpg", tmp_path / "part"
    make = [FFMPEG, "-v", "error", "-f", "lavfi", "-i"]
    subprocess.run([*make, "sine=duration=15", "-c:a", "libopus", sound], check=True, timeout=60)
    noise = "nullsrc=s=600x600,geq=random(1)*255:128:128"
    subprocess.run([*make, noise, "-frames:v", "1", "-q:v", "3", cover], check=True, timeout=60)
    assert cover.stat().st_size > 100_000, "more than the muxer holds back"
    command = ffmpeg.encode_command(
        FFMPEG,
        part,
        bitrate_kbps=320,
        media=Media("Title", "Artist", 15, "2026-01-31", Source("opus", 64)),
        url="https://www.youtube.com/watch?v=some-video-",
        cover=cover,
        sample_rate=48_000,
        channels=2,
    )
    for _ in range(5):
        part.unlink(missing_ok=True)
        heard = None
        with sound.open("rb") as source, subprocess.Popen(command, stdin=source, stdout=subprocess.DEVNULL) as encoder:
            while encoder.poll() is None:
                if heard is None and part.exists() and _has_audio(part):
                    heard = part.read_bytes()
        assert encoder.returncode == 0
        assert heard and part.read_bytes().startswith(heard)
