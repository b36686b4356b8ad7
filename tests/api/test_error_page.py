"""A person's browser gets a page that says what happened and what to do; every other client gets JSON."""

from __future__ import annotations

import html
import re
from typing import Any

import aiohttp
import pytest
from conftest import StartApi
from multidict import CIMultiDict
from support.api import KEY, Answer, Api, link, watch

from server import errors
from server.access.keys import Key
from server.config import LimitsConfig, ServerConfig
from server.http.error_answer import SECURITY_HEADERS
from server.http.error_page import page, prefers_html

CHROMIUM = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"
FIREFOX = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


async def browsed(api: Api, path: str, *, method: str = "GET", accept: str = CHROMIUM, key: str = "") -> Answer:
    """As a browser asks; what comes back is held to what is promised for every page."""
    head = {"Accept": accept, **({"Authorization": f"Bearer {key}"} if key else {})}
    async with api.session.request(method, api.address(path), headers=head, allow_redirects=False) as got:
        answer = Answer(got.status, CIMultiDict(got.headers), await got.read())
    assert isinstance(got, aiohttp.ClientResponse)
    for name, value in SECURITY_HEADERS.items():
        assert answer.headers.getall(name) == [value]
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert answer.headers["Cache-Control"] == "no-store" and answer.headers["X-Request-ID"]
    text = answer.body.decode()
    assert "<script" not in text and "style=" not in text and not re.search(r"\son\w+=", text)
    return answer


@pytest.mark.parametrize(
    ("accept", "html"),
    [
        (CHROMIUM, True),
        (FIREFOX, True),
        ("text/html", True),
        ("TEXT/HTML;level=1;q=0.4", True),
        ("text/html, application/json", True),
        ("text/html;q=0.5, */*;q=0.1", True),
        ("", False),
        ("*/*", False),
        ("text/*", False),
        ("application/json", False),
        ("application/json, text/plain, */*", False),
        ("application/json, text/html", False),
        ("application/json, text/html;q=0.9", False),
        ("text/html;q=0.5, application/json", False),
        ("text/html;q=0.5, */*", False),
        ("*/*, text/html", False),
        ("text/html;q=0", False),
        ("text/html;q=nan, */*;q=0.5", True),
        ("text/html;q=0.5, application/*;q=0.6", False),
        ("text/event-stream", False),
        (",;,=;q=,text/html;", True),
        ("a/b," * 3000 + "text/html", False),
    ],
)
def test_who_wants_a_page(accept: str, html: bool) -> None:
    assert prefers_html(accept) is html


async def test_a_link_that_leads_nowhere_is_a_page_that_says_so(api: Api) -> None:
    answer = await browsed(api, link("no-such-id"))
    text = answer.body.decode()
    assert answer.status == 404 and "CONVERSION_NOT_FOUND" in text
    assert "it was removed or has expired" in text and 'href="/"' in text


@pytest.mark.parametrize("accept", ["*/*", "application/json", "application/json, text/html", ""])
@pytest.mark.parametrize("path", ["/nothing", "/status", link("no-such-id")])
async def test_every_other_client_gets_json(api: Api, accept: str, path: str) -> None:
    answer = await api.get(path, key=None, headers={"Accept": accept})
    assert answer.code in ("NOT_FOUND", "UNAUTHORIZED", "CONVERSION_NOT_FOUND")
    assert answer.headers["Cache-Control"] == "no-store"


async def test_status_and_headers_are_the_same_as_of_the_json(start_api: StartApi) -> None:
    api = await start_api(keys={KEY: Key("anna", LimitsConfig(1, 100, 100))})
    assert (await api.get("/status")).status == 200
    for path, method, key, status in (
        ("/status", "GET", "", 401),
        ("/status", "GET", KEY, 429),
        ("/healthz", "POST", "", 405),
        ("/static/nothing.js", "GET", "", 404),
    ):
        json = await api.request(method, path, key=key or None)
        answer = await browsed(api, path, method=method, key=key)
        assert answer.status == json.status == status
        for name in ("WWW-Authenticate", "Allow", "X-RateLimit-Limit", "X-RateLimit-Remaining"):
            assert answer.headers.get(name) == json.headers.get(name)
        assert html.escape(json.message) in answer.body.decode() or status == 429
    assert "Try again in " in answer.body.decode() or status != 429


async def test_a_failed_conversion_is_named_as_such(api: Api) -> None:
    conversion_id = (await api.convert("led-failing"))["conversion_id"]
    (await api.studio.take("led-failing")).fail(errors.VideoPrivate())
    await api.status(conversion_id, wait=9)
    text = (await browsed(api, link(conversion_id))).body.decode()
    assert "could not be converted" in text and "VIDEO_PRIVATE" in text and errors.VideoPrivate.text in text


async def test_a_link_that_has_expired_can_be_converted_again(api: Api) -> None:
    made = await api.made("some-video-")
    api.engine._expire([api.engine.table.get(made["conversion_id"])])  # type: ignore[list-item]
    text = (await browsed(api, link(made["conversion_id"]))).body.decode()
    assert 'href="/?url=https://youtu.be/some-video-">Convert again' in text


async def test_the_owners_half_of_a_message_is_folded_away(api: Api) -> None:
    conversion_id = (await api.convert("led-failing"))["conversion_id"]
    (await api.studio.take("led-failing")).fail(errors.BotCheck())
    await api.status(conversion_id, wait=9)
    text = (await browsed(api, link(conversion_id))).body.decode()
    assert "[ytdlp]" not in text.partition("<details>")[0] and "[ytdlp]" in text


async def test_what_a_client_wrote_is_text_on_the_page(api: Api) -> None:
    head = {"Accept": CHROMIUM, "Authorization": f"Bearer {KEY}"}
    url = "https://<script>alert(1)</script>\u202e\x9b.example/"
    async with api.session.post(api.url + "/convert", json={"url": url}, headers=head) as got:
        text = await got.text()
    assert got.status == 400 and "<script" not in text and "\u202e" not in text and "\x9b" not in text


async def test_behind_a_path_its_links_lead_to_that_path(start_api: StartApi) -> None:
    api = await start_api(server=ServerConfig(public_url="https://example.org/mp3"))
    text = (await browsed(api, "/nothing")).body.decode()
    assert 'href="/mp3/"' in text and 'href="/mp3/static/style.css"' in text


async def test_head_has_no_body(api: Api) -> None:
    async with api.session.head(api.url + "/nothing", headers={"Accept": CHROMIUM}) as got:
        assert (got.status, await got.read()) == (404, b"")


def test_every_error_has_a_page() -> None:
    for error in errors.REQUEST_ERRORS.values():
        waits = issubclass(error, errors.Unavailable | errors.QuotaExceeded)
        more: dict[str, Any] = {"retry_after": 7} if waits else {}
        one = error("A message.", **more)
        text = page(one, "").decode()
        assert "A message." in text and one.code in text
        assert ("Try again in 7 seconds" in text) == waits


async def test_the_style_it_names_is_there(api: Api) -> None:
    text = (await browsed(api, "/nothing")).body.decode()
    for path in re.findall(r'<link [^>]*href="([^"]+)"', text):
        assert (await api.get(path, key=None)).status == 200


async def test_an_answer_that_is_no_error_is_as_ever(api: Api) -> None:
    answer = await api.post("/convert", {"url": watch("some-video-")}, headers={"Accept": CHROMIUM})
    assert answer.headers["Content-Type"].startswith("application/json")
