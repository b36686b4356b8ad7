"""A real Chromium and a real offline server for the tests of the page.

Every visit also fails its test on a script error, a refusal by the page's policy, or a request to another host.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect, sync_playwright

from support.clips import with_shared_clips
from support.waiting import SOON

REPOSITORY = Path(__file__).parents[2]
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
#: What every new visitor has, unless told otherwise.
KEY = "test-unlimited"

#: So that what fails does so soon, and `x-4-minutes` takes a minute to come.
SETTINGS = "[jobs]\nretry_pause = 0\n[offline]\nrate_kbps = 512\n"

OpenPage = Callable[..., Page]


class Server:
    """`serve --offline` as a process. Started again, it comes back on the same port with the same state."""

    def __init__(self, folder: Path, settings: str = SETTINGS) -> None:
        self._folder = folder
        self._settings = settings
        self._port = 0
        self.start()

    def start(self) -> None:
        config = self._folder / "config.toml"
        config.write_text(self._settings)
        command = [sys.executable, "-m", "server", "serve", "--offline", "--config", str(config)]
        command += ["--port", str(self._port), "--state", str(self._folder / "state")]
        with_shared_clips(self._folder / "state" / "youtube")
        with (self._folder / "stderr").open("ab") as stderr:
            self._process = subprocess.Popen(
                command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=stderr, text=True, start_new_session=True
            )
        assert self._process.stdout
        with _deadline(SOON, self._process.kill):
            found = re.search(r"http://\S+:(\d+)", self._process.stdout.readline())
        assert found, (self._folder / "stderr").read_text()
        self.url, self._port = found[0], int(found[1])

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()


class _deadline:
    """Calls `late` unless the block ends within so many seconds."""

    def __init__(self, seconds: float, late: Callable[[], None]) -> None:
        self._timer = threading.Timer(seconds, late)

    def __enter__(self) -> None:
        self._timer.start()

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        self._timer.join()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip(f"NOT TESTED: the page (no Chromium: none of {', '.join(BROWSERS)} is on PATH)")
    if sys.version_info < (3, 12):
        # Playwright has a loop of its own; what `forking.preload` has set in this process watches only pytest's.
        asyncio.set_child_watcher(asyncio.ThreadedChildWatcher())
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """With the settings that the module names as its SETTINGS, if it does."""
    server = Server(tmp_path_factory.mktemp("page"), getattr(request.module, "SETTINGS", SETTINGS))
    yield server
    server.kill()


@pytest.fixture
def open_page(browser: Browser, server: Server) -> Iterator[OpenPage]:
    """Opens the page as a new visitor, with a key unless it is None; browser settings as keywords."""
    contexts, faults = [], []

    def note_console(message: ConsoleMessage) -> None:
        if "Failed to load resource" not in message.text and message.type == "error":
            faults.append(message.text)

    def note_request(request: Request) -> None:
        if not request.url.startswith(server.url):
            faults.append(f"asked another host: {request.url}")

    def open_page(key: str | None = KEY, **settings: object) -> Page:
        context = browser.new_context(reduced_motion="reduce", **settings)  # type: ignore[arg-type]
        context.set_default_timeout(SOON * 1000)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("dialog", lambda dialog: faults.append(f"dialog: {dialog.message}"))
        page.on("console", note_console)
        page.on("request", note_request)
        page.goto(server.url + ("/" if key is None else f"/#key={key}"))
        return page

    expect.set_options(timeout=SOON * 1000)
    yield open_page
    for context in contexts:
        for page in context.pages:
            clean_up(page)
        context.close()
    assert faults == []


def clean_up(page: Page) -> None:
    """Removes the conversions, which outlive the visit."""
    page.evaluate(
        """async () => {
            const headers = { Authorization: `Bearer ${localStorage.getItem('ytmp3d.key')}` };
            const answer = await fetch('status?limit=100', { headers });
            for (const job of answer.ok ? (await answer.json()).jobs : []) {
                for (let i = 0; i < 2; i++) await fetch(`status/${job.conversion_id}`, { method: 'DELETE', headers });
            }
        }"""
    )
