"""TCP details that aiohttp and asyncio do not offer."""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
from contextlib import suppress
from typing import Any

#: In Linux's `struct tcp_info` (linux/tcp.h): unacknowledged packets, acknowledged bytes, unsent bytes.
_UNACKED, _BYTES_ACKED, _NOTSENT = struct.Struct("@I"), struct.Struct("@Q"), struct.Struct("@I")
_UNACKED_AT, _BYTES_ACKED_AT, _NOTSENT_AT, _SIZE = 24, 120, 144, 148


def progress(transport: asyncio.Transport) -> int | None:
    """A number that grows with the bytes the peer acknowledges; None when all are acknowledged.

    Known limit: other systems than Linux do not tell, and there only what waits in this process is seen, so not a file
    that the system itself sends.
    """
    waiting = transport.get_write_buffer_size()
    if sys.platform != "linux":
        return -waiting or None
    try:
        info = _socket(transport).getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _SIZE)
    except OSError:
        return None
    if len(info) < _SIZE:  # an older Linux
        return -waiting or None
    unacked, unsent = _UNACKED.unpack_from(info, _UNACKED_AT)[0], _NOTSENT.unpack_from(info, _NOTSENT_AT)[0]
    if not (waiting or unacked or unsent):
        return None
    acked: int = _BYTES_ACKED.unpack_from(info, _BYTES_ACKED_AT)[0]
    return acked


def reset_on_close(transport: asyncio.Transport, reset: bool = True) -> None:
    """End the connection with a reset, which no client takes for the end of a file (RFC 9293 §3.10.5)."""
    with suppress(OSError):  # it is closed already
        _socket(transport).setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", reset, 0))


def _socket(transport: asyncio.Transport) -> Any:
    return transport.get_extra_info("socket")
