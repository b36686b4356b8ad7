"""What people see of an MP3 in a player: tags and cover of made-up videos, read back by mutagen and ffmpeg."""

from __future__ import annotations

import io
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import pytest
from conftest import NewServer
from mutagen.id3 import ID3
from support.serverprocess import ServerProcess

from server.media import picture
from server.offline.adorned import ADORNED, SCRIPTS_TITLE

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
#: Python takes the locale as it is.
AS_IT_IS = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    process = ServerProcess(tmp_path_factory.mktemp("tags") / "server")
    try:
        process.start()
        yield process
    finally:
        process.end()


@pytest.fixture(scope="module")
def made(server: ServerProcess) -> dict[str, tuple[dict[str, Any], bytes]]:
    """Each of the adorned videos: its conversion and its MP3."""
    ids = {one.video_id: server.convert(one.video_id, "low") for one in ADORNED}
    done = {video_id: server.finished(conversion_id, 120) for video_id, conversion_id in ids.items()}
    assert {video_id: one["status"] for video_id, one in done.items()} == dict.fromkeys(ids, "completed")
    return {video_id: (one, server.download(one["conversion_id"])) for video_id, one in done.items()}


Made = dict[str, tuple[dict[str, Any], bytes]]


def tags(content: bytes) -> ID3:
    return ID3(io.BytesIO(content), translate=False)


def texts(content: bytes) -> dict[str, str]:
    found = {name: str(frame) for name, frame in tags(content).items() if name.startswith("T")}
    assert tags(content).version == (2, 3, 0)
    return found


def said_by_ffmpeg(content: bytes) -> str:
    command = [FFMPEG, "-v", "error", "-i", "pipe:0", "-f", "ffmetadata", "pipe:1"]
    return subprocess.run(command, input=content, capture_output=True, check=True, timeout=60).stdout.decode()


def cover(server: ServerProcess, video_id: str) -> bytes:
    """On a busy machine the second that a cover has may be over before it is made: then at another quality."""
    for quality in ("low", "medium", "high"):
        done = server.finished(server.convert(video_id, quality))
        if found := tags(server.download(done["conversion_id"])).getall("APIC"):
            (frame,) = found
            assert (frame.type, frame.mime, frame.desc) == (3, "image/jpeg", "")
            return bytes(frame.data)
    raise AssertionError("no cover at any quality")


def edge(content: bytes) -> int:
    header = picture.header(content)
    assert header and header.format == "jpeg" and header.width == header.height
    return header.width


def test_a_song_that_a_label_delivered_keeps_all_its_tags(made: Made) -> None:
    done, content = made["x-topic----"]
    assert texts(content) == {
        "TIT2": "Paper Lanterns",
        "TPE1": "Ada & the Loops, 静かな楽団",
        "TALB": "Night Trains",
        "TPE2": "Ada & the Loops",
        "TYER": "2019",
        "TDAT": "1303",
    }
    assert (done["artist"], done["album"], done["chapters"]) == ("Ada & the Loops, 静かな楽団", "Night Trains", [])
    said = said_by_ffmpeg(content)
    assert "album=Night Trains\n" in said and "album_artist=Ada & the Loops\n" in said and "date=2019-03-13\n" in said


def test_a_music_video_is_tagged_as_its_song(made: Made) -> None:
    done, content = made["x-musicclip"]
    found = texts(content)
    assert (found["TIT2"], found["TPE1"], found["TALB"]) == ("Golden Hour", "Nightshift Trio", "After Dark")
    assert (done["title"], done["album"]) == ("Nightshift Trio - Golden Hour (Official Video)", "After Dark")


def test_chapters_are_in_the_file_and_in_the_answer(made: Made) -> None:
    done, content = made["x-chapters-"]
    named = [("Opening", 0, 5), ("夜の散歩 🌙", 5, 12), ("Part two: the return", 12, 20), ("Credits", 20, 24)]
    assert done["chapters"] == [{"title": title, "start": start, "end": end} for title, start, end in named]
    (table,) = tags(content).getall("CTOC")
    found = [tags(content)[f"CHAP:{name}"] for name in table.child_element_ids]
    assert [(str(one.sub_frames["TIT2"]), one.start_time / 1000, one.end_time / 1000) for one in found] == named
    said = said_by_ffmpeg(content)
    assert said.count("[CHAPTER]") == 4 and "title=夜の散歩 🌙\n" in said


