"""The log: one line for each request and stage, nothing secret in it, and never more than it can bear."""

from __future__ import annotations

import io
import json
import logging
import re
import sys
import threading
from datetime import UTC, datetime

import pytest
from conftest import StartApi
from support.api import KEY, KEYS, OTHER, Api, bearer, link, watch

from server import logs
from server.access.keys import Key
from server.config import LimitsConfig, LogConfig, ServerConfig
from server.http.request_log import UNKEYED_PER_SECOND
from server.logs import MAX_LINE, CleanRecord, logging_to_stderr

log = logging.getLogger("test.logs")
UUID = "f81d4fae-7dec-11d0-a765-00a0c91e6bf6"


def written(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().err.splitlines()


# ---- lines


def test_a_line_says_when_how_grave_and_what(capsys: pytest.CaptureFixture[str]) -> None:
    with logging_to_stderr(LogConfig()):
        log.info("hello %s", "you")
        log.debug("unseen")
    (line,) = written(capsys)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z info    hello you", line)


def test_a_line_can_be_json(capsys: pytest.CaptureFixture[str]) -> None:
    with logging_to_stderr(LogConfig(format="json", level="debug")):
        log.debug('a "quoted"\nmessage', extra={"fields": {"status": 200}})
    (line,) = written(capsys)
    found = json.loads(line)
    assert found["message"] == 'a "quoted"\nmessage' and found["status"] == 200
    assert (found["level"], found["logger"]) == ("debug", "test.logs") and found["time"]


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_line_that_is_clean_is_written_as_it_is_and_once_a_second(
    capsys: pytest.CaptureFixture[str], form: str
) -> None:
    with logging_to_stderr(LogConfig(format=form)):
        for _ in range(3):
            log.handle(CleanRecord(log.name, "GET /metrics 200 50 % -", {"status": 200}))
    first, count = written(capsys)
    if form == "text":
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z info    GET /metrics 200 50 % -", first)
    else:
        found = json.loads(first)
        assert datetime.fromisoformat(found.pop("time")).tzinfo == UTC
        assert found == {"level": "info", "logger": log.name, "message": "GET /metrics 200 50 % -", "status": 200}
    assert "GET /metrics 200 50 % - … (repeated 2 times)" in count


def test_levels_below_the_configured_are_not_written(capsys: pytest.CaptureFixture[str]) -> None:
    with logging_to_stderr(LogConfig(level="error")):
        log.warning("unseen")
        log.error("seen")
    assert [line.split()[-1] for line in written(capsys)] == ["seen"]


def test_after_the_block_logging_is_as_before(capsys: pytest.CaptureFixture[str]) -> None:
    before = logging.getLogger().handlers[:], logging.getLogger().level
    with logging_to_stderr(LogConfig(level="debug")):
        pass
    assert (logging.getLogger().handlers, logging.getLogger().level) == before


SECRETS = [
    "ytmp3d_Zr8PKqJxZbGQ1x6nYbYl3mY2dP0aXc9-",
    "9SHgYmVO6suNZtKHs30QvB2Q",
    "-SHgYmVO6suNZtKHs30QvB2Q",
    "9SHgYmVO6suNZtKHs30QvB2-",
    "_SHgYmVO6suNZtKHs30QvB2_",
]


@pytest.mark.parametrize("around", ["{}", "x {} y", "/static/downloads/{}.mp3", "({})", "'{}'", "Bearer {}", "id:{}"])
@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("form", ["text", "json"])
def test_no_line_holds_a_whole_key_or_id(
    capsys: pytest.CaptureFixture[str], form: str, secret: str, around: str
) -> None:
    with logging_to_stderr(LogConfig(format=form)):
        log.info("%s", around.format(secret))
        try:
            raise ValueError(around.format(secret))
        except ValueError:
            log.exception("with a traceback")
    text = "\n".join(written(capsys))
    assert "with a traceback" in text and "ValueError" in text
    assert secret not in text and secret[1:-1] not in text


def test_a_short_key_is_no_less_secret(capsys: pytest.CaptureFixture[str]) -> None:
    with logging_to_stderr(LogConfig()):
        log.info("Authorization: Bearer hunter2 and GET /#key=hunter2")
    (line,) = written(capsys)
    assert "hunter2" not in line and "Authorization" in line


def test_who_uses_a_proxy_is_nobodys_business(capsys: pytest.CaptureFixture[str]) -> None:
    with logging_to_stderr(LogConfig()):
        log.info("Proxy map: {'all': 'socks5h://me:hun@ter2@proxy:1'}, https://youtu.be/x?y=a@b")
    (line,) = written(capsys)
    assert line.endswith("Proxy map: {'all': 'socks5h://…@proxy:1'}, https://youtu.be/x?y=a@b")


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_line_is_bounded_and_keeps_its_end(capsys: pytest.CaptureFixture[str], form: str) -> None:
    with logging_to_stderr(LogConfig(format=form)):
        log.info("begin %s end", "word " * 10_000)
    (line,) = written(capsys)
    assert len(line) < MAX_LINE + 200 and "begin" in line and "end" in line


def test_nothing_that_is_logged_looks_like_a_line_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    with logging_to_stderr(LogConfig()):
        log.info("title: %s", "x\n2026-01-01T00:00:00.000Z error   forged\r\x1b[31mred\u202e")
    lines = written(capsys)
    assert len(lines) == 2 and lines[1].startswith(" ")
    assert "\x1b" not in "".join(lines) and "\u202e" not in "".join(lines)


class SlowTerminal(io.StringIO):
    def __init__(self) -> None:
        super().__init__()
        self.ready = threading.Event()

    def write(self, text: str) -> int:
        assert self.ready.wait(10)
        return super().write(text)


def test_a_slow_terminal_costs_lines_and_neither_time_nor_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "MAX_WAITING", 5)
    terminal = SlowTerminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with logging_to_stderr(LogConfig()):
        for number in range(1000):
            log.info("line %d", number)
        terminal.ready.set()
    lines = terminal.getvalue().splitlines()
    assert 1 <= len(lines) <= 10 and lines[0].endswith("line 0")


