"""What needs no key: health, metrics, the page and its files."""

from __future__ import annotations

import asyncio
import errno
import re
import subprocess
from pathlib import Path

import imageio_ffmpeg
import pytest
from conftest import SmallDisk, StartApi
from prometheus_client.parser import text_string_to_metric_families
from support.api import KEY, KEYS, UNLIMITED, Api, link, watch
from support.waiting import SOON

from server import errors
from server.access.keys import Key
from server.config import ServerConfig, StorageConfig
from server.http.context import ARTIFACTS, READINESS
from server.media import ytdlp

#: What is counted for each key.
OF_KEYS = ("requests", "conversions_accepted", "audio_seconds", "bytes_served")


async def counted(api: Api) -> dict[str, float]:
    """Every sample, by its name and labels."""
    answer = await api.get("/metrics", key=None)
    assert answer.status == 200 and answer.headers["Content-Type"].startswith("text/plain")
    return {
        sample.name + "".join(f"/{value}" for _, value in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.body.decode())
        for sample in family.samples
    }


# ---- health


async def test_the_process_is_up(api: Api) -> None:
    answer = await api.get("/healthz", key=None)
    assert (answer.status, answer.json) == (200, {"status": "ok"})
    assert answer.headers["Cache-Control"] == "no-store"


async def test_who_asks_often_starts_nothing_more(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    async def version(path: str) -> tuple[int, ...]:
        asked.append(path)
        return (9,)

    monkeypatch.setattr("server.media.ffmpeg.version", version)
    answers = await asyncio.gather(*(api.get("/readyz", key=None) for _ in range(50)))
    assert {answer.status for answer in answers} == {200} and len(asked) == 1


async def test_it_is_ready_or_says_why_not(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.media.readiness.ANSWER_SECONDS", 0)
    readiness = api.app[READINESS]
    monkeypatch.setattr(readiness, "ffmpeg_path", imageio_ffmpeg.get_ffmpeg_exe())
    answer = await api.get("/readyz", key=None)
    assert (answer.status, answer.json["status"], answer.json["problems"]) == (200, "ready", [])

    async def no_room() -> bool:
        return False

    monkeypatch.setattr(api.app[ARTIFACTS], "room", no_room)
    monkeypatch.setattr(readiness, "ffmpeg_path", "/nowhere/ffmpeg")
    monkeypatch.setattr(readiness.state, "failing", True)
    answer = await api.get("/readyz", key=None)
    assert (answer.status, answer.json["status"]) == (503, "unavailable")
    assert int(answer.headers["Retry-After"]) > 0
    for problem, word in zip(answer.json["problems"], ("ffmpeg", "disk", "state"), strict=True):
        assert word in problem


async def test_a_folder_that_cannot_be_written_is_a_problem(
    start_api: StartApi, tmp_path: Path, small_disk: SmallDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.media.readiness.ANSWER_SECONDS", 0)
    disk = small_disk(4096)
    api = await start_api(storage=StorageConfig(downloads=disk, state=tmp_path / "state"))
    monkeypatch.setattr(api.app[READINESS], "ffmpeg_path", imageio_ffmpeg.get_ffmpeg_exe())
    assert (await api.get("/readyz")).status == 200
    subprocess.run(["mount", "--bind", disk, disk], check=True, timeout=60)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", disk], check=True, timeout=60)
        answer = await api.get("/readyz")
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True, timeout=60)
    assert answer.status == 503
    assert ["downloads folder" in problem for problem in answer.json["problems"]] == [True]
    assert (await api.get("/readyz")).status == 200


async def test_an_old_ytdlp_is_a_warning_only(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api.app[READINESS], "ffmpeg_path", imageio_ffmpeg.get_ffmpeg_exe())
    monkeypatch.setattr(api.app[READINESS], "versions", ytdlp.Versions("2020.01.02", runtime="deno"))
    answer = await api.get("/readyz")
    assert answer.status == 200 and any("yt-dlp 2020.01.02" in warning for warning in answer.json["warnings"])


# ---- metrics


async def test_metrics_count_what_happens(api: Api) -> None:
    made = await api.made("some-video-")
    await api.convert("some-video-")
    body = (await api.get(link(made["conversion_id"]))).body
    failing = (await api.convert("led-failing"))["conversion_id"]
    (await api.studio.take("led-failing")).fail(errors.VideoPrivate())
    await api.status(failing, wait=50)
    cancelled = (await api.convert("led-running"))["conversion_id"]
    await api.studio.take("led-running")
    running = await counted(api)
    await api.request("DELETE", f"/status/{cancelled}")
    await api.get("/nothing")
    async with asyncio.timeout(SOON):
        while (found := await counted(api))["ytmp3d_fetchers_busy"]:  # its children end first
            await asyncio.sleep(0.01)
    assert found["ytmp3d_requests_total//convert/200"] == 4
    assert found["ytmp3d_requests_total/unmatched/404"] == 1
    assert found["ytmp3d_requests_total//static/downloads/{conversion_id}.mp3/200"] == 1
    assert found["ytmp3d_conversions_accepted_total"] == 4
    assert found["ytmp3d_conversions_shared_total"] == 1
    assert found["ytmp3d_conversions_total//completed"] == 2
    assert found["ytmp3d_conversions_total/VIDEO_PRIVATE/failed"] == 1
    assert found["ytmp3d_conversions_total//cancelled"] == 1
    assert found["ytmp3d_audio_seconds_total"] == 12.5
    assert found["ytmp3d_bytes_served_total"] == len(body)
    assert found["ytmp3d_disk_used_bytes"] >= len(body)
    assert (running["ytmp3d_fetchers_busy"], found["ytmp3d_fetchers_busy"]) == (1, 0)
    assert (found["ytmp3d_slots"], found["ytmp3d_queue_depth"]) == (2, 0)
    assert found["ytmp3d_request_seconds_count"] > 0


@pytest.mark.parametrize("shown", [True, False])
async def test_metrics_name_keys_only_if_they_are_told_to(
    start_api: StartApi, monkeypatch: pytest.MonkeyPatch, shown: bool
) -> None:
    keys = {**KEYS, "zoe": Key("Zoë", UNLIMITED)}
    api = await start_api(server=ServerConfig(metrics_keys=shown), keys=keys)
    made = await api.made("some-video-")
    await api.post("/batch-convert", {"urls": [watch("some-video-")] * 2}, key="zoe")
    body = (await api.get(link(made["conversion_id"]))).body

    async def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    with monkeypatch.context() as full:
        full.setattr(api.engine._state, "commit", refuse)
        assert (await api.post("/convert", {"url": watch("some-video-")}, key="zoe")).status == 503
    found = await counted(api)
    if shown:
        assert [found.get(f"ytmp3d_key_{name}_total/anna") for name in OF_KEYS] == [2, 1, 12.5, len(body)]
        assert [found.get(f"ytmp3d_key_{name}_total/Zoë") for name in OF_KEYS] == [2, 2, 25, 0]
    else:
        assert not any("anna" in name or "Zoë" in name for name in found)


async def test_a_files_refusals_are_counted_as_what_they_are(api: Api) -> None:
    path = link((await api.made("some-video-"))["conversion_id"])
    etag = (await api.get(path)).headers["ETag"]
    for headers in ({"Range": "bytes=0-1"}, {"Range": "bytes=9999999-"}, {"If-None-Match": etag}, {"If-Match": '"x"'}):
        await api.get(path, headers=headers)
    found = await counted(api)
    for status in (200, 206, 304, 412, 416):
        assert found[f"ytmp3d_requests_total//static/downloads/{{conversion_id}}.mp3/{status}"] == 1


async def test_no_client_can_inflate_the_labels(api: Api) -> None:
    await api.made("some-video-")
    for path in ("/nothing", "/status/x", "/static/x.js", link("x"), "/status?limit=x"):
        await api.get(path)
    await api.request("PUT", "/convert")
    await counted(api)
    before = (await counted(api)).keys()
    for number in range(30):
        name = f"invented-{number}"
        for path in (f"/{name}", f"/status/{name}", f"/static/{name}.js", link(name), f"/status?limit={name}"):
            await api.get(path, headers={"User-Agent": name, "X-Request-ID": name})
        await api.request(f"M{number}", "/convert")
        await api.post("/convert", {"url": watch("some-video-"), "quality": "low"})
    after = (await counted(api)).keys()
    assert after - before == set()
    assert not any("invented" in name for name in after)


@pytest.mark.parametrize(
    ("settings", "forwarded", "seen"),
    [
        (ServerConfig(), None, True),
        (ServerConfig(), "203.0.113.9", False),
        (ServerConfig(trusted_proxies=("10.0.0.0/8",)), "127.0.0.1", False),
        (ServerConfig(trusted_proxies=("127.0.0.1",)), "203.0.113.9", False),
        (ServerConfig(trusted_proxies=("127.0.0.1",)), "127.0.0.1, 203.0.113.9", False),
        (ServerConfig(trusted_proxies=("127.0.0.1",)), "nonsense", False),
        (ServerConfig(trusted_proxies=("127.0.0.1",)), "127.0.0.1", True),
        (ServerConfig(trusted_proxies=("127.0.0.1",)), "::1", True),
        (ServerConfig(trusted_proxies=("127.0.0.1",), metrics_public=True), "203.0.113.9", True),
    ],
)
async def test_metrics_are_for_this_machine_unless_set_otherwise(
    start_api: StartApi, settings: ServerConfig, forwarded: str | None, seen: bool
) -> None:
    api = await start_api(server=settings)
    answer = await api.get("/metrics", key=KEY, headers={"X-Forwarded-For": forwarded} if forwarded else {})
    assert answer.status == (200 if seen else 403)
    assert seen or answer.code == "FORBIDDEN"


@pytest.mark.parametrize(
    "header",
    ["X-Forwarded-For: 127.0.0.1", "x-forwarded-host: localhost", "X-Forwarded-Proto: http", "Forwarded: for=127.0.0.1",
     "X-Real-IP: 127.0.0.1", "Via: 1.1 proxy", "CF-Connecting-IP: ::1", "X-Forwarded-Server: x"],
)  # fmt: skip
async def test_whom_a_proxy_speaks_for_is_not_on_this_machine(api: Api, header: str) -> None:
    (answer,) = await api.raw(f"GET /metrics HTTP/1.1\r\nHost: localhost\r\n{header}\r\n\r\n")
    assert (answer.status, answer.code) == (403, "FORBIDDEN")


@pytest.mark.parametrize(
    ("host", "seen"),
    [("localhost", True), ("LOCALHOST:8080", True), ("127.0.0.1:1", True), ("127.1.2.3", True), ("[::1]:80", True),
     ("mp3.example.org", False), ("192.0.2.1:8080", False), ("[2001:db8::1]", False), ("localhost.example.org", False)],
)  # fmt: skip
async def test_who_asks_for_another_name_came_through_a_proxy(api: Api, host: str, seen: bool) -> None:
    (answer,) = await api.raw(f"GET /metrics HTTP/1.1\r\nHost: {host}\r\n\r\n")
    assert answer.status == (200 if seen else 403)


async def test_a_plain_nginx_shows_the_metrics_to_nobody(api: Api) -> None:
    """As it comes it adds no header, asks for the address it was given, and speaks HTTP/1.0."""
    (answer,) = await api.raw(f"GET /metrics HTTP/1.0\r\nHost: 127.0.0.1:{api.port}\r\nConnection: close\r\n\r\n")
    assert (answer.status, answer.code) == (403, "FORBIDDEN")


async def test_one_servers_numbers_are_not_anothers(api: Api, start_api: StartApi) -> None:
    await api.made("some-video-")
    other = await start_api(folder=api.app[ARTIFACTS]._folder.parent.with_name("other"))
    assert (await counted(other))["ytmp3d_conversions_accepted_total"] == 0


# ---- the page


async def test_the_page_is_there_and_allows_only_its_own_files(api: Api) -> None:
    page = await api.get("/", key=None)
    assert (page.status, page.headers["Content-Type"].split(";")[0]) == (200, "text/html")
    policy = page.headers["Content-Security-Policy"]
    assert "unsafe" not in policy and "*" not in policy and "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    for name in re.findall(r'(?:src|href)="(/static/[^"]+)"', page.body.decode()):
        assert (await api.get(name, key=None)).status == 200, name


@pytest.mark.parametrize(
    ("name", "kind"), [("app.js", "javascript"), ("style.css", "text/css"), ("icon.svg", "image/svg")]
)
async def test_the_pages_files_have_their_types(api: Api, name: str, kind: str) -> None:
    answer = await api.get(f"/static/{name}", key=None)
    assert answer.status == 200 and kind in answer.headers["Content-Type"]


@pytest.mark.parametrize(
    "path",
    ["/static/.gitignore", "/static/downloads", "/static/downloads/.staging", "/static/..%2fsetup.cfg",
     "/static/%2e%2e", "/static//etc/passwd", "/static/app.js/", "/static/../server/app.py", "/static/app.js%00"],
)  # fmt: skip
async def test_nothing_else_is_served_whatever_the_path_says(api: Api, path: str) -> None:
    assert (await api.get(path, key=None)).code == "NOT_FOUND"
