"""The offline YouTube against the real yt-dlp: its own extractor, in a child process, through the proxy, TLS verified.

``MESSAGES`` records what yt-dlp says of each reserved failure; the mapping to our error codes rests on these words.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import pytest
import pytest_asyncio

from server.errors import JOB_ERRORS
from server.offline import OfflineYouTube, offline_youtube
from server.offline.behaviours import Reserved
from server.offline.catalogue import RESERVED
from server.offline.odd_sources import ODD_SOURCES
from server.offline.videos import VIDEO_ID, video

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
ORDINARY = ["dQw4w9WgXcQ", "jNQXAC9IVRw", "-_-_-_-_-_-", "AAAAAAAAAAA", "00000000000", "x-ordinary-"]
TWICE = "x-2nd-try--"
#: The odd sources are in test_whole.py: some have no end, and yt-dlp as it comes takes most for whole. The hour is in
#: test_end_to_end.py.
RECORDED = {one.video_id: one for one in RESERVED.values() if one not in ODD_SOURCES and one.video_id != "x-one-hour-"}

# In lower case, as the whole of what yt-dlp reports of an attempt is searched.
MESSAGES = {
    "x-not-found": "error: [youtube] x-not-found: video unavailable. this video isn't available anymore",
    "x-removed--": "error: [youtube] x-removed--: video unavailable. this video has been removed by the uploader",
    "x-private--": "error: [youtube] x-private--: private video. sign in if you've been granted access to this video",
    "x-age------": "error: [youtube] x-age------: sign in to confirm your age. this video may be inappropriate",
    "x-geo------": "error: [youtube] x-geo------: the uploader has not made this video available in your country",
    "x-members--": "error: [youtube] x-members--: join this channel to get access to members-only content like",
    "x-live-----": "does not pass filter (!is_live & duration<?14400), skipping",
    "x-upcoming-": "error: [youtube] x-upcoming-: this live event will begin in 3 hours.",
    "x-premiere-": "error: [youtube] x-premiere-: premieres in 3 hours",
    "x-bot------": "error: [youtube] x-bot------: sign in to confirm you\N{RIGHT SINGLE QUOTATION MARK}re not a bot.",
    "x-try-later": "error: [youtube] x-try-later: this content isn't available, try again later. the current session",
    # The error itself is "failed to extract any player response": only the warnings before it know why.
    "x-http-429-": "unable to download api page: http error 429: too many requests",
    "x-account--": "x-account--: video unavailable. this video is no longer available because the youtube account",
    "x-copyright": "error: [youtube] x-copyright: video unavailable. this video is no longer available due to a",
    "x-restrict-": "error: [youtube] x-restrict-: video unavailable. this video is restricted. please check",
    "x-no-reason": "error: [youtube] x-no-reason: video unavailable. this video is not available",
    "x-everyone-": "error: [youtube] x-everyone-: this video isn\N{RIGHT SINGLE QUOTATION MARK}t available to everyone",
    "x-warning--": "x-warning--: the following content may contain suicide or self-harm topics.. viewer discretion",
    "x-court----": "x-court----: video unavailable. this content is not available on this country domain due to a",
    "x-label----": "x-label----: video unavailable. this video contains content from the offline orchestra, who has",
    "x-payment--": "error: [youtube] x-payment--: this video requires payment to watch.",
    "x-premium--": "error: [youtube] x-premium--: this video is only available to music premium members",
    "x-ended----": "error: [youtube] x-ended----: this live event has ended.",
    "x-offline--": "error: [youtube] x-offline--: this live stream recording is not available.",
    "x-process--": "error: [youtube] x-process--: we're processing this video. check back later.",
    "x-captcha--": "x-captcha--: video unavailable. youtube is requiring a captcha challenge before playback",
    "x-sign-in--": "x-sign-in--: please sign in. use --cookies-from-browser or --cookies for the authentication.",
    "x-reload---": "error: [youtube] x-reload---: the page needs to be reloaded.",
    "x-ip-block-": "x-ip-block-: all player responses are invalid. your ip is likely being blocked by youtube",
    "x-shut-out-": "x-shut-out-: video unavailable. this content isn\N{RIGHT SINGLE QUOTATION MARK}t available.",
    "x-unknown--": "error: [youtube] x-unknown--: this video has gone for a walk.",
    # Of these, too, only the warnings know why; the errors are "requested format is not available" or the like.
    "x-api-429--": "unable to download api page: http error 429: too many requests",
    "x-api-403--": "unable to download api page: http error 403: forbidden",
    "x-api-reset": "unable to download api page: ('unable to connect to proxy', remotedisconnected('remote end closed",
    "x-drm------": "this video is drm protected and only images are available for download.",
    "x-sabr-----": "https formats have been skipped as they are missing a url. youtube may have enabled the sabr-only",
    "x-po-token-": "only images are available for download.",
    "x-challenge": "n challenge solving failed: some formats may be missing.",
    "x-too-long-": "does not pass filter (!is_live & duration<?14400), skipping",
    # --max-filesize sees no more than the 10 MB pieces in which YouTube's media is asked for.
    "x-too-large": "bytes read, ",
    "x-no-audio-": "error: [youtube] x-no-audio-: requested format is not available",
    "x-forbidden": "error: unable to download video data: http error 403: forbidden",
    "x-gone-----": "error: unable to download video data: http error 410: gone",
    "x-reset----": "got error: ('unable to connect to proxy', remotedisconnected('remote end closed",
    "x-refused--": "got error: ('unable to connect to proxy', oserror('tunnel connection failed: 502 bad",
    "x-cut-short": "more expected. giving up after 2 retries",
    "x-stalled--": "port=443): read timed out.. giving up after 2 retries",
}
# What yt-dlp takes for success, and only who looks at the audio finds out.
UNNOTICED = {"x-truncated", "x-garbage--"}

CHILD = """
import concurrent.futures, json, sys
import yt_dlp

