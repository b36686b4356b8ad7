"""The commands as an operator types them: what they print, and one line with exit status 2 for what is to change."""

from __future__ import annotations

import os
import re
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import requests
from support.commandline import Here, started
from support.curl import needs_curl
from support.serverprocess import ROOT, until

from server import __version__
from server.access.keys import AUTOMATIC
from server.commands.invitation import code

KEY = re.compile(r"ytmp3d_[A-Za-z0-9_-]{32}")
#: For YTMP3D_KEY.
SECRET = "of-the-environment"


def refused(done: subprocess.CompletedProcess[str], *words: str) -> None:
    assert done.returncode == 2 and done.stdout == "", done
    (line,) = done.stderr.splitlines()
    for word in words:
        assert word in line, line


def ask(url: str, key: str, path: str = "/status") -> int:
    return requests.get(url + path, headers={"Authorization": f"Bearer {key}"}, timeout=60).status_code


# ---- keys


def test_a_key_is_made_listed_disabled_enabled_and_deleted(here: Here, tmp_path: Path) -> None:
    made = here("keys", "create", "anna", "--per-minute", 7)
    assert made.returncode == 0 and KEY.fullmatch(made.stdout.strip())
    assert "only time" in made.stderr
    stored = (tmp_path / "keys.toml").read_text()
    assert made.stdout.strip() not in stored and "sha256" in stored
    assert stat.S_IMODE((tmp_path / "keys.toml").stat().st_mode) == 0o600
    assert here("keys", "create", "ben").returncode == 0
    for action, words in (("disable", "disabled"), ("enable", "enabled")):
        done = here("keys", action, "anna")
        assert (done.returncode, done.stdout) == (0, "")
        assert done.stderr.startswith(f'{words.capitalize()} "anna". A running server ')
        assert "within two seconds" in done.stderr
        first, second = here("keys", "list").stdout.splitlines()
        assert first.startswith("anna") and words in first and "7 per minute" in first
        assert second.startswith("ben") and "default limits" in second
    done = here("keys", "delete", "anna")
    assert done.returncode == 0 and done.stderr.startswith('Deleted "anna". A running server refuses it within two')
    (left,) = here("keys", "list").stdout.splitlines()
    assert left.startswith("ben")


def test_limits_are_set_in_place_and_names_may_be_of_any_script(here: Here, tmp_path: Path) -> None:
    key = here("keys", "create", "Zoë", "--per-minute", 7).stdout.strip()
    before = (tmp_path / "keys.toml").read_text()
    done = here("keys", "set", "Zoë", "--per-minute", "none", "--conversions-per-day", 20, "--concurrent", 2)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.startswith('Changed the limits of "Zoë". A running server keeps to them within two seconds.')
    (line,) = here("keys", "list").stdout.splitlines()
    assert line.startswith("Zoë ") and line.endswith("  20 conversions per day, 2 concurrent")
    here("keys", "set", "Zoë", "--conversions-per-day", 0, "--concurrent", "0", "--per-minute=7")
    assert (tmp_path / "keys.toml").read_text() == before and key not in before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("anna",), ("--per-minute", "--conversions-per-day", "--concurrent")),
        (("nobody", "--per-day", 5), ("no key", "nobody")),
    ],
)
def test_what_cannot_be_set_is_one_line(here: Here, arguments: tuple[Any, ...], words: tuple[str, ...]) -> None:
    here("keys", "create", "anna")
    refused(here("keys", "set", *arguments), *words)


@pytest.mark.parametrize("number", ["-1", "x", "1.5", ""])
def test_a_limit_that_is_set_is_a_whole_number(here: Here, number: str) -> None:
    here("keys", "create", "anna")
    done = here("keys", "set", "anna", f"--per-day={number}")
    assert done.returncode == 2 and "--per-day" in done.stderr


def test_no_keys_are_an_empty_list_and_the_command_that_makes_one(here: Here, config: Path) -> None:
    done = here("keys", "list")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "There are no keys in keys.toml. Make one: python -m server keys create NAME\n"
    done = here("keys", "--config", config, "list")
    assert done.stderr.endswith(f": python -m server keys --config {config} create NAME\n")


