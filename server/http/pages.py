"""The page, its files and the description of the API, which need no key."""

from __future__ import annotations

from pathlib import Path

from aiohttp import web

from .. import errors
from .compressed import Asset, compress, response
from .context import ASSETS
from .file_response import File, send

_PACKAGE = Path(__file__).parent.parent
#: The page's files: inside an installed package, beside `server/` in a checkout.
STATIC = next(folder for folder in (_PACKAGE / "static", _PACKAGE.parent / "static") if folder.is_dir())
#: What is served, by its media type. All of it is text but icons.
_KINDS = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json",
    ".yml": "application/yaml",
    ".webmanifest": "application/manifest+json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/vnd.microsoft.icon",
}


def assets() -> dict[str, Asset]:
    """The only files that are served from `static/`, whatever a path says. Blocking."""
    served = (file for file in STATIC.iterdir() if file.suffix in _KINDS and not file.name.startswith("."))
    return {file.name: Asset(file, compress(file)) for file in served}


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
    asset = request.app[ASSETS].get(name)
    if asset is None:
        raise nothing
    headers = {"Cache-Control": "no-cache", "Content-Type": _KINDS[asset.path.suffix]}
    if asset.compressed:
        headers["Vary"] = "Accept-Encoding"
        if (answer := await response(request, asset.path, asset.compressed, headers)) is not None:
            return answer
    return await send(request, File(asset.path, headers=headers, gone=nothing), download=False)
