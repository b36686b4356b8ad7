"""Health and metrics, which need no key."""

from __future__ import annotations

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from .. import errors
from ..media import ytdlp
from .context import CONFIG, METRICS, READINESS
from .forwarded import is_local


async def healthz(request: web.Request) -> web.Response:
    """`GET /healthz`: the process is up."""
    return web.json_response({"status": "ok"}, headers={"Cache-Control": "no-store"})


async def readyz(request: web.Request) -> web.Response:
    """`GET /readyz`: 200 when conversions can work, 503 with the reasons when not; warnings with both."""
    readiness = request.app[READINESS]
    problems, warnings = await readiness.report()
    return web.json_response(
        {
            "status": "unavailable" if problems else "ready",
            "problems": problems,
            "warnings": warnings,
            "versions": versions(readiness.versions),
        },
        status=503 if problems else 200,
        headers={"Cache-Control": "no-store", **({"Retry-After": "5"} if problems else {})},
    )


def versions(running: ytdlp.Versions) -> dict[str, object]:
    """The versions in use; null for what is missing."""
    return {
        "yt_dlp": running.ytdlp,
        "yt_dlp_ejs": running.ejs or None,
        "javascript": running.runtime or None,
        "plugins": {name: version or None for name, version in running.plugins.items()},
    }


async def metrics(request: web.Request) -> web.Response:
    """`GET /metrics`"""
    if not request.app[CONFIG].server.metrics_public and not is_local(request):
        raise errors.Forbidden("Metrics are for clients on this machine, unless [server] metrics_public is set.")
    return web.Response(body=request.app[METRICS].text(), headers={"Content-Type": CONTENT_TYPE_LATEST})
