"""Keys: what is accepted, the file that knows them, and the commands that change it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import stat
import subprocess
import sys
import time
import tomllib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.waiting import SOON, eventually

from server.access import key_file, key_name, webhook_secret
from server.access import keys as keys_module
from server.access.keys import Key, Keys, environment_key, environment_secret
from server.config import ConfigError, LimitsConfig
from server.errors import KeyDisabled, Unauthorized

DEFAULTS = LimitsConfig(100, 1000, 10_000)
HASH = "a" * 64
NAME = f'expected a name of its own with {key_name.EXPECTED}, but not "env"'
LIMIT = "a whole number from 1 to 1000000000"
ENTRIES = "sha256, created, disabled, webhook_secret, per_minute, per_hour, per_day, conversions_per_day, concurrent"
TABLE = f'sha256 = "{HASH}"\ncreated = 2026-01-31T12:00:00Z\n'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.toml"


async def loaded(path: Path) -> Keys:
    keys = Keys(path, DEFAULTS)
    await keys.load()
    return keys


@contextlib.asynccontextmanager
async def watched(path: Path) -> AsyncIterator[Keys]:
    keys = await loaded(path)
    task = asyncio.create_task(keys.watch())
    try:
        yield keys
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def accepts(keys: Keys, plain: str) -> bool:
    try:
        keys.authenticate(f"Bearer {plain}")
    except (Unauthorized, KeyDisabled):
        return False
    return True


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What running keys saw of their file at each look, of which there are many a second."""
    seen: list[object] = []
    look = Keys._look

    async def noted(self: Keys) -> object:
        seen.append(await look(self))
        return seen[-1]

    monkeypatch.setattr(Keys, "_look", noted)
    monkeypatch.setattr(keys_module, "_PERIOD", 0.01)
    return seen


async def test_a_key_is_accepted_under_its_name_with_the_default_limits(path: Path) -> None:
    plain = key_file.create(path, "app", {})
    assert (await loaded(path)).authenticate(f"Bearer {plain}") == Key("app", DEFAULTS)


async def test_a_key_may_have_limits_of_its_own(path: Path) -> None:
    plain = key_file.create(path, "app", {"per_minute": 7, "per_day": 1_000_000})
    assert (await loaded(path)).authenticate(f"Bearer {plain}").limits == LimitsConfig(7, 1000, 1_000_000)
    plain = key_file.create(path, "other", {"conversions_per_day": 20})
    assert (await loaded(path)).authenticate(f"Bearer {plain}").limits == LimitsConfig(conversions_per_day=20)
    assert key_file.listing(path)["other"].endswith("  20 conversions per day")


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "bEaReR"])
async def test_the_scheme_word_may_be_in_any_case(path: Path, scheme: str) -> None:
    plain = key_file.create(path, "app", {})
    assert (await loaded(path)).authenticate(f"{scheme} {plain}").name == "app"


@pytest.mark.parametrize(
    ("header", "wrong"),
    [
        (None, "This needs an API key."),
        ("", "The Authorization header is not understood."),
        ("Bearer", "The Authorization header is not understood."),
        ("Bearer ", "The Authorization header is not understood."),
        ("Basic dXNlcjpwYXNz", "The Authorization header is not understood."),
        ("Bearer two words", "The Authorization header is not understood."),
        ("ytmp3d_without_a_scheme", "The Authorization header is not understood."),
        ("Bearer ytmp3d_never_made", "This API key is not known."),
        ("Bearer \udcff\udcfe", "This API key is not known."),
        (f"Bearer {HASH}", "This API key is not known."),
    ],
)
async def test_anything_else_is_unauthorized_and_told_what_to_send(path: Path, header: str | None, wrong: str) -> None:
    path.write_text(f"[keys.app]\n{TABLE}")
    keys = await loaded(path)
    with pytest.raises(Unauthorized) as caught:
        keys.authenticate(header)
    assert caught.value.message == f"{wrong} Send your API key in the header: Authorization: Bearer API_KEY"
    assert caught.value.headers == {"WWW-Authenticate": "Bearer"}


