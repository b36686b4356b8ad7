"""The page in Firefox: by keyboard alone, a ZIP, links from anywhere, a playlist, and a phone in the dark."""

from __future__ import annotations

import zipfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
import pytest_asyncio
from support import firefox
from support.accessibility import assert_accessible_in_firefox
from support.firefox import ENTER, Firefox
from support.waiting import eventually

if TYPE_CHECKING:
    from support.browsing import Server

pytest_plugins = ["support.browsing"]
pytestmark = pytest.mark.long  # a browser

KEY = "test-unlimited"
ONE, OTHER, LIST = "abcdefghij1", "abcdefghij2", "PLx-short-----"
BOX = "document.querySelector('#links').value"
READY = "document.querySelectorAll('.card[data-status=completed]').length"
CARDS = "document.querySelectorAll('.card').length"


@pytest_asyncio.fixture
async def page(server: Server, tmp_path: Path) -> AsyncIterator[Firefox]:
    """A new visitor's, with a key, in the dark; what is downloaded lies in `tmp_path`."""
    preferences = {
        "browser.download.dir": str(tmp_path),
        "browser.download.folderList": 2,
        "layout.css.prefers-color-scheme.content-override": 0,  # dark
    }
    profile = tmp_path / "profile"
    profile.mkdir()
    async with firefox.started(profile, preferences) as page:
        await page.arrive(f"{server.url}/#key={KEY}")
        yield page
        await page.evaluate("fetch('status?status=completed,failed,cancelled,queued', {method: 'DELETE', headers: "
                            f"{{Authorization: 'Bearer {KEY}'}}}}).then(({{ ok }}) => ok)")  # fmt: skip


async def convert(page: Firefox, *video_ids: str) -> None:
    links = "\n".join(f"https://youtu.be/{one}" for one in video_ids)
    await page.evaluate(f"navigator && (document.querySelector('#links').value = {links!r})")
    await page.click("#convert")
    await page.until(f"{READY} === {len(video_ids)}")


async def test_a_song_is_converted_heard_and_cut_by_ear_without_a_mouse(page: Firefox) -> None:
    assert await page.evaluate("document.activeElement.id") == "links"
    await page.press(f"https://youtu.be/{ONE}")
    await page.press(ENTER)
    await page.until(f"{READY} === 1 && {BOX} === ''")
    await page.tab_to("[data-act=listen]")
    await page.press(ENTER)
    await page.until("document.querySelector('#audio').currentTime > 1.2")
    await page.tab_to("#player-cut")
    await page.press(ENTER)
    assert await page.evaluate("document.activeElement.id") == "cut-start"
    await page.tab_to("[data-end=start] [data-now]")
    await page.press(ENTER)
    await page.tab_to("[data-end=end] [data-nudge='-1']")
    await page.press(ENTER)
    start, end = await page.until(
        "[document.querySelector('#cut-start').value, document.querySelector('#cut-end').value]"
    )
    assert "0:01.0" < start < end
    length = await page.evaluate("document.querySelector('#cut-length').value")
    await page.tab_to("#cut-convert")
    await page.press(ENTER)
    await page.until(f"{READY} === 2")
    words = await page.evaluate("[...document.querySelectorAll('.card .details')].map((one) => one.textContent)")
    assert any(one.startswith("0:0") and " to 0:" in one for one in words), words
    assert length.endswith(" long")


async def test_all_that_is_ready_is_one_whole_zip_and_clearing_can_be_undone(page: Firefox, tmp_path: Path) -> None:
    await convert(page, ONE, OTHER)
    await page.click("#download-all")
    await eventually(lambda: (tmp_path / "ytmp3d.zip").exists() and not list(tmp_path.glob("*.part")))
    with zipfile.ZipFile(tmp_path / "ytmp3d.zip") as made:
        assert made.testzip() is None
        assert [one[:2] for one in made.namelist()] == ["1 ", "2 "] and all(
            one.endswith(".mp3") for one in made.namelist()
        )
    assert await page.until("[...document.querySelectorAll('.state')].every((one) => one.textContent.includes('✓'))")
    await page.click("#clear-ready")
    await page.until(f"{CARDS} === 0")
    await page.click("#undo-button")
    await page.until(f"{READY} === 2")


async def test_links_from_anywhere_are_in_the_box_and_a_playlist_can_be_looked_into(
    page: Firefox, server: Server
) -> None:
    manifest = await page.evaluate("fetch(document.querySelector('link[rel=manifest]').href).then((one) => one.json())")
    shared = manifest["share_target"]["params"]
    text = quote(f"Look: https://youtu.be/{OTHER}")
    await page.visit(
        f"{server.url}/?{shared['title']}=A%20song&{shared['text']}={text}&{shared['url']}=https://youtu.be/{ONE}"
    )
    await page.until(f"{BOX}.includes('{ONE}') && {BOX}.includes('{OTHER}')")
    assert await page.evaluate("location.search + location.hash") == ""
    for way in ("?url=", "#url="):
        await page.visit(f"{server.url}/docs")
        await page.visit(f"{server.url}/{way}https://www.youtube.com/playlist?list={LIST}")
        await page.until(f"{BOX}.includes('{LIST}')")
    assert "3 videos" in await page.until("document.querySelector('#playlist-about').textContent")
    await assert_accessible_in_firefox(page)
    await page.click("#playlist-videos input")
    await page.click("#playlist-convert")
    await page.until(f"{READY} === 2 && {BOX} === ''")


async def test_a_phone_in_the_dark_shows_everything_without_scrolling_aside(page: Firefox) -> None:
    await page.resize(360, 740)
    await assert_accessible_in_firefox(page)
    await convert(page, ONE)
    await page.click("[data-act=listen]")
    await page.click("#player-cut")
    await page.until("document.querySelector('#cut').checkVisibility()")
    await assert_accessible_in_firefox(page)
    assert await page.evaluate("document.documentElement.scrollWidth === document.documentElement.clientWidth")
    ground = await page.evaluate("getComputedStyle(document.body).backgroundColor.match(/[0-9]+/g).map(Number)")
    assert sum(ground[:3]) < 200
