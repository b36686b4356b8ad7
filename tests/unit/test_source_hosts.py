"""Which addresses yt-dlp may ask."""

from __future__ import annotations

import io
import socket
import subprocess
import sys
from collections.abc import Mapping
from types import MappingProxyType

import pytest
import yt_dlp
from yt_dlp.networking import Request, Response
from yt_dlp.networking.exceptions import HTTPError

from server.media.source_hosts import Hosts, OtherHost, named_in, redirected
from server.networks import is_in_own_network


@pytest.mark.parametrize(
    "url",
    [
        "https://www.youtube.com/watch?v=x",
        "https://youtube.com",
        "https://rr1---sn-4g5e6nez.googlevideo.com/videoplayback?expire=1",
        "https://manifest.googlevideo.com:443/api/manifest/hls_playlist",
        "https://i.ytimg.com/vi/x/maxresdefault.jpg",
        "https://yt3.ggpht.com/x",
        "https://youtubei.googleapis.com/youtubei/v1/player",
        "https://consent.youtube.com./m",
        "https://WWW.YouTube.COM/",
    ],
)
def test_youtubes_hosts_are_asked(url: str) -> None:
    Hosts().check(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://www.youtube.com/",
        "https://www.youtube.com:8443/",
        "https://youtube.com.example.org/",
        "https://notyoutube.com/",
        "https://example.org/?youtube.com",
        "https://youtube.com@example.org/",
        "https://127.0.0.1/",
        "https://[::1]/",
        "https://localhost/",
        "https://169.254.169.254/latest/meta-data/",
        "http://127.0.0.1:4416/get_pot",
        "file:///etc/passwd",
        "ftp://www.youtube.com/",
        "data:audio/webm;base64,AAAA",
        "https:///x",
        "https://[broken/",
        "https://www.youtube.com:99999/",
        "",
    ],
)
def test_nobody_else_is(url: str) -> None:
    with pytest.raises(OtherHost, match="none of YouTube's hosts"):
        Hosts().check(url)


def test_what_the_owner_has_set_is_asked_by_its_port_and_scheme_only() -> None:
    hosts = Hosts(["http://127.0.0.1:4416"])
    hosts.check("http://127.0.0.1:4416/get_pot")
    for other in ("http://127.0.0.1:8080/", "https://127.0.0.1:4416/", "http://127.0.0.2:4416/"):
        with pytest.raises(OtherHost):
            hosts.check(other)
    assert hosts.addresses() == {("127.0.0.1", 4416)}


def test_only_whole_values_of_extractors_arguments_name_addresses() -> None:
    argv = ["--proxy", "http://proxy.example.org:1", "--extractor-arg", "a:base_url=http://127.0.0.1:4416;b=x"]
    argv += ["--extractor-args=youtube:player_client=tv,see http://example.org", "--extractor-args", "c:u=https://p/x"]
    options = yt_dlp.parse_options(["--ignore-config", *argv]).ydl_opts
    assert sorted(named_in(options["extractor_args"])) == ["http://127.0.0.1:4416", "https://p/x"]


def answer(status: int, **headers: str) -> HTTPError:
    return HTTPError(Response(io.BytesIO(), "https://www.youtube.com/a/b", headers, status))


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("place", ["/c", "../c", "https://www.youtube.com/c"])
def test_a_redirect_is_a_request_of_its_own(status: int, place: str) -> None:
    request = Request("https://www.youtube.com/a/b", data=b"x", headers={"Cookie": "secret", "X-Kept": "1"})
    found = redirected(request, answer(status, Location=place))
    assert (found.url, dict(found.headers).get("Cookie")) == ("https://www.youtube.com/c", None)
    assert found.headers["X-Kept"] == "1" and request.headers["Cookie"] == "secret"
    assert (found.method, found.data) == (("POST", b"x") if status in (307, 308) else ("GET", None))


@pytest.mark.parametrize("error", [answer(302), answer(404, Location="/c"), answer(304, Location="/c")])
def test_any_other_answer_is_the_error_that_it_was(error: HTTPError) -> None:
    with pytest.raises(HTTPError) as raised:
        redirected(Request("https://www.youtube.com/a"), error)
    assert raised.value is error


OWN = """
127.0.0.1 127.9.9.9 10.1.2.3 172.31.0.1 192.168.1.1 169.254.169.254 100.64.0.1 0.0.0.0 224.0.0.1 255.255.255.255
::1 :: fe80::1%eth0 fd00::1 ff02::1 ::ffff:127.0.0.1 64:ff9b::7f00:1 64:ff9b::a00:1 2002:7f00:1::
"""


@pytest.mark.parametrize("address", OWN.split())
def test_own_networks_are_known_in_every_form(address: str) -> None:
    assert is_in_own_network(address)


@pytest.mark.parametrize("address", ["142.250.74.206", "2a00:1450:4001:82f::200e", "64:ff9b::8efa:4ace", "198.18.0.1"])
def test_public_addresses_are_not_in_one(address: str) -> None:
    assert not is_in_own_network(address)


GUARDED = """
import socket, sys
from server.media.source_hosts import Hosts, guard
guard(Hosts(sys.argv[3:]), proxy=None if sys.argv[2] == "unset" else sys.argv[2])
try:
    socket.create_connection(("localhost", int(sys.argv[1])), timeout=20).close()
except OSError as error:
    print(error)
else:
    print("connected")
"""


def connecting(
    proxy: str = "unset", *, own: bool = False, environment: Mapping[str, str] = MappingProxyType({})
) -> str:
    """What becomes of a connection to this machine."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        command = [sys.executable, "-c", GUARDED, str(port), proxy, *([f"http://localhost:{port}"] * own)]
        variables = {"PATH": "/usr/bin:/bin", "PYTHONPATH": ".", **environment}
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True, env=variables).stdout


@pytest.mark.parametrize("proxy", ["unset", ""])
def test_without_a_proxy_no_name_leads_into_the_own_network(proxy: str) -> None:
    assert "own network" in connecting(proxy)
    assert connecting(proxy, own=True) == "connected\n"


def test_directly_means_directly_whatever_the_environment_says() -> None:
    assert "own network" in connecting("", environment={"HTTPS_PROXY": "http://proxy.example.org:3128"})


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "ALL_PROXY"])
def test_the_way_to_a_proxy_is_open(variable: str) -> None:
    assert connecting("http://127.0.0.1:3128") == "connected\n"
    assert connecting(environment={variable: "http://127.0.0.1:3128"}) == "connected\n"
