"""The certificate authorities that yt-dlp trusts: the system's, and the `[ytdlp] ca_file`. Everything blocks."""

from __future__ import annotations

import logging
import secrets
import ssl
from dataclasses import dataclass
from pathlib import Path

from ..config import ConfigError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CaBundle:
    """The file that yt-dlp reads, and what it holds."""

    path: Path
    content: bytes

    def restore(self) -> None:
        """Write it again if somebody has removed it. Raises OSError."""
        if not self.path.exists():
            log.warning("%s was removed, and is written again", self.path)
            self._write()

    def write(self) -> None:
        """Write it at start, over the one of the last start if the disk has no room for both. Raises OSError."""
        try:
            self._write()
        except OSError:
            if not self.path.exists():
                raise
            self.path.write_bytes(self.content)

    def _write(self) -> None:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        part = self.path.with_name(f"{self.path.name}.{secrets.token_hex(4)}")  # a run may read the other one
        try:
            part.write_bytes(self.content)
            part.replace(self.path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise


def make_ca_bundle(ca_file: Path, path: Path) -> CaBundle:
    """The system's certificate authorities and the extra one, written to `path`. Raises ConfigError or OSError."""
    extra = read(ca_file)
    system = ssl.get_default_verify_paths().cafile
    authorities = Path(system).read_bytes() if system else b""  # some name authorities in comments, in any encoding
    bundle = CaBundle(path, authorities + b"\n" + extra.encode())
    bundle.write()
    return bundle


def read(ca_file: Path) -> str:
    """The certificate. Raises ConfigError."""
    try:
        extra = ca_file.read_text(encoding="utf-8")
        ssl.create_default_context().load_verify_locations(cadata=extra)
    except (OSError, ValueError, ssl.SSLError) as error:
        raise ConfigError(f"ytdlp.ca_file: expected a PEM certificate, found {str(ca_file)!r}: {error}") from error
    return extra
