"""A page held to the rules of axe."""

from __future__ import annotations

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page


def assert_accessible(page: Page, *, only: str = "") -> None:
    """By all rules, or by one."""
    options = {"runOnly": [only]} if only else {}
    violations = Axe().run(page, options=options).response["violations"]
    assert [(v["id"], [node["html"] for node in v["nodes"]]) for v in violations] == []
