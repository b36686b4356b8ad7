"""What `GET /metrics` shows, in the Prometheus text format. No label holds anything a client can invent.

Names of keys, which only the owner gives, are labels only if a setting wants it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from .jobs import Status

_SECONDS = (0.001, 0.005, 0.025, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0)
#: What is counted for each key, in the order of `Metrics.used`.
_OF_KEYS = (
    ("requests", "Requests of a key that were admitted."),
    ("conversions_accepted", "Conversions of a key that were accepted."),
    ("audio_seconds", "Seconds of audio in a key's completed conversions, shared and kept ones included."),
    ("bytes_served", "Bytes of MP3 sent from a key's links."),
)


class Metrics:
    """One registry per application, so that two in one process do not mix."""

    def __init__(self, *, by_key: bool = False) -> None:
        """`by_key` adds what each key used, with its name as a label."""
        registry = self.registry = CollectorRegistry()
        self.requests = Counter(
            "ytmp3d_requests", "Requests answered, by route and status.", ["route", "status"], registry=registry
        )
        self._by_route: dict[tuple[str, int], Counter] = {}  # looking a label up costs more than counting
        self.latency = Histogram(
            "ytmp3d_request_seconds",
            "Time to the end of the answer. Downloads, events and waiting are left out.",
            buckets=_SECONDS,
            registry=registry,
        )
        self.conversions = Counter(
            "ytmp3d_conversions",
            "Conversions ended, by outcome and error code.",
            ["outcome", "code"],
            registry=registry,
        )
        self.shared = Counter(
            "ytmp3d_conversions_shared", "Conversions answered from kept or running work.", registry=registry
        )
        self.accepted = Counter("ytmp3d_conversions_accepted", "Conversions accepted.", registry=registry)
        self.clips = Counter("ytmp3d_clips_accepted", "Conversions accepted of a part of a video.", registry=registry)
        self.loudness = Counter(
            "ytmp3d_loudness_accepted", "Conversions accepted with a loudness of their own.", registry=registry
        )
        self.sources_kept = Counter(
            "ytmp3d_sources_kept",
            "Sources fetched into a file that several jobs may share.",
            registry=registry,
        )
        self.webhooks = Counter(
            "ytmp3d_webhooks", "Attempts to deliver a webhook, by what came of them.", ["outcome"], registry=registry
        )
        for outcome in ("delivered", "failed", "given_up"):
            self.webhooks.labels(outcome)
        self.audio_seconds = Counter("ytmp3d_audio_seconds", "Seconds of audio made.", registry=registry)
        self.bytes_served = Counter("ytmp3d_bytes_served", "Bytes of MP3 sent to readers.", registry=registry)
        self._tools = Gauge(
            "ytmp3d_tools_info",
            "Always 1; the labels say which yt-dlp runs, and what with.",
            ["yt_dlp", "yt_dlp_ejs", "javascript", "plugins"],
            registry=registry,
        )
        self._exit_up = Gauge(
            "ytmp3d_exit_up", "Whether an exit to YouTube is open: 0 while it cools down.", ["exit"], registry=registry
        )
        self._exit_failures = Counter(
            "ytmp3d_exit_failures",
            "Attempts that failed by an exit's fault, by error code.",
            ["exit", "code"],
            registry=registry,
        )
        self.playlists = Counter(
            "ytmp3d_playlists",
            'Playlists asked for, by outcome: "listed" or the error code.',
            ["outcome"],
            registry=registry,
        )
        self.playlist_seconds = Histogram(
            "ytmp3d_playlist_seconds",
            "Time to list a playlist, with the wait for its turn.",
            buckets=_SECONDS,
            registry=registry,
        )
        self.stages = Histogram(
            "ytmp3d_stage_seconds",
            "Time of each stage of a conversion: extract and cover are yt-dlp's, wait for a slot, encode is ffmpeg's.",
            ["stage"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._of_keys = [
            Counter(f"ytmp3d_key_{name}", meaning, ["key"], registry=registry)
            for name, meaning in (_OF_KEYS if by_key else ())
        ]
        self._by_key: dict[str, list[Counter]] = {}

    def tools(self, versions: Mapping[str, str]) -> None:
        """Show which versions of the tools run, in place of those shown before."""
        self._tools.clear()
        self._tools.labels(**versions).set(1)

    def exit(self, name: str, is_open: Callable[[], bool]) -> None:
        """Show an exit from now on."""
        self._exit_up.labels(name).set_function(is_open)

    def exit_failed(self, name: str, code: str) -> None:
        self._exit_failures.labels(name, code).inc()

    def playlist(self, outcome: str, seconds: float) -> None:
        self.playlists.labels(outcome).inc()
        self.playlist_seconds.observe(seconds)

    def gauge(self, name: str, meaning: str, read: Callable[[], float]) -> None:
        """A value that is read when somebody asks."""
        Gauge(f"ytmp3d_{name}", meaning, registry=self.registry).set_function(read)

    def request(self, route: str, status: int, seconds: float | None) -> None:
        """`route` is the pattern, never the address; `seconds` is None for answers that take as long as they like."""
        counter = self._by_route.get((route, status))
        if counter is None:
            counter = self._by_route[route, status] = self.requests.labels(route, str(status))
        counter.inc()
        if seconds is not None:
            self.latency.observe(seconds)

    def ended(self, outcome: Status, code: str, conversions: int) -> None:
        """So many conversions ended; `code` is the error's, empty where there is none."""
        self.conversions.labels(outcome.value, code).inc(conversions)

    def used(self, key: str, *, requests: int = 0, conversions: int = 0, seconds: float = 0.0, sent: int = 0) -> None:
        """A key used so much more."""
        if not self._of_keys:
            return
        counters = self._by_key.get(key)
        if counters is None:
            counters = self._by_key[key] = [counter.labels(key) for counter in self._of_keys]
        for counter, more in zip(counters, (requests, conversions, seconds, sent), strict=True):
            if more:
                counter.inc(more)

    def stage(self, name: str, seconds: float) -> None:
        self.stages.labels(name).observe(seconds)

    def text(self) -> bytes:
        return generate_latest(self.registry)
