"""Health, metrics, description and the page: what needs no key."""

from __future__ import annotations

from pathlib import Path

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from server import errors
from server.appkeys import ASSETS, CONFIG, METRICS, READINESS
from server.files import File, send
from server.forwarded import is_loopback

#: The files of the page, beside the package: the project is run from a checkout.
STATIC = Path(__file__).parent.parent / "static"
_SERVED = (".html", ".js", ".css", ".json", ".svg", ".ico")


def assets() -> dict[str, Path]:
    """What may be served from `static/`: these files and nothing else, whatever a path says. Blocking."""
    return {file.name: file for file in STATIC.iterdir() if file.suffix in _SERVED and not file.name.startswith(".")}


async def healthz(request: web.Request) -> web.Response:
    """`GET /healthz`: the process is up."""
    return web.json_response({"status": "ok"}, headers={"Cache-Control": "no-store"})


async def readyz(request: web.Request) -> web.Response:
    """`GET /readyz`: 200 when conversions can work, 503 with the reasons when not; warnings with both."""
    problems, warnings = await request.app[READINESS].report()
    return web.json_response(
        {"status": "unavailable" if problems else "ready", "problems": problems, "warnings": warnings},
        status=503 if problems else 200,
        headers={"Cache-Control": "no-store", **({"Retry-After": "5"} if problems else {})},
    )


async def metrics(request: web.Request) -> web.Response:
    """`GET /metrics`"""
    if not request.app[CONFIG].server.metrics_public and not is_loopback(request):
        raise errors.Forbidden("Metrics are for clients on this machine, unless [server] metrics_public is set.")
    return web.Response(body=request.app[METRICS].text(), headers={"Content-Type": CONTENT_TYPE_LATEST})


async def page(request: web.Request) -> web.StreamResponse:
    """`GET /`"""
    return await _asset(request, "index.html")


async def docs(request: web.Request) -> web.StreamResponse:
    """`GET /docs`"""
    return await _asset(request, "docs.html")


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
    return await send(request, File(path, headers={"Cache-Control": "no-cache"}, gone=nothing))
