"""The client's address, and the address it used to reach us. Only a trusted proxy's headers count."""

from __future__ import annotations

import re

from aiohttp import HttpVersion11, web

from .. import errors
from . import addresses
from .context import CONFIG, UNBELIEVED

#: A host name, an IPv4 or a bracketed IPv6 address, with or without a port.
_HOST = re.compile(r"([A-Za-z0-9._-]{1,255}|\[[0-9A-Fa-f:.]{2,45}\])(:[0-9]{1,5})?")
#: Prefixes of the headers that proxies add.
_FORWARDING = (
    "forwarded", "x-forwarded", "x-real-ip", "x-client-ip", "x-original-", "via", "true-client-ip", "cf-", "x-envoy-"
)  # fmt: skip


def client(request: web.Request) -> str:
    """The client's address: the peer's, or the last one before the trusted proxies in X-Forwarded-For."""
    settings = request.app[CONFIG].server
    address = addresses.plain(request.remote or "")
    if settings.trusted_proxies:
        hops = [hop.strip() for value in request.headers.getall("X-Forwarded-For", ()) for hop in value.split(",")]
        while hops and addresses.is_within(address, settings.trusted_proxies):
            address = hops.pop()[:64]
    return address


def is_local(request: web.Request) -> bool:
    """Whether the client is a program on this machine that connects directly or through a trusted proxy.

    Another proxy on this machine connects from here for everybody. It is known by what it adds, by the name that its
    clients ask for, or by the old version that some speak to servers behind them.
    """
    trusted = addresses.is_within(request.remote or "", request.app[CONFIG].server.trusted_proxies)
    said_by_proxy = any(name.lower().startswith(_FORWARDING) for name in request.headers)
    if not (trusted and said_by_proxy) and (said_by_proxy or request.version < HttpVersion11):
        return False
    host = _HOST.fullmatch(request.headers.get("Host", ""))
    if host is None or not (host[1].lower() == "localhost" or addresses.is_loopback(host[1].strip("[]"))):
        return False
    return addresses.is_loopback(client(request))


def base_url(request: web.Request) -> str:
    """What links begin with: `public_url`, else the scheme and host of the request itself.

    A trusted proxy may name others. Of several values the last is its own; one before may be the client's. Raises
    MalformedRequest when the host is none.
    """
    settings = request.app[CONFIG].server
    if settings.public_url:
        return settings.public_url
    scheme, host = request.scheme, request.headers.get("Host")
    if settings.trusted_proxies and addresses.is_within(request.remote or "", settings.trusted_proxies):
        if (said := _last(request, "X-Forwarded-Proto").lower()) in ("http", "https"):
            scheme = said
        host = _last(request, "X-Forwarded-Host") or host
    elif "X-Forwarded-Proto" in request.headers:
        request.app[UNBELIEVED].tell(request.remote or "")
    if host is None:  # HTTP/1.0; request.host would look up our own name, which blocks
        name, port = request.transport.get_extra_info("sockname")[:2] if request.transport else ("localhost", 80)
        host = f"[{name}]:{port}" if ":" in name else f"{name}:{port}"
    if not _HOST.fullmatch(host):
        raise errors.MalformedRequest("The Host or X-Forwarded-Host header is not a host name with an optional port.")
    return f"{scheme}://{host}"


def _last(request: web.Request, name: str) -> str:
    """The last value of a header to which each proxy may append; empty without one."""
    return request.headers.getall(name, [""])[-1].rpartition(",")[2].strip()