@pytest.mark.skipif(os.geteuid() != 0, reason="NOT TESTED: keys made by root for a service (needs root)")
def test_what_root_writes_for_a_service_is_the_services(here: Here, tmp_path: Path) -> None:
    os.chown(tmp_path, 12345, 23456)
    assert here("keys", "create", "anna").returncode == 0
    for name in ("keys.toml", "keys.toml.lock"):
        found = (tmp_path / name).stat()
        assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (12345, 23456, 0o600)


def test_without_settings_keys_are_in_a_folder_of_ones_own(
    here: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config.toml").unlink()
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home" / "config"))
    assert here("keys", "create", "anna").returncode == 0
    assert [one.name for one in tmp_path.iterdir()] == ["home"]
    folder = tmp_path / "home" / "config" / "ytmp3d"
    assert (folder / "keys.toml").exists() and stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_who_sits_at_a_terminal_learns_which_files_were_used(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.commands.streams.Output.isatty", lambda self: True, raising=False)
    assert here("keys", "list").stderr.endswith("\nKeys: keys.toml. Settings: config.toml.\n")
    assert here("webhooks", "list").stderr.endswith("\nState: state. Settings: config.toml.\n")


def test_the_first_key_takes_the_place_of_that_of_each_start_and_says_so(here: Here) -> None:
    assert f"keys create {AUTOMATIC}\n" in here("keys", "create", "anna").stderr
    assert AUTOMATIC not in here("keys", "create", "ben").stderr


def test_a_key_may_have_the_name_of_the_automatic_one(here: Here) -> None:
    """So that who has begun without a key sees those conversions with the first of their own."""
    assert here("keys", "create", AUTOMATIC).returncode == 0


def test_keys_live_beside_the_configuration(here: Here, config: Path, tmp_path: Path) -> None:
    assert here("keys", "--config", config, "create", "anna").returncode == 0
    assert config.with_name("keys.toml").exists() and not (tmp_path / "keys.toml").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("create", "a  name"), ("keys.toml", "'a  name'", "single spaces")),
        (("create", "env"), ("YTMP3D_KEY",)),
        (("disable", "nobody"), ("no key", "nobody")),
        (("enable", "nobody"), ("no key", "nobody")),
        (("delete", "nobody"), ("no key", "nobody")),
    ],
)
def test_what_cannot_be_done_to_a_key_is_one_line(
    here: Here, tmp_path: Path, arguments: tuple[str, ...], words: Any
) -> None:
    refused(here("keys", *arguments), *words)


def test_a_name_is_for_one_key(here: Here, tmp_path: Path) -> None:
    first = here("keys", "create", "anna")
    refused(here("keys", "create", "anna"), "already", "anna")
    assert first.returncode == 0


def test_a_key_comes_with_a_link_to_send_and_a_program_reads_the_key_alone(here: Here, config: Path) -> None:
    made = here("keys", "create", "Zoë Müller")
    assert KEY.fullmatch(made.stdout.strip()) and "█" not in made.stderr
    assert f"  http://127.0.0.1:8080/#key={made.stdout.strip()}\n" in made.stderr
    assert "works on this machine only" in made.stderr and "public_url" in made.stderr
    config.write_text('[server]\npublic_url = "https://mp3.example.org/music/"\n')
    made = here("keys", "--config", config, "create", "ben", "--qr")
    link = f"https://mp3.example.org/music/#key={made.stdout.strip()}"
    assert f"  {link}\n" in made.stderr and code(link) in made.stderr and "guess" not in made.stderr


def test_a_link_is_shown_again_only_with_a_new_key(here: Here, tmp_path: Path) -> None:
    old = here("keys", "create", "anna", "--per-day", 7).stdout.strip()
    before = (tmp_path / "keys.toml").read_text()
    refused(here("keys", "link", "anna"), "anna", "--renew makes a new key", "ends the old key at once")
    refused(here("keys", "link", "nobody"), "no key", "nobody")
    assert (tmp_path / "keys.toml").read_text() == before
    new = here("keys", "link", "anna", "--renew")
    assert KEY.fullmatch(new.stdout.strip()) and new.stdout.strip() != old
    assert f"/#key={new.stdout}" in new.stderr and 'The old key of "anna" ends' in new.stderr
    assert "7 per day" in here("keys", "list").stdout
    here("keys", "disable", "anna")
    refused(here("keys", "link", "anna", "--renew"), "anna", "disabled")


