"""Configuration: the example is the defaults, and what is wrong is said in one line."""

from __future__ import annotations

import dataclasses
import itertools
import tomllib
from pathlib import Path
from typing import Any

import pytest

from server.config import Config, ConfigError, ExitConfig, StorageConfig
from server.config_file import load
from server.places import beside, find

EXAMPLE = Path(__file__).parents[2] / "config.example.toml"


def defaults() -> dict[str, dict[str, Any]]:
    """Every section and setting in the order of the dataclasses, as the example should write it."""
    return {
        name: {
            field.name: "" if field.metadata.get("placed") else written(getattr(section, field.name))
            for field in dataclasses.fields(section)
        }
        for name, section in Config().sections.items()
    }


def written(value: Any) -> Any:
    if value is None:
        return ""
    return list(value) if isinstance(value, tuple) else str(value) if isinstance(value, Path) else value


def ordered(table: dict[str, dict[str, Any]]) -> list[tuple[str, list[tuple[str, Any]]]]:
    return [(name, list(section.items())) for name, section in table.items()]


def loaded(folder: Path, text: str) -> Config:
    path = folder / "config.toml"
    path.write_text(text, encoding="utf-8")
    return load(beside(path), {})


def refusal(folder: Path, text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        loaded(folder, text)
    message = str(caught.value)
    assert "\n" not in message
    start = f"{folder / 'config.toml'}: "
    assert message.startswith(start)
    return message.removeprefix(start)


def test_the_example_names_every_setting_with_its_default_in_order() -> None:
    assert ordered(tomllib.loads(EXAMPLE.read_text(encoding="utf-8"))) == ordered(defaults())


def test_the_example_says_why_above_every_setting() -> None:
    lines = EXAMPLE.read_text(encoding="utf-8").splitlines()
    for before, line in itertools.pairwise(lines):
        if line and not line.startswith(("#", "[")):
            assert before.startswith("# "), line


def test_the_example_loads_as_the_defaults(tmp_path: Path) -> None:
    found = loaded(tmp_path, EXAMPLE.read_text(encoding="utf-8"))
    storage = dataclasses.replace(
        Config().storage, downloads=tmp_path / "static" / "downloads", state=tmp_path / "state"
    )
    assert found == dataclasses.replace(Config(), storage=storage, keys_file=tmp_path / "keys.toml")


def test_an_empty_file_is_the_defaults(tmp_path: Path) -> None:
    storage = StorageConfig(downloads=tmp_path / "static/downloads", state=tmp_path / "state")
    assert loaded(tmp_path, "") == Config(storage=storage, keys_file=tmp_path / "keys.toml")


def test_settings_are_taken_over(tmp_path: Path) -> None:
    found = loaded(
        tmp_path,
        """
        [server]
        host = "::"
        port = 0
        public_url = "https://mp3.example.org/"
        trusted_proxies = ["10.0.0.0/8", "::1"]
        [jobs]
        slots = 3
        [ytdlp]
        args = ["--limit-rate", "1M"]
        cookies = "cookies.txt"
        [ffmpeg]
        path = "/opt/ffmpeg"
        [log]
        format = "json"
        """,
    )
    assert (found.server.host, found.server.port) == ("::", 0)
    assert found.server.public_url == "https://mp3.example.org"
    assert found.server.trusted_proxies == ("10.0.0.0/8", "::1")
    assert found.jobs.slots == 3
    assert found.ytdlp.args == ("--limit-rate", "1M")
    assert found.log.format == "json"


def test_exits_are_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(
        '[[ytdlp.exits]]\nname = "home"\nproxy = "socks5h://127.0.0.1:1080"\ncookies = "home.txt"\n'
        '[[ytdlp.exits]]\nname = "two"\nsource_address = "192.0.2.7"\nargs = ["--sleep-requests", "1"]\n'
    )
    assert load(beside(path), {}).ytdlp.exits == (
        ExitConfig("home", proxy="socks5h://127.0.0.1:1080", cookies=tmp_path / "home.txt"),
        ExitConfig("two", source_address="192.0.2.7", args=("--sleep-requests", "1")),
    )


def test_a_password_in_an_exit_is_not_repeated(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    for text in (
        '[[ytdlp.exits]]\nname = "a"\nproxy = "htp://anna:secret@proxy"\n',
        '[[ytdlp.exits]]\nproxy = "http://anna:secret@proxy"\n',
        '[[ytdlp.exits]]\nname = "a"\nargs = "--password secret"\n',
    ):
        path.write_text(text)
        with pytest.raises(ConfigError) as refused:
            load(beside(path), {})
        assert "secret" not in str(refused.value)


def test_paths_start_at_the_folder_of_the_file(tmp_path: Path) -> None:
    found = loaded(
        tmp_path,
        """
        storage = { state = "s", downloads = "/d" }
        ytdlp = { cookies = "c.txt", ca_file = "~/ca.pem" }
        ffmpeg = { path = "" }
        """,
    )
    assert found.storage.state == tmp_path / "s"
    assert found.storage.downloads == Path("/d")
    assert found.ytdlp.cookies == tmp_path / "c.txt"
    assert found.ytdlp.ca_file == Path.home() / "ca.pem"
    assert found.ffmpeg.path is None
    assert found.keys_file == tmp_path / "keys.toml"
    assert found.file == tmp_path / "config.toml"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "[sever]\nport = 1\n",
            "[sever]: expected one of server, jobs, limits, audio, storage, ytdlp, ffmpeg, log, offline, "
            "found an unknown section",
        ),
        (
            "prot = 1\n",
            "[prot]: expected one of server, jobs, limits, audio, storage, ytdlp, ffmpeg, log, offline, "
            "found an unknown section",
        ),
        ("port = 1\n", "port: expected below [server], found above all sections"),
        ("slots = 1\n[server]\nport = 1\n", "slots: expected below [jobs], found above all sections"),
        ("log = 3\n", "log: expected a section [log], found 3"),
        ("[[log]]\n", "log: expected a section [log], found [{}]"),
        (
            "[audio]\ncovers = true\n",
            "audio.covers: expected one of max_duration, max_source_mb, cover, file_name, found an unknown key",
        ),
        ("[server]\nport = 65536\n", "server.port: expected a whole number from 0 to 65535, found 65536"),
        ("[server]\nport = -1\n", "server.port: expected a whole number from 0 to 65535, found -1"),
        ('[server]\nport = "80"\n', "server.port: expected a whole number from 0 to 65535, found '80'"),
        ("[server]\nport = 80.0\n", "server.port: expected a whole number from 0 to 65535, found 80.0"),
        ("[server]\nport = true\n", "server.port: expected a whole number from 0 to 65535, found true"),
        ("[limits]\nper_day = 0\n", "limits.per_day: expected a whole number from 1 to 1000000000, found 0"),
        ("[audio]\ncover = 1\n", "audio.cover: expected true or false, found 1"),
        ("[server]\nhost = 8\n", "server.host: expected a string, found 8"),
        ('[server]\nhost = ""\n', "server.host: expected an address or host name, found ''"),
        (
            '[audio]\nfile_name = "{artist} - {song}"\n',
            "audio.file_name: expected a template of {artist}, {track}, {title}, {album}, {album_artist}, "
            "{track_number}, {disc_number}, {genre}, {date}, {year}, {video_id}, found '{artist} - {song}'",
        ),
        (
            '[audio]\nfile_name = "{title"\n',
            "audio.file_name: expected a template whose braces are in pairs, like {title}, found '{title'",
        ),
        (
            '[storage]\nlibrary_name = "../{title}.mp3"\n',
            "storage.library_name: expected folders with names that every system takes, like "
            "\"{artist}/{album}/{title}.mp3\", found '../{title}.mp3'",
        ),
        (
            '[storage]\nlibrary = "static/downloads/music"\n',
            "storage.library: expected a folder that is not in storage.downloads or storage.state, "
            "found 'static/downloads/music'",
        ),
        ('[storage]\nstate = "a\\u0000b"\n', "storage.state: expected a string, found 'a\\x00b'"),
        ("[ytdlp]\nca_file = false\n", "ytdlp.ca_file: expected a string, found false"),
        ("[ytdlp]\nargs = 1\n", "ytdlp.args: expected a list of strings, found 1"),
        (
            '[ytdlp]\nproxy = "proxy:3128"\n',
            'ytdlp.proxy: expected "" or an address like "http://proxy.example.org:3128", found \'proxy:3128\'',
        ),
        ("[ytdlp]\nexits = 1\n", "ytdlp.exits: expected tables [[ytdlp.exits]], found 1"),
        (
            '[[ytdlp.exits]]\nproxy = "http://proxy.example.org:1"\n',
            "ytdlp.exits: expected a name of its own in each [[ytdlp.exits]], "
            "found [{'proxy': 'http://proxy.example.org:1'}]",
        ),
        (
            '[[ytdlp.exits]]\nname = "a"\n[[ytdlp.exits]]\nname = "a"\n',
            "ytdlp.exits: expected a name of its own in each [[ytdlp.exits]], found [{'name': 'a'}, {'name': 'a'}]",
        ),
        (
            '[[ytdlp.exits]]\nname = "a b"\n',
            "ytdlp.exits[0].name: expected up to 40 letters, digits, dots, dashes or underscores, found 'a b'",
        ),
        (
            '[[ytdlp.exits]]\nname = "a"\n[[ytdlp.exits]]\nname = "b"\nproxy = "proxy:31"\n',
            'ytdlp.exits[1].proxy: expected "" or an address like "http://proxy.example.org:3128", found \'proxy:31\'',
        ),
        (
            '[[ytdlp.exits]]\nname = "a"\nsource_address = "home"\n',
            'ytdlp.exits[0].source_address: expected "" or an address of this machine like "192.0.2.7", found \'home\'',
        ),
        (
            '[[ytdlp.exits]]\nname = "a"\nkey = 1\n',
            "ytdlp.exits[0].key: expected one of name, proxy, cookies, source_address, args, found an unknown key",
        ),
        (
            '[server]\npublic_url = "mp3.example.org"\n',
            'server.public_url: expected "" or an address like "https://mp3.example.org", found \'mp3.example.org\'',
        ),
        (
            '[server]\ncors_origins = ["https://a.example/path"]\n',
            'server.cors_origins: expected origins like "https://app.example.org", or "*", '
            "found ['https://a.example/path']",
        ),
        (
            '[server]\ntrusted_proxies = ["localhost"]\n',
            'server.trusted_proxies: expected addresses or networks like "127.0.0.1" or "10.0.0.0/8", '
            "found ['localhost']",
        ),
        ('[log]\nlevel = "loud"\n', 'log.level: expected one of "debug", "info", "warning", "error", found \'loud\''),
        ('[log]\nformat = "JSON"\n', 'log.format: expected one of "text", "json", found \'JSON\''),
        (
            '[log]\nformat = "' + "x" * 99 + '"\n',
            'log.format: expected one of "text", "json", found \'' + "x" * 56 + "...",
        ),
    ],
)
def test_what_is_wrong_is_said_with_key_expectation_and_finding(tmp_path: Path, text: str, message: str) -> None:
    assert refusal(tmp_path, text) == message


