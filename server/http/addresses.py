"""IP addresses as connections and proxies name them."""

from __future__ import annotations

import functools
import ipaddress

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

#: Bits of an IPv6 address that one customer of a network usually has for all its devices (RFC 6177).
_CUSTOMER_BITS = 64


def parsed(text: str) -> Address | None:
    """The address without its zone; an IPv4 address mapped into IPv6 becomes IPv4."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        return address.ipv4_mapped
    return address


def plain(text: str) -> str:
    """`text`, or the IPv4 address that is mapped into it."""
    return str(parsed(text) or text) if text.startswith("::ffff:") else text


def is_loopback(text: str) -> bool:
    address = parsed(text)
    return address is not None and address.is_loopback


def is_within(text: str, networks: tuple[str, ...]) -> bool:
    address = parsed(text)
    return address is not None and any(address in network for network in _networks(networks))


@functools.lru_cache(maxsize=1024)
def customer(text: str) -> str:
    """The network that one customer usually has (a /64 of IPv6); `text` itself if it is no address."""
    address = parsed(text)
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((address, _CUSTOMER_BITS), strict=False))
    return str(address or text)


@functools.lru_cache(maxsize=16)
def _networks(networks: tuple[str, ...]) -> tuple[Network, ...]:
    return tuple(ipaddress.ip_network(one) for one in networks)
