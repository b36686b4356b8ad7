"""The page, its files and the description of the API, which need no key."""

from __future__ import annotations

from pathlib import Path

from aiohttp import web

from .. import errors
from .context import ASSETS
from .file_response import File, send

_PACKAGE = Path(__file__).parent.parent
#: The page's files: inside an installed package, beside `server/` in a checkout.
STATIC = next(folder for folder in (_PACKAGE / "static", _PACKAGE.parent / "static") if folder.is_dir())
_SERVED = (".html", ".js", ".css", ".json", ".svg", ".ico")


def assets() -> dict[str, Path]:
    """The only files that are served from `static/`, whatever a path says. Blocking."""
    return {file.name: file for file in STATIC.iterdir() if file.suffix in _SERVED and not file.name.startswith(".")}


async def page(request: web.Request) -> web.StreamResponse:
    """`GET /`"""
    return await _asset(request, "index.html")


async def docs(request: web.Request) -> web.StreamResponse:
    """`GET /docs`"""
    return await _asset(request, "docs.html")


async def youtube(request: web.Request) -> web.StreamResponse:
    """`GET /docs/youtube`"""
    return await _asset(request, "youtube.html")


async def openapi(request: web.Request) -> web.StreamResponse:
    """`GET /openapi.json`"""
    return await _asset(request, "openapi.json")


async def asset(request: web.Request) -> web.StreamResponse:
    """`GET /static/{name}`"""
    return await _asset(request, request.match_info["name"])


async def _asset(request: web.Request, name: str) -> web.StreamResponse:
    nothing = errors.NotFound("There is nothing at this address. GET /docs lists what there is.")
    path = request.app[ASSETS].get(name)
    if path is None:
        raise nothing
    return await send(request, File(path, headers={"Cache-Control": "no-cache"}, gone=nothing), download=False)