@pytest.mark.parametrize(
    ("setting", "found"),
    [
        ('proxy = "htp://user:hunter2@proxy:1"', "'htp://…@proxy:1'"),
        ('proxy = "http://user:hun/hunter2@proxy"', "'http://…@proxy'"),
        ('proxy = "http://user:hun@hunter2@proxy:x"', "'http://…@proxy:x'"),
        ("""proxy = "http://user:hun'hunter2 @proxy:1 \"""", '"http://…@proxy:1 "'),
        ('proxy = "user:hunter2@proxy"', "'…@proxy'"),
        ('proxy = "hunter2@proxy"', "'…@proxy'"),
        ('proxy = ["http://user:hunter2@proxy"]', "…@proxy']"),
        ('args = "--password hunter2"', "a string"),
        ('args = ["--password", "hunter2", 5]', "a list of other things"),
        ('args = { password = "hunter2" }', "a table"),
    ],
)
def test_a_finding_that_may_hold_a_password_is_not_repeated(tmp_path: Path, setting: str, found: str) -> None:
    message = refusal(tmp_path, f"[ytdlp]\n{setting}\n")
    assert "hun" not in message and message.endswith(f", found {found}")


@pytest.mark.parametrize(
    ("downloads", "state"),
    [("d", "d"), ("d", "x/../d"), ("d", "link"), ("link", "d"), ("d", "d/.staging"), ("d", "d/.staging/s")],
)
def test_the_state_is_not_where_a_start_sweeps(tmp_path: Path, downloads: str, state: str) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "link").symlink_to("d")
    message = refusal(tmp_path, f'[storage]\ndownloads = "{downloads}"\nstate = "{state}"\n')
    expected = "a folder that is neither storage.downloads nor in its .staging"
    assert message == f"storage.state: expected {expected}, found '{state}'"


