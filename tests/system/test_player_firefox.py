"""The player of the page in Firefox, which reads a growing MP3 in its own way."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support import firefox
from support.jumps import BESIDE, CLICKED, COARSE, GOES_ON, IS_MADE, LONG, SHADED, SLOW, aimed_at

if TYPE_CHECKING:
    from support.browsing import Server

pytest_plugins = ["support.browsing"]

pytestmark = pytest.mark.long  # a browser

KEY = "test-unlimited"
SETTINGS = SLOW


async def test_firefox_jumps_in_what_is_made_too(server: Server, tmp_path: Path) -> None:
    async with firefox.started(tmp_path) as page:
        await page.arrive(f"{server.url}/#key={KEY}")
        await page.click("#links")
        await page.press(f"https://youtu.be/{LONG}")
        await page.click("#convert")
        await page.until(IS_MADE)
        await page.click("[data-act=listen]")
        await page.until("document.querySelector('#audio').currentTime > 0.3")
        await page.until(SHADED)
        width = await page.evaluate("document.querySelector('#player-seek').clientWidth")
        await page.click("#player-seek", CLICKED)
        landed, beside = await page.until(GOES_ON)
        assert abs(beside) <= BESIDE
        assert abs(landed - aimed_at(width)) <= COARSE
        assert await page.evaluate("document.querySelector('.card').dataset.status") == "processing"
        await page.press(firefox.SPACE)
        assert await page.until("document.querySelector('#audio').paused")
        assert await page.evaluate("navigator.mediaSession.metadata.title")
        await page.click("[data-act=cancel]")
        await page.until("document.querySelector('#player').hidden")
