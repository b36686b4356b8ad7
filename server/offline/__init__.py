"""The offline YouTube: enough of the site for yt-dlp's own extractor, behind a proxy on loopback.

It promises the same video for an id on every machine, and that nothing leaves the machine. Any id gives a made-up
video; `catalogue` lists the ids that fail on purpose. It runs in the caller's event loop and never blocks it for longer
than a millisecond. The rest of the server does not import it: the server reaches it through the settings for a proxy
and a certificate authority.

May import: access, http, media.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from ..config import ConfigError, OfflineConfig
from ..installation import pip_install
from .clips import Studio
from .proxy import HOSTS, serve_proxy
from .site import Site
from .streams import UNREACHABLE_HOST

__all__ = ["OfflineYouTube", "offline_youtube"]


@dataclass(frozen=True)
class OfflineYouTube:
    """How to reach a running offline YouTube."""

    proxy: str
    """``http://127.0.0.1:PORT``, a proxy for CONNECT."""
    ca_file: Path
    """PEM of the authority that signed its certificate, made at this start and good for nothing else."""


@asynccontextmanager
async def offline_youtube(
    folder: Path, ffmpeg: str, settings: OfflineConfig | None = None
) -> AsyncIterator[OfflineYouTube]:
    """Runs an offline YouTube in the running event loop until the block is left, which takes no time.

    Raises ConfigError when the extra `offline` is not installed.

    ``folder`` is its own (authority, clips); what it holds from an earlier run is used again. ``settings`` say how slow
    it is and whom it blocks.
    """
    ca_file = folder / "ca.pem"
    tls = await asyncio.to_thread(_prepare, folder, ca_file)
    studio = Studio(folder / "clips", ffmpeg)
    site = Site(studio, settings or OfflineConfig())
    runner = web.AppRunner(site.application(), access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    try:
        if runner.server is None:
            raise RuntimeError("aiohttp's runner has no server after its set-up")
        async with serve_proxy(runner.server, tls, frozenset({UNREACHABLE_HOST})) as port:
            yield OfflineYouTube(f"http://127.0.0.1:{port}", ca_file)
    finally:
        await runner.cleanup()
        await studio.close()


def _prepare(folder: Path, ca_file: Path) -> ssl.SSLContext:
    try:
        import trustme  # here, since a server on the real YouTube works without it
    except ModuleNotFoundError as error:
        install = pip_install("'ytmp3d[offline]'")
        raise ConfigError(f"offline mode needs a package that is not installed ({error.name}): {install}") from error
    (folder / "clips").mkdir(parents=True, exist_ok=True)
    authority = trustme.CA(organization_name="offline YouTube")
    authority.cert_pem.write_to_path(ca_file)
    certificate = authority.issue_cert(*HOSTS, *(f"*.{host}" for host in HOSTS))
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    certificate.configure_cert(tls)
    return tls
