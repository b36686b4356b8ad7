"""Cookies files: what is of use, what YouTube's renewals become, and who hears of a spoiled one."""

from __future__ import annotations

import json
import logging
import os
import stat
from collections.abc import Callable
from http.cookiejar import Cookie as JarCookie
from http.cookiejar import CookieJar
from pathlib import Path

import pytest

from server import errors
from server.media import cookie_file, cookies, kept_cookies
from server.media.cookie_file import Cookie, Spoiled, parsed
from server.media.cookies import Cookies, Copy, kept_file
from server.media.kept_cookies import MAX_KEPT, Change, KeptCookies
from server.media.renewals import MAX_CHANGES, Renewals

HEAD = "# Netscape HTTP Cookie File\n"
SID = ".youtube.com\tTRUE\t/\tTRUE\t4000000000\tSID\tthe-first-secret\n"
LOGIN = ".youtube.com\tTRUE\t/\tTRUE\t0\tLOGIN_INFO\tx\n.youtube.com\tTRUE\t/\tTRUE\t0\tSAPISID\tx\n"
KEY = (".youtube.com", "/", "SID")


def cookie(value: str, name: str = "SID", expires: str = "4000000000", domain: str = ".youtube.com") -> Cookie:
    return Cookie(domain, "TRUE", "/", "TRUE", expires, name, value)


# ---- files


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "empty"),
        (b"\n\n", "empty"),
        (b"<!DOCTYPE html><title>Sign in</title>", "an HTML page"),
        (b'[{"domain": ".youtube.com", "name": "SID"}]', "JSON, not Netscape's format"),
        (b'\xef\xbb\xbf{"cookies": []}', "JSON, not Netscape's format"),
        (b"SID=secret; HSID=secret", "not in Netscape's format"),
        (SID.encode(), "not in Netscape's format"),
        (HEAD.encode("utf-16"), "UTF-16, not UTF-8"),
        (b"\x89PNG\r\n\x1a\n\xff\xff", "no text in UTF-8"),
        (HEAD.encode() + b"\0", "no text"),
        ((HEAD + SID)[:-20].encode(), "its last line is broken off"),
        ((HEAD + SID + SID[:20]).encode(), "its last line is broken off"),
        ((HEAD + SID.replace("\t", "    ")).encode(), "its last line is broken off"),
        (HEAD.encode(), "no cookie of youtube.com in it"),
        ((HEAD + SID.replace("youtube", "notyoutube")).encode(), "no cookie of youtube.com in it"),
        (b"#" * (cookie_file.MAX_BYTES + 1), "larger than 1 MiB"),
    ],
)
def test_a_spoiled_file_is_told_by_its_kind(tmp_path: Path, content: bytes, why: str) -> None:
    path = tmp_path / "cookies.txt"
    path.write_bytes(content)
    with pytest.raises(Spoiled) as caught:
        cookie_file.read(path)
    assert str(caught.value) == why


def test_what_is_no_file_is_spoiled_too(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "file").touch()
    for name, why in {
        "none": "No such file or directory",
        ".": "Is a directory",
        "pipe": "no regular file",
        "loop": "Too many levels of symbolic links",
        "file/below": "Not a directory",
    }.items():
        with pytest.raises(Spoiled) as caught:
            cookie_file.read(tmp_path / name)
        assert str(caught.value) == why


@pytest.mark.parametrize(
    "content",
    [
        "\ufeff" + HEAD + SID,
        (HEAD + SID).replace("\n", "\r\n"),
        (HEAD + SID).rstrip("\n"),
        "\n" + HEAD + "\n# a comment\n\nno cookie at all\n#HttpOnly_" + SID + "\n",
        HEAD + SID.replace("4000000000", "4000000000.25").replace("TRUE\t/", "FALSE\t/"),
        HEAD + SID.replace("the-first-secret", "another") + SID,
    ],
)
def test_what_editors_and_exporters_do_to_a_file_harms_nothing(content: str) -> None:
    (found,) = parsed(content.encode())
    assert (found.key, found.value) == (KEY, "the-first-secret")
    assert parsed(cookie_file.text([found]).encode())[0].value == "the-first-secret"
    assert ".youtube.com\tTRUE\t/" in cookie_file.text([found])


def test_cookies_of_other_sites_are_not_handed_on() -> None:
    others = "".join(SID.replace(".youtube.com", domain) for domain in (".bank.example", ".evilgoogle.com"))
    found = parsed((HEAD + others + SID + SID.replace(".youtube.com", "accounts.google.com")).encode())
    assert {one.domain for one in found} == {".youtube.com", "accounts.google.com"}


