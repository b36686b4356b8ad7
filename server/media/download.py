"""How yt-dlp downloads into a pipe, in its own process: no byte twice, no fragment skipped, no endless download.

yt-dlp's downloaders are written for files: they begin again if a server does not resume, and they skip missing
fragments. Here they write to an `Outlet`, which prevents both. The server never imports this.
"""

from __future__ import annotations

import hashlib
import math
import zlib
from collections.abc import Callable
from typing import Any, BinaryIO

import yt_dlp.downloader
from yt_dlp.downloader import fragment
from yt_dlp.downloader.dash import DashSegmentsFD
from yt_dlp.downloader.hls import HlsFD
from yt_dlp.downloader.http import HttpFD
from yt_dlp.networking.exceptions import HTTPError
from yt_dlp.utils import NO_DEFAULT, DownloadCancelled

#: Bytes of progress after which the next failure counts as the first again.
PROGRESS_BYTES = 1 << 10
#: How many answers in a row may be empty; yt-dlp itself would ask for the next piece for ever.
IDLE_REQUESTS = 100
#: How much of a source's beginning is kept for `Outlet.on_head`, in bytes.
HEAD_BYTES = 4 << 10


class Refused(DownloadCancelled):  # type: ignore[misc]  # yt-dlp is untyped
    """This server's own rules end the run. `code` is a job error's code or `OVERSIZED`; the message is for the log."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Outlet:
    """The pipe to the encoder, as a file that can be begun again: bytes sent already are compared and dropped.

    `position` is the position of the next byte written, `sent` the bytes given to the encoder, `received` all bytes
    that came. Receiving more than `most`, or sending more than `size_limit`, raises Refused with the code beside it.
    `total` is the source's own size, once it is known.
    """

    def __init__(self, pipe: BinaryIO) -> None:
        self._pipe = pipe
        self.position = self.sent = self.received = 0
        self.most: tuple[float, str] = (math.inf, "TOO_LARGE")
        self.size_limit: tuple[float, str] = (math.inf, "OVERSIZED")
        self.total: int | None = None
        self.on_head: Callable[[bytes], None] | None = None
        self._idle = (0, 0)  # requests, and what was received before them
        self._head = bytearray()
        self._checksum = self._again = 0

    def begin_again(self) -> None:
        """The next byte written is the first of the same source again."""
        self.position = self._again = 0

    def write(self, data: bytes) -> int:
        self.foresee(len(data))
        self.received += len(data)
        known = max(0, min(len(data), self.sent - self.position))
        if known:
            self._compare(memoryview(data)[:known])
        if known < len(data):
            self._send(memoryview(data)[known:])
        return len(data)

    def foresee(self, count: int) -> None:
        """Raise Refused if `count` more bytes are too many."""
        limit, code = self.most
        if self.received + count > limit:
            raise Refused(code, f"more than {limit:.0f} bytes came")

    def note_request(self) -> None:
        """Raise Refused if too many answers in a row are empty."""
        idle, before = self._idle
        self._idle = (idle + 1 if before == self.received else 1, self.received)
        if idle > IDLE_REQUESTS:
            raise Refused("TRUNCATED", f"{idle} requests brought nothing after {self.sent} bytes")

    def flush(self) -> None:
        self._pipe.flush()

    def close(self) -> None:
        """Keep the pipe open: a failed download continues in it."""

    def end(self) -> None:
        """Everything is written; hand on the head even if it is short."""
        if self.position != self.sent:
            raise Refused("TRUNCATED", f"begun again, it ended after {self.position} of {self.sent} bytes")
        self._show_head(len(self._head))

    def _compare(self, data: memoryview) -> None:
        self._again = zlib.crc32(data, self._again)
        self.position += len(data)
        if self.position == self.sent and self._again != self._checksum:
            raise Refused("TRUNCATED", f"begun again, the first {self.sent} bytes were others")

    def _send(self, data: memoryview) -> None:
        limit, code = self.size_limit
        if self.sent + len(data) > limit:
            raise Refused(code, f"more than {limit:.0f} bytes")
        self._pipe.write(data)
        self._checksum = zlib.crc32(data, self._checksum)
        self.sent += len(data)
        self.position += len(data)
        if self.on_head:
            self._head += data[: HEAD_BYTES - len(self._head)]
            self._show_head(HEAD_BYTES)

    def _show_head(self, enough: int) -> None:
        if self.on_head and len(self._head) >= enough:
            show, self.on_head = self.on_head, None
            show(bytes(self._head))


class _RetryWhileMoving(HttpFD):  # type: ignore[misc]
    """Count retries since the last progress, not per file: a file comes in many pieces."""

    def __init__(self, ydl: Any, params: dict[str, Any]) -> None:
        super().__init__(ydl, {**params, "retries": math.inf})
        self._budget = params.get("retries") or 0
        self._failures = self._reached = self._best = 0

    def real_download(self, filename: str, info_dict: dict[str, Any]) -> Any:
        self._failures = self._reached = self._best = 0
        return super().real_download(filename, info_dict)

    def _hook_progress(self, status: dict[str, Any], info_dict: dict[str, Any]) -> None:
        self._reached = max(self._reached, status.get("downloaded_bytes") or 0)
        super()._hook_progress(status, info_dict)

    def report_retry(self, err: Any, count: int, retries: float, *args: Any, **named: Any) -> None:
        if self._reached - self._best >= PROGRESS_BYTES:
            self._failures = 0
        self._best = max(self._best, self._reached)
        self._failures += 1
        super().report_retry(err, self._failures, self._budget, *args, **named)


class _ToOutlet:
    """Open the run's outlet instead of standard output."""

    ydl: Any

    def sanitize_open(self, filename: str, open_mode: str) -> tuple[Any, str]:
        if filename != "-":
            return super().sanitize_open(filename, open_mode)  # type: ignore[misc, no-any-return]
        if open_mode == "wb":
            self.ydl.outlet.begin_again()
        return self.ydl.outlet, filename