@pytest.mark.parametrize("number", ["0", "-1", "x", "1.5", ""])
def test_a_limit_is_a_whole_number_from_one(here: Here, tmp_path: Path, number: str) -> None:
    done = here("keys", "create", "anna", f"--per-day={number}")
    assert done.returncode == 2 and "--per-day" in done.stderr
    assert not (tmp_path / "keys.toml").exists()


def test_a_broken_keys_file_is_named_and_kept(here: Here, tmp_path: Path) -> None:
    (tmp_path / "keys.toml").write_text("[keys.anna]\nsha256 = 7\n")
    refused(here("keys", "create", "ben"), "keys.toml", "keys.anna.sha256")
    refused(here("serve", "--port", 0), "keys.toml", "keys.anna.sha256")
    assert (tmp_path / "keys.toml").read_text() == "[keys.anna]\nsha256 = 7\n"


# ---- what is wrong with the configuration


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[server]\nprot = 1\n", ("config.toml", "server.prot", "unknown")),
        ('[server]\nport = "80"\n', ("config.toml", "server.port", "0 to 65535", "'80'")),
        ("[jobs]\nslots = -1\n", ("config.toml", "jobs.slots", "-1")),
        ("[nothing]\n", ("config.toml", "[nothing]")),
        ("[server\n", ("config.toml", "not valid TOML")),
        ('[ytdlp]\nargs = ["--exec", "rm"]\n', ("--exec",)),
        ('[ytdlp]\nargs = ["--no-such-option"]\n', ("no-such-option",)),
        ('[ffmpeg]\npath = "no-ffmpeg"\n', ("no-ffmpeg",)),
        ('[ytdlp]\nargs = ["--help"]\n', ("--help",)),
        ('[ytdlp]\nca_file = "no-ca.pem"\n', ("ytdlp.ca_file", "no-ca.pem", "No such file")),
        ('[ytdlp]\nca_file = "."\n', ("ytdlp.ca_file", "Is a directory")),
        ('[ytdlp]\nca_file = "config.toml"\n', ("ytdlp.ca_file", "a PEM certificate", "config.toml")),
        ('[ytdlp]\ncookies = "none.txt"\n', ("config.toml: ytdlp.cookies", "none.txt", "No such file", "Export it")),
        ('[ytdlp]\ncookies = "."\n', ("config.toml: ytdlp.cookies", "Is a directory", "Export it")),
        ('[ytdlp]\ncookies = "config.toml"\n', ("config.toml: ytdlp.cookies", "not in Netscape's format", "Export it")),
        ('[storage]\nstate = "static/downloads"\n', ("config.toml: storage.state", "neither storage.downloads nor")),
    ],
)
def test_a_wrong_setting_is_one_line_and_exit_status_2(
    here: Here, tmp_path: Path, text: str, words: tuple[str, ...]
) -> None:
    (tmp_path / "config.toml").write_text(text)
    refused(here("serve", "--port", 0), *words)


def test_a_configuration_that_is_named_must_be_there(here: Here) -> None:
    for command in (("serve",), ("keys", "--config", "none.toml", "list")):
        arguments = command if "--config" in command else (*command, "--config", "none.toml")
        refused(here(*arguments), "none.toml", "no such file")


@pytest.mark.parametrize("port", ["x", "-1", "65536", "80.5"])
def test_a_port_is_a_port(here: Here, port: str) -> None:
    done = here("serve", f"--port={port}")
    assert done.returncode == 2 and "--port" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("arguments", [(), ("nothing",), ("keys",), ("keys", "create"), ("serve", "--nothing")])
def test_what_is_no_command_is_told_what_is(here: Here, arguments: tuple[str, ...]) -> None:
    done = here(*arguments)
    assert done.returncode == 2 and "usage:" in done.stderr


