"""Which addresses webhooks may go to: https to anywhere public, and whatever is on a host that the owner allows."""

from __future__ import annotations

import re
from collections.abc import Collection

from yarl import URL

from ..networks import is_in_own_network

MAX_LENGTH = 2048
#: A host that the owner allows: a name or an address, with a port or for all ports.
HOST = re.compile(r"([A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::([0-9]{1,5}))?")
#: Ends of names that lead to this machine or stay in its network (RFC 6761, RFC 6762, ICANN).
_OWN_NAMES = re.compile(r"(.+\.)?(localhost|local|internal)\.?")


def check(text: str, allowed: Collection[str]) -> None:
    """Raise ValueError, with the reason for people, unless webhooks may go to the address `text`.

    `allowed` are the owner's hosts. A name may still turn out to lead into the own network; see `sender.py`.
    """
    if len(text) > MAX_LENGTH:
        raise ValueError(f"it is longer than {MAX_LENGTH} characters")
    if not text.isascii() or not text.isprintable() or " " in text or "\\" in text:
        raise ValueError("it has characters that no address has; percent-encode them")
    try:
        url = URL(text)
        host, _ = url.host, url.port
    except ValueError:
        raise ValueError("it is no address") from None
    if url.scheme not in ("http", "https") or not host or url.port == 0:
        raise ValueError("it must begin with https:// and a host")
    if url.user is not None or url.password is not None:
        raise ValueError("it has a user or a password; whoever receives it knows the sender by the signature")
    if "#" in text:
        raise ValueError("it has a fragment (#…), which is never sent")
    if is_allowed(url, allowed):
        return
    if url.scheme != "https":
        raise ValueError("it must begin with https://")
    if _is_own(host):
        raise ValueError("its host is in the server's own network")


def is_allowed(url: URL, allowed: Collection[str]) -> bool:
    """Whether the owner allows this host, also by http and in the own network."""
    for one in allowed:
        found = HOST.fullmatch(one)
        if found and found[1].strip("[]").lower() == (url.host or "") and found[2] in (None, str(url.port)):
            return True
    return False


def host_of(text: str) -> str:
    """The host for lists and the log; the rest may hold a secret."""
    try:
        return URL(text).host or "?"
    except ValueError:
        return "?"


def _is_own(host: str) -> bool:
    try:
        return is_in_own_network(host)
    except ValueError:  # a name
        return _OWN_NAMES.fullmatch(host.lower()) is not None
