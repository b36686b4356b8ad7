"""`python -m tests.durations [ID …]`: how long each reserved video and playlist takes, one at a time; all: ten minutes.

The smaller of two rounds counts: on a busy machine it comes nearer to an idle one. What takes long is asked for once.
"""

from __future__ import annotations

import json
import sys
import time
import urllib.error
import urllib.request
from typing import Any

from server.offline.catalogue import RESERVED
from server.offline.playlists import RESERVED_LISTS
from server.testing.offline_server import OfflineServer, offline_server

ROUNDS = 2
#: Seconds beyond which another round tells nothing new.
LONG = 10.0


def main() -> None:
    wanted = sys.argv[1:] or [*RESERVED, *RESERVED_LISTS]
    taken: dict[str, list[float]] = {one: [] for one in wanted}
    for _ in range(ROUNDS):
        with offline_server() as server:
            _video(server, "x-ordinary-")  # now everything is warm
            for one, seconds in taken.items():
                if min(seconds, default=0) < LONG:
                    listed = RESERVED_LISTS.get(one)
                    took = _seconds(server, "/playlist", listed.url)[0] if listed else _video(server, one)
                    seconds.append(took)
    for one, seconds in taken.items():
        print(f"{one} {min(seconds):.1f} s")


def _video(server: OfflineServer, video_id: str) -> float:
    seconds, answer = _seconds(server, "/convert", f"https://youtu.be/{video_id}")
    while answer["status"] in ("queued", "processing"):
        more, answer = _seconds(server, f"/status/{answer['conversion_id']}", None)
        seconds += more
    server.reset("conversions")
    return seconds


def _seconds(server: OfflineServer, path: str, link: str | None) -> tuple[float, Any]:
    """How long the answer takes, and the answer."""
    body = json.dumps({"url": link}).encode() if link else None
    request = urllib.request.Request(server.url + path, body, {**server.headers, "Prefer": "wait=60"})
    began = time.monotonic()
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            return time.monotonic() - began, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return time.monotonic() - began, json.load(error)


if __name__ == "__main__":
    main()
