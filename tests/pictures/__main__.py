"""Make the pictures: `python -m tests.pictures icons` from the logo, `python -m tests.pictures page` for README.md.

Chromium draws them, so it must be on PATH. The page is one of a real server with the offline YouTube.
"""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

from playwright.sync_api import Browser, expect, sync_playwright

from server.testing.offline_server import offline_server

STATIC = Path(__file__).parents[2] / "static"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
#: A maskable icon may be cut to a circle of four fifths of its width (W3C, Web Application Manifest), so the wave is
#: smaller there and the ground reaches every corner.
MASKABLE = 0.75

#: The video that is being made in the picture, and those that are ready.
MADE = "x-4-minutes"
READY = ("concert0055", "concert0102", "concert0006", "concert0043", "concert0061")
#: So that it takes a minute.
SETTINGS = "[offline]\nrate_kbps = 512\n"
WAIT_MS = 60_000


def page(browser: Browser) -> None:
    """`static/docs/page.png`: some MP3s are ready, one is made and heard."""
    with offline_server(SETTINGS) as server:
        one = browser.new_page(viewport={"width": 1000, "height": 880}, reduced_motion="reduce")
        one.set_default_timeout(WAIT_MS)
        expect.set_options(timeout=WAIT_MS)
        one.goto(f"{server.url}/")
        one.evaluate("key => localStorage.setItem('ytmp3d.key', key)", server.key)
        one.reload()
        for count, video_id in enumerate((*READY, MADE), 1):  # one by one, so that each has its cover in time
            one.get_by_label("Links").fill(f"https://youtu.be/{video_id}")
            one.keyboard.press("Enter")
            if video_id != MADE:
                expect(one.locator('.card[data-status="completed"]')).to_have_count(count)
        one.locator('.card[data-status="processing"]').get_by_role("button", name="Listen").click()
        expect(one.locator("#player-now")).to_have_text("0:08")
        one.mouse.move(0, 0)
        one.locator("body").evaluate("() => { document.activeElement.blur(); scrollTo(0, 0); }")
        one.screenshot(path=STATIC / "docs" / "page.png")
        one.close()


def icons(browser: Browser) -> None:
    """`icon-192.png`, `icon-512.png` and `icon-maskable-512.png` from `icon.svg`."""
    logo = (STATIC / "icon.svg").read_text()
    for size in (192, 512):
        _draw(browser, logo, size, STATIC / f"icon-{size}.png")
    found = re.search(r'fill="(#\w+)"', logo)
    assert found
    edge = 32 / MASKABLE
    shift = (32 - edge) / 2
    box = f'viewBox="{shift} {shift} {edge} {edge}" style="background:{found[1]}"'
    whole = logo.replace('viewBox="0 0 32 32"', box)
    _draw(browser, whole, 512, STATIC / "icon-maskable-512.png")


def _draw(browser: Browser, svg: str, size: int, to: Path) -> None:
    sheet = browser.new_page(viewport={"width": size, "height": size})
    sheet.set_content(f"<style>*{{margin:0}}svg{{display:block;width:{size}px;height:{size}px}}</style>{svg}")
    sheet.screenshot(path=to, omit_background=True)
    sheet.close()


def main() -> None:
    pictures = {"icons": icons, "page": page}
    wanted = sys.argv[1:]
    if not wanted or not set(wanted) <= set(pictures):
        sys.exit(__doc__)
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        for name in wanted:
            pictures[name](browser)
        browser.close()


if __name__ == "__main__":
    main()
