"""A page held to the rules of axe."""

from __future__ import annotations

from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from support.firefox import Firefox


def assert_accessible(page: Page, *, only: str = "") -> None:
    """By all rules, or by one."""
    options = {"runOnly": [only]} if only else {}
    _judge(Axe().run(page, options=options).response["violations"])


async def assert_accessible_in_firefox(page: Firefox) -> None:
    await page.run(Axe().axe_script)
    _judge(await page.evaluate("axe.run().then(({ violations }) => violations)"))


def _judge(violations: list[dict[str, Any]]) -> None:
    assert [(v["id"], [node["html"] for node in v["nodes"]]) for v in violations] == []