class WholeHttp(_ToOutlet, _RetryWhileMoving):
    """A file in one or many pieces. The server may send it from the start again."""

    def report_unable_to_resume(self) -> None:
        super().report_unable_to_resume()
        self.ydl.outlet.begin_again()

    def _hook_progress(self, status: dict[str, Any], info_dict: dict[str, Any]) -> None:
        outlet = self.ydl.outlet
        if status.get("downloaded_bytes", outlet.position) != outlet.position:
            raise Refused("TRUNCATED", f"byte {status['downloaded_bytes']} was written at {outlet.position}")
        if status["status"] == "downloading":
            outlet.total = status.get("total_bytes")
        super()._hook_progress(status, info_dict)


class _FragmentWithRetries(_RetryWhileMoving, fragment.HttpQuietDownloader):  # type: ignore[misc]
    """One fragment, downloaded into its own file and then sent to the outlet."""

    def _hook_progress(self, status: dict[str, Any], info_dict: dict[str, Any]) -> None:
        self.ydl.outlet.foresee(status.get("downloaded_bytes") or 0)
        super()._hook_progress(status, info_dict)


class _EveryFragment(_ToOutlet):
    """Refuses a missing or misplaced fragment: each contains its number or its time."""

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self._digests: set[bytes] = set()

    def _append_fragment(self, ctx: dict[str, Any], frag_content: bytes) -> None:
        digest = hashlib.blake2b(frag_content, digest_size=16).digest()
        if digest in self._digests:
            raise Refused("TRUNCATED", f"fragment {ctx['fragment_index']} is the same as another")
        self._digests.add(digest)
        super()._append_fragment(ctx, frag_content)  # type: ignore[misc]

    def report_retry(self, err: Any, count: int, retries: float, *args: Any, **named: Any) -> None:
        if count > retries and isinstance(err, HTTPError) and err.status in (404, 410):
            which = "" if not args or args[0] is NO_DEFAULT else args[0]
            raise Refused("TRUNCATED", f"fragment {which} is missing: {err}")
        super().report_retry(err, count, retries, *args, **named)  # type: ignore[misc]


class WholeDash(_EveryFragment, DashSegmentsFD):  # type: ignore[misc]
    pass


class WholeHls(_EveryFragment, HlsFD):  # type: ignore[misc]
    def real_download(self, filename: str, info_dict: dict[str, Any]) -> Any:
        if not self.can_download(info_dict.get("hls_media_playlist_data") or "", info_dict):
            raise Refused("DRM_PROTECTED", "an encryption that only another program could undo")
        return super().real_download(filename, info_dict)


def install() -> None:
    """Make yt-dlp use these."""
    fragment.HttpQuietDownloader = _FragmentWithRetries
    yt_dlp.downloader.PROTOCOL_MAP.update(
        http=WholeHttp, https=WholeHttp, http_dash_segments=WholeDash, m3u8_native=WholeHls
    )
