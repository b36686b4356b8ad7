"""What a source that refuses does to a running server: it is asked once, and the reason reaches people whole."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from support.serverprocess import ServerProcess, until

pytestmark = pytest.mark.long

#: Refusals after which another attempt at once would only make it worse.
PUSHED_BACK = (
    *("x-bot------", "x-captcha--", "x-sign-in--", "x-reload---", "x-ip-block-", "x-shut-out-", "x-try-later"),
    *("x-api-403--", "x-api-429--", "x-sabr-----", "x-po-token-", "x-challenge", "x-unknown--"),
)
#: Words of each message that say which reason it is, for the guest and for the owner.
WORDS = {
    "x-sabr-----": ("SABR", "another exit"),
    "x-po-token-": ("PO token", "ytmp3d[pot]"),
    "x-challenge": ("JavaScript challenge", "Deno"),
    "x-unknown--": ("\u201cThis video has gone for a walk\u201d", "update yt-dlp"),
    "x-no-reason": ("gives no reason", "blocked address or an outdated yt-dlp"),
    "x-restrict-": ("restricted mode", "DNS"),
    "x-copyright": ("copyright holder",),
    "x-process--": ("still processing",),
    "x-ended----": ("has ended",),
    "x-everyone-": ("available to everyone", "set [ytdlp] cookies"),
    "x-api-403--": ("HTTP 403", "update yt-dlp"),
    "x-shut-out-": ("This content isn't available", "--sleep-requests"),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    process = ServerProcess(tmp_path_factory.mktemp("refusals") / "server", '[jobs]\nslots = 2\n[log]\nlevel = "debug"')
    try:
        process.start()
        yield process
    finally:
        process.end()


@pytest.fixture(scope="module")
def refused(server: ServerProcess) -> dict[str, dict[str, Any]]:
    conversions = {video_id: server.convert(video_id) for video_id in {*PUSHED_BACK, *WORDS}}
    return {video_id: server.finished(conversion) for video_id, conversion in conversions.items()}


@pytest.mark.parametrize("video_id", PUSHED_BACK)
def test_a_source_that_pushes_back_is_asked_once(
    server: ServerProcess, refused: dict[str, dict[str, Any]], video_id: str
) -> None:
    assert refused[video_id]["error"]["retryable"]
    until(lambda: re.search(f"job {video_id} 128 .*failed with", server.log))
    assert not re.search(f"job {video_id} 128 .*trying again", server.log)


@pytest.mark.parametrize("video_id", WORDS)
def test_the_message_says_why_and_what_the_owner_can_do(refused: dict[str, dict[str, Any]], video_id: str) -> None:
    message = refused[video_id]["error"]["message"]
    guest, _, owner = message.partition(" For the owner: ")
    assert WORDS[video_id][0] in guest
    assert all(words in owner for words in WORDS[video_id][1:])


def lines_about(server: ServerProcess, video_id: str, words: str) -> list[tuple[str, str]]:
    """Level and text of the lines of the log that say that of a video."""
    found = re.findall(rf"^\S+Z (\w+) +job {video_id} \d+ id=\S+ {words}(.*)$", server.log, re.MULTILINE)
    return [(level, text) for level, text in found]


@pytest.mark.parametrize("video_id", WORDS)
def test_ytdlps_words_are_in_the_log_for_who_asks_for_them_each_once_and_whole(
    server: ServerProcess, refused: dict[str, dict[str, Any]], video_id: str
) -> None:
    said = lines_about(server, video_id, "yt-dlp: ")
    texts = [text for _, text in said]
    assert {level for level, _ in said} == {"debug"} and len(texts) == len(set(texts)) >= 3
    assert texts[0] == f"[youtube] Extracting URL: https://www.youtube.com/watch?v={video_id}"
    assert all(text == text.strip() and not text.endswith("…") for text in texts)
    ((_, cause),) = lines_about(server, video_id, "failed with [A-Z_]+: ")
    assert cause in texts[-1]


@pytest.mark.parametrize("video_id", WORDS)
def test_a_source_that_refuses_is_a_warning_in_the_log_and_one_video_is_not(
    server: ServerProcess, refused: dict[str, dict[str, Any]], video_id: str
) -> None:
    ((level, _),) = lines_about(server, video_id, "failed with [A-Z_]+: ")
    code = refused[video_id]["error"]["code"]
    assert level == ("warning" if code.startswith("SOURCE_") or code == "BOT_CHECK" else "info")
