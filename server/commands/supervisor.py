"""What systemd is told about the server: sd_notify(3), in datagrams to the socket that it names."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Callable, MutableMapping

log = logging.getLogger(__name__)

#: Seconds between two messages about what the server does, if there is no watchdog.
_PERIOD = 10.0


class Supervisor:
    """Tells nothing where nobody listens. The variables are taken away, so that no child answers to them."""

    def __init__(self, environment: MutableMapping[str, str]) -> None:
        self._address = environment.pop("NOTIFY_SOCKET", "")
        patience = environment.pop("WATCHDOG_USEC", "")
        environment.pop("WATCHDOG_PID", None)
        #: Half of what systemd waits before it takes the server for stuck.
        self._period = int(patience) / 2e6 if patience.isdigit() and int(patience) else _PERIOD

    def tell(self, *lines: str) -> None:
        """Such as "READY=1". Never waits, and never fails."""
        if not self._address.startswith(("/", "@")):
            return
        address = self._address.replace("@", "\0", 1) if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as one:
                one.sendto("\n".join(lines).encode(), address)
        except OSError as error:
            log.debug("systemd was not told %s: %s", lines, error.strerror)

    def reloading(self) -> None:
        self.tell("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    async def run_forever(self, status: Callable[[], str]) -> None:
        """Say again and again that the event loop runs, and what it does, until cancelled."""
        while True:
            self.tell("WATCHDOG=1", f"STATUS={status()}")
            await asyncio.sleep(min(self._period, _PERIOD))
