"""The reference as a server shows it: every document is a page, and nothing else is."""

from __future__ import annotations

import re

import pytest
from support.api import Api

from server.http.documents import NAMES, slug, text_of


@pytest.mark.parametrize("name", NAMES)
async def test_every_document_is_a_page_and_markdown(api: Api, name: str) -> None:
    page = await api.get(f"/docs/{name}", key=None)
    assert page.status == 200 and page.headers["Content-Type"] == "text/html; charset=utf-8"
    markdown = await api.get(f"/docs/{name}.md", key=None)
    assert markdown.headers["Content-Type"] == "text/markdown; charset=utf-8"
    assert markdown.body.decode() == text_of(name)
    shown = page.body.decode()
    assert "&lt;!--" not in shown
    for heading in re.findall(r"^## (.+)$", text_of(name), re.M):
        if name != "settings":  # comments of the file look like headings
            assert f'<a href="#{slug(heading)}">' in shown and f'<h2 id="{slug(heading)}">' in shown
    for target in re.findall(r'href="([^"#:]*)["#]', shown):
        assert target in ("", "../", "../docs", "../static/icon.svg", "../static/docs.css", *NAMES), target
    again = await api.get(f"/docs/{name}", key=None, headers={"If-None-Match": page.headers["ETag"]})
    assert (again.status, again.body) == (304, b"")


@pytest.mark.parametrize("name", ["nothing", "server.html", "server.md.md", "..%2Findex.html", ".md", "youtube.md"])
async def test_there_is_no_other_document(api: Api, name: str) -> None:
    assert (await api.get(f"/docs/{name}", key=None)).status == 404


async def test_no_script_in_a_document_could_run(api: Api) -> None:
    page = await api.get("/docs/server", key=None)
    assert "script-src 'self'" in page.headers["Content-Security-Policy"] and b"<script" not in page.body
