"""A dozen four-minute videos at once from a source that lets each request wait: how many are fetched side by side."""

from __future__ import annotations

from pathlib import Path

from server.config import OfflineConfig

from . import measure, songs
from .conversion import Commands
from .ours import OurServer, youtube_in_a_thread

DOZEN = songs.SONGS[:12]
#: What each answer takes longer, and what one connection brings.
SLOW = OfflineConfig(latency_ms=1000, rate_kbps=32_000)
FETCHERS = (1, 2, 4, 8)


def run(folder: Path, ffmpeg: str, rounds: int) -> None:
    songs.reserve()
    clips = folder.parent / "youtube"
    with youtube_in_a_thread(clips, ffmpeg) as youtube:
        sources = songs.fetched(Commands(folder / "fetched", youtube, ffmpeg), DOZEN)
    rows: dict[str, list[list[float]]] = {}
    with youtube_in_a_thread(clips, ffmpeg, SLOW) as youtube:
        commands = Commands(folder / "commands", youtube, ffmpeg)
        servers = {
            count: OurServer(folder / f"{count}", youtube, slots=songs.CORES, fetchers=count) for count in FETCHERS
        }
        try:
            for _ in range(rounds):
                rows.setdefault("one of them", []).append(songs.ours(servers[1], DOZEN[:1]))
                for count, server in servers.items():
                    rows.setdefault(f"fetchers = {count}", []).append(songs.ours(server, DOZEN))
                at_a_time = f"{songs.CORES} at a time"
                rows.setdefault(f"yt-dlp -x, {at_a_time}", []).append(songs.extracted(commands, DOZEN))
                rows.setdefault(f"ffmpeg alone, {at_a_time}", []).append(songs.encoded(commands, sources))
        finally:
            for server in servers.values():
                server.stop()
    measure.table(
        f"{len(DOZEN)} four-minute videos at 320 kbit/s, 1 s an answer, 4 MB/s, median of {rounds} (smallest-largest)",
        songs.COLUMNS,
        rows,
    )