@pytest.mark.parametrize("expires", ["9" * 400, "tomorrow", "-1", "1e9"])
def test_a_line_that_would_break_ytdlp_is_left_out(expires: str) -> None:
    odd = SID.replace("4000000000", expires).replace("SID", "ODD")
    assert [one.name for one in parsed((HEAD + odd + SID).encode())] == ["SID"]


def test_a_cookie_for_the_session_never_expires() -> None:
    cookie_file.check_fresh([cookie("x", expires="0"), cookie("x", expires="1")])
    cookie_file.check_fresh([cookie("x", expires="")])
    with pytest.raises(Spoiled, match="has expired"):
        cookie_file.check_fresh([cookie("x", expires="1"), cookie("x", domain=".google.com")])


# ---- renewals


def in_jar(name: str, value: str | None, domain: str = ".youtube.com", expires: int | None = None) -> JarCookie:
    return JarCookie(
        0, name, value, None, False, domain, True, True, "/", True, True, expires, expires is None, None, None, {}
    )


def test_a_run_notes_what_is_set_and_cleared_and_nothing_of_before(tmp_path: Path) -> None:
    jar = CookieJar()
    jar.set_cookie(in_jar("OLD", "a"))
    jar.set_cookie(in_jar("GONE", "b"))
    renewals = Renewals(jar, tmp_path / "renewed")
    renewals.save()
    assert kept_cookies.changes(tmp_path / "renewed") == {}
    jar.set_cookie(in_jar("SID", "first"))
    jar.set_cookie(in_jar("SID", "second", expires=4_000_000_000))
    jar.set_cookie(in_jar("EMPTY", None))
    jar.clear(".youtube.com", "/", "GONE")
    renewals.save()
    found = kept_cookies.changes(tmp_path / "renewed")
    assert {key[2]: change and change.value for key, (_, change) in found.items()} == {
        "SID": "second",
        "EMPTY": "EMPTY",
        "GONE": None,
    }
    assert found[KEY][1] == cookie("second")
    assert [one.name for one in jar] == ["OLD", "SID", "EMPTY"]


def test_a_run_notes_no_more_than_so_much(tmp_path: Path) -> None:
    jar = CookieJar()
    renewals = Renewals(jar, tmp_path / "renewed")
    for number in range(MAX_CHANGES + 50):
        jar.set_cookie(in_jar(f"N{number}", "x"))
    jar.set_cookie(in_jar("N0", "last"))
    renewals.save()
    found = kept_cookies.changes(tmp_path / "renewed")
    assert len(found) == MAX_CHANGES
    assert found[(".youtube.com", "/", "N0")][1] == cookie("last", "N0", "0")


def changed(at: float, value: str | None, name: str = "SID") -> dict[cookie_file.Key, Change]:
    return {(".youtube.com", "/", name): (at, None if value is None else cookie(value, name))}


def values(kept: KeptCookies, *owners: Cookie) -> dict[str, str]:
    return {one.name: one.value for one in kept.applied(owners)}


def test_of_two_runs_at_a_time_each_cookie_is_the_newest(tmp_path: Path) -> None:
    kept = KeptCookies(tmp_path / "kept.json")
    kept.of_file("a")
    assert kept.merge(changed(5, "of the later") | changed(1, "only here", "A"))
    assert not kept.merge(changed(4, "of the earlier")), "which ended last"
    assert kept.merge(changed(3, None, "B"))
    assert values(kept, cookie("b", "B"), cookie("c", "C")) == {"SID": "of the later", "A": "only here", "C": "c"}
    assert not kept.merge(changed(6, "of the later")), "nothing to write"


def test_what_is_kept_outlives_a_restart_and_no_change_of_the_owners_file(tmp_path: Path) -> None:
    path = tmp_path / "state" / "cookies" / "default.json"
    kept = KeptCookies(path)
    kept.of_file("a")
    kept.merge(changed(5, "renewed") | changed(5, None, "GONE"))
    kept.save()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [one.name for one in path.parent.iterdir()] == ["default.json"]
    again = KeptCookies(path)
    again.of_file("a")
    assert values(again, cookie("old"), cookie("x", "GONE")) == {"SID": "renewed"}
    assert again.merge(changed(0.5, "newer than all before the restart"))
    again.of_file("b")
    assert values(again, cookie("new")) == {"SID": "new"} and not path.exists()
    kept.save()
    other = KeptCookies(path)
    other.of_file("b")
    assert values(other, cookie("new")) == {"SID": "new"}


@pytest.mark.parametrize("content", ["", "{", "[]", '{"of": "a"}', '{"of": "a", "renewed": [1]}', "[" * 100_000])
def test_a_broken_file_of_renewals_is_left(tmp_path: Path, content: str, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "kept.json").write_text(content)
    kept = KeptCookies(tmp_path / "kept.json")
    kept.of_file("a")
    assert values(kept, cookie("owners")) == {"SID": "owners"}
    assert "cannot be read" in caplog.text


