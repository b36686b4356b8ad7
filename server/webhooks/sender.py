"""One HTTP request to a receiver. The address is checked where the connection is made, so no name can lead elsewhere.

Names are looked up in threads of their own: a slow name server must not take those that the server's files need. No
proxy is used, since it would look the names up itself. No redirect is followed. Answers are read to 64 KiB, and thrown
away.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import socket
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, suppress
from functools import partial
from types import TracebackType
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from ..networks import is_in_own_network
from . import address

#: Seconds for one attempt, from looking the name up to the answer's end.
TIMEOUT = 10.0
#: Bytes of an answer that are read.
_MOST_READ = 64 * 1024
#: Names looked up at a time.
_LOOKUPS = 32
_OWN_NETWORK = "its address is in the server's own network ([server] webhook_hosts allows others)"
_NO_LONGER = "the server's owner does not allow this address any more"


class NotDelivered(Exception):
    """An attempt failed, with the reason for the owner. `for_good` says that the receiver wants no other."""

    def __init__(self, reason: str, *, for_good: bool = False) -> None:
        super().__init__(reason)
        self.reason, self.for_good = reason, for_good


class Sender:
    """Sends while the block is open. `allowed` are hosts that may be in the own network, and may use http."""

    def __init__(self, allowed: Collection[str]) -> None:
        self._allowed = allowed
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Sender:
        lookups = ThreadPoolExecutor(_LOOKUPS, "webhook lookup")
        self._stack.callback(lookups.shutdown, wait=False, cancel_futures=True)
        self._public = await self._stack.enter_async_context(_session(lookups, _public_socket))
        self._own = await self._stack.enter_async_context(_session(lookups, None))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def post(self, text: str, body: bytes, headers: Mapping[str, str]) -> None:
        """Deliver `body`: return once the receiver has answered 2xx. Raises NotDelivered."""
        try:
            address.check(text, self._allowed)
        except ValueError as error:
            raise NotDelivered(f"{_NO_LONGER}: {error}") from error
        url = URL(text)
        session = self._own if address.is_allowed(url, self._allowed) else self._public
        try:
            async with asyncio.timeout(TIMEOUT) as deadline:
                answer = await session.post(url, data=body, headers=headers, allow_redirects=False)
        except TimeoutError:
            raise NotDelivered(f"no answer within {TIMEOUT:g} s") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise NotDelivered(str(error) or type(error).__name__) from error
        try:
            if not 200 <= answer.status < 300:
                raise NotDelivered(f"the receiver answered {answer.status}", for_good=answer.status == 410)
            await _read(answer, deadline.when())
        finally:
            answer.close()


async def _read(answer: aiohttp.ClientResponse, deadline: float | None) -> None:
    """Read what little a receiver says, so that it can say it. What was delivered is so, whatever comes of this."""
    with suppress(aiohttp.ClientError, OSError):
        async with asyncio.timeout_at(deadline):
            read = 0
            while read < _MOST_READ and (chunk := await answer.content.readany()):
                read += len(chunk)


def _session(lookups: ThreadPoolExecutor, socket_factory: Any) -> aiohttp.ClientSession:
    connector = aiohttp.TCPConnector(
        limit=0, force_close=True, use_dns_cache=False, resolver=_Resolver(lookups), socket_factory=socket_factory
    )
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
        auto_decompress=False,
        headers={"User-Agent": "ytmp3d", "Content-Type": "application/json", "Accept-Encoding": "identity"},
    )


def _public_socket(info: tuple[Any, Any, int, str, tuple[Any, ...]]) -> socket.socket:
    """A socket for a connection to this address; OSError unless it is public. Every connection passes here."""
    family, kind, protocol, _, where = info
    host = str(where[0])
    if is_in_own_network(host) or not ipaddress.ip_address(host.partition("%")[0]).is_global:
        raise OSError(errno.EACCES, _OWN_NETWORK)
    return socket.socket(family, kind, protocol)


class _Resolver(AbstractResolver):
    def __init__(self, lookups: ThreadPoolExecutor) -> None:
        self._lookups = lookups

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        look = partial(socket.getaddrinfo, host, port, family, socket.SOCK_STREAM)
        found = await asyncio.get_running_loop().run_in_executor(self._lookups, look)
        return [
            ResolveResult(
                hostname=host, host=str(where[0]), port=port, family=kind, proto=protocol, flags=socket.AI_NUMERICHOST
            )
            for kind, _, protocol, _, where in found
            if kind in (socket.AF_INET, socket.AF_INET6) and not (len(where) == 4 and where[3])
        ]

    async def close(self) -> None:
        pass
