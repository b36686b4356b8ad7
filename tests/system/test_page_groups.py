"""What the page does to many cards at once: one request each, and each can be undone."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Locator, Page, Route, expect

if TYPE_CHECKING:
    from support.browsing import OpenPage

pytest_plugins = ["support.browsing"]
pytestmark = pytest.mark.long  # a browser

#: Ten seconds of sound take half a minute to come, so that all but one link wait.
SETTINGS = "[jobs]\nretry_pause = 0\nfetchers = 1\nslots = 1\n[offline]\nrate_kbps = 40\n"
WAITING = [f"waiting-{n:03}" for n in range(8)]


def convert(page: Page, *video_ids: str) -> None:
    page.get_by_label("Links").fill("\n".join(f"https://youtu.be/{one}" for one in video_ids))
    page.locator("#convert").click()
    expect(page.get_by_label("Links")).to_have_value("")


def with_seven_waiting(open_page: OpenPage) -> Page:
    """One is being made; the others can be seen."""
    page = open_page()
    convert(page, *WAITING)
    expect(page.locator("summary", has_text="7 waiting")).to_be_visible()
    page.locator("summary", has_text="7 waiting").click()
    return page


def with_status(page: Page, status: str) -> Locator:
    return page.locator(f'.card[data-status="{status}"]')


def changes(page: Page) -> list[str]:
    """The requests from now on that change something, as they are made."""
    made: list[str] = []

    def note(method: str, url: str) -> None:
        if method != "GET":
            made.append(f"{method} {url.split('/', 3)[3].split('?')[0]}")

    page.on("request", lambda request: note(request.method, request.url))
    return made


def test_all_that_wait_are_cancelled_in_one_request_and_begin_again_in_another(open_page: OpenPage) -> None:
    page = with_seven_waiting(open_page)
    made = changes(page)
    page.get_by_role("button", name="Cancel all that wait").dblclick()
    expect(with_status(page, "cancelled")).to_have_count(7)
    expect(with_status(page, "processing")).to_have_count(1)
    assert made == ["DELETE status"]
    page.get_by_role("button", name="Undo").click()
    expect(with_status(page, "queued")).to_have_count(7)
    expect(page.locator(".card")).to_have_count(8)
    assert made == ["DELETE status", "POST retry"]
    page.reload()
    expect(page.locator(".card")).to_have_count(8)


def test_a_click_between_the_answer_and_the_news_of_it_does_not_remove_what_was_cancelled(open_page: OpenPage) -> None:
    page = with_seven_waiting(open_page)
    made = changes(page)
    page.evaluate(
        """() => {
            const plain = fetch;
            const again = () => document.getElementById("cancel-waiting").click();
            window.fetch = async (...call) => {
                const answer = await plain(...call);
                if (call[1]?.method === "DELETE") for (let ms = 0; ms < 200; ms += 5) setTimeout(again, ms);
                return answer;
            };
        }"""
    )
    page.get_by_role("button", name="Cancel all that wait").click()
    expect(with_status(page, "cancelled")).to_have_count(7)
    page.reload()
    expect(with_status(page, "cancelled")).to_have_count(7)
    assert made == ["DELETE status"]


def test_all_that_failed_is_tried_again_in_one_request_whatever_it_asked_for(open_page: OpenPage) -> None:
    page = open_page()
    convert(page, "x-unknown--", "x-private--")
    page.get_by_role("radio", name="Low").check()
    convert(page, "x-api-403--")
    expect(with_status(page, "failed")).to_have_count(3)
    expect(page.get_by_role("heading", name="3 failed")).to_be_visible()
    convert(page, *WAITING[:2])  # takes the slot, so that what is tried again waits
    expect(with_status(page, "processing")).to_have_count(1)
    made = changes(page)
    page.get_by_role("button", name="Try 2 again").dblclick()
    expect(with_status(page, "failed")).to_have_count(1)
    expect(page.locator(".toast")).to_contain_text("Trying 2 again")
    assert made == ["POST retry"]
    page.get_by_role("button", name="Undo").click()
    expect(with_status(page, "cancelled")).to_have_count(2)
    assert made == ["POST retry", "DELETE status"]
    expect(page.get_by_role("heading", name="2 cancelled")).to_be_visible()


def test_what_has_failed_is_cleared_and_undo_holds_that_back(open_page: OpenPage) -> None:
    page = open_page()
    convert(page, "x-private--", "x-members--", "x-geo------")
    expect(with_status(page, "failed")).to_have_count(3)
    made = changes(page)
    failed = page.locator('[data-group="failed"]')
    failed.get_by_role("button", name="Clear").click()
    expect(page.locator(".card")).to_have_count(0)
    page.get_by_role("button", name="Undo").click()
    expect(with_status(page, "failed")).to_have_count(3)
    assert made == []
    failed.get_by_role("button", name="Clear").click()
    page.reload()  # a page that is left sends what it held back, and nobody sees that request here
    expect(page.get_by_text("Nothing here yet")).to_be_visible()


def test_a_card_that_the_server_has_forgotten_goes_when_it_is_tried_again(open_page: OpenPage) -> None:
    page = open_page()
    convert(page, "x-unknown--")
    expect(with_status(page, "failed")).to_have_count(1)

    def too_late(route: Route) -> None:
        forget(page)
        route.continue_()

    page.route("**/retry", too_late)
    page.locator(".card").get_by_role("button", name="Try again").click()
    expect(page.locator("#notice-text")).to_contain_text("There is no conversion")
    expect(page.locator(".card")).to_have_count(0)


def forget(page: Page) -> None:
    answer = page.context.request.delete(
        re.sub(r"/[^/]*$", "/status?status=failed", page.url), headers={"Authorization": "Bearer test-unlimited"}
    )
    assert answer.ok
