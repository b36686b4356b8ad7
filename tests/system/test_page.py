"""The page, used as people use it: a real Chromium against a real offline server (support/browsing.py)."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Locator, Page, expect
from support.accessibility import assert_accessible

from server import youtube_url
from server.errors import InvalidUrl
from server.offline.adorned import HOSTILE_TITLE, SCRIPTS_TITLE

if TYPE_CHECKING:
    from support.browsing import OpenPage, Server

pytest_plugins = ["support.browsing"]
pytestmark = pytest.mark.long  # a browser

KEY = "test-unlimited"
SLOW, LONG, PRIVATE, BROKEN, HOSTILE = "x-slow-----", "x-4-minutes", "x-private--", "x-garbage--", "x-badtitle-"
PHONE = {"width": 320, "height": 640}


def link(video_id: str) -> str:
    return f"https://youtu.be/{video_id}"


def convert(page: Page, *video_ids: str) -> Locator:
    """Types the links, converts, and answers the cards."""
    page.get_by_label("Links").fill("\n".join(map(link, video_ids)))
    page.locator("#convert").click()
    cards = page.locator(".card")
    expect(cards).to_have_count(len(video_ids))
    return cards


def with_status(page: Page, status: str) -> Locator:
    return page.locator(f'.card[data-status="{status}"]')


def test_the_whole_way_paste_watch_listen_while_it_is_made_and_download(open_page: OpenPage, tmp_path: Path) -> None:
    page = open_page()
    expect(page.get_by_text("Nothing here yet")).to_be_visible()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "/static/" not in request.url else None)
    card = convert(page, SLOW)
    expect(page.get_by_label("Links")).to_have_value("")
    expect(card.locator(".state")).to_contain_text("Converting")
    expect(card.locator(".state")).to_contain_text("left")
    card.get_by_role("button", name="Listen").click()
    expect(page.locator("#player-now")).to_have_text("0:01")
    assert card.get_attribute("data-status") == "processing"
    expect(with_status(page, "completed")).to_have_count(1)
    assert [url.rpartition("/")[2] for url in asked] == ["convert"]  # one stream tells everything: nothing polls

    download = card.get_by_role("link", name="Download")
    assert download.get_attribute("href")
    with page.expect_download() as downloading:
        download.click()
    saved = tmp_path / "saved.mp3"
    downloading.value.save_as(saved)
    assert saved.read_bytes()[:3] == b"ID3"
    assert f"{saved.stat().st_size / 1000:.0f} kB" in card.inner_text()
    assert downloading.value.suggested_filename.endswith(".mp3")

    page.locator("#player-seek").press("End")  # the whole file has ranges, so one can go anywhere
    expect(page.locator("#player-toggle")).to_have_accessible_name("Play")
    page.locator("#player-toggle").click()
    expect(page.locator("#player-now")).to_have_text("0:01")


def test_bad_links_are_marked_in_place_and_the_good_ones_go_on(open_page: OpenPage) -> None:
    page = open_page()
    box = page.get_by_label("Links")
    box.fill(
        f"Hear this: {link('abcdefghij1')}, then\nhttps://vimeo.com/1\n(youtube.com/shorts/abcdefghij2)\nyoutu.be/short"
    )
    box.blur()
    expect(page.locator("#marks mark")).to_have_text(["https://vimeo.com/1", "youtu.be/short"])
    expect(page.locator("#problems")).to_contain_text("vimeo.com is not YouTube.")
    expect(page.locator("#problems")).to_contain_text("11 characters")
    page.get_by_role("button", name="Convert 2").click()
    expect(with_status(page, "completed")).to_have_count(2)
    expect(box).to_have_value("https://vimeo.com/1\nyoutu.be/short")
    expect(page.locator(".card").first).to_contain_text("320 kbps")
    page.get_by_role("button", name="Take all 2 out").click()
    expect(box).to_have_value("")
    page.locator("#convert").click()
    expect(page.locator("#form-error")).to_contain_text("no link here yet")


def test_all_that_is_ready_is_one_zip_or_some_of_it(open_page: OpenPage, tmp_path: Path) -> None:
    page = open_page()
    convert(page, "abcdefghij1", "abcdefghij2", "abcdefghij3")
    expect(with_status(page, "completed")).to_have_count(3)
    with page.expect_download() as downloading:
        page.get_by_role("button", name=re.compile(r"Download all \(3, [\d.]+ MB\)")).click()
    downloading.value.save_as(tmp_path / "all.zip")
    with zipfile.ZipFile(tmp_path / "all.zip") as made:
        assert made.testzip() is None and len(set(made.namelist())) == 3
    expect(page.get_by_text("✓ downloaded")).to_have_count(3)
    page.get_by_role("button", name="Select").click()
    page.get_by_role("checkbox", name="Select").first.check()
    with page.expect_download() as downloading:
        page.get_by_role("button", name=re.compile(r"Download 1 \(")).click()
    assert downloading.value.suggested_filename.endswith(".mp3")


def test_what_is_removed_can_be_brought_back_until_the_page_is_left(open_page: OpenPage) -> None:
    page = open_page()
    convert(page, "abcdefghij1", "abcdefghij2", PRIVATE)
    expect(with_status(page, "completed")).to_have_count(2)
    page.get_by_role("button", name="Clear all").click()
    expect(with_status(page, "completed")).to_have_count(0)
    page.get_by_role("button", name="Undo").click()
    expect(with_status(page, "completed")).to_have_count(2)
    page.get_by_role("button", name="Clear all").click()
    page.reload()
    expect(with_status(page, "failed")).to_have_count(1)
    expect(with_status(page, "completed")).to_have_count(0)


def test_the_same_link_twice_shows_the_card_that_is_there(open_page: OpenPage) -> None:
    page = open_page()
    convert(page, "abcdefghij1")
    expect(with_status(page, "completed")).to_have_count(1)
    page.get_by_label("Links").fill(link("abcdefghij1"))
    page.keyboard.press("Enter")
    expect(page.locator("#announcer")).to_contain_text("Already here")
    expect(page.get_by_label("Links")).to_have_value("")
    expect(page.locator(".card")).to_have_count(1)


def test_what_another_app_shares_is_in_the_box_and_on_a_phone_the_card_is_in_view(
    open_page: OpenPage, server: Server
) -> None:
    page = open_page(None, viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True)
    shared = f"title=A%20song&text=Look%20at%20{link('abcdefghij1')}"
    page.goto(f"{server.url}/?{shared}#key={KEY}&url={link(SLOW)}")
    expect(page.get_by_label("Links")).to_have_value(re.compile(f"{SLOW}(.|\n)*abcdefghij1"))
    expect(page.get_by_label("Links")).not_to_be_focused()
    assert page.url == f"{server.url}/"
    page.get_by_role("button", name="Convert 2").click()
    expect(page.locator(".card")).to_have_count(2)
    expect(page.locator(".card").first).to_be_in_viewport(ratio=1)
    expect(page.get_by_label("Links")).not_to_be_focused()


def test_a_playlist_can_be_looked_into_and_some_of_it_converted(open_page: OpenPage) -> None:
    page = open_page()
    page.get_by_label("Links").fill("https://www.youtube.com/playlist?list=PLx-short-----")
    page.get_by_label("Links").blur()
    expect(page.locator("#playlist-about")).to_contain_text("3 videos")
    page.locator("#playlist-videos input").first.uncheck()
    assert_accessible(page)
    page.locator("#playlist").get_by_role("button", name="Convert 2").click()
    expect(page.locator(".card")).to_have_count(2)
    expect(page.get_by_label("Links")).to_have_value("")
    page.get_by_label("Links").fill("https://www.youtube.com/watch?v=abcdefghij1&list=PLx-short-----")
    page.get_by_label("Links").blur()
    expect(page.locator("#playlist-ask")).to_contain_text("This one, or all 3?")
    page.get_by_role("button", name="Only this one").click()
    page.keyboard.press("Enter")
    expect(page.locator(".card")).to_have_count(3)
    expect(page.locator("#playlist")).to_be_hidden()


def test_the_page_can_be_installed(open_page: OpenPage, server: Server) -> None:
    page = open_page()
    manifest = page.evaluate("fetch(document.querySelector('link[rel=manifest]').href).then((answer) => answer.json())")
    assert manifest["share_target"]["action"] == manifest["start_url"] == "../"
    session = page.context.new_cdp_session(page)
    errors = session.send("Page.getInstallabilityErrors")["installabilityErrors"]
    assert [error["errorId"] for error in errors] == ["in-incognito"]  # as every test is
    page.get_by_text("Send links from anywhere").click()
    expect(page.locator(".own-address")).to_have_text(f"{server.url}/?url=")
    expect(page.locator("#bookmarklet")).to_have_attribute("href", re.compile(r"^javascript:void open\("))


def test_links_can_be_dropped_anywhere_and_pasted_without_a_click(open_page: OpenPage) -> None:
    page = open_page()
    expect(page.get_by_text("Nothing here yet")).to_be_visible()
    page.evaluate(
        """([dropped, pasted]) => {
            const carry = (type, text) => { const data = new DataTransfer(); data.setData(type, text); return data; };
            const drop = { dataTransfer: carry('text/uri-list', dropped), bubbles: true, cancelable: true };
            document.querySelector('h1').dispatchEvent(new DragEvent('drop', drop));
            document.activeElement.blur();
            const paste = { clipboardData: carry('text/plain', `see ${pasted}`), bubbles: true, cancelable: true };
            document.body.dispatchEvent(new ClipboardEvent('paste', paste));
        }""",
        [link("abcdefghij1"), link("abcdefghij2")],
    )
    expect(page.get_by_label("Links")).to_have_value(f"{link('abcdefghij1')}\nsee {link('abcdefghij2')}")
    expect(page.get_by_label("Links")).to_be_focused()
    expect(page.get_by_role("button", name="Convert 2")).to_be_visible()


LINKS = """
https://www.youtube.com/watch?v=abcdefghij1
http://youtube.com/watch?list=PL1&v=abcdefghij1&t=3#x
YOUTU.BE/abcdefghij1?si=x
m.youtube.com/live/abcdefghij1
https://music.youtube.com/watch?v=abcdefghij1
www.youtube.com/embed/abcdefghij1
https://www.youtube-nocookie.com/embed/abcdefghij1
https://youtube.com/v/abcdefghij1
https://youtube.com/shorts/abcdefghij1?feature=share
https://youtube.com/e/abcdefghij1
https://youtube.com/watch/abcdefghij1
https://www.youtube.com/?v=abcdefghij1
abcdefghij1
https://www.youtube.com/attribution_link?a=x&u=%2Fwatch%3Fv%3Dabcdefghij1%26feature%3Dshare
https://consent.youtube.com/m?continue=https%3A%2F%2Fwww.youtube.com%2Fwatch%3Fv%3Dabcdefghij1&gl=DE
https://www.youtube.com/redirect?q=https%3A%2F%2Fyoutu.be%2Fabcdefghij1
https://www.youtube.com/redirect?q=https%3A%2F%2Fvimeo.com%2F1
https://consent.youtube.com/watch?v=abcdefghij1
https://youtube.com.evil.example/watch?v=abcdefghij1
https://notyoutube.com/watch?v=abcdefghij1
https://youtube.com@evil.example/watch?v=abcdefghij1
https://user:pw@youtube.com/watch?v=abcdefghij1
https://youtube.com:8443/watch?v=abcdefghij1
https://127.0.0.1/watch?v=abcdefghij1
ftp://youtube.com/watch?v=abcdefghij1
https://www.youtube.com/watch?v=abcdefghij1&v=abcdefghij2
https://www.youtube.com/playlist?list=PL1
https://www.youtube.com/embed/videoseries?list=PL1
https://www.youtube.com/@someone
https://www.youtube.com/watch?v=short
https://www.youtube.com/watch
https://www.youtube.com/
https://youtu.be/
https://vimeo.com/1
""".strip().splitlines()


def test_the_page_and_the_server_agree_on_what_a_video_link_is(open_page: OpenPage) -> None:
    def the_servers_id(url: str) -> str | None:
        try:
            return youtube_url.video_id(url)
        except InvalidUrl:
            return None

    found = open_page().evaluate(
        """async (urls) => {
            const { readLinks } = await import('/static/links.js');
            return urls.map((url) => readLinks(url)[0].id ?? null);
        }""",
        LINKS,
    )
    assert dict(zip(LINKS, found, strict=True)) == {url: the_servers_id(url) for url in LINKS}


def test_a_hostile_title_is_only_text(open_page: OpenPage) -> None:
    page = open_page()
    card = convert(page, HOSTILE)
    expect(with_status(page, "completed")).to_have_count(1)
    assert "<script>alert(1)</script>" in HOSTILE_TITLE
    expect(card.locator(".title")).to_contain_text("<script>alert(1)</script>")
    assert page.locator("body script").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [PHONE, {"width": 1200, "height": 800}], ids=["phone", "desktop"])
def test_every_state_is_accessible_and_fits_the_screen(
    open_page: OpenPage, scheme: str, viewport: dict[str, int]
) -> None:
    only = "" if (scheme == "dark") == (viewport is PHONE) else "color-contrast"  # the other rules see neither
    page = open_page(None, color_scheme=scheme, viewport=viewport)
    expect(page.get_by_label("Key", exact=True)).to_be_focused()
    assert_accessible(page, only=only)
    page.goto(page.url + f"#key={KEY}")
    expect(page.get_by_text("Nothing here yet")).to_be_visible()
    assert_accessible(page, only=only)
    cards = convert(page, LONG, PRIVATE, "x-scripts--", "x-longtitle")
    page.get_by_label("Links").fill("https://vimeo.com/1")
    page.get_by_label("Links").blur()
    cards.first.get_by_role("button", name="Listen").click()
    expect(with_status(page, "completed")).to_have_count(2)
    expect(with_status(page, "failed")).to_contain_text("private", ignore_case=True)
    expect(with_status(page, "processing").locator(".state")).to_contain_text("left")
    expect(cards.nth(1).locator(".title")).to_have_text(SCRIPTS_TITLE)
    assert_accessible(page, only=only)
    assert page.evaluate("document.documentElement.scrollWidth") == viewport["width"]
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", ground))) < 200) == (scheme == "dark")


def test_everything_can_be_done_by_keyboard(open_page: OpenPage) -> None:
    page = open_page(None)
    keys = page.keyboard
    keys.type(KEY)
    keys.press("Enter")
    expect(page.get_by_label("Links")).to_be_focused()
    keys.press("Tab")
    keys.press("Tab")
    keys.press("Tab")
    keys.press("ArrowRight")
    expect(page.get_by_role("radio", name="Medium")).to_be_checked()
    for _ in range(3):
        keys.press("Shift+Tab")
    keys.type(link(LONG))
    keys.press("Enter")
    card = page.locator(".card")
    expect(card).to_contain_text("192 kbps")
    expect(page.get_by_label("Links")).to_be_focused()
    keys.press("Shift+Tab")  # the list is behind what stands under the box
    card.get_by_role("button", name="Listen").focus()
    expect(card.get_by_role("button", name="Listen")).to_be_focused()
    keys.press("Enter")
    expect(page.locator("#player-now")).to_have_text("0:01")
    keys.press("Tab")
    keys.press("Enter")
    expect(card.locator(".state")).to_have_text("Cancelled")
    expect(card.get_by_role("button", name="Convert again")).to_be_focused()
    expect(page.locator("#player")).to_be_hidden()
    keys.press("Tab")
    keys.press("Enter")
    expect(card).to_have_count(0)
    expect(page.get_by_role("heading", name="Your conversions")).to_be_focused()


def test_a_failure_says_why_and_can_be_tried_again_where_that_may_help(open_page: OpenPage) -> None:
    page = open_page()
    cards = convert(page, PRIVATE, BROKEN)
    expect(with_status(page, "failed")).to_have_count(2)
    expect(cards.first.get_by_role("button", name="Try again")).to_be_hidden()
    again = cards.nth(1).get_by_role("button", name="Try again")
    again.click()
    expect(page.locator(".card").filter(has_text="could not be encoded")).to_have_count(1)
    expect(page.locator(".card")).to_have_count(2)


def test_a_reload_brings_the_cards_back_in_their_order(open_page: OpenPage) -> None:
    page = open_page()
    convert(page, "abcdefghij1", LONG, PRIVATE)
    expect(with_status(page, "failed")).to_have_count(1)
    expect(with_status(page, "completed")).to_have_count(1)
    before = page.locator(".card .title").all_inner_texts()
    page.reload()
    expect(page.locator(".card")).to_have_count(3)
    expect(page.locator(".card .title").nth(2)).to_have_text(before[2])
    assert page.locator(".card .title").all_inner_texts() == before
    expect(with_status(page, "processing").locator(".state")).to_contain_text("left")


def test_a_lost_server_is_told_calmly_and_found_again(open_page: OpenPage, server: Server) -> None:
    page = open_page()
    card = convert(page, SLOW)
    expect(with_status(page, "processing")).to_have_count(1)
    server.kill()
    expect(page.get_by_text("This page reconnects by itself")).to_be_visible()
    server.start()
    expect(page.get_by_text("This page reconnects by itself")).to_be_hidden()
    expect(with_status(page, "completed")).to_have_count(1)
    expect(card).to_have_count(1)


def test_the_key_leaves_the_address_bar_stays_in_the_browser_and_can_be_forgotten(
    open_page: OpenPage, server: Server
) -> None:
    page = open_page()
    expect(page.get_by_label("Links")).to_be_visible()
    assert page.url == f"{server.url}/"
    page.reload()
    expect(page.get_by_label("Links")).to_be_visible()
    expect(page.get_by_text("Nothing here yet")).to_be_visible()
    page.get_by_role("button", name="Forget key").click()
    expect(page.get_by_label("Key", exact=True)).to_be_focused()
    page.reload()
    expect(page.get_by_label("Key", exact=True)).to_be_visible()
    assert page.evaluate("localStorage.getItem('ytmp3d.key')") is None


def test_an_invitation_greets_by_name_and_not_again(open_page: OpenPage) -> None:
    page = open_page()
    expect(page.locator("#welcome h2")).to_have_text("Hello test-unlimited")
    page.reload()
    expect(page.get_by_text("Nothing here yet")).to_be_visible()
    expect(page.locator("#welcome")).to_have_count(0)


@pytest.mark.parametrize(("key", "words"), [("nobody's", "isn’t known here"), ("test-disabled", "switched off")])
def test_a_refused_key_has_its_own_words(open_page: OpenPage, key: str, words: str) -> None:
    page = open_page(key)
    expect(page.locator("#gate-error")).to_contain_text(words)
    page.get_by_label("Key", exact=True).fill(key)
    page.keyboard.press("Enter")
    expect(page.locator("#gate-error")).to_contain_text(words)


def test_used_up_limits_say_when_they_are_over_and_lose_nothing(open_page: OpenPage) -> None:
    page = open_page("test-tiny-limits")
    convert(page, "abcdefghij1")  # the third request, after the stream and the list
    expect(page.locator("#limits-text")).to_have_text("0 of 3 requests left")
    page.get_by_label("Links").fill(link("abcdefghij2"))
    page.locator("#convert").click()
    expect(page.get_by_role("alert").filter(has_text="used up its requests")).to_contain_text(re.compile(r"in \d+ s"))
    expect(page.get_by_label("Links")).to_have_value(link("abcdefghij2"))


def test_a_quota_of_conversions_that_is_used_up_is_said_as_what_it_is(open_page: OpenPage) -> None:
    page = open_page("test-tiny-quota")
    page.get_by_label("Links").fill("\n".join(link(f"quota-vid-{n}") for n in range(4)))
    page.locator("#convert").click()
    expect(page.locator("#notice-text")).to_contain_text("This key may make 3 conversions a day. 3 are left until")
    expect(page.get_by_label("Links")).to_have_value(re.compile("quota-vid-3"))
