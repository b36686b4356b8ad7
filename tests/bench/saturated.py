"""Twenty four-minute videos at once, beside as many commands at a time as there are cores, and the peer.

The peer starts all of them at once.
"""

from __future__ import annotations

import math
from pathlib import Path

from . import measure, peer, songs
from .conversion import SHORT, Commands, ours
from .ours import OurServer, youtube_in_a_thread


def run(folder: Path, ffmpeg: str, rounds: int) -> None:
    songs.reserve()
    rows: dict[str, list[list[float]]] = {}
    with youtube_in_a_thread(folder.parent / "youtube", ffmpeg) as youtube:
        commands = Commands(folder / "commands", youtube, ffmpeg)
        server = OurServer(folder / "ours", youtube)
        try:
            sources = songs.fetched(commands, songs.SONGS)
            ours(server, SHORT)
            with peer.running(folder / "peer", youtube, ffmpeg) as other:
                for _ in range(rounds):
                    rows.setdefault("ytmp3d", []).append(songs.ours(server, songs.SONGS))
                    at_a_time = f"{songs.CORES} at a time"
                    rows.setdefault(f"yt-dlp -x, {at_a_time}", []).append(songs.extracted(commands, songs.SONGS))
                    rows.setdefault(f"ffmpeg alone, {at_a_time}", []).append(songs.encoded(commands, sources))
                    if other:
                        rows.setdefault(peer.NAME, []).append([*other.convert(songs.SONGS), math.nan])
        finally:
            server.stop()
    measure.table(
        f"{len(songs.SONGS)} four-minute videos at 320 kbit/s, median of {rounds} (smallest-largest)",
        songs.COLUMNS,
        rows,
    )
