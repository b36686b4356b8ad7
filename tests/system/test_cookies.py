"""An account's cookies with the real yt-dlp: what YouTube renews is sent by the next run, and no run says a secret."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from support.api import KEY, KEYS
from support.clips import with_shared_clips
from support.listening import FFMPEG
from support.waiting import SOON
from support.workshop import known

from server import errors
from server.commands import doctor, serve
from server.commands.checks import PROBLEM, WARNING
from server.config import Config, JobsConfig, ServerConfig, StorageConfig, YtdlpConfig
from server.logs import logging_to_stderr
from server.media import authorities, forking, ytdlp
from server.media.cookies import Cookies
from server.offline import OfflineYouTube, offline_youtube
from server.offline.behaviours import Account, Refusal, Reserved
from server.places import beside

SECRET = "a-value-that-nobody-may-see"
COOKIES = (
    "# Netscape HTTP Cookie File\n"
    f".youtube.com\tTRUE\t/\tTRUE\t4000000000\tLOGIN_INFO\t{SECRET}\n"
    f".youtube.com\tTRUE\t/\tTRUE\t4000000000\tSAPISID\t{SECRET}\n"
)
RENEWS = Reserved("t-renewed--", "completed", "Renews a cookie.", account=Account.RENEWED)
SIGNS_OUT = Reserved(
    "t-sign-out-",
    "AGE_RESTRICTED",
    "Signs out.",
    account=Account.SIGNED_OUT,
    refusal=Refusal("LOGIN_REQUIRED", "Sign in to confirm your age"),
)
TELLS = Reserved("t-tells----", "SOURCE_REFUSED", "Tells.", refusal=Refusal("UNPLAYABLE", f"Nobody knows {SECRET}"))


@dataclasses.dataclass
class AnAccount:
    """An account, a YouTube to use it at, and folders."""

    youtube: OfflineYouTube
    owners: Path
    folder: Path
    runs: int = 0

    def opened(self) -> Cookies:
        """As a server that starts has them."""
        return Cookies(self.owners, self.folder / "state")

    @asynccontextmanager
    async def run(self, cookies: Cookies, video_id: str) -> AsyncIterator[ytdlp.Run]:
        self.runs += 1
        work = self.folder / f"run{self.runs}"
        work.mkdir()
        bundle = self.folder / "authorities.pem"
        config = dataclasses.replace(
            Config(), ytdlp=YtdlpConfig(proxy=self.youtube.proxy, ca_file=self.youtube.ca_file, cookies=self.owners)
        )
        async with ytdlp.run(
            config, video_id, folder=work, cache=self.folder / "cache", ca_bundle=bundle, cookies=cookies
        ) as run:
            yield run

    async def channel(self, cookies: Cookies, video_id: str = RENEWS.video_id) -> str:
        """What a run up to the download finds; of the video that renews it says which cookie was sent."""
        async with self.run(cookies, video_id) as run:
            return (await run.media()).artist

    async def failure(self, cookies: Cookies, video_id: str) -> errors.JobError:
        with pytest.raises(errors.JobError) as caught:
            await self.channel(cookies, video_id)
        return caught.value


@pytest.fixture
async def account(tmp_path: Path) -> AsyncIterator[AnAccount]:
    owners = tmp_path / "cookies.txt"
    owners.write_text(COOKIES)
    long_ago(owners)
    forking.preload(ytdlp.CHILD)
    with known(RENEWS), known(SIGNS_OUT), known(TELLS):
        async with offline_youtube(with_shared_clips(tmp_path / "youtube"), FFMPEG) as youtube:
            authorities.make_ca_bundle(youtube.ca_file, tmp_path / "authorities.pem")
            yield AnAccount(youtube, owners, tmp_path)


def long_ago(path: Path) -> None:
    """A file of this moment would be looked at twice."""
    os.utime(path, (1_700_000_000, 1_700_000_000))


async def test_what_youtube_renews_is_sent_by_the_next_run_also_after_a_restart(account: AnAccount) -> None:
    cookies = account.opened()
    assert [await account.channel(cookies) for _ in range(3)] == [f"Renewed {count} times" for count in range(3)]
    assert await account.channel(account.opened()) == "Renewed 3 times"
    assert account.owners.read_text() == COOKIES


async def test_a_run_that_fails_or_is_cut_keeps_what_was_renewed(account: AnAccount) -> None:
    cookies = account.opened()
    with known(dataclasses.replace(RENEWS, video_id="t-private--", refusal=Refusal("ERROR", "Private video"))):
        assert (await account.failure(cookies, "t-private--")).code == "VIDEO_PRIVATE"
    with pytest.raises(asyncio.CancelledError):
        async with account.run(cookies, RENEWS.video_id) as run:
            assert (await run.media()).artist == "Renewed 1 times"
            raise asyncio.CancelledError
    assert await account.channel(cookies) == "Renewed 2 times"


async def test_of_two_runs_at_a_time_the_newest_cookie_stays_whichever_ends_last(account: AnAccount) -> None:
    cookies = account.opened()
    async with account.run(cookies, RENEWS.video_id) as first, account.run(cookies, RENEWS.video_id) as second:
        assert (await first.media()).artist == "Renewed 0 times"
        assert await account.channel(cookies) == "Renewed 1 times"
        assert await account.channel(cookies) == "Renewed 2 times"
        assert (await second.media()).artist == "Renewed 0 times"
    assert await account.channel(cookies) == "Renewed 3 times"


async def test_an_owners_new_file_wins(account: AnAccount) -> None:
    cookies = account.opened()
    async with account.run(cookies, RENEWS.video_id) as before:
        await before.media()
        account.owners.write_text(COOKIES + ".youtube.com\tTRUE\t/\tTRUE\t0\tNEW\tx\n")
        long_ago(account.owners)
        assert await account.channel(cookies, "ordinary---")
    assert await account.channel(cookies) == "Renewed 0 times"


async def test_a_sign_out_is_heard_and_not_kept(account: AnAccount, caplog: pytest.LogCaptureFixture) -> None:
    cookies = account.opened()
    for _ in range(2):
        error = await account.failure(cookies, SIGNS_OUT.video_id)
        assert error.code == "COOKIES_INVALID" and "export the cookies" in error.message
        (warning,) = await cookies.warnings()
        assert warning.startswith("cookies no longer valid")
    assert [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING] == [warning]
    assert await account.channel(cookies)
    assert await cookies.warnings() == []


async def test_no_secret_of_an_account_is_said_whatever_youtube_says(
    account: AnAccount, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    error = await account.failure(account.opened(), TELLS.video_id)
    assert error.code == "SOURCE_REFUSED" and "Nobody knows …" in error.message
    assert "Nobody knows …" in caplog.text and SECRET not in caplog.text + str(error.__cause__) + error.message


async def test_what_ytdlp_said_is_in_the_log_also_of_a_run_that_was_cut(
    account: AnAccount, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with account.run(account.opened(), "ordinary---") as run:
        await run.media()
        await asyncio.to_thread(os.read, run.child.output.fileno(), 1)
    said = [record.getMessage() for record in caplog.records if "yt-dlp: " in record.getMessage()]
    assert "ordinary--- yt-dlp: [youtube] ordinary---: Downloading webpage" in said
    assert "ordinary--- yt-dlp: [download] Destination: -" in said


async def test_an_age_gate_asks_for_no_cookies_that_are_set(account: AnAccount) -> None:
    error = await account.failure(account.opened(), "x-age------")
    assert error.code == "AGE_RESTRICTED" and "set [ytdlp] cookies" not in error.message


@pytest.mark.parametrize("spoiled", ["<!DOCTYPE html><html>Sign in</html>\n", '[{"name": "LOGIN_INFO"}]', "", None])
async def test_cookies_that_are_spoiled_are_named_and_their_path_is_not(
    account: AnAccount, spoiled: str | None
) -> None:
    cookies = account.opened()
    if spoiled is None:
        account.owners.unlink()
    else:
        account.owners.write_text(spoiled)
    error = await account.failure(cookies, "bad-cookies")
    assert isinstance(error, errors.CookiesInvalid) and not error.retried
    assert "[ytdlp] cookies" in error.message and "cookies.txt" not in error.message
    account.owners.write_text(COOKIES)
    assert await account.channel(cookies, "bad-cookies")


async def test_the_doctor_tells_of_a_session_that_youtube_has_ended(account: AnAccount) -> None:
    config = account.folder / "config.toml"
    config.write_text(
        f'[ytdlp]\nproxy = "{account.youtube.proxy}"\nca_file = "{account.youtube.ca_file}"\ncookies = "cookies.txt"\n'
    )
    found = [finding async for finding in doctor.examine(beside(config), f"https://youtu.be/{SIGNS_OUT.video_id}")]
    subjects = [(finding.level, finding.subject) for finding in found]
    assert subjects[-2:] == [(PROBLEM, "conversion"), (WARNING, "cookies")]
    assert "COOKIES_INVALID" in found[-2].text and "no longer valid" in found[-1].text
    assert SECRET not in str(found)
    assert not list((account.folder / "state").glob("cookies/*"))


async def test_a_server_tells_of_its_cookies_and_keeps_them_over_a_restart(
    account: AnAccount, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.media.readiness.ANSWER_SECONDS", 0)
    config = Config(
        server=ServerConfig(port=0),
        jobs=JobsConfig(slots=2, retry_pause=0),
        storage=StorageConfig(downloads=account.folder / "downloads", state=account.folder / "state"),
        ytdlp=YtdlpConfig(proxy=account.youtube.proxy, ca_file=account.youtube.ca_file, cookies=account.owners),
        keys_file=account.folder / "keys.toml",
    )
    config = dataclasses.replace(config, log=dataclasses.replace(config.log, level="debug"))
    with logging_to_stderr(config.log):
        async with running(config) as client:
            assert (await converted(client, RENEWS.video_id))["artist"] == "Renewed 0 times"
            account.owners.write_text("<html>Sign in</html>")
            assert (await converted(client, "bad-cookies"))["error"]["code"] == "COOKIES_INVALID"
            ready = await got(client, "/readyz")
            assert ready["status"] == "ready" and "cookies spoiled: an HTML page" in str(ready["warnings"])
            account.owners.write_text(COOKIES)
            assert "cookies" not in str((await got(client, "/readyz"))["warnings"])
            await converted(client, SIGNS_OUT.video_id)
            assert "cookies no longer valid" in str((await got(client, "/readyz"))["warnings"])
        async with running(config) as client:
            done = await converted(client, RENEWS.video_id, quality="low")
            assert done["artist"] == "Renewed 1 times"
    log = capsys.readouterr().err
    assert SECRET not in log and log.count("cookies spoiled") == 1 and log.count("cookies no longer valid") == 1


@asynccontextmanager
async def running(config: Config) -> AsyncIterator[aiohttp.ClientSession]:
    async with serve.running(config, keys=KEYS) as server:
        headers = {"Authorization": f"Bearer {KEY}", "Prefer": "wait=50"}
        async with aiohttp.ClientSession(server.url, headers=headers, timeout=aiohttp.ClientTimeout(SOON)) as client:
            yield client


async def converted(client: aiohttp.ClientSession, video_id: str, quality: str = "high") -> Any:
    async with client.post("/convert", json={"url": f"https://youtu.be/{video_id}", "quality": quality}) as answer:
        return await answer.json()


async def got(client: aiohttp.ClientSession, path: str) -> Any:
    async with client.get(path) as answer:
        return await answer.json()