# ---- requests


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, "server")
    return caplog


def texts(records: list[logging.LogRecord]) -> list[str]:
    return [logs._TextFormatter().format(record) for record in records]


def of_requests(lines: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in lines.records if record.name == "server.http.request_log"]


async def test_every_request_is_a_line(api: Api, lines: pytest.LogCaptureFixture) -> None:
    await api.post("/convert", {"url": watch("some-video-")}, headers={"X-Request-ID": UUID})
    await api.get("/nothing?a=secret")
    first, second = of_requests(lines)
    assert re.search(rf"POST /convert 200 \d+\.\d ms 127\.0\.0\.1 anna id={UUID}$", texts([first])[0])
    assert re.search(r"GET unmatched 404 \d+\.\d ms 127\.0\.0\.1 - id=[0-9a-f]{16}$", texts([second])[0])
    fields = json.loads(logs._JsonFormatter().format(first))
    assert (fields["request_id"], fields["route"], fields["status"]) == (UUID, "/convert", 200)
    assert (fields["key"], fields["client"]) == ("anna", "127.0.0.1")


async def test_the_stages_of_a_conversion_name_the_request_that_began_it(
    api: Api, lines: pytest.LogCaptureFixture
) -> None:
    await api.post("/convert", {"url": watch("some-video-")}, headers={"X-Request-ID": UUID, "Prefer": "wait=50"})
    stages = [text for text in texts(lines.records) if "job some-video- 320" in text]
    assert stages and all(f"id={UUID}" in text for text in stages)


async def test_behind_a_trusted_proxy_the_client_is_the_client(
    start_api: StartApi, lines: pytest.LogCaptureFixture
) -> None:
    api = await start_api(server=ServerConfig(trusted_proxies=("127.0.0.1",)))
    await api.get("/healthz", headers={"X-Forwarded-For": "127.0.0.1, 203.0.113.9"})
    await api.get("/healthz", headers={"X-Forwarded-For": "y " * 500})
    first, second = texts(of_requests(lines))
    assert " 203.0.113.9 " in first and "y" * 33 not in second


@pytest.mark.parametrize("hidden", ["{}", "id={}", "a id={}", "{} b", "\xff {}"])
async def test_a_client_whom_a_proxy_makes_up_smuggles_no_secret_into_a_line(
    start_api: StartApi, lines: pytest.LogCaptureFixture, hidden: str
) -> None:
    api = await start_api(server=ServerConfig(trusted_proxies=("127.0.0.1",)))
    conversion_id = (await api.made("some-video-"))["conversion_id"]
    sent = f"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: {hidden.format(conversion_id)}\r\n\r\n"
    await api.raw(sent.encode("latin-1"))
    for form in (logs._TextFormatter(), logs._JsonFormatter()):
        text = form.format(of_requests(lines)[-1])
        assert "/healthz" in text and conversion_id not in text and text.isprintable()


async def test_no_line_of_a_busy_server_holds_a_secret(api: Api, lines: pytest.LogCaptureFixture) -> None:
    ids = [(await api.made("some-video-"))["conversion_id"], (await api.convert("led-failing"))["conversion_id"]]
    for attempt in (1, 2):
        (await api.studio.take("led-failing", attempt)).fail(RuntimeError(f"no file for {ids[1]}"))
    await api.status(ids[1], wait=50)
    for one in ids:
        await api.get(link(one))
        await api.get(f"/status/{one}", key=OTHER)
        await api.get(f"/status/{one}/nothing/{KEY}?key={KEY}")
        await api.get(f"/status/{one}", headers={"X-Request-ID": one})
        await api.request("DELETE", f"/status/{one}")
    await api.get("/status", headers=bearer("ytmp3d_almost-a-key-but-not-one"), key=None)
    await api.raw(f"nonsense {KEY} {ids[0]}\r\n\r\n")
    text = "\n".join([*texts(lines.records), *(logs._JsonFormatter().format(record) for record in lines.records)])
    assert len(lines.records) > 10
    for secret in (*ids, KEY, OTHER, "almost-a-key"):
        assert secret not in text


@pytest.mark.parametrize("path", ["/nothing", "/healthz", "/status", "/convert"])
async def test_a_flood_fills_no_disk(start_api: StartApi, lines: pytest.LogCaptureFixture, path: str) -> None:
    api = await start_api(keys={**KEYS, "few": Key("few", LimitsConfig(1, 1, 1))})
    await api.get("/status", key="few")
    begun = len(lines.records)
    for _ in range(8 * UNKEYED_PER_SECOND):
        await api.get(path, key="few")
    seconds = len({int(record.created) for record in lines.records[begun:]}) + 1
    assert len(lines.records) - begun <= (UNKEYED_PER_SECOND + 1) * (seconds + 1)
    assert len(lines.records) - begun < 7 * UNKEYED_PER_SECOND, "or the machine was too slow to tell"


async def test_who_has_a_key_and_is_served_is_always_written(api: Api, lines: pytest.LogCaptureFixture) -> None:
    for _ in range(2 * UNKEYED_PER_SECOND):
        await api.get("/status")
    assert len(of_requests(lines)) == 2 * UNKEYED_PER_SECOND