@pytest.mark.parametrize(("downloads", "state"), [("s/d", "s"), ("d", "d/s"), ("s", "state")])
def test_one_folder_may_otherwise_be_in_the_other(tmp_path: Path, downloads: str, state: str) -> None:
    loaded(tmp_path, f'[storage]\ndownloads = "{downloads}"\nstate = "{state}"\n')


def every_number() -> list[tuple[str, str, int, int]]:
    return [
        (name, field.name, field.metadata["low"], field.metadata["high"])
        for name, section in Config().sections.items()
        for field in dataclasses.fields(section)
        if "low" in field.metadata
    ]


@pytest.mark.parametrize(("section", "key", "low", "high"), every_number())
def test_every_number_has_bounds_that_hold(tmp_path: Path, section: str, key: str, low: int, high: int) -> None:
    for good in (low, high):
        assert getattr(loaded(tmp_path, f"[{section}]\n{key} = {good}\n").sections[section], key) == good
    for bad in (low - 1, high + 1):
        expected = f"{section}.{key}: expected a whole number from {low} to {high}, found {bad}"
        assert refusal(tmp_path, f"[{section}]\n{key} = {bad}\n") == expected


def test_broken_toml_is_named_with_its_place(tmp_path: Path) -> None:
    message = refusal(tmp_path, "[server]\nport = \n")
    assert message.startswith("not valid TOML: ")
    assert "line 2" in message


