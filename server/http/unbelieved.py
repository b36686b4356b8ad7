"""A proxy in the owner's network that nobody said is one: its headers are not believed, so links begin with http://."""

from __future__ import annotations

import logging

from ..networks import is_in_own_network
from . import addresses

log = logging.getLogger(__name__)


class Unbelieved:
    def __init__(self) -> None:
        self._told = False

    def tell(self, address: str) -> None:
        """Warn of a proxy at `address`, once in a run. Whoever comes from the internet may claim to be one."""
        plain = addresses.plain(address)
        if self._told or not addresses.parsed(plain) or not is_in_own_network(plain):
            return
        self._told = True
        advice = f'if it is yours: [server] trusted_proxies = ["{plain}"]'
        log.warning("a proxy at %s sends X-Forwarded-Proto and is not believed; %s", plain, advice)
