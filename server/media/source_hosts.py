"""Which addresses a run of yt-dlp may ask: YouTube's own and the owner's. The server never imports this.

What YouTube answers names the next addresses: of media, playlists, keys, pictures, redirects. An answer must not make
this machine ask another site, and never one in its own network. Every request of yt-dlp and of its plugins passes
`Hosts.check`, redirects too, and goes by https. Where no proxy is between, the address connected to is looked at as
well, so that no name leads into the own network.
"""

from __future__ import annotations

import ipaddress
import socket
import urllib.parse
import urllib.request
from collections.abc import Collection, Iterable
from typing import Any

import yt_dlp.networking._requests
import yt_dlp.networking._urllib
from yt_dlp.networking.exceptions import RequestError

#: YouTube's sites, and those of Google's that its pages, media and pictures are on; each with all below it.
SITES = (
    *("youtube.com", "youtu.be", "youtube-nocookie.com", "googlevideo.com", "ytimg.com", "ggpht.com"),
    *("googleusercontent.com", "googleapis.com", "google.com", "gvt1.com"),
)
#: Where a provider of PO tokens listens by itself (bgutil's default), once a plugin is there that may ask it.
PROVIDER = "http://127.0.0.1:4416"
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


class OtherHost(RequestError):  # type: ignore[misc]  # yt-dlp is untyped
    def __init__(self, host: str) -> None:
        super().__init__(f"{host} is none of YouTube's hosts, so it is not asked")


class Hosts:
    """`own` are addresses that the owner has set, such as a provider's."""

    def __init__(self, own: Iterable[str] = ()) -> None:
        self._own = {_origin(one) for one in own}

    def check(self, url: str) -> None:
        """Raise OtherHost for what a run may not ask."""
        if _origin(url) in self._own:
            return
        scheme, host, port = _origin(url)
        known = any(host == site or host.endswith(f".{site}") for site in SITES)
        if not (scheme == "https" and known and port == 443):
            raise OtherHost(f"{scheme}://{host}:{port}"[:100])

    def addresses(self) -> set[tuple[str, int]]:
        """The numeric addresses of the owner's."""
        found = set()
        for _, host, port in self._own:
            try:
                resolved = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            except OSError:
                continue
            found |= {(str(address[0]), int(address[1])) for *_, address in resolved}
        return found


def is_in_own_network(address: str) -> bool:
    """Whether `address`, in numbers, is this machine's or in a network that is not public."""
    number = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(number, ipaddress.IPv6Address):
        inner = number.ipv4_mapped or number.sixtofour
        if number in _NAT64:
            inner = ipaddress.IPv4Address(int(number) & 0xFFFFFFFF)
        number = inner or number
    return any(number.version == network.version and number in network for network in _OWN_NETWORKS)


def guard(hosts: Hosts, *, proxy: str | None) -> None:
    """Hold all that this process asks to `hosts`. `proxy` is the one that yt-dlp was given; None leaves it to the
    environment.
    """
    _guard_redirects(hosts)
    if not (proxy or urllib.request.getproxies().get("https")):
        _guard_connections(hosts.addresses())


def _guard_redirects(hosts: Hosts) -> None:
    """Redirects are followed inside of what yt-dlp's handlers use."""
    session = yt_dlp.networking._requests.RequestsSession
    target = session.get_redirect_target

    def get_redirect_target(self: Any, response: Any) -> Any:
        found = target(self, response)
        if found:
            hosts.check(urllib.parse.urljoin(response.url, found))
        return found

    session.get_redirect_target = get_redirect_target
    handler = yt_dlp.networking._urllib.RedirectHandler
    follow = handler.redirect_request

    def redirect_request(self: Any, req: Any, fp: Any, code: Any, msg: Any, headers: Any, newurl: str) -> Any:
        hosts.check(newurl)
        return follow(self, req, fp, code, msg, headers, newurl)

    handler.redirect_request = redirect_request


def _guard_connections(allowed: Collection[tuple[str, int]]) -> None:
    connect = socket.socket.connect

    def connect_outside(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6):
            host, port = address[0], address[1]
            if is_in_own_network(host) and (host, port) not in allowed:
                raise OSError(f"{host} is in this machine's own network, so it is none of YouTube's hosts")
        connect(self, address)

    socket.socket.connect = connect_outside  # type: ignore[method-assign, assignment]


def _origin(url: str) -> tuple[str, str, int]:
    """Scheme, host and port. Raises OtherHost for what has none."""
    try:
        parts = urllib.parse.urlsplit(url)
        port = parts.port or {"https": 443, "http": 80}.get(parts.scheme, 0)
    except ValueError:
        raise OtherHost("an address that is none") from None
    return parts.scheme, (parts.hostname or "").rstrip("."), port