def test_a_file_that_is_not_there_or_no_text_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent\.toml: no such file$"):
        load(beside(tmp_path / "absent.toml"), {})
    with pytest.raises(ConfigError, match=r"cannot be read: Is a directory$"):
        load(beside(tmp_path), {})
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="cannot be read: "):
        load(beside(binary), {})


def test_a_configuration_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Config().server.port = 1  # type: ignore[misc]


# ---- the environment


def of_environment(**variables: str) -> Config:
    return load(find(None, {"HOME": "/home/anna"}, here=Path("/nonexistent"), system=Path("/nonexistent")), variables)


@pytest.mark.parametrize(
    ("variable", "text", "value"),
    [
        ("SERVER__PORT", "9000", 9000),
        ("SERVER__HOST", "::", "::"),
        ("SERVER__PUBLIC_URL", "https://mp3.example.org/", "https://mp3.example.org"),
        ("SERVER__METRICS_PUBLIC", "True", True),
        ("SERVER__TRUSTED_PROXIES", "10.0.0.0/8", ("10.0.0.0/8",)),
        ("SERVER__TRUSTED_PROXIES", '["10.0.0.0/8", "::1"]', ("10.0.0.0/8", "::1")),
        ("SERVER__TRUSTED_PROXIES", "", ()),
        ("YTDLP__ARGS", '["--limit-rate", "1M"]', ("--limit-rate", "1M")),
        ("YTDLP__EXITS", '[{ name = "a", proxy = "http://b" }]', (ExitConfig("a", proxy="http://b"),)),
        ("YTDLP__COOKIES", "", None),
        ("STORAGE__STATE", "/data/state", Path("/data/state")),
        ("LOG__FORMAT", "json", "json"),
    ],
)  # fmt: skip
def test_a_variable_sets_any_setting(variable: str, text: str, value: Any) -> None:
    section, name = variable.lower().split("__")
    assert getattr(of_environment(**{f"YTMP3D_{variable}": text}).sections[section], name) == value


def test_a_variable_comes_before_the_file(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text("[server]\nport = 1\nhost = '::1'\n[storage]\nstate = 's'\n")
    variables = {"YTMP3D_SERVER__PORT": "2", "YTMP3D_STORAGE__STATE": "/t", "YTMP3D_STORAGE__DOWNLOADS": ""}
    found = load(beside(path), variables)
    assert (found.server.port, found.server.host) == (2, "::1")
    assert found.storage == StorageConfig(downloads=tmp_path / "static/downloads", state=Path("/t"))


@pytest.mark.parametrize(
    ("variable", "text", "words"),
    [
        ("YTMP3D_SERVER__PORT", "many", "expected a whole number from 0 to 65535, found 'many'"),
        ("YTMP3D_SERVER__PORT", "1\nhost = 'x'", "expected a whole number from 0 to 65535, found"),
        ("YTMP3D_SERVER__PORTS", "1", "expected a setting of host, port,"),
        ("YTMP3D_SEVRER__PORT", "1", "expected a section of server, jobs,"),
        ("YTMP3D_JOBS__SANDBOX", "maybe", "expected true or false, found 'maybe'"),
        ("YTMP3D_STORAGE__STATE", "state", "expected a path that begins with /, found 'state'"),
        ("YTMP3D_SERVER__CORS_ORIGINS", "app.example.org", "expected origins like"),
        ("YTMP3D_YTDLP__EXITS", '[{ nom = "a" }]', "ytdlp.exits[0].nom: expected one of name,"),
        ("YTMP3D_YTDLP__PROXY", "htp://anna:secret@proxy", 'expected "" or an address like'),
    ],
)
def test_a_bad_variable_is_named(variable: str, text: str, words: str) -> None:
    with pytest.raises(ConfigError) as refused:
        of_environment(**{variable: text})
    message = str(refused.value)
    assert message.startswith(f"${variable}: ") and words in message and "secret" not in message


def test_other_variables_are_none_of_ours() -> None:
    found = of_environment(YTMP3D_KEY="secret", YTMP3D_PORT="tcp://10.0.0.1:8080", YTMP3D_SERVICE_HOST="10.0.0.1")
    assert found.server == Config().server