def test_what_is_kept_is_bounded_and_of_youtube(tmp_path: Path) -> None:
    kept = KeptCookies(tmp_path / "kept.json")
    kept.of_file("a")
    kept.merge({(domain, "/", "A"): (1, cookie("x", "A", domain=domain)) for domain in ("evil.com", "notyoutube.com")})
    kept.merge(changed(1, "x" * 10_000) | changed(1, "a\tb", "TAB") | changed(1, "a\udc00b", "HALF"))
    assert values(kept) == {}
    for number in range(MAX_KEPT + 10):
        kept.merge(changed(number, "x", f"N{number}"))
    assert len(kept) == MAX_KEPT and f"N{MAX_KEPT + 9}" in values(kept) and "N0" not in values(kept)


# ---- the owner's file under a running server


@pytest.fixture
def owners(tmp_path: Path) -> Path:
    path = tmp_path / "cookies.txt"
    put(path, HEAD + SID + LOGIN)
    return path


@pytest.fixture
def in_pause(monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], object]]:
    """What happens, one after the other, while a second look is waited for; nothing else takes that time."""
    events: list[Callable[[], object]] = []

    async def sleep(seconds: float) -> None:
        assert seconds == cookies.MOMENT and events, "no second look was expected"
        events.pop(0)()

    monkeypatch.setattr("asyncio.sleep", sleep)
    return events


def put(path: Path, content: str, *, young: bool = False) -> None:
    path.write_text(content)
    if not young:
        os.utime(path, (1_700_000_000, 1_700_000_000))


async def copied(account: Cookies, folder: Path) -> Copy:
    folder.mkdir()
    return await account.copy(folder)


async def why(account: Cookies, folder: Path) -> str:
    with pytest.raises(errors.CookiesInvalid) as caught:
        await copied(account, folder)
    return caught.value.message


