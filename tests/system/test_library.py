"""The library with real conversions: it survives a kill -9, an expiry and another bitrate."""

from __future__ import annotations

from pathlib import Path

import imageio_ffmpeg
import pytest
from conftest import NewServer
from mutagen.id3 import ID3
from support.serverprocess import ServerProcess, until

from server.media import id3

pytestmark = pytest.mark.long

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
LIBRARY = '[storage]\nlibrary = "music"'
VIDEO = "some-video-"


@pytest.fixture
def server(new_server: NewServer) -> ServerProcess:
    server = new_server(LIBRARY)
    server.start()
    return server


def songs(server: ServerProcess) -> list[Path]:
    return sorted((server.folder / "library").rglob("*.mp3"))


def made(server: ServerProcess, quality: str = "low", **options: object) -> str:
    conversion = server.convert(VIDEO, quality, **options)
    assert server.finished(conversion)["status"] == "completed"
    return conversion


def put(server: ServerProcess, times: int) -> None:
    """Return once the server has said so many times that a file is in the library."""
    until(lambda: server.log.count("is in the library") == times, what=f"{times} files have been put there")


def test_a_file_that_a_killed_server_left_out_is_there_after_the_next_start(
    server: ServerProcess, tmp_path: Path
) -> None:
    folder = server.folder / "library"
    folder.rename(folder.with_name("unmounted"))
    conversion = made(server)
    assert any("library cannot be written" in one for one in server.request("GET", "/readyz").json["warnings"])
    server.kill()
    server.start()
    until(lambda: songs(server), what="the file is in the library")
    (song,) = songs(server)
    assert song.read_bytes() == server.download(conversion)
    assert song.stem == str(ID3(song)["TIT2"]) and song.parent.name == str(ID3(song)["TPE1"])
    (tmp_path / "any").touch()
    assert song.stat().st_mode & 0o444 == (tmp_path / "any").stat().st_mode & 0o444, "a player may read it"


def test_each_recipe_has_one_file_also_when_it_is_made_again(server: ServerProcess) -> None:
    wanted = [("low", {}), ("high", {}), ("low", {"start": 1, "end": 3}), ("low", {"loudness": -20})]
    for times in (1, 2):
        conversions = [made(server, quality, **options) for quality, options in wanted]
        put(server, times * len(wanted))
        for conversion in conversions:
            assert server.request("DELETE", f"/status/{conversion}").status == 200
        until(lambda: not list(server.downloads.glob("*.mp3")))
    server.kill()
    server.start()
    found = songs(server)
    assert len(found) == len(wanted)
    assert sorted(str(id3.origin(song)) for song in found) == [f"('{VIDEO}', 128)"] * 3 + [f"('{VIDEO}', 320)"]
    assert any(song.stem.endswith("(0:01–0:03)".replace(":", ".")) for song in found)
    assert any(song.stem.endswith("(-20 LUFS)") for song in found)
