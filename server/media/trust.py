"""The authorities that yt-dlp trusts, read once for all its processes: reading them takes each some 15 ms.

The forkserver makes the usual TLS context before it forks, and the children share it. The server never imports this.
"""

from __future__ import annotations

import os
import ssl
from contextlib import suppress
from typing import Any

from yt_dlp.networking import common


def prepare() -> None:
    """Make the context of a run with usual settings now. Any other run makes its own, as does one with another bundle.

    Where a yt-dlp has no such seam, nothing changes.
    """
    make = getattr(common, "make_ssl_context", None)
    if make is None:
        return
    bundle = _bundle()
    usual = {"verify": True} if bundle else {"verify": True, "use_certifi": True}
    with suppress(OSError, TypeError):  # then a run says what is wrong
        ready: ssl.SSLContext = make(**{"use_certifi": False, **usual})

        def make_ssl_context(*args: Any, **settings: Any) -> ssl.SSLContext:
            wanted = {name: value for name, value in settings.items() if value}
            is_ready = not args and wanted == usual and (not bundle or _bundle() == bundle)
            context: ssl.SSLContext = ready if is_ready else make(*args, **settings)
            return context

        common.make_ssl_context = make_ssl_context


def _bundle() -> tuple[str, int, int, int] | None:
    """The bundle that the environment names, and its state; None without one."""
    path = os.environ.get("SSL_CERT_FILE", "")
    with suppress(OSError):
        found = os.stat(path)  # noqa: PTH116
        return path, found.st_ino, found.st_mtime_ns, found.st_size
    return None
