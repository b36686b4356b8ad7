"""`python -m tests.durations [ROUNDS]`: how long each reserved video and playlist takes, one at a time, in seconds.

The smallest of all rounds counts: on a busy machine it comes nearest to an idle one. What takes long is asked for once.
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

#: Seconds beyond which another round tells nothing new.
LONG = 10.0


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    taken: dict[str, list[float]] = {}
    for _ in range(rounds):
        with offline_server() as server:
            _video(server, "x-ordinary-")  # the server is warm
            for one in RESERVED:
                if min(taken.get(one, [0])) < LONG:
                    taken.setdefault(one, []).append(_video(server, one))
            for name, listed in RESERVED_LISTS.items():
                if min(taken.get(name, [0])) < LONG:
                    taken.setdefault(name, []).append(_seconds(server, "/playlist", listed.url)[0])
    for name, seconds in taken.items():
        print(f"{name} {min(seconds):.1f} s", flush=True)


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
