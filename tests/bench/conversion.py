"""One video to a 320 kbit/s MP3: this server, warm; `yt-dlp -x`; ffmpeg alone on the file it would fetch; the peer."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import time
import urllib.request
from contextlib import nullcontext
from pathlib import Path

from server.media.authorities import make_ca_bundle
from server.offline import OfflineYouTube
from server.offline.videos import video

from . import measure, peer
from .ours import OurServer, youtube_in_a_thread

SONG = "x-4-minutes"
HOUR = "x-one-hour-"
SHORT = next(one for one in (f"bench-{number:05}" for number in range(1000)) if video(one).seconds == 12)


def ours(server: OurServer, video_id: str = SONG) -> list[float]:
    """Seconds until the whole is here and until its first byte; seconds of processor; the peak of memory in MB."""
    with measure.watched(server.process.pid) as usage:
        started = time.monotonic()
        job = server.call("POST", "/convert", {"url": f"https://youtu.be/{video_id}"})
        with urllib.request.urlopen(job["download_url"], timeout=120) as answer:
            answer.read(1)
            first = time.monotonic() - started
            while answer.read(1 << 20):
                pass
        server.ended(job)
        wall = time.monotonic() - started
    server.forget(job)
    return [wall, first, usage.cpu, usage.peak]


def command(argv: list[str], environment: dict[str, str]) -> list[float]:
    """The same of a command, which has no first byte before the last."""
    started = time.monotonic()
    process = subprocess.Popen(argv, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with measure.watched(process.pid) as usage:
        _, status, spent = os.wait4(process.pid, 0)
    wall = time.monotonic() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{argv[0]} ended with {process.returncode}")
    return [wall, math.nan, spent.ru_utime + spent.ru_stime, usage.peak]


class Commands:
    """What one would type instead, on that source. The files lie in `folder`."""

    def __init__(self, folder: Path, youtube: OfflineYouTube, ffmpeg: str) -> None:
        folder.mkdir()
        bundle = folder / "authorities.pem"
        make_ca_bundle(youtube.ca_file, bundle)
        self.environment = {**os.environ, "SSL_CERT_FILE": str(bundle)}
        self._folder, self._ffmpeg = folder, ffmpeg
        self._ytdlp = [sys.executable, "-m", "yt_dlp", "--ignore-config", "--quiet", "--no-update"]
        self._ytdlp += ["--proxy", youtube.proxy, "--compat-options", "no-certifi", "--ffmpeg-location", ffmpeg]

    def fetch(self, video_id: str) -> Path:
        """Fetch the audio as it is."""
        source = self._folder / f"{video_id}.source"
        watch = f"https://www.youtube.com/watch?v={video_id}"
        fetch = [*self._ytdlp, "-f", "bestaudio", "--force-overwrites", "-o", str(source), watch]
        command(fetch, self.environment)
        return source

    def extract(self, video_id: str) -> list[str]:
        """`yt-dlp -x`, with tags and cover."""
        argv = [*self._ytdlp, "-x", "--audio-format", "mp3", "--audio-quality", "320K", "--embed-metadata"]
        argv += ["--embed-thumbnail", "--force-overwrites", "-o", str(self._folder / f"{video_id}.%(ext)s")]
        return [*argv, f"https://www.youtube.com/watch?v={video_id}"]

    def encode(self, source: Path) -> list[str]:
        """ffmpeg alone."""
        return [self._ffmpeg, "-y", "-i", str(source), "-c:a", "libmp3lame", "-b:a", "320k", f"{source}.mp3"]


def single(folder: Path, ffmpeg: str, rounds: int) -> None:
    _compare(folder, ffmpeg, rounds, SONG, "A four-minute video")


def short(folder: Path, ffmpeg: str, rounds: int) -> None:
    _compare(folder, ffmpeg, rounds, SHORT, "A 12 s clip")


def hour(folder: Path, ffmpeg: str, rounds: int) -> None:
    _compare(folder, ffmpeg, rounds, HOUR, "One hour", with_peer=False)  # or all parts take over twelve minutes


def _compare(folder: Path, ffmpeg: str, rounds: int, video_id: str, what: str, with_peer: bool = True) -> None:
    rows: dict[str, list[list[float]]] = {}
    with youtube_in_a_thread(folder.parent / "youtube", ffmpeg) as youtube:
        commands = Commands(folder / "commands", youtube, ffmpeg)
        source = commands.fetch(video_id)  # which also has the source make its clip
        server = OurServer(folder / "ours", youtube)
        try:
            ours(server, SHORT)
            with peer.running(folder / "peer", youtube, ffmpeg) if with_peer else nullcontext() as other:
                for _ in range(rounds):  # in turn, so that a slow moment of the machine is everybody's
                    rows.setdefault("ytmp3d", []).append(ours(server, video_id))
                    extracted = command(commands.extract(video_id), commands.environment)
                    rows.setdefault("yt-dlp -x", []).append(extracted)
                    encoded = command(commands.encode(source), commands.environment)
                    rows.setdefault("ffmpeg alone", []).append(encoded)
                    if other:
                        rows.setdefault(peer.NAME, []).append(other.convert([video_id]))
        finally:
            server.stop()
    measure.table(
        f"{what} to MP3 at 320 kbit/s, median of {rounds} (smallest-largest)",
        ["wall, s", "first byte, s", "processor, s", "peak memory, MB"],
        rows,
    )
