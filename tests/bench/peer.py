"""gallery-dl-server, a web service around yt-dlp: pip installs it, and with a proxy and an authority it runs offline.

It tells the end of a conversion in its log only, which it may write up to a second late. It starts every conversion at
once, each in a process that it forks while it has threads, so that now and then one of twenty hangs: then it has no
figures. MeTube, cobalt and ytptube are not among pip's packages; of the others there, ytdl-server needs a PostgreSQL
and a broker beside it, ytdlp-simple-api fetches programs from the internet, and ytgrab makes no constant bitrate.
"""

from __future__ import annotations

import functools
import json
import math
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path

from server.media.authorities import make_ca_bundle
from server.offline import OfflineYouTube

from . import measure

NAME = "gallery-dl-server"
_PACKAGES = ("gallery-dl-server==0.8.1", f"yt-dlp=={metadata.version('yt-dlp')}")
#: Its annotations want the queue of Python 3.12; in a container it would look for its settings in /config.
_START = """
from multiprocessing.queues import Queue
Queue.__class_getitem__ = classmethod(lambda queue, _: queue)
from gallery_dl_server import app, utils
utils.CONTAINER = False
app.main()
"""
_DONE, _FAILED = "Download process exited successfully", "Download failed"
#: Seconds until conversions are given up.
_TIMEOUT = 180.0


@functools.cache
def _python(folder: Path) -> Path | None:
    """The interpreter of an environment of its own in `folder`; None if pip cannot make it."""
    python = folder / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *_PACKAGES]
    if subprocess.run(pip, stderr=subprocess.DEVNULL).returncode:
        print(f"no column of {NAME}: pip could not install it")
        return None
    return python


@contextmanager
def running(folder: Path, youtube: OfflineYouTube, ffmpeg: str) -> Iterator[Peer | None]:
    """The peer on that source, with its files in `folder`; None if it cannot be installed."""
    if (python := _python(folder.parent.parent / "peer-environment")) is None:
        yield None
        return
    one = Peer(folder, python, youtube, ffmpeg)
    try:
        yield one
    finally:
        os.killpg(one.process.pid, signal.SIGKILL)
        one.process.wait(40)


class Peer:
    def __init__(self, folder: Path, python: Path, youtube: OfflineYouTube, ffmpeg: str) -> None:
        settings, bundle = folder / ".config" / "gallery-dl" / "config.json", folder / "authorities.pem"
        settings.parent.mkdir(parents=True)
        make_ca_bundle(youtube.ca_file, bundle)
        self._made, self._log = folder / "made", folder / "gallery-dl-server.log"
        options = ["--ignore-config", "--no-update", "-x", "--audio-format", "mp3", "--audio-quality", "320K"]
        options += ["--proxy", youtube.proxy, "--compat-options", "no-certifi", "--ffmpeg-location", ffmpeg]
        options += ["--embed-metadata", "--embed-thumbnail"]
        ytdl = {"enabled": True, "module": "yt_dlp", "cmdline-args": options, "format": "bestaudio"}
        settings.write_text(json.dumps({"extractor": {"base-directory": str(self._made), "ytdl": ytdl}}))
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        environment = {**os.environ, "HOME": str(folder), "SSL_CERT_FILE": str(bundle)}
        environment.pop("XDG_CONFIG_HOME", None)
        serve = [str(python), "-c", _START, "--host", "127.0.0.1", "--port", str(port)]
        self.process = subprocess.Popen(
            [*serve, "--log-dir", str(folder)],
            cwd=folder,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._url = f"http://127.0.0.1:{port}/gallery-dl"
        self._wait_until_it_answers()

    def convert(self, video_ids: Sequence[str]) -> list[float]:
        """Seconds until its log says that all are made; none for a first byte; seconds of processor; peak in MB.

        If it does not make all of them, no figures.
        """
        before = self._count(_DONE)
        with measure.watched(self.process.pid) as usage:
            started = time.monotonic()
            for one in video_ids:
                asked = urllib.parse.urlencode({"url": f"https://www.youtube.com/watch?v={one}"}).encode()
                urllib.request.urlopen(f"{self._url}/q", asked, timeout=30).close()
            while self._count(_DONE) < before + len(video_ids):
                if self._count(_FAILED) or time.monotonic() > started + _TIMEOUT:
                    break
                time.sleep(0.02)
            wall = time.monotonic() - started
        made = [file for file in self._made.rglob("*") if file.is_file()]  # it names an MP3 as the source was named
        complete = sum(file.read_bytes()[:3] == b"ID3" for file in made)
        shutil.rmtree(self._made, ignore_errors=True)
        if complete != len(video_ids) or self._count(_DONE) < before + len(video_ids):
            print(f"{NAME} made {complete} of {len(video_ids)} in {wall:.0f} s:\n{self._log.read_text()[-500:]}")
            return [math.nan] * 4
        return [wall, math.nan, usage.cpu, usage.peak]

    def _count(self, words: str) -> int:
        return self._log.read_text().count(words) if self._log.exists() else 0

    def _wait_until_it_answers(self) -> None:
        end = time.monotonic() + 60
        while True:
            try:
                urllib.request.urlopen(self._url, timeout=5).close()
                return
            except OSError:
                if self.process.poll() is not None or time.monotonic() > end:
                    raise SystemExit(f"{NAME} did not start") from None
                time.sleep(0.05)
