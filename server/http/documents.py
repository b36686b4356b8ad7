"""The Markdown under `static/docs/` and the example of the settings, as it is and as pages for people.

A page is made when somebody asks for it first, in a thread.
"""

from __future__ import annotations

import asyncio
import functools
import gzip
import hashlib
import html
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiohttp import web

from .. import errors
from ..installation import CONFIG_EXAMPLE
from .compressed import takes_gzip
from .html_head import head
from .pages import STATIC

if TYPE_CHECKING:
    from markdown_it.token import Token

#: The documents, in the order of the links between them.
NAMES = ("server", "settings", "keeping", "api", "testing", "built-from")
_FOLDER = STATIC / "docs"
#: A remark for whoever writes the document, above a recipe.
_REMARK = re.compile(r"^<!--.*?-->\n", re.MULTILINE)
_HEADINGS = re.compile(r"^#{1,3} (.+)$", re.MULTILINE)
#: What a link of a document is on its page; any other file is not served, and loses its link.
_LINKS = {f"{name}.md": name for name in NAMES} | {"../../config.example.toml": "settings"}
_FRAME = """<body>
  <a class="skip" href="#content">Skip to the content</a>
  <header class="top">
    <a class="brand" href="../"><img src="../static/icon.svg" alt="" width="28" height="28">ytmp3d</a>
    <p class="links"><a href="../">Converter</a> <a href="../docs">API reference</a> {others}</p>
  </header>
  <div class="columns">
    <nav aria-label="Contents"><ul>{contents}</ul></nav>
    <main id="content" tabindex="-1" class="document">
{body}    </main>
  </div>
</body>
</html>
"""


@dataclass(frozen=True)
class Document:
    content: bytes
    compressed: bytes
    etag: str
    kind: str


async def document(request: web.Request) -> web.Response:
    """`GET /docs/{name}`: the page of a document; with `.md` behind the name, the document."""
    name, _, suffix = request.match_info["name"].partition(".")
    if name not in NAMES or suffix not in ("", "md"):
        raise errors.NotFound("There is nothing at this address. GET /docs lists what there is.")
    found = await asyncio.to_thread(_markdown if suffix else _page, name)
    headers = {"Cache-Control": "no-cache", "ETag": f'"{found.etag}"', "Vary": "Accept-Encoding"}
    if any(one.value in (found.etag, "*") for one in request.if_none_match or ()):
        return web.Response(status=304, headers=headers)
    headers["Content-Type"] = f"{found.kind}; charset=utf-8"
    if takes_gzip(request.headers.get("Accept-Encoding", "")):
        return web.Response(body=found.compressed, headers={**headers, "Content-Encoding": "gzip"})
    return web.Response(body=found.content, headers=headers)


def text_of(name: str) -> str:
    """The Markdown of a document. Blocking."""
    if name == "settings":
        example = CONFIG_EXAMPLE.read_text(encoding="utf-8")
        return (
            f"# Settings\n\nEvery setting with its default; see [Run a server](server.md).\n\n```toml\n{example}```\n"
        )
    return (_FOLDER / f"{name}.md").read_text(encoding="utf-8")


@functools.cache
def _markdown(name: str) -> Document:
    return _made(text_of(name), "text/markdown")


@functools.cache
def _page(name: str) -> Document:
    from markdown_it import MarkdownIt  # late: many servers never show a document

    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = parser.parse(_REMARK.sub("", text_of(name)))
    contents = []
    for place, token in enumerate(tokens):
        if token.type == "heading_open":
            title = _plain(tokens[place + 1])
            token.attrSet("id", slug(title))
            if token.tag == "h2":
                contents.append(f'<li><a href="#{slug(title)}">{html.escape(title)}</a></li>')
        token.children = _with_links(token.children) if token.children else token.children
    body = parser.renderer.render(tokens, parser.options, {})
    body = body.replace("<table>", '<div class="wide" role="region" aria-label="Table" tabindex="0"><table>')
    body = body.replace("</table>", "</table></div>").replace("<pre>", '<pre tabindex="0">')
    others = " ".join(f'<a href="{one}">{html.escape(_title(one))}</a>' for one in NAMES if one != name)
    top = head(_title(name), style="docs.css", root="..")
    return _made(top + _FRAME.format(others=others, contents="".join(contents), body=body), "text/html")


def _made(text: str, kind: str) -> Document:
    content = text.encode()
    return Document(content, gzip.compress(content, mtime=0), hashlib.sha256(content).hexdigest()[:32], kind)


def _title(name: str) -> str:
    found = _HEADINGS.search(text_of(name))
    return found[1] if found else name


def _plain(inline: Token) -> str:
    return "".join(one.content for one in inline.children or ())


def slug(title: str) -> str:
    """The id of a heading, as forges make it: links within a document work there and here."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def _with_links(tokens: list[Token]) -> list[Token]:
    """The tokens with links that lead somewhere on a server."""
    kept: list[Token] = []
    dropped: list[bool] = []
    for token in tokens:
        if token.type == "link_open":
            target, anchor, part = str(token.attrGet("href") or "").partition("#")
            is_elsewhere = target.startswith(("http://", "https://"))
            dropped.append(not (is_elsewhere or not target or target in _LINKS))
            if not is_elsewhere and target in _LINKS:
                token.attrSet("href", f"{_LINKS[target]}{anchor}{part}")
        is_link = token.type in ("link_open", "link_close")
        if not (is_link and dropped[-1]):
            kept.append(token)
        if token.type == "link_close":
            dropped.pop()
    return kept