async def test_a_disabled_key_is_forbidden_until_it_is_enabled(path: Path) -> None:
    plain = key_file.create(path, "app", {})
    key_file.set_disabled(path, "app", True)
    with pytest.raises(KeyDisabled):
        (await loaded(path)).authenticate(f"Bearer {plain}")
    key_file.set_disabled(path, "app", False)
    assert accepts(await loaded(path), plain)


async def test_the_environment_adds_a_key_named_env(path: Path) -> None:
    keys = Keys(path, DEFAULTS, environment_key=" secret\n")
    await keys.load()
    assert keys.authenticate("Bearer secret") == Key("env", DEFAULTS)


@pytest.mark.parametrize("value", [None, "", "  "])
async def test_an_empty_environment_variable_is_no_key(path: Path, value: str | None) -> None:
    keys = Keys(path, DEFAULTS, environment_key=value)
    await keys.load()
    assert not keys.any_keys


@pytest.mark.parametrize(
    ("value", "key"),
    [(None, None), ("", None), (" \n", None), (" sixteen-letters!\n", "sixteen-letters!"), ("/+~=" * 64, "/+~=" * 64)],
)
def test_a_strong_key_in_the_environment_is_taken_and_an_empty_one_is_none(value: str | None, key: str | None) -> None:
    assert environment_key(value) == key


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("fifteen-letters", "15 characters"),
        (" fifteen-letters ", "15 characters"),
        ("with a blank inside", "others among them"),
        ("with-a-tab\tinside-it", "others among them"),
        ("with-ä-letter-beyond-ascii", "others among them"),
        ("not-utf-8-\udcff-but-long-enough", "others among them"),
    ],
)
def test_a_weak_or_unsendable_key_in_the_environment_is_refused_unseen(value: str, found: str) -> None:
    with pytest.raises(ConfigError) as caught:
        environment_key(value)
    expected = f"expected at least 16 characters, all of them visible ASCII, found {found}. "
    assert str(caught.value).startswith(f"YTMP3D_KEY: {expected}")
    assert value.strip() not in str(caught.value)


async def test_extra_keys_are_accepted_beside_those_of_the_file(path: Path) -> None:
    plain = key_file.create(path, "app", {})
    extra = Key("example", LimitsConfig(1, 2, 3))
    keys = Keys(path, DEFAULTS, extra={"YOUR_API_KEY": extra})
    await keys.load()
    assert keys.authenticate("Bearer YOUR_API_KEY") is extra
    assert accepts(keys, plain)


async def test_without_a_file_there_are_no_keys(path: Path) -> None:
    keys = await loaded(path)
    assert not keys.any_keys
    assert not path.exists()


async def test_a_key_that_is_disabled_is_still_a_key(path: Path) -> None:
    key_file.create(path, "app", {})
    key_file.set_disabled(path, "app", True)
    assert (await loaded(path)).any_keys


def test_the_file_is_looked_at_so_often_that_two_seconds_are_kept() -> None:
    assert keys_module._PERIOD <= 1


@pytest.mark.usefixtures("looks")
async def test_a_running_server_accepts_disables_and_forgets(path: Path) -> None:
    async with watched(path) as keys:
        plain = await asyncio.to_thread(key_file.create, path, "app", {})
        await eventually(lambda: accepts(keys, plain))
        await asyncio.to_thread(key_file.set_disabled, path, "app", True)
        await eventually(lambda: not accepts(keys, plain))
        await asyncio.to_thread(key_file.set_disabled, path, "app", False)
        await eventually(lambda: accepts(keys, plain))
        await asyncio.to_thread(key_file.delete, path, "app")
        await eventually(lambda: not accepts(keys, plain))


@pytest.mark.usefixtures("looks")
async def test_a_file_that_goes_takes_its_keys_with_it(path: Path) -> None:
    plain = key_file.create(path, "app", {})
    async with watched(path) as keys:
        path.unlink()
        await eventually(lambda: not accepts(keys, plain))


