"""The offline YouTube itself: its proxy, its site, its clips; what yt-dlp makes of it is in ``test_offline.py``."""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import aiohttp
import imageio_ffmpeg
import pytest
from support.waiting import SOON

from server.config import OfflineConfig
from server.offline import OfflineYouTube, melody, offline_youtube
from server.offline.behaviours import ENORMOUS_BYTES
from server.offline.challenge import Examiner, solve_n
from server.offline.clips import Studio
from server.offline.videos import video

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()


def address(youtube: OfflineYouTube) -> tuple[str, int]:
    host, port = youtube.proxy.removeprefix("http://").split(":")
    return host, int(port)


@asynccontextmanager
async def client(youtube: OfflineYouTube) -> AsyncIterator[aiohttp.ClientSession]:
    tls = ssl.create_default_context(cafile=str(youtube.ca_file))
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=tls), proxy=youtube.proxy) as session:
        yield session


async def fetch(session: aiohttp.ClientSession, url: str) -> tuple[int, bytes]:
    async with session.get(url) as response:
        return response.status, await response.read()


async def player_response(session: aiohttp.ClientSession, video_id: str) -> dict[str, Any]:
    async with session.post("https://www.youtube.com/youtubei/v1/player", json={"videoId": video_id}) as response:
        answer: dict[str, Any] = await response.json()
        return answer


async def test_an_enormous_source_says_so_before_it_is_downloaded(tmp_path: Path) -> None:
    async with offline_youtube(tmp_path, FFMPEG) as youtube, client(youtube) as session:
        response = await player_response(session, "x-too-large")

    assert response["streamingData"]["adaptiveFormats"][0]["contentLength"] == str(ENORMOUS_BYTES)


async def test_the_same_id_gives_the_same_bytes_in_another_folder(tmp_path: Path) -> None:
    digests = []
    for name in ("a", "b"):
        folder = tmp_path / name
        folder.mkdir()
        studio = Studio(folder, FFMPEG)
        ids = ("dQw4w9WgXcQ", "x-aac------", "x-one-hour-")
        files = [await studio.clip(video(video_id).clip) for video_id in ids] + [await studio.thumbnail("dQw4w9WgXcQ")]
        digests.append([hashlib.sha256(file.read_bytes()).hexdigest() for file in files])
        await studio.close()

    assert digests[0] == digests[1]
    assert len(set(digests[0])) == 4


def test_an_id_means_the_same_video_for_ever() -> None:
    described = video("dQw4w9WgXcQ")

    assert (described.title, described.seconds, described.clip.codec) == ("🌙 Distant Sparrow ✨ Rooftop", 12, "opus")
    assert [note.semitones for note in melody.compose("dQw4w9WgXcQ", 12).melody[:8]] == [3, 1, 3, 8, 11, 8, 13, 8]


def test_what_is_asked_for_twice_at_once_is_made_once(tmp_path: Path) -> None:
    async def both() -> bool:
        studio = Studio(tmp_path, FFMPEG)
        clip = video("dQw4w9WgXcQ").clip
        same = studio.start_clip(clip) is studio.start_clip(clip)
        await studio.clip(clip)
        await studio.close()
        return same

    assert asyncio.run(both())


@pytest.mark.parametrize(
    "request_line",
    [
        "CONNECT example.com:443 HTTP/1.1",
        "CONNECT evil-youtube.com:443 HTTP/1.1",
        "CONNECT www.youtube.com.example.org:443 HTTP/1.1",
        "CONNECT www.youtube.com:80 HTTP/1.1",
        "CONNECT 127.0.0.1:443 HTTP/1.1",
        "GET http://www.youtube.com/ HTTP/1.1",
        "nonsense",
    ],
)
async def test_the_proxy_refuses_everything_but_youtube(request_line: str, tmp_path: Path) -> None:
    async with offline_youtube(tmp_path, FFMPEG) as youtube:
        reader, writer = await asyncio.open_connection(*address(youtube))
        writer.write(f"{request_line}\r\n\r\n".encode())
        async with asyncio.timeout(SOON):
            answer = await reader.read()
        writer.close()

    assert answer.startswith(b"HTTP/1.1 502 ")


async def test_leaving_cuts_open_connections_and_pending_answers_at_once(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack, asyncio.timeout(None) as deadline:
        async with offline_youtube(tmp_path, FFMPEG) as youtube:
            session = await stack.enter_async_context(client(youtube))
            await fetch(session, "https://www.youtube.com/watch?v=dQw4w9WgXcQ")
            pending = asyncio.create_task(fetch(session, "https://i.ytimg.com/vi/x-thumbhang/maxresdefault.jpg"))
            done, _ = await asyncio.wait([pending], timeout=0.3)
            assert not done
            deadline.reschedule(asyncio.get_running_loop().time() + SOON)
        with pytest.raises(aiohttp.ClientError):
            await pending


async def test_media_is_refused_while_the_challenges_are_unsolved(tmp_path: Path) -> None:
    async with offline_youtube(tmp_path, FFMPEG) as youtube, client(youtube) as session:
        response = await player_response(session, "x-js-------")
        cipher = dict(parse_qsl(response["streamingData"]["adaptiveFormats"][0]["signatureCipher"]))
        status, _ = await fetch(session, f"{cipher['url']}&sig={cipher['s']}")

    assert status == 403


def test_only_both_challenges_solved_pass() -> None:
    posed = Examiner(b"secret").pose("nonce")
    signature = posed.scrambled[::-1]
    for place in (7, 19):
        signature = signature[place] + signature[1:place] + signature[0] + signature[place + 1 :]
    solved = (solve_n(posed.n), signature[3:])
    examiner = Examiner(b"secret")

    assert examiner.passes("nonce", *solved)
    assert not examiner.passes("nonce", posed.n, solved[1])
    assert not examiner.passes("nonce", solved[0], posed.scrambled)
    assert not examiner.passes("another", *solved)
    assert not Examiner(b"other").passes("nonce", *solved)


async def test_the_given_bandwidth_holds_for_each_connection(tmp_path: Path) -> None:
    clock = asyncio.get_running_loop().time
    async with offline_youtube(tmp_path, FFMPEG, OfflineConfig(rate_kbps=32)) as youtube, client(youtube) as session:
        response = await player_response(session, "x-1-second-")
        url = response["streamingData"]["adaptiveFormats"][0]["url"]
        await fetch(session, "https://www.youtube.com/watch?v=x-1-second-")
        began = clock()
        answers = await asyncio.gather(*(fetch(session, url) for _ in range(3)))
        took = clock() - began

    sizes = {len(body) for _, body in answers}
    assert len(sizes) == 1
    alone = sizes.pop() * 8 / 32_000
    assert alone * 0.9 < took < alone * 3, "none waits for another"


async def test_thumbnails_are_drawn_missing_or_garbage_as_reserved(tmp_path: Path) -> None:
    async with offline_youtube(tmp_path, FFMPEG) as youtube, client(youtube) as session:
        found = {
            video_id: await fetch(session, f"https://i.ytimg.com/vi/{video_id}/maxresdefault.jpg")
            for video_id in ("dQw4w9WgXcQ", "jNQXAC9IVRw", "x-no-thumb-", "x-thumbjunk")
        }

    assert {key: status for key, (status, _) in found.items()} == dict.fromkeys(found, 200) | {"x-no-thumb-": 404}
    assert found["dQw4w9WgXcQ"][1].startswith(b"\xff\xd8\xff")
    assert found["dQw4w9WgXcQ"][1] != found["jNQXAC9IVRw"][1]
    assert not found["x-thumbjunk"][1].startswith(b"\xff\xd8")
