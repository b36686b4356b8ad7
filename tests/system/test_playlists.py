"""`POST /playlist`: yt-dlp's own extractor in a child, the offline YouTube, all as processes."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.serverprocess import Answer, ServerProcess, until

from server.media import playlist_child
from server.offline.playlists import FAILING, RESERVED_LISTS
from server.offline.videos import video


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    server = ServerProcess(tmp_path_factory.mktemp("server"))
    server.start()
    yield server
    server.end()


def asked(server: ServerProcess, url: str, limit: int | None = None) -> Answer:
    body = {"url": url} if limit is None else {"url": url, "limit": limit}
    return server.request("POST", "/playlist", body)


def listed(server: ServerProcess, url: str, limit: int | None = None) -> Any:
    answer = asked(server, url, limit)
    assert answer.status == 200, answer.body
    return answer.json


def ids(found: Any) -> list[str]:
    return [one["video_id"] for one in found["videos"]]


@pytest.mark.long
@pytest.mark.parametrize("entry", RESERVED_LISTS.values(), ids=lambda one: one.list_id)
def test_each_reserved_list_is_answered_as_it_says(server: ServerProcess, entry: Any) -> None:
    answer = asked(server, entry.url, 150)
    outcome = "listed" if answer.status == 200 else answer.json["error"]["code"]
    assert outcome == entry.outcome, answer.body
    if answer.status == 200:
        found = answer.json
        count = entry.count or len(entry.videos)
        assert found["playlist_id"] == entry.list_id
        assert len(found["videos"]) == min(150, count)
        assert found["truncated"] is (count > 150)
        assert found["count"] == (count if not entry.list_id.startswith("RD") else None)
        assert found["title"]


def test_a_list_names_its_videos_as_they_are(server: ServerProcess) -> None:
    found = listed(server, RESERVED_LISTS["PLx-short-----"].url)
    assert found["channel"] and len(found["videos"]) == 3
    for one in found["videos"]:
        described = video(one["video_id"])
        assert one == {
            "url": f"https://www.youtube.com/watch?v={one['video_id']}",
            "video_id": one["video_id"],
            "title": described.title,
            "channel": described.channel,
            "duration": described.seconds,
            "available": True,
        }
    assert found == listed(server, "https://music.youtube.com/watch?v=dQw4w9WgXcQ&list=PLx-short-----")


def test_a_long_list_is_listed_whole_and_in_order(server: ServerProcess) -> None:
    url = RESERVED_LISTS["PLx-230-long--"].url
    whole = listed(server, url)
    assert (whole["count"], whole["truncated"], len(set(ids(whole)))) == (230, False, 230)
    part = listed(server, url, 120)
    assert ids(part) == ids(whole)[:120]
    assert (part["count"], part["truncated"]) == (230, True)
    assert listed(server, url, 230)["truncated"] is False


def test_no_more_is_listed_than_the_setting_says(server: ServerProcess) -> None:
    found = listed(server, RESERVED_LISTS["PLx-endless---"].url)
    assert (len(found["videos"]), found["truncated"]) == (500, True)
    answer = asked(server, RESERVED_LISTS["PLx-endless---"].url, 501)
    assert (answer.status, answer.json["error"]["code"]) == (400, "INVALID_REQUEST")


def test_private_removed_and_coming_ones_are_marked(server: ServerProcess) -> None:
    found = listed(server, RESERVED_LISTS["PLx-failures--"].url)
    assert ids(found) == ["x-1-second-", *FAILING]
    unavailable = [one["video_id"] for one in found["videos"] if not one["available"]]
    assert unavailable == ["x-private--", "x-removed--", "x-upcoming-"]


def test_no_title_of_a_list_can_leave_its_line_or_hide_anything() -> None:
    attack = "a\x1b[31m\u202eb\u0000\ud800\r\nc" + "d" * 1000
    entry = {"id": "dQw4w9WgXcQ", "ie_key": "Youtube", "title": attack, "channel": attack, "duration": 5}
    found = playlist_child._video(entry)
    assert found is not None
    for text in (found["title"], found["channel"]):
        assert text.startswith("a [31mb cd") and len(text) < 300


def test_a_mix_goes_on_beyond_its_first_page_without_repeating_itself(server: ServerProcess) -> None:
    found = listed(server, RESERVED_LISTS["RDx-4-minutes"].url, 120)
    assert ids(found)[0] == "x-4-minutes"
    assert len(set(ids(found))) == 120
    assert (found["count"], found["truncated"]) == (None, True)


@pytest.mark.parametrize("link", ["https://www.youtube.com/@x-channel/videos", "https://youtube.com/c/x-channel"])
def test_a_channel_is_its_uploads(server: ServerProcess, link: str) -> None:
    by_name = listed(server, link)
    assert by_name["playlist_id"] == "UUx-channel-------------" and by_name["count"] == 42
    assert by_name == listed(server, "https://www.youtube.com/channel/UCx-channel-------------")


def test_an_album_page_is_the_list_of_its_songs(server: ServerProcess) -> None:
    album = RESERVED_LISTS["OLAK5uy_x-album"]
    assert listed(server, "https://music.youtube.com/browse/MPREb_x-album") == listed(server, album.url)


def test_a_video_link_with_a_list_still_converts_the_one_video(server: ServerProcess) -> None:
    before = len(server.request("GET", "/status").json["jobs"])
    body = {"url": "https://www.youtube.com/watch?v=x-1-second-&list=PLx-230-long--", "quality": "low"}
    accepted = server.request("POST", "/convert", body).json
    assert server.finished(accepted["conversion_id"])["video_id"] == "x-1-second-"
    assert len(server.request("GET", "/status").json["jobs"]) == before + 1


def test_it_is_one_request_and_leaves_nothing(server: ServerProcess) -> None:
    before = asked(server, RESERVED_LISTS["PLx-short-----"].url).headers["X-RateLimit-Remaining"]
    after = asked(server, RESERVED_LISTS["PLx-230-long--"].url).headers["X-RateLimit-Remaining"]
    assert int(before) - int(after) == 1
    assert server.staged() == [] and not server.running_ytdlp()
    metrics = server.request("GET", "/metrics").body.decode()
    assert 'ytmp3d_playlists_total{outcome="listed"}' in metrics


def begun(server: ServerProcess, connection: http.client.HTTPConnection) -> None:
    """Ask for a list that stalls, and return once its child runs."""
    head = {"Authorization": "Bearer test-unlimited", "Content-Type": "application/json"}
    connection.request("POST", "/playlist", json.dumps({"url": RESERVED_LISTS["PLx-stalls----"].url}), head)
    until(server.running_ytdlp, what="its child runs")


def test_the_child_of_a_client_that_leaves_ends(server: ServerProcess) -> None:
    with server.connected() as connection:
        begun(server, connection)
    until(lambda: not server.running_ytdlp() and not server.staged(), what="nothing of it is left")


def test_a_killed_server_leaves_no_child(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path / "server")
    server.start()
    try:
        with server.connected() as connection:
            begun(server, connection)
            server.kill()
        until(lambda: not server.processes(), what="every process has ended")
    finally:
        server.end()
