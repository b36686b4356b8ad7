"""What an operator may tell yt-dlp is taken, the rest refused before the server listens, and no secret repeated."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import trustme
from support.findings import with_

from server.config import ConfigError
from server.media import authorities, forking, ytdlp


@pytest.fixture(autouse=True)
async def preloaded() -> AsyncIterator[None]:
    forking.preload(ytdlp.CHILD)
    yield


async def refusal(folder: Path, *args: str) -> str:
    with pytest.raises(ConfigError) as caught:
        await ytdlp.check(with_("ytdlp", args=args), folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


async def test_how_youtube_is_reached_is_the_operators_to_set(tmp_path: Path) -> None:
    args = ("--limit-rate", "1M", "--sleep-requests", "1", "--extractor-args", "youtube:player_client=tv", "-4", "-v")
    assert await ytdlp.check(with_("ytdlp", args=args), tmp_path)


@pytest.mark.parametrize(
    ("args", "changed"),
    [
        (["--print-traffic"], "debug_printtraffic"),  # into the audio
        (["--throttled-rate", "100K"], "throttledratelimit"),  # the audio again from its beginning
        (["--exec", "true"], "exec_cmd"),
        (["-o", "elsewhere"], "outtmpl"),
        (["--print", "title"], "forceprint"),
        (["--verbose", "--get-title"], "gettitle"),
        (["https://example.com"], "urls"),
    ],
)
async def test_what_would_break_a_conversion_is_refused_and_named(
    tmp_path: Path, args: list[str], changed: str
) -> None:
    message = await refusal(tmp_path, *args)
    assert message.startswith("ytdlp.args: expected options that change how YouTube is reached") and changed in message


@pytest.mark.parametrize(
    ("args", "named"),
    [
        (["--username", "me", "--password", "hunter2", "--exec", "hunter2"], "--username --password --exec,"),
        (["-ume", "-phunter2", "--exec=hunter2"], "--exec,"),
        (["--username", "me", "--password", "--hunter2", "-o", "x"], "--username --password -o,"),
        (["--proxy", "http://me:hunter2@proxy:1", "--exec", "true"], "--proxy --exec,"),
        (["--add-headers", "Cookie hunter2"], "--add-headers: wrong --add-headers formatting; "),
        (["--add-headers=Cookie hunter2"], "--add-headers: wrong --add-headers formatting; "),
        (["--password", "hunter2", "--no-such-option=hunter2"], "--password: no such option: --no-such-option"),
        (["--password", "hunter2"], "--password: "),
    ],
)
async def test_a_refusal_names_the_options_and_no_value(tmp_path: Path, args: list[str], named: str) -> None:
    message = await refusal(tmp_path, *args)
    assert "hunter2" not in message and f"found {named}" in message


@pytest.mark.parametrize(
    ("args", "why"),
    [
        (["--impersonate", "no-browser"], "not available"),
        (["--cookies-from-browser", "firefox:/nowhere/hunter2"], "cookies"),
        (["--limit-rate", "fast"], "rate limit"),
        (["--extractor-args", "youtube:lang=de"], "youtube:lang may not be set, since YouTube's reasons are read in"),
        (["--extractor-args", "YouTube:player_client=tv;LANG=en"], "youtube:lang may not be set"),
    ],
)
async def test_what_works_for_no_conversion_is_refused_before_the_first(
    tmp_path: Path, args: list[str], why: str
) -> None:
    message = await refusal(tmp_path, *args)
    assert message.startswith(f"ytdlp.args: expected options of yt-dlp that work here, found {args[0]}: ")
    assert why in message


async def test_a_user_without_a_password_is_refused_and_nobody_asked_for_it(tmp_path: Path) -> None:
    assert "a user name needs its password" in await refusal(tmp_path, "--username", "me")


def test_the_systems_authorities_may_have_comments_in_any_encoding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority, system, bundle = tmp_path / "own.pem", tmp_path / "system.pem", tmp_path / "bundle.pem"
    trustme.CA().cert_pem.write_to_path(authority)
    system.write_bytes(b"# F\xf5tan\xfas\xedtv\xe1ny\n")
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: SimpleNamespace(cafile=str(system)))
    authorities.make_ca_bundle(authority, bundle)
    assert bundle.read_bytes() == system.read_bytes() + b"\n" + authority.read_bytes()