async def test_a_file_broken_while_running_keeps_the_old_keys_and_warns_once(
    path: Path, caplog: pytest.LogCaptureFixture, looks: list[object]
) -> None:
    plain = key_file.create(path, "app", {})
    good = path.read_text()
    async with watched(path) as keys:
        path.write_text("[keys")
        await eventually(lambda: bool(caplog.records))
        count = len(looks)
        await eventually(lambda: len(looks) > count + 2)  # further looks must not repeat it
        assert accepts(keys, plain)
        (warning,) = caplog.records
        assert warning.levelno == logging.WARNING
        assert "the keys stay as they were: " in warning.getMessage()
        path.write_text(good.replace("disabled = false", "disabled = true"))
        await eventually(lambda: not accepts(keys, plain))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"other = 1\n[keys.app]\n{TABLE}", "other: expected only tables [keys.NAME], found 1"),
        ("keys = 3\n", "keys: expected tables [keys.NAME], found 3"),
        ("[keys]\napp = 3\n", "keys.app: expected a table, found 3"),
        (
            f'[keys."a  b"]\n{TABLE}',
            f"keys.a  b: {NAME}, found 'a  b'",
        ),
        (f"[keys.env]\n{TABLE}", f"keys.env: {NAME}, found 'env'"),
        (
            "[keys.app]\ncreated = 2026-01-31T12:00:00Z\n",
            "keys.app.sha256: expected the key's SHA-256 in 64 hexadecimal digits, found nothing",
        ),
        (
            f'[keys.app]\nsha256 = "{HASH}"\n',
            "keys.app.created: expected a time like 2026-01-31T12:00:00Z, found nothing",
        ),
        (
            '[keys.app]\nsha256 = "AA"\n',
            "keys.app.sha256: expected the key's SHA-256 in 64 hexadecimal digits, found 'AA'",
        ),
        (f'[keys.app]\n{TABLE}disabled = "no"\n', "keys.app.disabled: expected true or false, found 'no'"),
        (f"[keys.app]\n{TABLE}per_hour = 0\n", f"keys.app.per_hour: expected {LIMIT}, found 0"),
        (f"[keys.app]\n{TABLE}per_day = true\n", f"keys.app.per_day: expected {LIMIT}, found true"),
        (
            f"[keys.app]\n{TABLE}per_week = 1\n",
            f"keys.app.per_week: expected one of {ENTRIES}, found an unknown entry",
        ),
        (f"[keys.a]\n{TABLE}[keys.b]\n{TABLE}", "keys.b.sha256: expected a hash of its own, found that of keys.a"),
    ],
)
async def test_a_broken_file_at_start_is_one_line_that_says_where(path: Path, text: str, message: str) -> None:
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        await loaded(path)
    assert str(caught.value) == f"{path}: {message}"


async def test_a_file_that_is_no_toml_or_no_file_is_named(path: Path, tmp_path: Path) -> None:
    path.write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="not valid TOML: "):
        await loaded(path)
    with pytest.raises(ConfigError, match="cannot be read: "):
        await loaded(tmp_path)


def test_the_plain_key_is_long_random_and_nowhere_in_the_file(path: Path) -> None:
    first, second = key_file.create(path, "one", {}), key_file.create(path, "two", {})
    assert first != second
    for plain in (first, second):
        assert plain.startswith("ytmp3d_")
        assert len(plain.removeprefix("ytmp3d_")) >= 32
        assert plain not in path.read_text()


def test_the_file_holds_one_table_a_key_with_only_the_limits_of_its_own(path: Path) -> None:
    key_file.create(path, "a.b-c_9", {"per_hour": 5})
    tables = tomllib.loads(path.read_text())["keys"]
    assert list(tables) == ["a.b-c_9"]
    assert list(tables["a.b-c_9"]) == ["sha256", "created", "disabled", "per_hour", "webhook_secret"]


