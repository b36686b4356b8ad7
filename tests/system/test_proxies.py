"""The files that `deploy` prints, in front of a real server: links, live sound, events, ranges, below a path."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import requests
from support import proxies
from support.commandline import Started, started, ytmp3d
from support.proxies import Certificate, free_port
from support.serverprocess import until

pytestmark = pytest.mark.long

KEY = "test-unlimited"
SLOW = "https://youtu.be/x-slow-----"
PATH = "/mp3"


class Site:
    """A server below `https://localhost:PORT/mp3`; the proxy is the test's to start."""

    def __init__(self, folder: Path) -> None:
        self.certificate = Certificate.made_in(folder)
        self.port, self.server_port = free_port(), free_port()
        self.url = f"https://localhost:{self.port}{PATH}"
        self.config = folder / "config.toml"
        self.config.write_text(
            f'[server]\nport = {self.server_port}\npublic_url = "{self.url}"\ntrusted_proxies = ["127.0.0.1"]\n'
        )

    def printed(self, what: str) -> str:
        done = ytmp3d("deploy", what, "--config", self.config, cwd=self.config.parent)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    def proxy(self, what: str, folder: Path) -> AbstractContextManager[None]:
        start = proxies.nginx if what == "nginx" else proxies.caddy
        return start(folder, self.printed(what), self.port, self.certificate)

    def examined(self, url: str) -> tuple[int, dict[str, list[str]]]:
        """The exit status of `doctor --public`, and its findings by their level."""
        done = ytmp3d(
            *("doctor", "--public", url, "--url", SLOW), cwd=self.config.parent,
            YTMP3D_KEY=KEY, SSL_CERT_FILE=str(self.certificate.authority),
        )  # fmt: skip
        found: dict[str, list[str]] = {}
        for line in done.stdout.splitlines():
            level, subject = line.split()[:2]
            found.setdefault(level, []).append(subject)
        return done.returncode, found


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return Site(tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="module")
def server(site: Site) -> Iterator[Started]:
    folder = site.config.parent
    with started(folder / "it", "--offline", "--config", site.config, "--port", site.server_port, cwd=folder) as one:
        yield one


@pytest.mark.parametrize("what", ["nginx", "caddy"])
def test_everything_gets_through(server: Started, site: Site, tmp_path: Path, what: str) -> None:
    trust = str(site.certificate.authority)
    with site.proxy(what, tmp_path):
        status, found = site.examined(site.url)
        assert (status, found) == (0, {"ok": ["public", "events", "links", "streaming", "ranges"]})
        for path, kind in (("/", "text/html"), ("/static/style.css", "text/css"), ("/docs", "text/html")):
            answer = requests.get(site.url + path, verify=trust, timeout=60)
            assert answer.status_code == 200 and answer.headers["Content-Type"].startswith(kind)
        nowhere = requests.get(site.url + "/nothing", verify=trust, headers={"Accept": "text/html"}, timeout=60)
        assert nowhere.status_code == 404 and f'href="{PATH}/"' in nowhere.text
    assert "not believed" not in server.stderr


def unfinished(server: Started) -> bool:
    listed = requests.get(f"{server.url}/status", headers={"Authorization": f"Bearer {KEY}"}, timeout=60).json()
    return any(one["finished_at"] is None for one in listed["jobs"])


def test_a_proxy_that_holds_back_what_is_live_is_found_out(server: Started, site: Site, tmp_path: Path) -> None:
    text = site.printed("nginx").replace(
        "proxy_buffering off;", "proxy_buffering on; proxy_ignore_headers X-Accel-Buffering;"
    )
    until(lambda: not unfinished(server))  # their progress would fill the proxy's buffer, and come through
    with proxies.nginx(tmp_path, text, site.port, site.certificate):
        status, found = site.examined(site.url)
    assert status == 1 and "events" in found["problem"]


def test_links_that_lead_elsewhere_are_found_out(server: Started, site: Site) -> None:
    status, found = site.examined(server.url)
    assert status == 1 and found["problem"] == ["links"] and "https" in found["warning"]


def test_an_address_where_nothing_is_is_one_line(site: Site) -> None:
    assert site.examined(f"http://127.0.0.1:{free_port()}") == (1, {"problem": ["public"]})


def test_a_proxy_that_nobody_said_is_one_is_told_with_the_line_to_add(tmp_path: Path) -> None:
    with started(tmp_path / "it", "--offline") as server:
        for _ in range(3):
            answer = requests.post(
                f"{server.url}/convert",
                json={"url": SLOW},
                headers={"Authorization": f"Bearer {KEY}", "X-Forwarded-Proto": "https"},
                timeout=60,
            )
            assert answer.json()["download_url"].startswith("http://")
        until(lambda: "not believed" in server.stderr)
    assert server.stderr.count('is not believed; if it is yours: [server] trusted_proxies = ["127.0.0.1"]') == 1
