"""The owner's requests to try deliveries at once: small files in the state folder. Everything here blocks.

The command cannot write into the database, which a running server keeps locked. A server that starts later takes them,
too.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import secrets
from collections.abc import Iterable
from pathlib import Path

log = logging.getLogger(__name__)

#: The process lacks descriptors or memory now, and nothing is wrong with the file.
_STARVED = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)

_NAME = "webhooks-retry-"
#: Bytes of one such file that are read.
_MOST = 1 << 20


def ask(folder: Path, ids: Iterable[str]) -> None:
    """Ask the server of this state folder to try these deliveries at once. Raises OSError."""
    path = folder / f"{_NAME}{secrets.token_hex(8)}"
    partial = folder / f".{path.name}.part"
    try:
        partial.write_text("".join(f"{one}\n" for one in ids), encoding="utf-8")
        partial.chmod(0o644)  # the server may run as another user
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def take(folder: Path) -> list[str]:
    """The ids that were asked for since the last time."""
    found: list[str] = []
    try:
        paths = sorted(folder.glob(f"{_NAME}*"))
    except OSError as error:
        log.warning("%s cannot be read: %s", folder, error.strerror)
        return []
    for path in paths:
        try:
            with path.open(encoding="utf-8", errors="replace") as file:
                found += file.read(_MOST).split()
            path.unlink()
        except OSError as error:
            log.warning("%s cannot be read or removed: %s", path, error.strerror)
            if error.errno in _STARVED:
                continue  # it is there for the next time
            with contextlib.suppress(OSError):
                path.unlink()
    return found