async def test_a_webhook_secret_is_made_with_the_key_and_renewed_only_if_asked(path: Path) -> None:
    key_file.create(path, "app", {})
    first = key_file.secret_of(path, "app")
    assert (await loaded(path)).webhook_secret_of("app") == first
    with pytest.raises(ValueError, match="--renew"):
        key_file.make_secret(path, "app", renew=False)
    second = key_file.make_secret(path, "app", renew=True)
    assert second != first and key_file.secret_of(path, "app") == second
    path.write_text(f"[keys.old]\n{TABLE}")
    assert (await loaded(path)).webhook_secret_of("old") == ""
    third = key_file.make_secret(path, "old", renew=False)
    keys = await loaded(path)
    assert keys.webhook_secret_of("old") == third and keys.webhook_secret_of("nobody") == ""
    assert third not in repr(keys.authenticate) and third not in repr(Key("a", DEFAULTS, webhook_secret=third))


async def test_a_broken_webhook_secret_is_not_shown(path: Path) -> None:
    path.write_text(f'[keys.app]\n{TABLE}webhook_secret = "whsec_hidden"\n')
    with pytest.raises(ConfigError, match="whsec_ and 24 to 64 bytes in Base64") as caught:
        await loaded(path)
    assert "hidden" not in str(caught.value)


async def test_the_key_of_the_environment_has_the_secret_of_the_environment(path: Path) -> None:
    secret = webhook_secret.new()
    assert environment_secret(f" {secret} ") == secret and environment_secret(None) == ""
    keys = Keys(path, DEFAULTS, environment_key="a-key-of-the-environment", environment_secret=secret)
    assert keys.authenticate("Bearer a-key-of-the-environment").webhook_secret == secret
    with pytest.raises(ConfigError, match="YTMP3D_WEBHOOK_SECRET") as caught:
        environment_secret("whsec_hidden")
    assert "hidden" not in str(caught.value)


def test_the_files_are_readable_by_their_owner_only(path: Path) -> None:
    key_file.create(path, "app", {})
    key_file.set_disabled(path, "app", True)
    assert {stat.S_IMODE(one.stat().st_mode) for one in path.parent.iterdir()} == {0o600}
    assert {one.name for one in path.parent.iterdir()} == {"keys.toml", "keys.toml.lock"}


@pytest.mark.parametrize(
    "name", ["Zoë", "анна", "安娜", "अन्ना", "آنا", "안나", "ꙮ", "Ⅷ", "x" * 64, "-", "ä" * 64, "Zoë von Ü"]
)
async def test_a_name_may_be_of_any_script(path: Path, name: str) -> None:
    plain = key_file.create(path, name, {})
    assert (await loaded(path)).authenticate(f"Bearer {plain}").name == name
    key_file.set_disabled(path, name, True)
    assert list(key_file.listing(path)) == [name]
    key_file.delete(path, name)
    assert key_file.listing(path) == {}


async def test_two_spellings_of_a_name_are_one(path: Path) -> None:
    key_file.create(path, "Zoe\u0308", {})
    with pytest.raises(ValueError, match="already"):
        key_file.create(path, "Zo\u00eb", {})
    key_file.set_limits(path, "Zoe\u0308", {"per_day": 5})
    key_file.delete(path, "Zoe\u0308")
    path.write_text(f'[keys."Zoe\u0308"]\n{TABLE}[keys."Zo\u00eb"]\n{TABLE}')
    with pytest.raises(ConfigError, match="a name of its own"):
        await loaded(path)


async def test_limits_are_changed_in_place(path: Path) -> None:
    plain = key_file.create(path, "app", {"per_day": 5, "per_minute": 2})
    key_file.set_disabled(path, "app", True)
    before = key_file._read(path)["app"]
    key_file.set_limits(path, "app", {"per_day": None, "per_hour": 3, "concurrent": 1})
    after = key_file._read(path)["app"]
    assert dict(after.limits) == {"per_minute": 2, "per_hour": 3, "concurrent": 1}
    assert (after.sha256, after.created, after.disabled) == (before.sha256, before.created, True)
    key_file.set_limits(path, "app", dict.fromkeys(after.limits))
    key_file.set_disabled(path, "app", False)
    assert (await loaded(path)).authenticate(f"Bearer {plain}") == Key("app", DEFAULTS)


