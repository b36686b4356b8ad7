"""The player of the page in Chromium: jumps in what is being made, clips by ear, keys, lock screen."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Page, expect
from support.accessibility import assert_accessible
from support.jumps import BESIDE, CLICKED, COARSE, GOES_ON, IS_MADE, LENGTH, LONG, MADE, SHADED, SLOW, aimed_at, seconds
from support.waiting import until

if TYPE_CHECKING:
    from support.browsing import OpenPage

pytest_plugins = ["support.browsing"]
pytestmark = pytest.mark.long  # a browser

SHORT, OTHER = "abcdefghij1", "abcdefghij2"
SETTINGS = SLOW


def convert(page: Page, *video_ids: str) -> None:
    page.get_by_label("Links").fill("\n".join(f"https://youtu.be/{one}" for one in video_ids))
    page.locator("#convert").click()
    expect(page.locator(".card")).to_have_count(len(video_ids))


def position(page: Page) -> int:
    return seconds(page.locator("#player-now").inner_text())


def test_the_slider_jumps_anywhere_in_what_is_made_by_mouse_and_by_keys(open_page: OpenPage) -> None:
    page = open_page(viewport={"width": 360, "height": 740})
    convert(page, LONG)
    until(lambda: page.evaluate(IS_MADE))
    page.locator(".card").get_by_role("button", name="Listen").click()
    assert page.evaluate(SHADED)
    slider = page.get_by_role("slider", name="Position")
    box = slider.bounding_box()
    assert box and box["height"] >= 44 and box["width"] >= 200

    page.mouse.click(box["x"] + box["width"] * CLICKED, box["y"] + box["height"] / 2)
    landed, beside = until(lambda: page.evaluate(GOES_ON))
    assert abs(beside) <= BESIDE
    assert abs(landed - aimed_at(box["width"])) <= COARSE
    expect(page.locator(".card")).to_have_attribute("data-status", "processing")
    expect(slider).to_have_attribute("aria-valuetext", re.compile(r"^0:\d\d of 4:00$"))

    page.keyboard.press(" ")
    expect(page.locator("#player-toggle")).to_have_accessible_name("Play")
    before = position(page)
    for _ in range(3):
        slider.press("ArrowLeft")
    until(lambda: page.evaluate(f"document.querySelector('#audio').src.includes('from={before - 15}')"))
    page.keyboard.press(" ")
    landed, beside = until(lambda: page.evaluate(GOES_ON))
    assert int(landed) == before - 15 and abs(beside) <= BESIDE
    slider.press("End")
    expect(page.locator("#player-note")).to_contain_text("is made so far")
    assert LENGTH * MADE - 1 <= position(page) < LENGTH
    assert page.evaluate("navigator.mediaSession.metadata.title") in page.locator(".card .title").inner_text()
    # Too busy a machine makes a card without a picture.
    pictures = page.evaluate("[...document.querySelectorAll('.card .thumb img[src]')].map(({ src }) => src)")
    assert page.evaluate("navigator.mediaSession.metadata.artwork.map(({ src }) => src)") == pictures
    assert all(one.endswith(".jpg") for one in pictures)


def test_a_clip_is_cut_by_ear_with_the_keyboard_and_the_next_card_plays_on(open_page: OpenPage) -> None:
    page = open_page(color_scheme="dark")
    convert(page, SHORT, OTHER)
    expect(page.locator('.card[data-status="completed"]')).to_have_count(2)
    page.locator(".card").first.get_by_role("button", name="Listen").press("Enter")
    page.locator("#player-cut").press("Enter")
    start, end = page.get_by_role("textbox", name="Start"), page.get_by_role("textbox", name="End")
    expect(start).to_be_focused()
    start.fill("0:04")
    end.fill("3")
    expect(page.locator("#cut-error")).to_contain_text("at least a second after")
    start.fill("1")
    page.get_by_role("group", name="Start").get_by_role("button", name="A tenth of a second later").press("Enter")
    expect(start).to_have_value("0:01.1")
    expect(page.locator("#player-toggle")).to_have_accessible_name("Play")  # what was heard has ended by itself
    until(lambda: 2.9 <= page.evaluate("document.querySelector('#audio').currentTime") <= 4)
    assert_accessible(page)
    page.locator("#cut-convert").press("Enter")
    clip = page.locator(".card").filter(has_text="0:01 to 0:03")
    expect(clip).to_have_attribute("data-status", "completed")
    expect(clip.locator(".length")).to_have_text("0:01")
    expect(page.locator("#cut")).to_be_hidden()

    page.locator("#player-speed").select_option("2")
    page.locator("#player-toggle").press("Enter")
    page.get_by_role("slider", name="Position").press("End")
    expect(page.locator(".card").nth(2).get_by_role("button", name="Pause")).to_be_visible()
    assert page.evaluate("document.querySelector('#audio').playbackRate") == 2
