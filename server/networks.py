"""Which addresses belong to networks of the owner's own. An outsider's name or link must never lead there."""

from __future__ import annotations

import ipaddress

#: Networks that no public name leads to.
_OWN_NETWORKS = tuple(
    map(
        ipaddress.ip_network,
        (
            *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
            *("192.168.0.0/16", "224.0.0.0/3", "::/128", "::1/128", "fc00::/7", "fe80::/10", "ff00::/8"),
        ),
    )
)
_NAT64 = ipaddress.ip_network("64:ff9b::/96")  # RFC 6052


def is_in_own_network(address: str) -> bool:
    """Whether `address`, in numbers, is this machine's or in a network that is not public."""
    number = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(number, ipaddress.IPv6Address):
        inner = number.ipv4_mapped or number.sixtofour
        if number in _NAT64:
            inner = ipaddress.IPv4Address(int(number) & 0xFFFFFFFF)
        number = inner or number
    return any(number.version == network.version and number in network for network in _OWN_NETWORKS)
