"""The link that is sent to somebody with a new key, and its QR code for the terminal."""

from __future__ import annotations

import io
import socket
import sys

from ..config import Config
from .serve import is_loopback, url

#: The link is text of about 90 characters: with the least error correction the code is small enough for a terminal.
_CORRECTION = "l"
#: An address of TEST-NET-1 (RFC 5737). Asking for the way there sends nothing.
_ELSEWHERE = ("192.0.2.1", 9)


def show(config: Config, name: str, plain: str, *, qr: bool) -> None:
    """Print the link of the key `plain` on standard error, with its code if wanted. Blocking: a name is looked up."""
    base, doubt = address(config)
    link = f"{base}/#key={plain}"
    print(f"\nA link for {name}, who needs nothing else:\n\n  {link}\n", file=sys.stderr)
    if qr:
        print(code(link), file=sys.stderr)
    if doubt:
        print(doubt, file=sys.stderr)
    print("Whoever has the link can use the key: send it to nobody else.", file=sys.stderr)


def address(config: Config) -> tuple[str, str]:
    """The server's address as others may know it, and what is doubtful of it; empty if the owner has set it."""
    server = config.server
    if server.public_url:
        return server.public_url, ""
    port = server.port or "PORT"
    advice = "set [server] public_url to the address that others use"
    if is_loopback(server.host):
        return url(
            server.host, port
        ), f"The link works on this machine only: [server] host is {server.host}. For others, {advice}."
    host = _own_address() if server.host in ("0.0.0.0", "::") else server.host  # noqa: S104  # it is asked, not bound
    return url(host, port), f"The address is a guess, this machine's own. If it is wrong, {advice}."


def code(text: str) -> str:
    """The QR code of `text` in half blocks. It brings its margin and colours: any terminal shows dark on light."""
    import segno  # late: a server draws none

    matrix = [list(row) for row in segno.make(text, error=_CORRECTION, micro=False).matrix_iter(border=2)]
    if len(matrix) % 2:
        matrix.append([0] * len(matrix[0]))
    lines = io.StringIO()
    for upper, lower in zip(matrix[::2], matrix[1::2], strict=True):
        blocks = "".join(" ▄▀█"[2 * (not above) + (not below)] for above, below in zip(upper, lower, strict=True))
        lines.write(f"\x1b[97;40m{blocks}\x1b[0m\n")
    return lines.getvalue()


def _own_address() -> str:
    """The address by which this machine goes to others, else its name."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        try:
            asked.connect(_ELSEWHERE)
            return str(asked.getsockname()[0])
        except OSError:
            return socket.gethostname()