def test_a_python_without_what_is_needed_is_told_how_to_get_it(tmp_path: Path) -> None:
    """As by `python3 -m server`, where that is the system's."""
    done = subprocess.run(
        [sys.executable, "-S", "-m", "server", "serve"], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    refused(done, "No module named", "Run `make demo` once, then .venv/bin/ytmp3d")
    old = "sys.version_info, sys.version = (3, 10, 1), '3.10.1 (old)'"
    script = f"import runpy, sys; {old}; runpy.run_module('server', {{}}, '__main__')"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60)
    refused(done, "Python 3.11 or later is needed, this is 3.10.1.", "make demo")


def test_the_version_is_told(here: Here) -> None:
    assert here("--version").stdout == f"ytmp3d {__version__}\n"


def test_the_versions_of_the_tools_are_told_with_v(here: Here, tmp_path: Path) -> None:
    done = here("--version", "-v")
    told = [line.split()[:2] for line in done.stdout.splitlines()]
    assert [name for name, _ in told] == ["ytmp3d", "yt-dlp", "yt-dlp-ejs", "ffmpeg", "deno", "Python"]
    assert all(re.match(r"n?\d+\.\d", version) for _, version in told), told
    assert (done.returncode, done.stderr, [one.name for one in tmp_path.iterdir()]) == (0, "", ["config.toml"])


def test_no_module_is_taken_from_the_folder_where_the_command_is_typed(tmp_path: Path) -> None:
    """By the command that pip makes; `python -m` itself looks there."""
    script, here = tmp_path / "bin" / "ytmp3d", tmp_path / "here"
    script.parent.mkdir()
    script.write_text(
        "import sys\nfrom server.__main__ import main\nif __name__ == '__main__':\n    sys.exit(main())\n"
    )
    here.mkdir()
    for name in ("yt_dlp", "queue", "server"):
        (here / f"{name}.py").write_text(f"import sys\nsys.stderr.write('{name} ran')\nsys.stderr.flush()\n1 / 0\n")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(script), "--version", "-v"]
    done = subprocess.run(command, cwd=here, env=environment, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "") and "\ndeno " in done.stdout


def test_v_alone_is_no_command(here: Here) -> None:
    done = here("-v", "keys", "list")
    assert done.returncode == 2 and "-v goes with --version" in done.stderr


# ---- where it listens


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])  # noqa: S104  # it is refused
def test_without_a_key_it_does_not_listen_beyond_this_machine(here: Here, config: Path, host: str) -> None:
    done = here("serve", "--config", config, "--host", host, "--port", 0, YTMP3D_KEY=" ")
    refused(done, host, f"python -m server keys --config {config} create NAME")


def test_a_host_that_is_not_known_is_not_taken_for_one_that_needs_a_key(here: Here, config: Path) -> None:
    done = here("serve", "--config", config, "--host", "127.0.0.1:80", "--port", 0)
    refused(done, "cannot listen on 127.0.0.1:80: ")


def test_an_empty_host_is_not_every_address(here: Here) -> None:
    done = here("serve", "--host", "")
    assert done.returncode == 2 and "--host: expected an address or host name, found ''" in done.stderr


