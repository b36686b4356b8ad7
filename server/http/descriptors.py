"""How many descriptors this process may have, and how many of them are for connections."""

from __future__ import annotations

import logging
import resource
from contextlib import suppress

log = logging.getLogger(__name__)

#: Kept for the database, the log, the loop and the like, and for each conversion that may run: its pipes, files and,
#: offline, the connections of its source.
_RESERVED, _RESERVED_EACH = 96, 16
#: The most connections and files at a time, even with more descriptors: each takes memory, too.
_MOST = 10_000
#: What systems permit that name no limit, or one that they do not keep (macOS).
_SUBSTITUTES = (65_536, 10_240)


def raise_limit() -> None:
    """Raise the limit on descriptors to what the system permits; the usual 1,024 are few for a server."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for wanted in (hard, *_SUBSTITUTES):
        if wanted == resource.RLIM_INFINITY or wanted <= soft:
            continue
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            return


def room_for_connections(running: int) -> int:
    """How many connections and open files are possible beside `running` conversions."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit == resource.RLIM_INFINITY:
        return _MOST
    room = limit - _RESERVED - _RESERVED_EACH * running
    if room < limit // 4:
        log.warning(
            "a limit of %d descriptors is low for %d conversions at a time; raise it (ulimit -n)", limit, running
        )
    return min(_MOST, max(room, limit // 4))
