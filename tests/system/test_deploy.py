"""What `deploy` prints is taken by the programs that it is for."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from support.commandline import Here

from server.commands.deploy import FILES

pytestmark = pytest.mark.long

#: The exposure of a service without any sandbox is 9.6. One with settings in a home must see that, and may be root's.
MOST_EXPOSED = {"the system": 1.7, "somebody": 2.2}


def printed(here: Here, *arguments: object) -> str:
    done = here("deploy", *arguments)
    assert done.returncode == 0, done
    return done.stdout


@pytest.mark.parametrize("what", FILES)
def test_no_field_is_left_open(here: Here, what: str) -> None:
    text = printed(here, what, "--public-url", "https://mp3.example.org:8443/music")
    assert not re.search(r"@[A-Z_]+@", text)
    if what != "systemd":
        assert "https://mp3.example.org:8443/music" in text


@pytest.mark.parametrize("of", ["the system", "somebody"])
def test_the_unit_is_valid_and_closed(here: Here, tmp_path: Path, of: str) -> None:
    if of == "the system":
        (tmp_path / "config.toml").unlink()
    unit = tmp_path / "ytmp3d.service"
    unit.write_text(printed(here, "systemd"))
    verified = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, timeout=60)
    assert (verified.returncode, verified.stderr) == (0, ""), verified
    examined = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", str(unit)],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    level = re.search(r"Overall exposure level for ytmp3d.service: ([0-9.]+)", examined.stdout)
    assert level and float(level[1]) < MOST_EXPOSED[of], examined.stdout


def test_a_service_with_settings_of_somebodys_own_is_theirs(here: Here, tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('[storage]\nstate = "/srv/a state"\n')
    text = printed(here, "systemd")
    assert f"serve --config {tmp_path}/config.toml\n" in text and f"User={tmp_path.owner()}\n" in text
    assert f"ReadWritePaths='/srv/a state' {tmp_path} {tmp_path}/static/downloads\n" in text


def test_an_address_of_ipv6_and_a_port_is_named_as_each_proxy_wants_it(here: Here) -> None:
    address = "https://[2001:db8::7]:8443/mp3"
    assert "server_name [2001:db8::7];\n" in printed(here, "nginx", "--public-url", address)
    assert "\n[2001:db8::7]:8443 {\n" in printed(here, "caddy", "--public-url", address)


def test_a_bad_address_is_one_line(here: Here) -> None:
    for bad in (
        "mp3.example.org",
        "ftp://a",
        "https://a/b c",
        "https://a:x",
        "https://a;b",
        "https://u@a",
        "https://a/;",
    ):
        done = here("deploy", "nginx", "--public-url", bad)
        assert done.returncode == 2 and done.stdout == "" and "--public-url: expected an address" in done.stderr
