"""HTTP at its edges, over bare sockets: whatever is sent, what comes back is well-formed and ours."""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import re
import socket
import struct
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from conftest import StartApi
from support.api import KEY, SOON, Api, checked, link, read_answer, read_head, serving, watch

from server.config import ServerConfig
from server.http import request_body
from server.http.server import make_runner

HEAD = f"Host: x\r\nAuthorization: Bearer {KEY}\r\n"
GOOD = b'{"url": "https://youtu.be/some-video-"}'


def post(body: bytes, extra: str = "", path: str = "/convert") -> bytes:
    return f"POST {path} HTTP/1.1\r\n{HEAD}{extra}Content-Length: {len(body)}\r\n\r\n".encode() + body


def chunked(*chunks: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    head = f"POST /convert HTTP/1.1\r\n{HEAD}Transfer-Encoding: chunked\r\n\r\n".encode()
    return head + b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + end


# ---- what is not HTTP


@pytest.mark.parametrize(
    "sent",
    [
        b"nonsense\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 a TLS hello\r\n\r\n",
        b"GET / HTTP/9.9\r\nHost: x\r\n\r\n",
        b"GET / FTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /a b HTTP/1.1\r\nHost: x\r\n\r\n",
        b"G\x00T / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nBad Header: y\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: a\x00b\r\n\r\n",
        b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: " + b"a" * 20_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
        b"POST /convert HTTP/1.1\r\nHost: x\r\nContent-Length: many\r\n\r\n",
        b"POST /convert HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
        b"POST /convert HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
        b"POST /convert HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /convert HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n0\r\n\r\n",
    ],
)
async def test_broken_http_gets_the_envelope_and_no_echo(
    api: Api, sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with api.connected() as (reader, writer):
        with caplog.at_level(logging.INFO):
            writer.write(sent)
            answer = checked(await read_answer(reader))
            assert await reader.read() == b"", "and the connection is closed"
    assert (answer.status, answer.code) == (400, "MALFORMED_REQUEST")
    assert b"aaaa" not in answer.body and b"hello" not in answer.body
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


async def test_many_headers_are_too_many(api: Api) -> None:
    lines = "".join(f"X-{n}: {'v' * 50}\r\n" for n in range(5000))
    async with api.connected() as (reader, writer):
        writer.write(f"GET /healthz HTTP/1.1\r\nHost: x\r\n{lines}\r\n".encode())
        answer = await read_answer(reader)
    assert (answer.status, answer.code) == (400, "MALFORMED_REQUEST")


@pytest.mark.parametrize("broken", [b"zz\r\nhello\r\n0\r\n\r\n", b"5\r\nhelloworld\r\n0\r\n\r\n"])
async def test_broken_chunks_are_malformed(api: Api, broken: bytes) -> None:
    (answer,) = await api.raw(chunked(end=broken))
    assert (answer.status, answer.code) == (400, "MALFORMED_REQUEST")


async def test_a_body_that_breaks_off_accepts_nothing(api: Api) -> None:
    async with api.connected() as (_reader, writer):
        writer.write(post(GOOD)[:-5])
        await writer.drain()
    assert (await api.get("/status")).json["jobs"] == []


@pytest.mark.parametrize("how", ["closed", "reset", "unreachable"])
async def test_a_client_that_leaves_in_mid_body_is_no_more_than_a_debug_line(
    api: Api, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "server")
    async with api.connected() as (reader, writer):
        writer.write(post(GOOD, "Expect: 100-continue\r\n")[:-5])
        assert (await read_head(reader))[0] == 100, "it is being read"
        if how == "closed":
            writer.close()
        elif how == "reset":
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
        else:
            assert api.runner.server
            (connection,) = (one for one in api.runner.server.connections if one._current_request is not None)
            transport: Any = connection.transport
            transport._force_close(OSError(errno.EHOSTUNREACH, "No route to host"))
        async with asyncio.timeout(SOON):
            while not [record for record in caplog.records if "left in the middle" in record.getMessage()]:
                await asyncio.sleep(0.01)
    assert {record.levelno for record in caplog.records if record.levelno != logging.INFO} == {logging.DEBUG}
    assert not [record for record in caplog.records if record.exc_info]


@pytest.mark.parametrize(
    "sent", ["GET /healthz", "GET /nothing", "OPTIONS /convert", "GET /static/app.js", "GET /metrics", "nonsense"]
)
async def test_no_answer_names_a_version(api: Api, sent: str) -> None:
    (answer,) = await api.raw(f"{sent} HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answer.headers["Server"] == "ytmp3d"


async def test_what_a_client_sent_comes_back_without_what_a_terminal_obeys(api: Api) -> None:
    body = json.dumps({"url": "https://evil\u202e.example/\x9b31m"}, ensure_ascii=False).encode()
    (answer,) = await api.raw(post(body))
    assert answer.status == 400 and answer.message.isprintable()


async def test_a_body_that_never_comes_is_not_waited_for_long(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_body, "DEADLINE", 0.2)
    async with api.connected() as (reader, writer):
        writer.write(post(GOOD)[:-5])
        answer = await read_answer(reader)
        assert (answer.status, answer.code) == (400, "MALFORMED_REQUEST")
        assert "0.2 seconds" in answer.message
        assert await reader.read() == b"", "and the connection is closed"


@pytest.mark.parametrize("trickle", [b"x" * 8192])
async def test_a_chunked_body_over_the_limit_is_refused_before_its_end(api: Api, trickle: bytes) -> None:
    async with api.connected() as (reader, writer):
        count = request_body.MAX_BYTES // len(trickle) + 2
        writer.write(chunked(*[trickle] * count, end=b""))
        answer = await read_answer(reader)
    assert (answer.status, answer.code) == (413, "PAYLOAD_TOO_LARGE")


async def test_an_announced_length_over_the_limit_is_refused_whatever_comes(api: Api) -> None:
    async with api.connected() as (reader, writer):
        writer.write(f"POST /convert HTTP/1.1\r\n{HEAD}Content-Length: 99999999\r\n\r\n".encode() + b"x" * 300_000)
        answer = await read_answer(reader)
    assert (answer.status, answer.code) == (413, "PAYLOAD_TOO_LARGE")


async def test_a_chunked_body_is_a_body(api: Api) -> None:
    (answer,) = await api.raw(chunked(GOOD[:7], GOOD[7:]))
    assert answer.status == 200


# ---- Expect, HEAD, versions, forms of the address


async def test_an_expectation_we_cannot_meet_is_417(api: Api) -> None:
    (answer,) = await api.raw(post(GOOD, "Expect: nonsense\r\n"))
    assert (answer.status, answer.code) == (417, "EXPECTATION_FAILED")


async def test_who_expects_100_continue_gets_it_and_then_the_answer(api: Api) -> None:
    async with api.connected() as (reader, writer):
        head, body = post(GOOD, "Expect: 100-continue\r\n").split(b"\r\n\r\n")
        writer.write(head + b"\r\n\r\n")
        assert (await read_head(reader))[0] == 100
        writer.write(body)
        assert (await read_answer(reader)).status == 200


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/", "/static/app.js", "/nothing", "/status/x"])
async def test_head_is_get_without_a_body(api: Api, path: str) -> None:
    request = f"{path} HTTP/1.1\r\n{HEAD}\r\n"
    (with_body,) = await api.raw(f"GET {request}")
    async with api.connected() as (reader, writer):
        writer.write(f"HEAD {request}GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        head = await read_answer(reader, "HEAD")
        assert head.status == with_body.status
        assert (await read_answer(reader)).json == {"status": "ok"}, "the connection is in step"


async def test_http_10_is_served_and_closed(api: Api) -> None:
    async with api.connected() as (reader, writer):
        writer.write(f"GET /status HTTP/1.0\r\nAuthorization: Bearer {KEY}\r\n\r\n".encode())
        answer = await read_answer(reader)
        assert (answer.status, answer.json["jobs"]) == (200, [])
        assert await reader.read() == b""


async def test_an_answer_to_http_10_without_a_host_has_links_that_work(api: Api) -> None:
    head = f"POST /convert HTTP/1.0\r\nAuthorization: Bearer {KEY}\r\nContent-Length: {len(GOOD)}\r\n\r\n"
    (answer,) = await api.raw(head.encode() + GOOD)
    assert answer.json["download_url"].startswith(api.url + "/static/downloads/")


@pytest.mark.parametrize(
    "target", ["*", "http://example.com/healthz", "/%", "/%00", "/status/%2e%2e", "/\xc3\xa4", "//"]
)
@pytest.mark.parametrize("method", ["GET", "OPTIONS", "POST"])
async def test_any_form_of_the_address_is_answered(api: Api, method: str, target: str) -> None:
    (answer,) = await api.raw(f"{method} {target} HTTP/1.1\r\n{HEAD}Connection: close\r\n\r\n".encode("latin-1"))
    assert answer.status in (200, 400, 404, 405), answer


async def test_pipelined_requests_are_answered_in_order(api: Api) -> None:
    one = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    sent = one + post(b"{") + b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n" + post(GOOD) + one
    answers = await api.raw(sent, answers=5)
    assert [answer.status for answer in answers] == [200, 400, 404, 200, 200]


async def test_a_connection_lives_on_after_an_error(api: Api) -> None:
    async with api.connected() as (reader, writer):
        for sent, status in [(post(b"{}"), 400), (post(GOOD, path="/nothing"), 404), (post(GOOD), 200)]:
            writer.write(sent)
            assert (await read_answer(reader)).status == status


# ---- the Host header, and what proxies say


@pytest.mark.parametrize("host", ["", "a b", "x/y", "user@x", "x:port", "x:1:2", '"', "<script>", "[::1", "x:123456"])
async def test_a_host_that_is_none_is_refused_before_anything_is_accepted(api: Api, host: str) -> None:
    head = f"POST /convert HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {KEY}\r\n"
    (answer,) = await api.raw(head.encode() + b"Content-Length: %d\r\n\r\n" % len(GOOD) + GOOD)
    assert (answer.status, answer.code) == (400, "MALFORMED_REQUEST")
    assert (await api.get("/status")).json["jobs"] == []


@pytest.mark.parametrize(("method", "path"), [("GET", "/status/{}"), ("DELETE", "/status/{}"), ("GET", "/status")])
async def test_a_host_that_is_none_is_refused_before_anything_is_done_or_waited_for(
    api: Api, method: str, path: str
) -> None:
    conversion_id = (await api.convert("led-running"))["conversion_id"]
    head = f"{method} {path.format(conversion_id)} HTTP/1.1\r\nHost: a b\r\nAuthorization: Bearer {KEY}\r\n"
    (answer,) = await api.raw(head + "Prefer: wait=60\r\n\r\n")
    assert (answer.status, answer.code) == (400, "MALFORMED_REQUEST")
    assert (await api.status(conversion_id))["status"] != "cancelled"


@pytest.mark.parametrize("host", ["example.com", "Example.com:8080", "127.0.0.1:1", "[::1]:8080", "my_box.local"])
async def test_links_begin_with_the_host_that_was_asked(api: Api, host: str) -> None:
    answer = await api.post("/convert", {"url": watch("some-video-")}, headers={"Host": host})
    assert answer.json["download_url"].startswith(f"http://{host}/static/downloads/")


FORWARDED = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "mp3.example.org", "Host": "inside:8080"}


async def test_what_a_proxy_says_counts_when_it_is_trusted(start_api: StartApi) -> None:
    api = await start_api(server=ServerConfig(trusted_proxies=("127.0.0.0/8",)))
    answer = await api.post("/convert", {"url": watch("some-video-")}, headers=FORWARDED)
    assert answer.json["download_url"].startswith("https://mp3.example.org/static/")
    plain = await api.post("/convert", {"url": watch("some-video-")})
    assert plain.json["download_url"].startswith(api.url)
    strange = await api.post("/convert", {"url": watch("some-video-")}, headers={**FORWARDED, "X-Forwarded-Proto": "x"})
    assert strange.json["download_url"].startswith("http://mp3.example.org/static/"), "no scheme of ours is ignored"
    refused = await api.post(
        "/convert", {"url": watch("some-video-")}, headers={**FORWARDED, "X-Forwarded-Host": "a b"}
    )
    assert refused.code == "MALFORMED_REQUEST" and "X-Forwarded-Host" in refused.message


@pytest.mark.parametrize(
    "forwarded",
    [
        "X-Forwarded-Proto: http, https\r\nX-Forwarded-Host: evil.example, mp3.example.org\r\n",
        "X-Forwarded-Proto: http\r\nX-Forwarded-Host: evil.example\r\n"
        "X-Forwarded-Proto: HTTPS\r\nX-Forwarded-Host: mp3.example.org\r\n",
    ],
)
async def test_what_a_trusted_proxy_adds_to_what_the_client_said_counts(start_api: StartApi, forwarded: str) -> None:
    api = await start_api(server=ServerConfig(trusted_proxies=("127.0.0.1",)))
    (answer,) = await api.raw(post(GOOD, forwarded))
    assert answer.json["download_url"].startswith("https://mp3.example.org/static/")


@pytest.mark.parametrize("trusted", [(), ("10.0.0.0/8", "::1")])
async def test_what_a_stranger_says_of_itself_does_not_count(start_api: StartApi, trusted: tuple[str, ...]) -> None:
    api = await start_api(server=ServerConfig(trusted_proxies=trusted))
    answer = await api.post("/convert", {"url": watch("some-video-")}, headers=FORWARDED)
    assert answer.json["download_url"].startswith("http://inside:8080/static/")


# ---- the request's id


async def test_a_sane_request_id_is_taken_over(api: Api) -> None:
    for given in ("a", "req-1.2_3", "f81d4fae-7dec-11d0-a765-00a0c91e6bf6", "x" * 64):
        for path in ("/healthz", "/nothing", "/static/app.js"):
            answer = await api.get(path, headers={"X-Request-ID": given})
            assert answer.headers["X-Request-ID"] == given


@pytest.mark.parametrize("given", ["", " ", "x" * 65, "a b", "a\tb", "<script>", "\xe4", "a;b", "a/b", "%0d%0a"])
async def test_an_insane_one_is_replaced(api: Api, given: str) -> None:
    async with api.connected() as (reader, writer):
        writer.write(f"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Request-ID: {given}\r\n\r\n".encode("latin-1"))
        answer = await read_answer(reader)
    assert re.fullmatch(r"[0-9a-f]{16}", answer.headers["X-Request-ID"])


@pytest.mark.parametrize("around", ["{}", "a.{}", "{}b", "-{}-", "x" * 40 + "{}"])
async def test_one_that_holds_a_conversions_id_is_replaced(api: Api, around: str) -> None:
    """It would stand whole in the log, and is the right to the download."""
    conversion_id = (await api.convert("some-video-"))["conversion_id"]
    given = around.format(conversion_id)
    answer = await api.get("/healthz", headers={"X-Request-ID": given})
    assert re.fullmatch(r"[0-9a-f]{16}", answer.headers["X-Request-ID"])
    part = conversion_id[2:-1]
    answer = await api.get("/healthz", headers={"X-Request-ID": around.format(part)})
    assert answer.headers["X-Request-ID"] == around.format(part)


async def test_every_request_has_an_id_of_its_own(api: Api) -> None:
    ids = {(await api.get("/healthz")).headers["X-Request-ID"] for _ in range(20)}
    assert len(ids) == 20


# ---- browsers of other origins

ORIGIN = {"Origin": "https://app.example.org"}
PREFLIGHT = {**ORIGIN, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}


async def test_other_origins_are_told_nothing_by_default(api: Api) -> None:
    asked = await api.request("OPTIONS", "/convert", key=None, headers=PREFLIGHT)
    assert (asked.status, asked.code) == (405, "METHOD_NOT_ALLOWED")
    answer = await api.get("/status", headers=ORIGIN)
    assert not [name for name in (*asked.headers, *answer.headers) if name.startswith("Access-Control")]


async def test_an_allowed_origin_may_call_and_read_the_headers(start_api: StartApi) -> None:
    api = await start_api(server=ServerConfig(cors_origins=("https://app.example.org",)))
    asked = await api.request("OPTIONS", "/convert", key=None, headers=PREFLIGHT)
    assert (asked.status, asked.body) == (204, b"")
    assert asked.headers["Access-Control-Allow-Origin"] == ORIGIN["Origin"]
    assert "POST" in asked.headers["Access-Control-Allow-Methods"]
    assert "Authorization" in asked.headers["Access-Control-Allow-Headers"]
    for answer in (
        await api.get("/status", headers=ORIGIN),
        await api.get("/nothing", headers=ORIGIN),
        await api.post("/convert", {}, key=None, headers=ORIGIN),
    ):
        assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN["Origin"]
        assert "X-RateLimit-Remaining" in answer.headers["Access-Control-Expose-Headers"]
        assert "Origin" in answer.headers["Vary"]
        assert "Access-Control-Allow-Credentials" not in answer.headers
    conversion_id = (await api.made("some-video-"))["conversion_id"]
    part = await api.get(link(conversion_id), headers={**ORIGIN, "Range": "bytes=0-9"})
    exposed = part.headers["Access-Control-Expose-Headers"].split(", ")
    for name in ("Content-Range", "ETag", "Content-Disposition"):
        assert name in part.headers and name in exposed


@pytest.mark.parametrize("origin", [ORIGIN, {"Origin": "https://evil.example"}, {}])
async def test_where_origins_matter_every_answer_tells_caches_so(start_api: StartApi, origin: dict[str, str]) -> None:
    @web.middleware
    async def varied(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        response = await handler(request)
        response.headers["Vary"] = "Accept"
        return response

    server = ServerConfig(cors_origins=("https://app.example.org",))
    api = await start_api(server=server, middlewares=[varied])
    for path, varies in (
        ("/nothing", "Origin"),
        ("/static/app.js", "Accept-Encoding, Origin"),
        (link("none"), "Origin"),
    ):
        assert (await api.get(path, headers=origin)).headers.getall("Vary") == [varies], path
    assert (await api.get("/healthz", headers=origin)).headers.getall("Vary") == ["Accept, Origin"]


async def test_an_origin_that_is_not_allowed_stays_outside(start_api: StartApi) -> None:
    api = await start_api(server=ServerConfig(cors_origins=("https://app.example.org",)))
    for origin in ("https://app.example.org.evil.example", "http://app.example.org", "null"):
        asked = await api.request("OPTIONS", "/convert", key=None, headers={**PREFLIGHT, "Origin": origin})
        answer = await api.get("/status", headers={"Origin": origin})
        assert "Access-Control-Allow-Origin" not in asked.headers
        assert "Access-Control-Allow-Origin" not in answer.headers


async def test_a_star_allows_every_origin(start_api: StartApi) -> None:
    api = await start_api(server=ServerConfig(cors_origins=("*",)))
    answer = await api.get("/status", headers={"Origin": "https://anywhere.example"})
    assert answer.headers["Access-Control-Allow-Origin"] in ("*", "https://anywhere.example")


# ---- many at once


async def test_idle_and_broken_connections_do_not_stand_in_anybodys_way(api: Api) -> None:
    opened = [await asyncio.open_connection("127.0.0.1", api.port) for _ in range(200)]
    try:
        for number, (_, writer) in enumerate(opened):
            writer.write(b"POST /convert HTT"[: number % 17])
        async with asyncio.timeout(SOON):
            answers = await asyncio.gather(*(api.get("/status") for _ in range(50)))
        assert {answer.status for answer in answers} == {200}
    finally:
        for _, writer in opened:
            writer.transport.abort()


async def test_downloads_that_nobody_reads_hold_up_the_end_for_two_seconds(tmp_path: Path) -> None:
    opened: list[asyncio.StreamWriter] = []
    async with asyncio.timeout(None) as deadline, serving(tmp_path) as api:
        whole, growing = [(await api.convert(video))["conversion_id"] for video in ("led-whole--", "led-growing")]
        for video in ("led-whole--", "led-growing"):
            (await api.studio.take(video)).grow(b"x" * (16 << 20))
        (await api.studio.take("led-whole--")).finish()
        await api.status(whole, wait=50)
        for conversion_id in (whole, growing):
            reader, writer = await asyncio.open_connection("127.0.0.1", api.port)
            opened.append(writer)
            writer.write(f"GET {link(conversion_id)} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            assert (await read_head(reader))[0] == 200
        assert 2 * make_runner(api.app)._shutdown_timeout <= 2, "aiohttp waits it twice"
        deadline.reschedule(asyncio.get_running_loop().time() + SOON)
    for writer in opened:
        writer.transport.abort()