class Log:
    def __init__(self): self.lines = []
    def debug(self, line): self.lines.append(line)
    warning = error = debug

def attempt(video_id):
    log = Log()
    options = yt_dlp.parse_options(arguments).ydl_opts | {"logger": log}
    info = {}
    try:
        with yt_dlp.YoutubeDL(options) as ydl:
            info = ydl.extract_info("https://www.youtube.com/watch?v=" + video_id) or {}
    except yt_dlp.utils.DownloadError as error:
        log.lines.append(str(error))
    files = [item["filepath"] for item in info.get("requested_downloads", [])]
    kept = {key: info.get(key) for key in ("title", "channel", "duration", "upload_date", "filesize", "acodec", "asr")}
    return {"said": "\\n".join(log.lines), "file": files[0] if files else None, **kept}

def attempts(video_id):
    return [attempt(video_id) for _ in range(work.count(video_id))]

arguments, work = json.load(sys.stdin)
with concurrent.futures.ThreadPoolExecutor(6) as pool:
    print(json.dumps(dict(zip(dict.fromkeys(work), pool.map(attempts, dict.fromkeys(work))))))
"""

Attempt = dict[str, Any]


async def run_yt_dlp(youtube: OfflineYouTube, folder: Path, ids: list[str], ca_file: Path) -> dict[str, list[Attempt]]:
    arguments = [
        *("--ignore-config", "--no-update", "--abort-on-error", "--no-progress", "--fixup", "never"),
        *("--proxy", youtube.proxy, "--compat-options", "no-certifi", "--cache-dir", str(folder / "cache")),
        *("--format", "bestaudio/best[acodec!=none]", "--match-filters", "!is_live & duration<?14400"),
        *("--max-filesize", "2G", "--socket-timeout", "8", "--retries", "2", "--extractor-retries", "1"),
        *("--output", str(folder / "%(id)s.%(ext)s")),
    ]
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", CHILD),
        env={**os.environ, "SSL_CERT_FILE": str(ca_file)},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(300):
            output, _ = await child.communicate(json.dumps([arguments, ids]).encode())
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    results: dict[str, list[Attempt]] = json.loads(output)
    return results


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def attempts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Attempt]]:
    """What became of every reserved id and some ordinary ones, all run at once in one child."""
    folder = tmp_path_factory.mktemp("yt-dlp")
    async with offline_youtube(tmp_path_factory.mktemp("youtube"), FFMPEG) as youtube:
        return await run_yt_dlp(youtube, folder, [*RECORDED, *ORDINARY, TWICE], youtube.ca_file)


def heard(path: str) -> float:
    """Seconds of audio that ffmpeg decodes from the file as from a pipe; of a long one it only counts the packets."""
    copying = ["-c", "copy"] if Path(path).stat().st_size > 5_000_000 else []
    with Path(path).open("rb") as file:
        done = subprocess.run(
            [FFMPEG, "-hide_banner", "-xerror", "-i", "pipe:0", "-map", "0:a", *copying, "-f", "null", "-"],
            stdin=file,
            capture_output=True,
            timeout=60,
            check=True,
        )
    hours, minutes, seconds = re.findall(rb"time=(\d+):(\d+):([\d.]+)", done.stderr)[-1]
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)


@pytest.mark.long
@pytest.mark.parametrize("video_id", MESSAGES)
def test_yt_dlp_says_of_a_reserved_failure_what_is_recorded(video_id: str, attempts: dict[str, list[Attempt]]) -> None:
    [attempt] = attempts[video_id]

    assert MESSAGES[video_id] in attempt["said"].lower()
    assert attempt["file"] is None


@pytest.mark.long
@pytest.mark.parametrize(
    "entry", [entry for entry in RECORDED.values() if entry.outcome == "completed"], ids=lambda entry: entry.video_id
)
def test_a_reserved_success_downloads_whole(entry: Reserved, attempts: dict[str, list[Attempt]]) -> None:
    attempt = attempts[entry.video_id][-1]

    assert attempt["file"], attempt["said"]
    assert heard(attempt["file"]) == pytest.approx(attempt["duration"], abs=0.1)
    assert attempt["duration"] == video(entry.video_id).seconds


@pytest.mark.long
@pytest.mark.parametrize("video_id", ORDINARY)
def test_any_id_gives_a_tagged_clip_of_5_to_20_seconds(video_id: str, attempts: dict[str, list[Attempt]]) -> None:
    [attempt] = attempts[video_id]
    described = video(video_id)

    assert 5 <= heard(attempt["file"]) <= 20.1
    assert attempt["title"] == described.title
    assert attempt["channel"] == described.channel
    assert attempt["upload_date"] == described.uploaded.strftime("%Y%m%d")


@pytest.mark.long
def test_an_ordinary_video_costs_a_page_and_no_javascript(attempts: dict[str, list[Attempt]]) -> None:
    """Which players' APIs are asked beside is yt-dlp's to choose, and changes with its version."""
    [attempt] = attempts["dQw4w9WgXcQ"]

    asked = [line for line in attempt["said"].splitlines() if re.match(r"\[youtube\].*(Downloading|Solving)", line)]
    page, *players = [line.split(": ", 1)[1] for line in asked]
    assert page == "Downloading webpage"
    assert players and all(re.fullmatch(r"Downloading [\w ]+ player API JSON", line) for line in players)


@pytest.mark.long
def test_the_javascript_challenges_are_solved_by_the_runtime(attempts: dict[str, list[Attempt]]) -> None:
    [attempt] = attempts["x-js-------"]

    assert "Solving JS challenges using deno" in attempt["said"]
    assert attempt["file"]


@pytest.mark.long
def test_a_first_attempt_is_forbidden_and_the_second_succeeds(attempts: dict[str, list[Attempt]]) -> None:
    first, second = attempts[TWICE]

    assert "http error 403" in first["said"].lower()
    assert second["file"]


@pytest.mark.long
def test_a_dropped_connection_is_resumed(attempts: dict[str, list[Attempt]]) -> None:
    [attempt] = attempts["x-drop-----"]

    assert "Retrying (1/2)" in attempt["said"]
    assert attempt["file"]


@pytest.mark.long
def test_a_truncated_source_has_less_than_it_says(attempts: dict[str, list[Attempt]]) -> None:
    [attempt] = attempts["x-truncated"]

    assert attempt["duration"] == 20
    assert heard(attempt["file"]) == pytest.approx(12, abs=0.1)


@pytest.mark.long
def test_garbage_is_downloaded_and_not_decoded(attempts: dict[str, list[Attempt]]) -> None:
    [attempt] = attempts["x-garbage--"]

    with pytest.raises(subprocess.CalledProcessError):
        heard(attempt["file"])


RATES = {
    "x-aac------": ("mp4a.40.2", 44_100),
    "x-44k-mono-": ("mp4a.40.2", 44_100),
    "x-22k-mono-": ("mp4a.40.2", 22_050),
    "x-drop-----": ("opus", 48_000),
}


@pytest.mark.long
def test_sources_have_the_codec_and_rate_they_are_reserved_for(attempts: dict[str, list[Attempt]]) -> None:
    found = {video_id: (attempts[video_id][0]["acodec"], attempts[video_id][0]["asr"]) for video_id in RATES}

    assert found == RATES


@pytest.mark.long
def test_titles_arrive_as_reserved(attempts: dict[str, list[Attempt]]) -> None:
    for video_id in ("x-scripts--", "x-longtitle", "x-badtitle-", "x-twin-one-", "x-twin-two-"):
        assert attempts[video_id][0]["title"] == RESERVED[video_id].title
    assert len(RESERVED["x-longtitle"].title) == 300


def test_the_table_covers_every_error_that_a_source_can_cause() -> None:
    outcomes = {entry.outcome for entry in RESERVED.values()}

    others = {"DISK_FULL", "INTERNAL_ERROR", "COOKIES_INVALID", "CLIP_OUT_OF_RANGE"}
    assert outcomes - {"completed"} == set(JOB_ERRORS) - others
    assert all(VIDEO_ID.fullmatch(video_id) and video_id.startswith("x-") for video_id in RESERVED)
    assert set(MESSAGES) | UNNOTICED == {key for key, entry in RECORDED.items() if entry.outcome != "completed"}


async def test_yt_dlp_refuses_the_certificate_without_the_authority(tmp_path: Path) -> None:
    async with (
        offline_youtube(tmp_path / "youtube", FFMPEG) as youtube,
        offline_youtube(tmp_path / "b", FFMPEG) as other,
    ):
        results = await run_yt_dlp(youtube, tmp_path, ["dQw4w9WgXcQ"], other.ca_file)

    assert "certificate verify failed" in results["dQw4w9WgXcQ"][0]["said"].lower()