def test_an_address_that_is_taken_or_not_ours_is_one_line(here: Here, config: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        refused(here("serve", "--config", config, "--port", port), f"127.0.0.1:{port}")
    done = here("serve", "--config", config, "--host", "192.0.2.1", "--port", 0, YTMP3D_KEY=SECRET)
    refused(done, "192.0.2.1")


def test_a_folder_that_cannot_be_used_is_one_line(here: Here, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for key in ("state", "downloads"):
        (tmp_path / "config.toml").write_text(f'[storage]\n{key} = "file"\n')
        done = here("serve", "--port", 0)
        refused(done, f"storage.{key}: expected a folder", "found file: File exists")


# ---- serving


@needs_curl
def test_without_keys_it_makes_one_and_prints_all_that_is_needed(config: Path, tmp_path: Path) -> None:
    with started(tmp_path / "server", "--config", config, cwd=tmp_path) as server:
        until(lambda: "curl" in server.stdout)
        (key,) = set(KEY.findall(server.stdout))
        assert f"listens on {server.url}" in server.stdout and f"{server.url}/#key={key}" in server.stdout
        assert ask(server.url, key) == 200 and ask(server.url, "YOUR_API_KEY") == 401
        command = re.search(r"curl (?:.*\\\n)*.*", server.stdout)
        assert command
        shown = subprocess.run(["sh", "-c", command[0]], capture_output=True, text=True, timeout=60)
        assert '"conversion_id"' in shown.stdout, shown
        assert stat.S_IMODE((config.parent / "state").stat().st_mode) == 0o700
        assert server.stop() == 0
        assert not server.port_file.exists()
        assert key not in server.stderr


def test_with_keys_it_makes_none_and_follows_every_change(here: Here, config: Path, tmp_path: Path) -> None:
    key = here("keys", "--config", config, "create", "anna").stdout.strip()
    with started(tmp_path / "server", "--config", config, cwd=tmp_path, YTMP3D_KEY=SECRET) as server:
        until(lambda: "curl" in server.stdout)
        assert not KEY.findall(server.stdout)
        assert ask(server.url, key) == ask(server.url, SECRET) == 200
        other = here("keys", "--config", config, "create", "ben").stdout.strip()
        until(lambda: ask(server.url, other) == 200, what="a new key works within two seconds")
        here("keys", "--config", config, "disable", "anna")
        until(lambda: ask(server.url, key) == 403, what="a disabled key is refused within two seconds")
        here("keys", "--config", config, "delete", "anna")
        until(lambda: ask(server.url, key) == 401)
        assert server.stop(signal.SIGINT) == 0


def test_the_list_shows_what_a_running_server_counted_and_changed_limits_hold(
    here: Here, config: Path, tmp_path: Path
) -> None:
    key = here("keys", "--config", config, "create", "anna").stdout.strip()
    here("keys", "--config", config, "create", "ben")

    def listed() -> list[str]:
        return here("keys", "--config", config, "list").stdout.splitlines()

    assert listed()[0].endswith("default limits"), "no server has run yet"
    with started(tmp_path / "server", "--config", config, cwd=tmp_path) as server:
        until(lambda: "curl" in server.stdout)
        for _ in range(7):
            assert ask(server.url, key) == 200
        until(lambda: "today 7 requests, 0 conversions, 0.0 min, 0.0 MB; 31 days 7 requests," in listed()[0])
        assert listed()[1].endswith("default limits  not used in 31 days")
        here("keys", "--config", config, "set", "anna", "--per-minute", 1)
        until(lambda: ask(server.url, key) == 429, what="a changed limit holds within two seconds")
        assert server.stop() == 0
    assert "; 31 days " in listed()[0]


def test_with_a_key_it_listens_where_it_is_told(config: Path, tmp_path: Path) -> None:
    arguments = ("--config", config, "--host", "0.0.0.0")  # noqa: S104  # for a moment, with a key
    with started(tmp_path / "server", *arguments, cwd=tmp_path, YTMP3D_KEY=SECRET) as server:
        assert ask(server.url, SECRET) == 200


@pytest.mark.parametrize("key", ["fifteen-letters", "with a blank inside", "with-ä-letter-beyond-ascii"])
def test_a_weak_key_in_the_environment_stops_the_start_and_is_not_shown(here: Here, config: Path, key: str) -> None:
    done = here("serve", "--config", config, "--port", 0, YTMP3D_KEY=key)
    refused(done, "YTMP3D_KEY: expected at least 16 characters")
    assert key not in done.stderr
    doctor = here("doctor", "--config", config, YTMP3D_KEY=key)
    assert doctor.returncode == 1 and "YTMP3D_KEY: expected at least 16 characters" in doctor.stdout


def test_two_servers_do_not_share_a_state(here: Here, config: Path, tmp_path: Path) -> None:
    with started(tmp_path / "server", "--config", config, cwd=tmp_path):
        refused(here("serve", "--config", config, "--port", 0), "state")