async def test_a_file_that_spoils_is_named_and_healed(
    tmp_path: Path, owners: Path, in_pause: list[Callable[[], object]], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    account = Cookies(owners, tmp_path / "state")
    first = await copied(account, tmp_path / "1")
    assert "the-first-secret" in first.path.read_text() and stat.S_IMODE(first.path.stat().st_mode) == 0o600
    assert await account.warnings() == []
    put(owners, "<html>Sign in</html>")
    in_pause.append(lambda: None)
    message = await why(account, tmp_path / "2")
    guest, owner = message.split(" For the owner: ")
    assert "does not work any more" in guest and "an HTML page" in owner and "[ytdlp] cookies" in owner
    assert str(tmp_path) not in message and "cookies.txt" not in message
    (warning,) = await account.warnings()
    assert warning.startswith("cookies spoiled: an HTML page.") and str(tmp_path) not in warning
    await why(account, tmp_path / "3")  # at once, since it was looked at twice
    put(owners, HEAD + SID)
    assert await account.warnings() == []
    assert (await copied(account, tmp_path / "4")).path.exists()
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2 and said[0] == warning and said[1] == "cookies: they can be used again"


@pytest.mark.parametrize("half", ["", (HEAD + SID)[:-25], "<html>"])
async def test_a_file_that_becomes_whole_in_a_moment_is_good(
    tmp_path: Path, owners: Path, in_pause: list[Callable[[], object]], caplog: pytest.LogCaptureFixture, half: str
) -> None:
    account = Cookies(owners, tmp_path / "state")
    put(owners, half, young=True)
    in_pause.append(lambda: put(owners, HEAD + SID))
    assert (await copied(account, tmp_path / "1")).path.exists()
    owners.unlink()
    in_pause.append(lambda: put(owners, HEAD + SID))
    assert (await copied(account, tmp_path / "2")).path.exists()
    assert not caplog.records


async def test_a_file_of_this_moment_is_looked_at_twice_since_it_may_grow(
    tmp_path: Path, owners: Path, in_pause: list[Callable[[], object]]
) -> None:
    account = Cookies(owners, tmp_path / "state")
    put(owners, HEAD + SID, young=True)
    in_pause.append(lambda: put(owners, HEAD + SID + LOGIN, young=True))
    assert "LOGIN_INFO" in (await copied(account, tmp_path / "1")).path.read_text()
    await copied(account, tmp_path / "2")  # at once


async def test_cookies_that_have_all_expired_are_spoiled_unless_youtube_renewed_one(
    tmp_path: Path, owners: Path, in_pause: list[Callable[[], object]]
) -> None:
    account = Cookies(owners, tmp_path / "state")
    put(owners, HEAD + SID.replace("4000000000", "1000000000"))
    assert "has expired" in await why(account, tmp_path / "1")
    note(Copy(tmp_path, tmp_path / "noted", account, account._kept.of, True), "SID", "renewed")
    await account._keep(account._kept.of, tmp_path / "noted")
    assert "renewed" in (await copied(account, tmp_path / "2")).path.read_text()


def note(copy: Copy, name: str, value: str, at: float = 1.0) -> None:
    columns = [".youtube.com", "TRUE", "/", "TRUE", "4000000000", name, value]
    copy.renewed.write_text(json.dumps([[".youtube.com", "/", name, at, columns]]))


async def test_a_replaced_file_wins_over_runs_that_began_before(
    tmp_path: Path, owners: Path, in_pause: list[Callable[[], object]]
) -> None:
    account = Cookies(owners, tmp_path / "state")
    before = await copied(account, tmp_path / "1")
    note(before, "SID", "renewed for the old account")
    await before.keep()
    put(owners, HEAD + SID.replace("first", "second"))
    assert "the-second-secret" in (await copied(account, tmp_path / "2")).path.read_text()
    note(before, "SID", "renewed again", at=2.0)
    await before.keep()
    assert "the-second-secret" in (await copied(account, tmp_path / "3")).path.read_text()
    assert not kept_file(tmp_path / "state").exists()
    assert owners.read_text() == HEAD + SID.replace("first", "second")


async def test_a_session_that_youtube_ended_is_named_until_it_is_accepted_or_replaced(
    tmp_path: Path, owners: Path, in_pause: list[Callable[[], object]], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    account = Cookies(owners, tmp_path / "state", "paris / north")
    refused, other = await copied(account, tmp_path / "1"), await copied(account, tmp_path / "2")
    refused.note_refused()
    other.note_refused()
    note(refused, "LOGIN_INFO", "signed out")
    await refused.keep()
    (warning,) = await account.warnings()
    assert warning.startswith("cookies of exit paris / north no longer valid: YouTube has ended the session.")
    third = await copied(account, tmp_path / "3")
    assert "signed out" not in third.path.read_text(), "the sign-out of a refused run is no renewal"
    await third.note_accepted()
    assert await account.warnings() == []
    third.note_refused()
    put(owners, HEAD + SID.replace("first", "second") + LOGIN)
    assert await account.warnings() == []
    levels = [record.levelname for record in caplog.records]
    assert levels == ["WARNING", "INFO", "WARNING"] and "secret" not in caplog.text


async def test_a_guests_cookies_say_nothing_of_a_session(tmp_path: Path, owners: Path) -> None:
    account = Cookies(owners, tmp_path / "state")
    refused = await copied(account, tmp_path / "1")
    refused.note_refused()
    guest = Copy(tmp_path, tmp_path / "noted", account, account._kept.of, False)
    await guest.note_accepted()
    assert len(await account.warnings()) == 1


async def test_each_exit_has_a_file_of_its_own_whatever_its_name(tmp_path: Path, owners: Path) -> None:
    state = tmp_path / "state"
    for name in ("default", "a/../b", "ü ", ".", ".."):
        account = Cookies(owners, state, name)
        folder = tmp_path / str(len(name))
        copy = await account.copy(folder) if folder.exists() else await copied(account, folder)
        note(copy, "SID", name)
        await copy.keep()
        copy.path.unlink()
    assert len(list((state / "cookies").iterdir())) == 5
    assert not [path for path in tmp_path.rglob("*.json") if path.parent != state / "cookies"]


async def test_a_full_disk_costs_no_conversion_and_is_said_once(
    tmp_path: Path, owners: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    account = Cookies(owners, tmp_path / "state")
    copy = await copied(account, tmp_path / "1")
    (tmp_path / "state").write_text("no folder")
    for at in (1.0, 2.0):
        note(copy, "SID", f"renewed-{at}", at)
        await copy.keep()
    assert len(caplog.records) == 1 and "cannot be written" in caplog.text
    assert "renewed-2.0" in (await copied(account, tmp_path / "2")).path.read_text(), "it is known in memory"
    (tmp_path / "state").unlink()
    await copy.keep()
    assert "renewed-2.0" in kept_file(tmp_path / "state").read_text()


async def test_who_only_reads_writes_nothing(tmp_path: Path, owners: Path) -> None:
    writer = Cookies(owners, tmp_path / "state")
    copy = await copied(writer, tmp_path / "1")
    note(copy, "SID", "renewed")
    await copy.keep()
    before = kept_file(tmp_path / "state").read_bytes()
    reader = Cookies(owners, tmp_path / "state", keeps=False)
    copy = await copied(reader, tmp_path / "2")
    assert "renewed" in copy.path.read_text()
    note(copy, "SID", "by the reader", at=9.0)
    await copy.keep()
    put(owners, HEAD + LOGIN)
    await copied(reader, tmp_path / "3")
    assert kept_file(tmp_path / "state").read_bytes() == before
