"""The certificate authorities that yt-dlp trusts: the system's, and the `[ytdlp] ca_file`. Everything blocks."""

from __future__ import annotations

import logging
import secrets
import ssl
from pathlib import Path

from ..config import ConfigError

log = logging.getLogger(__name__)


def make_ca_bundle(ca_file: Path, bundle: Path) -> None:
    """Write the system's certificate authorities and the extra one into `bundle`. Blocking. Raises ConfigError."""
    try:
        extra = ca_file.read_text(encoding="utf-8")
        ssl.create_default_context().load_verify_locations(cadata=extra)
    except (OSError, ValueError, ssl.SSLError) as error:
        raise ConfigError(f"ytdlp.ca_file: expected a PEM certificate, found {str(ca_file)!r}: {error}") from error
    system = ssl.get_default_verify_paths().cafile
    authorities = Path(system).read_bytes() if system else b""  # some name authorities in comments, in any encoding
    bundle.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = bundle.with_name(f"{bundle.name}.{secrets.token_hex(4)}")  # a run may read the other one
    try:
        part.write_bytes(authorities + b"\n" + extra.encode())
        part.replace(bundle)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def restore_ca_bundle(ca_file: Path, bundle: Path) -> None:
    """Make the bundle again if somebody has removed it. As `make_ca_bundle`."""
    if not bundle.exists():
        log.warning("%s was removed, and is made again", bundle)
        make_ca_bundle(ca_file, bundle)