def test_the_link_is_a_comment_that_players_show(made: Made) -> None:
    for video_id, (_, content) in made.items():
        (comment,) = tags(content).getall("COMM")
        assert (comment.lang, comment.desc) == ("eng", "")
        assert str(comment) == str(tags(content)["WOAS"]) == f"https://www.youtube.com/watch?v={video_id}"
        assert not tags(content).getall("TXXX")


@pytest.mark.parametrize(
    ("video_id", "size"),
    [("x-topic----", 720), ("x-letterbox", 266), ("x-thumbwebp", 720), ("x-chapters-", 720)],
)
def test_the_cover_is_square_and_without_bars(server: ServerProcess, video_id: str, size: int) -> None:
    content = cover(server, video_id)
    assert edge(content) == size
    command = [
        FFMPEG,
        "-v",
        "error",
        "-i",
        "pipe:0",
        "-vf",
        "scale=32:32:flags=area,format=gray",
        "-f",
        "rawvideo",
        "-",
    ]
    grey = subprocess.run(command, input=content, capture_output=True, check=True, timeout=60).stdout
    lines = [grey[32 * y : 32 * y + 32] for y in range(32)] + [grey[x::32] for x in range(32)]
    assert min(max(line) for line in lines) > 20


@pytest.mark.long
@pytest.mark.parametrize("video_id", ["x-no-thumb-", "x-thumbhang", "x-thumbdrib", "x-thumbjunk", "x-thumbbomb"])
def test_without_a_thumbnail_there_is_no_cover(made: Made, video_id: str) -> None:
    done, content = made[video_id]
    assert done["thumbnail_url"] is None and not tags(content).getall("APIC")


@pytest.mark.long
def test_no_thumbnail_is_waited_for_until_yt_dlp_gives_up(server: ServerProcess, made: Made) -> None:
    stage = r'^ytmp3d_stage_seconds_(?:bucket\{le="10.0",stage="cover"\}|count\{stage="cover"\}) (\S+)$'
    soon, all_of_them = re.findall(stage, server.request("GET", "/metrics").body.decode(), re.MULTILINE)
    assert soon == all_of_them, "a second is what a cover gets, 20 s what yt-dlp gives an answer"
    assert float(soon) >= len(made)


@pytest.fixture(params=["C", "POSIX", "en_US.ISO-8859-1"])
def locale(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    """An environment whose encoding is not UTF-8."""
    name = str(request.param)
    if "." not in name:
        return {"LC_ALL": name, "LANG": name}
    language, _, encoding = name.partition(".")
    made = tmp_path / "locales" / name
    made.parent.mkdir()
    try:
        done = subprocess.run(["localedef", "-i", language, "-f", encoding, str(made)], capture_output=True, timeout=60)
    except FileNotFoundError:
        pytest.skip("NOT TESTED: a Latin-1 locale (there is no localedef here)")
    if done.returncode:
        pytest.skip(f"NOT TESTED: a Latin-1 locale ({done.stderr.decode(errors='replace').strip()})")
    return {"LC_ALL": name, "LANG": name, "LOCPATH": str(made.parent)}


@pytest.mark.long
def test_the_locale_is_of_no_account(new_server: NewServer, locale: dict[str, str]) -> None:
    server = new_server(**AS_IT_IS, **locale)
    server.start()
    done = server.finished(server.convert("x-scripts--"))
    assert (done["status"], done["title"]) == ("completed", SCRIPTS_TITLE)
    assert texts(server.download(done["conversion_id"]))["TIT2"] == SCRIPTS_TITLE
    assert server.request("GET", "/docs").status == server.request("GET", "/").status == 200
    server.kill()
    server.start()
    assert server.status(done["conversion_id"])["title"] == SCRIPTS_TITLE
    assert "Traceback" not in server.log
