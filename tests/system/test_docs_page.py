"""The reference page in a real Chromium against a real offline server (support/browsing.py)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import Page, Route, expect
from support.accessibility import assert_accessible
from support.description import SPEC

from server import errors
from server.offline.catalogue import RESERVED
from server.offline.keys import TABLE
from server.offline.playlists import RESERVED_LISTS

if TYPE_CHECKING:
    from support.browsing import OpenPage, Server

pytest_plugins = ["support.browsing"]
pytestmark = pytest.mark.long  # a browser

PHONE = {"width": 320, "height": 640}


@pytest.fixture
def open_docs(open_page: OpenPage, server: Server) -> OpenPage:
    def open_docs(**settings: Any) -> Page:
        page = open_page(None, **settings)
        page.goto(f"{server.url}/docs")
        expect(page.get_by_role("heading", name="Error codes")).to_be_attached()
        return page

    return open_docs


def test_it_shows_every_operation_every_error_code_and_every_field(open_docs: OpenPage) -> None:
    page = open_docs()
    for item in SPEC["paths"].values():
        for operation in item.values():
            expect(page.locator(f"h3#{operation['operationId']}")).to_have_text(operation["summary"])
    codes = page.locator("section[aria-labelledby=error-codes] tbody th").all_inner_texts()
    assert codes == [*errors_in_order("request"), *errors_in_order("job")]
    fields = page.locator("section[aria-labelledby=conversion] tbody th").all_inner_texts()
    assert [field for field in fields if "." not in field] == list(
        SPEC["components"]["schemas"]["Conversion"]["properties"]
    )


def test_it_shows_the_answers_and_refusals_of_an_operation(open_docs: OpenPage) -> None:
    section = open_docs().locator("section[aria-labelledby=convert]")
    summaries = section.locator("details:not(.try) > summary")
    expect(summaries).to_have_text(["200 Accepted, or already made.application/json", re.compile("^Errors")])
    summaries.first.click()
    expect(section.locator("details[open] pre").first).to_contain_text('"status": "queued"')
    summaries.last.click()
    expect(section.get_by_role("rowheader", name="429").first).to_be_visible()
    expect(section.get_by_role("cell", name="RATE_LIMITED")).to_be_visible()


def test_no_part_of_it_is_shown_as_an_object(open_docs: OpenPage) -> None:
    page = open_docs()
    page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
    text = page.locator("body").inner_text()
    assert not re.search(r"\[object |undefined|\bNaN\b", text)


def errors_in_order(kind: str) -> list[str]:
    found = list(SPEC["x-error-codes"][kind])
    assert set(found) == set(errors.REQUEST_ERRORS if kind == "request" else errors.JOB_ERRORS)
    return found


def test_offline_it_shows_every_reserved_video_list_and_key(open_docs: OpenPage) -> None:
    page = open_docs()
    shown = page.locator("section[aria-labelledby=reserved] tbody th").all_inner_texts()
    assert shown == [*RESERVED, *RESERVED_LISTS, *(one.key for one in TABLE)]


def test_a_request_is_tried_with_ones_own_key_beside_its_line_for_curl(open_docs: OpenPage, server: Server) -> None:
    page = open_docs()
    section = page.locator("section[aria-labelledby=convert]")
    section.get_by_text("Try it").click()
    body = section.get_by_role("textbox", name="Body")
    assert "youtube.com" in body.input_value()
    section.get_by_role("button", name="Send").click()
    expect(section.locator(".outcome")).to_contain_text("Enter your key")
    expect(page.get_by_label("Your key, to try requests here")).to_be_focused()
    page.keyboard.type("test-unlimited")
    page.keyboard.press("Tab")
    body.fill('{"url": "https://youtu.be/x-private--"}')
    head = "-H 'Authorization: Bearer YOUR_API_KEY' -H 'Content-Type: application/json'"
    line = f"""curl -X POST '{server.url}/convert' {head} -d '{{"url":"https://youtu.be/x-private--"}}'"""
    expect(section.locator("form > pre")).to_have_text(line)
    section.get_by_label("Prefer").fill("wait=30")
    section.get_by_role("button", name="Send").click()
    expect(section.locator(".outcome")).to_contain_text("200 OK")
    expect(section.locator(".outcome")).to_contain_text("VIDEO_PRIVATE")
    status = page.locator("section[aria-labelledby=status]")
    status.get_by_text("Try it").click()
    expect(status.get_by_label("conversion_id")).to_have_value(re.compile(r"[\w-]{24}"))
    status.get_by_role("button", name="Send").click()
    expect(status.locator(".outcome")).to_contain_text('"status": "failed"')
    assert_accessible(page)


def test_a_reserved_id_is_found_by_a_word_and_on_a_phone_the_contents_are_folded(open_docs: OpenPage) -> None:
    page = open_docs(viewport=PHONE)
    expect(page.locator("#contents ul").first).to_be_hidden()
    page.get_by_label("Find an id, a code or a word").fill("payment trailer")
    expect(page.locator("section[aria-labelledby=reserved] tbody tr:visible th")).to_have_text(["x-trailer--"])


def test_without_reserved_ids_there_is_no_word_of_offline_mode(open_page: OpenPage, server: Server) -> None:
    page = open_page(None)
    page.route("**/openapi.json", lambda route: route.fulfill(json=SPEC))
    page.goto(f"{server.url}/docs")
    expect(page.get_by_role("heading", name="Error codes")).to_be_attached()
    expect(page.get_by_role("heading", name="Offline mode")).to_have_count(0)


def test_the_examples_name_this_server_and_change_language_together(open_docs: OpenPage, server: Server) -> None:
    page = open_docs()
    expect(page.locator(".samples pre:visible").first).to_contain_text(f"curl {server.url}/convert")
    assert "127.0.0.1:8080" not in page.locator("main").inner_text()
    page.get_by_role("button", name="Python").nth(2).click()
    shown = page.locator(".samples pre:visible").all_inner_texts()
    assert len(shown) == len(page.locator(".samples").all())
    assert all(text.startswith("import ") for text in shown)
    page.reload()
    expect(page.locator(".samples pre:visible").first).to_contain_text("import requests")


def test_copy_copies_the_example(open_docs: OpenPage) -> None:
    page = open_docs(permissions=["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy: Convert a video, in curl").click()
    expect(page.locator("#announcer")).to_have_text("Copied.")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == page.locator(".samples pre:visible").first.inner_text()


def test_copy_works_where_the_browser_keeps_its_clipboard_for_https(open_docs: OpenPage) -> None:
    page = open_docs(permissions=["clipboard-read", "clipboard-write"])
    page.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject(new Error('not here')); }")
    page.get_by_role("button", name="Copy: Convert a video, in curl").click()
    expect(page.locator("#announcer")).to_have_text("Copied.")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == page.locator(".samples pre:visible").first.inner_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_accessible(open_docs: OpenPage, scheme: str) -> None:
    page = open_docs(color_scheme=scheme)
    page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
    assert_accessible(page, only="color-contrast" if scheme == "dark" else "")


def test_a_phone_need_not_scroll_sideways(open_docs: OpenPage) -> None:
    page = open_docs(viewport=PHONE)
    page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]


def test_a_link_to_a_part_leads_there(open_page: OpenPage, server: Server) -> None:
    page = open_page(None)
    page.goto(f"{server.url}/docs#error-codes")
    expect(page.get_by_role("heading", name="Error codes")).to_be_in_viewport()
    expect(page.locator("nav a[aria-current]")).to_have_text("Error codes")


def test_text_of_the_description_is_never_markup(open_page: OpenPage, server: Server) -> None:
    def with_markup(route: Route) -> None:
        markup = "<img src=x onerror=alert(1)><script>alert(1)</script>"
        info = {**SPEC["info"], "description": markup, "version": markup}
        route.fulfill(
            json={**SPEC, "info": info, "x-reserved": {"videos": [], "keys": [{"key": markup, "behaviour": markup}]}}
        )

    page = open_page(None)
    page.route("**/openapi.json", with_markup)
    page.goto(f"{server.url}/docs")
    expect(page.get_by_role("heading", name="Error codes")).to_be_attached()
    assert page.locator("main img, main script").count() == 0
    expect(page.locator(".reserved th code")).to_have_text("<img src=x onerror=alert(1)><script>alert(1)</script>")


def test_a_description_that_does_not_come_is_said(open_page: OpenPage, server: Server) -> None:
    page = open_page(None)
    page.route("**/openapi.json", lambda route: route.fulfill(status=503, body=""))
    page.goto(f"{server.url}/docs")
    expect(page.get_by_role("alert")).to_contain_text("openapi.json was answered 503.")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_for_owners_is_reached_from_it_accessible_and_fits_a_phone(open_docs: OpenPage, scheme: str) -> None:
    page = open_docs(color_scheme=scheme, viewport=PHONE)
    page.get_by_role("banner").get_by_role("link", name="YouTube asks for proof").click()
    expect(page.get_by_role("heading", name="YouTube asks for proof")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    assert_accessible(page, only="color-contrast" if scheme == "dark" else "")
    page.get_by_role("link", name="API reference").click()
    expect(page.get_by_role("heading", name="Error codes")).to_be_attached()
