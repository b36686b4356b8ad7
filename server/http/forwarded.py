"""Who asks, and by which address they reached us; what a proxy says counts only when it is a trusted one."""

from __future__ import annotations

import functools
import ipaddress
import re

from aiohttp import web

from .. import errors
from ..config import ServerConfig
from .context import CONFIG

#: A host name, an IPv4 or a bracketed IPv6 address, with or without a port.
_HOST = re.compile(r"([A-Za-z0-9._-]{1,255}|\[[0-9A-Fa-f:.]{2,45}\])(:[0-9]{1,5})?")

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@functools.lru_cache(maxsize=16)
def _networks(trusted: tuple[str, ...]) -> tuple[Network, ...]:
    return tuple(ipaddress.ip_network(one) for one in trusted)


def _is_trusted(address: str, settings: ServerConfig) -> bool:
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped:
        parsed = parsed.ipv4_mapped
    return any(parsed in network for network in _networks(settings.trusted_proxies))


def client(request: web.Request) -> str:
    """The client's address: the peer's, or the last one before the trusted proxies in X-Forwarded-For."""
    settings = request.app[CONFIG].server
    address = request.remote or ""
    if settings.trusted_proxies:
        hops = [hop.strip() for value in request.headers.getall("X-Forwarded-For", ()) for hop in value.split(",")]
        while hops and _is_trusted(address, settings):
            address = hops.pop()[:64]
    return address


def is_loopback(request: web.Request) -> bool:
    """Whether the client is on this machine; one whom a proxy that nobody trusts speaks for never is."""
    by_proxy = "X-Forwarded-For" in request.headers or "Forwarded" in request.headers
    if by_proxy and not _is_trusted(request.remote or "", request.app[CONFIG].server):
        return False
    try:
        address = ipaddress.ip_address(client(request).partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return address.is_loopback


def base_url(request: web.Request) -> str:
    """What links begin with: `public_url`, else the scheme and host of the request itself.

    A trusted proxy may name others. Of several values the last is its own; one before may be the client's. Raises
    MalformedRequest when the host is none.
    """
    settings = request.app[CONFIG].server
    if settings.public_url:
        return settings.public_url
    scheme, host = request.scheme, request.headers.get("Host")
    if settings.trusted_proxies and _is_trusted(request.remote or "", settings):
        if (said := _last(request, "X-Forwarded-Proto").lower()) in ("http", "https"):
            scheme = said
        host = _last(request, "X-Forwarded-Host") or host
    if host is None:  # HTTP/1.0; request.host would look our own name up, blocking
        name, port = request.transport.get_extra_info("sockname")[:2] if request.transport else ("localhost", 80)
        host = f"[{name}]:{port}" if ":" in name else f"{name}:{port}"
    if not _HOST.fullmatch(host):
        raise errors.MalformedRequest("The Host or X-Forwarded-Host header is not a host name with an optional port.")
    return f"{scheme}://{host}"


def _last(request: web.Request, name: str) -> str:
    """The last value of a header that each proxy may add its own to; empty when there is none."""
    return request.headers.getall(name, [""])[-1].rpartition(",")[2].strip()