def test_a_change_that_will_not_do_changes_nothing(path: Path) -> None:
    key_file.create(path, "app", {"per_day": 5})
    before = path.read_bytes()
    with pytest.raises(ValueError, match="per_hour: expected a whole number from 1"):
        key_file.set_limits(path, "app", {"per_day": 6, "per_hour": 0})
    with pytest.raises(ValueError, match='there is no key "nobody"'):
        key_file.set_limits(path, "nobody", {"per_day": 6})
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "name",
    [
        "",
        "a  b",
        " a",
        "a ",
        "a\u00a0b",
        "a \u0301b",
        "a/b",
        'a"b',
        "a\n",
        "x" * 65,
        "\u0301a",
        "a\u202eb",
        "\udcff",
        "🎵",
        "a=b",
        "a\u200bb",
    ],
)
def test_an_ill_formed_name_is_refused(path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="a key's name has 1 to 64 letters of any script, digits"):
        key_file.create(path, name, {})
    assert not path.exists()


def test_the_environments_name_is_refused(path: Path) -> None:
    with pytest.raises(ValueError, match='the name "env" belongs to the key in the environment'):
        key_file.create(path, "env", {})


def test_a_name_that_is_taken_is_refused_and_its_key_stays(path: Path) -> None:
    key_file.create(path, "app", {})
    before = path.read_bytes()
    with pytest.raises(ValueError, match='there is already a key "app"'):
        key_file.create(path, "app", {})
    assert path.read_bytes() == before


def test_a_limit_that_the_server_would_refuse_is_never_written(path: Path) -> None:
    for number in (0, 10**9 + 1):
        with pytest.raises(ValueError, match="per_day: expected a whole number from 1 to 1000000000"):
            key_file.create(path, "app", {"per_day": number})
    assert not path.exists()


def test_what_is_not_there_cannot_be_changed(path: Path) -> None:
    with pytest.raises(ValueError, match='there is no key "app"'):
        key_file.set_disabled(path, "app", True)
    with pytest.raises(ValueError, match='there is no key "app"'):
        key_file.delete(path, "app")


def test_the_list_shows_name_state_and_limits_but_no_hash(path: Path) -> None:
    assert key_file.listing(path) == {}
    key_file.create(path, "app", {})
    key_file.create(path, "robot", {"per_day": 5, "per_minute": 2})
    key_file.set_disabled(path, "app", True)
    first, second = key_file.listing(path).values()
    assert first.startswith("app    20")
    assert first.endswith("  disabled  default limits")
    assert second.startswith("robot  20")
    assert second.endswith("  enabled   2 per minute, 5 per day")


def test_a_broken_file_is_not_overwritten(path: Path) -> None:
    path.write_text("[keys")
    with pytest.raises(ConfigError):
        key_file.create(path, "app", {})
    assert path.read_text() == "[keys"


def test_a_command_that_cannot_write_leaves_the_old_file_and_no_other(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key_file.create(path, "app", {})
    before = path.read_bytes()

    def no_space(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", no_space)
    with pytest.raises(OSError, match="No space left"):
        key_file.delete(path, "app")
    assert path.read_bytes() == before
    assert {one.name for one in path.parent.iterdir()} == {"keys.toml", "keys.toml.lock"}


def test_commands_that_run_at_once_lose_no_key_and_a_reader_never_sees_half_a_file(path: Path) -> None:
    script = (
        "import sys, pathlib; from server.access import key_file\n"
        "for n in range(20): key_file.create(pathlib.Path(sys.argv[1]), f'{sys.argv[2]}-{n}', {})"
    )
    root = Path(__file__).parents[2]
    writers = [
        subprocess.Popen([sys.executable, "-c", script, str(path), str(number)], cwd=root) for number in range(4)
    ]
    try:
        deadline = time.monotonic() + SOON
        while any(writer.poll() is None for writer in writers):
            assert time.monotonic() < deadline
            key_file.listing(path)
            time.sleep(0.001)
    finally:
        for writer in writers:
            writer.kill()
            writer.wait()
    assert [writer.returncode for writer in writers] == [0] * 4
    assert len(key_file.listing(path)) == 80
