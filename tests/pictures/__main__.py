"""Make the page's pictures: `python -m tests.pictures icons` from the logo.

Chromium draws them, so it must be on PATH.
"""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

STATIC = Path(__file__).parents[2] / "static"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
#: A maskable icon may be cut to a circle of four fifths of its width (W3C, Web Application Manifest), so the wave is
#: smaller there and the ground reaches every corner.
MASKABLE = 0.75


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
    page = browser.new_page(viewport={"width": size, "height": size})
    page.set_content(f"<style>*{{margin:0}}svg{{display:block;width:{size}px;height:{size}px}}</style>{svg}")
    page.screenshot(path=to, omit_background=True)
    page.close()


def main() -> None:
    if sys.argv[1:] != ["icons"]:
        sys.exit(__doc__)
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        icons(browser)
        browser.close()


if __name__ == "__main__":
    main()
