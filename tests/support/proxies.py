"""The real nginx and Caddy of this machine, with the sites that `ytmp3d deploy` prints."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import trustme

from support.serverprocess import until

#: What nginx needs around a site, to run in a folder and for any user.
_NGINX = """
daemon off; pid nginx.pid; error_log stderr;{user}
events {{}}
http {{
    access_log off;
    client_body_temp_path b; proxy_temp_path p; fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;
    include site.conf;
}}
"""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as one:
        port: int = one.getsockname()[1]
        return port


@dataclass(frozen=True)
class Certificate:
    """For localhost. `authority` is what a client must trust."""

    chain: Path
    key: Path
    authority: Path

    @classmethod
    def made_in(cls, folder: Path) -> Certificate:
        authority = trustme.CA()
        made = cls(folder / "chain.pem", folder / "key.pem", folder / "authority.pem")
        issued = authority.issue_cert("localhost")
        made.chain.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        issued.private_key_pem.write_to_path(str(made.key))
        authority.cert_pem.write_to_path(str(made.authority))
        return made


@contextmanager
def nginx(folder: Path, site: str, port: int, certificate: Certificate | None) -> Iterator[None]:
    """`site` listens on `port` only, and with a certificate as after `certbot --nginx`."""
    tls = f"ssl_certificate {certificate.chain}; ssl_certificate_key {certificate.key};" if certificate else ""
    listens = f"listen 127.0.0.1:{port}{' ssl' if certificate else ''}; {tls}"
    assert site.count("listen 80;") == site.count("listen [::]:80;") == 1
    (folder / "site.conf").write_text(site.replace("listen 80;", listens).replace("listen [::]:80;", ""))
    (folder / "nginx.conf").write_text(_NGINX.format(user=" user root;" if os.geteuid() == 0 else ""))
    with _running(["nginx", "-p", str(folder), "-c", "nginx.conf", "-e", "stderr"], folder, port):
        yield


@contextmanager
def caddy(folder: Path, site: str, port: int, certificate: Certificate) -> Iterator[None]:
    """`site` has a certificate that is given, since none can be asked for."""
    begin = f"localhost:{port} {{\n"
    assert site.count(begin) == 1
    own = "{\n\tadmin off\n\tauto_https disable_redirects\n}\n"
    (folder / "Caddyfile").write_text(
        own + site.replace(begin, f"{begin}\ttls {certificate.chain} {certificate.key}\n\tbind 127.0.0.1\n")
    )
    with _running(["caddy", "run", "--config", "Caddyfile", "--adapter", "caddyfile"], folder, port):
        yield


@contextmanager
def _running(command: list[str], folder: Path, port: int) -> Iterator[None]:
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=folder, env={"PATH": os.environ["PATH"], "HOME": str(folder)}, stdout=output, stderr=output
        )
    try:
        until(lambda: process.poll() is not None or _listens(port), what=f"{command[0]} listens")
        assert process.poll() is None, log.read_text()
        yield
    finally:
        process.terminate()
        process.wait(30)


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True
