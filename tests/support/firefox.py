"""Debian's Firefox, driven by WebDriver BiDi (w3.org/TR/webdriver-bidi), which it speaks without a driver beside it.

Without a sound device it plays at the true pace, in silence.
"""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import aiohttp
import pytest

from support.waiting import SOON

BROWSERS = ("firefox-esr", "firefox")
#: WebDriver's codes of keys.
TAB, ENTER, SPACE = "\ue004", "\ue007", "\ue00d"
PREFERENCES = {
    "app.update.enabled": False,
    "browser.safebrowsing.downloads.enabled": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "media.autoplay.default": 0,  # sound without a click
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "services.settings.server": "",
    "ui.prefersReducedMotion": 1,
}


class Firefox:
    """One tab."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._asked = 0
        self._tab = ""

    async def call(self, method: str, **parameters: Any) -> Any:
        self._asked += 1
        await self._socket.send_json({"id": self._asked, "method": method, "params": parameters})
        while (answer := await self._socket.receive_json(timeout=SOON)).get("id") != self._asked:
            pass  # an event
        assert answer["type"] == "success", answer
        return answer["result"]

    async def begin(self) -> None:
        await self.call("session.new", capabilities={})
        # The first tab never gets the focus, without which keys press no button.
        self._tab = (await self.call("browsingContext.create", type="tab"))["context"]
        await self.resize(1200, 800)

    async def resize(self, width: int, height: int) -> None:
        await self.call("browsingContext.setViewport", context=self._tab, viewport={"width": width, "height": height})

    async def visit(self, url: str) -> None:
        await self.call("browsingContext.navigate", context=self._tab, url=url, wait="complete")

    async def arrive(self, url: str) -> None:
        """At our page, whose list is empty; return once it has begun, and nothing moves any more."""
        await self.visit(url)
        await self.until("document.querySelector('#empty').checkVisibility()")

    async def evaluate(self, expression: str) -> Any:
        """What the expression is worth, as JSON knows it."""
        asked = f"(async () => JSON.stringify(await ({expression}) ?? null))()"
        answer = await self.call(
            "script.evaluate", expression=asked, target={"context": self._tab}, awaitPromise=True, userActivation=True
        )
        assert answer["type"] == "success", answer
        return json.loads(answer["result"]["value"])

    async def run(self, script: str) -> None:
        """Statements, whatever they are worth."""
        target = {"context": self._tab}
        answer = await self.call("script.evaluate", expression=f"{script};null", target=target, awaitPromise=False)
        assert answer["type"] == "success", answer

    async def until(self, expression: str) -> Any:
        """Its value, once that is true."""
        async with asyncio.timeout(SOON):
            while not (value := await self.evaluate(expression)):
                await asyncio.sleep(0.05)
        return value

    async def click(self, selector: str, share: float = 0.5) -> None:
        """With the mouse, so far from the left edge of the element."""
        x, y = await self.until(
            f"""(() => {{
                const element = document.querySelector({json.dumps(selector)});
                if (!element?.getClientRects().length) return null;
                element.scrollIntoView({{ block: 'nearest' }});
                const box = element.getBoundingClientRect();
                return [Math.round(box.x + box.width * {share}), Math.round(box.y + box.height / 2)];
            }})()"""
        )
        move = {"type": "pointerMove", "x": x, "y": y}
        actions = [move, {"type": "pointerDown", "button": 0}, {"type": "pointerUp", "button": 0}]
        await self._perform({"type": "pointer", "id": "mouse", "actions": actions})

    async def press(self, key: str) -> None:
        """WebDriver's code of a key, or what it writes, one after the other."""
        actions = [{"type": kind, "value": one} for one in key for kind in ("keyDown", "keyUp")]
        await self._perform({"type": "key", "id": "keys", "actions": actions})

    async def tab_to(self, selector: str) -> None:
        """As somebody without a mouse."""
        for _ in range(80):
            await self.press(TAB)
            if await self.evaluate(f"document.activeElement.matches({json.dumps(selector)})"):
                return
        raise AssertionError(f"no Tab leads to {selector}")

    async def _perform(self, source: dict[str, Any]) -> None:
        await self.call("input.performActions", context=self._tab, actions=[source])


@asynccontextmanager
async def started(folder: Path, preferences: Mapping[str, object] = MappingProxyType({})) -> AsyncIterator[Firefox]:
    """A new visitor's Firefox, whose profile is in that folder, with more preferences."""
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip(f"NOT TESTED: the page in Firefox (none of {', '.join(BROWSERS)} is on PATH)")
    lines = (
        f"user_pref({json.dumps(name)}, {json.dumps(value)});\n"
        for name, value in {**PREFERENCES, **preferences}.items()
    )
    (folder / "user.js").write_text("".join(lines))
    command = [path, "--headless", "--no-remote", "--profile", str(folder), "--remote-debugging-port", "0"]
    with (folder / "stderr").open("wb") as stderr:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=stderr, start_new_session=True)
    try:
        async with asyncio.timeout(SOON):
            while not (found := re.search(r"listening on (ws://\S+)", (folder / "stderr").read_text(errors="replace"))):
                assert process.poll() is None, (folder / "stderr").read_text(errors="replace")
                await asyncio.sleep(0.05)
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(f"{found[1]}/session", max_msg_size=0) as socket,
        ):
            firefox = Firefox(socket)
            await firefox.begin()
            yield firefox
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
