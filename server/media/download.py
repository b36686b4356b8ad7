"""How yt-dlp downloads into a pipe, in its own process: nothing twice, nothing skipped, nothing without end.

yt-dlp's downloaders are written for files, which they begin again where a server does not resume, and in which they
leave out fragments. Here they write to an `Outlet`. The server never imports this.
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

#: What must have come since the last failure for the next one to count as the first again, in bytes.
PROGRESS_BYTES = 1 << 10
#: How many requests may be answered without a byte; yt-dlp asks for the next piece for ever.
IDLE_REQUESTS = 100
#: How much of a source's beginning is kept for `Outlet.on_head`, in bytes.
HEAD_BYTES = 4 << 10


class Refused(DownloadCancelled):  # type: ignore[misc]  # yt-dlp is untyped
    """We stop the run ourselves; `code` is a job error's code, or `OVERSIZED`; the message is for the log."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Outlet:
    """The pipe to the encoder, as a file that can be begun again: what was sent already is compared and dropped.

    `position` is where the next byte written belongs, `sent` how many the encoder was given, `received` how many came
    in all. More than `most` received, or `size_limit` sent, raises Refused with the code that stands beside it.
    `total` is how many the source has by its own count, once it is known.
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
        """What is written next is the beginning of the same source."""
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
        """Refuse if `count` more bytes are too many."""
        limit, code = self.most
        if self.received + count > limit:
            raise Refused(code, f"more than {limit:.0f} bytes came")

    def note_request(self) -> None:
        """Refuse if one request after another brings nothing."""
        idle, before = self._idle
        self._idle = (idle + 1 if before == self.received else 1, self.received)
        if idle > IDLE_REQUESTS:
            raise Refused("TRUNCATED", f"{idle} requests brought nothing after {self.sent} bytes")

    def flush(self) -> None:
        self._pipe.flush()

    def close(self) -> None:
        """The pipe stays open: a download that failed goes on in it."""

    def end(self) -> None:
        """All was written; hand on a head that stayed short."""
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
    """Retries are counted from the last progress on, not for a whole file, which comes in many pieces."""

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
    """Opens the run's outlet in place of standard output."""

    ydl: Any

    def sanitize_open(self, filename: str, open_mode: str) -> tuple[Any, str]:
        if filename != "-":
            return super().sanitize_open(filename, open_mode)  # type: ignore[misc, no-any-return]
        if open_mode == "wb":
            self.ydl.outlet.begin_again()
        return self.ydl.outlet, filename


class WholeHttp(_ToOutlet, _RetryWhileMoving):
    """A file in one or many pieces; a server that sends it from the start again does no harm."""

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
    """One fragment, into a file of its own, from where it goes to the outlet."""

    def _hook_progress(self, status: dict[str, Any], info_dict: dict[str, Any]) -> None:
        self.ydl.outlet.foresee(status.get("downloaded_bytes") or 0)
        super()._hook_progress(status, info_dict)


class _EveryFragment(_ToOutlet):
    """No fragment may be missing, nor come in another's place: each has its number or its time in it."""

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
