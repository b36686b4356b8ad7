"""Which variables of the server's environment its children get: what they need to run and to find their way, no secret.

The server's own are `YTMP3D_KEY`, and whatever the shell that started it has: no child needs them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

_NEEDED = frozenset(
    {"PATH", "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"}
    | {"PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX", "PYTHONUTF8", "VIRTUAL_ENV"}
)
_NEEDED_PREFIXES = ("LC_",)
#: For whoever speaks to YouTube: proxies, authorities, and where a browser keeps its cookies.
_NETWORK = frozenset(
    {"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE"}
    | {"CURL_CA_BUNDLE", "DBUS_SESSION_BUS_ADDRESS", "DESKTOP_SESSION"}
)
_NETWORK_PREFIXES = ("XDG_", "DENO_")
#: What only the server itself may know.
_OWN_PREFIX = "YTMP3D_"


def for_tools(variables: Mapping[str, str] = os.environ) -> dict[str, str]:
    """For a program that works on files, such as ffmpeg."""
    return {name: value for name, value in variables.items() if name in _NEEDED or name.startswith(_NEEDED_PREFIXES)}


def for_ytdlp(variables: Mapping[str, str] = os.environ) -> dict[str, str]:
    """For yt-dlp, which also needs its way to the network."""
    network = {
        name: value
        for name, value in variables.items()
        if name.upper() in _NETWORK or name.startswith(_NETWORK_PREFIXES)
    }
    return for_tools(variables) | network


def for_owner(variables: Mapping[str, str] = os.environ) -> dict[str, str]:
    """For a program that acts for the owner, such as pip, whose settings may be in any variable."""
    return {name: value for name, value in variables.items() if not name.startswith(_OWN_PREFIX)}
