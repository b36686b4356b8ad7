"""Webhooks: a receiver on a real socket hears of every end, signed, at least once, and nobody else waits for it."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from support.api import KEY, KEYS, OTHER, UNLIMITED, Api, eventually, finish, serving, watch
from support.commandline import ytmp3d
from support.receiving import SECRET, Receiver, receiving

from server import errors
from server.access.keys import Key
from server.config import ServerConfig
from server.http.context import METRICS
from server.storage.state import State
from server.webhooks import delivery, requests, sender, webhooks
from server.webhooks.delivery import Delivery

SIGNING = {KEY: Key("anna", UNLIMITED, webhook_secret=SECRET), OTHER: Key("ben", UNLIMITED, webhook_secret=SECRET)}
LOCAL = ServerConfig(webhook_hosts=("127.0.0.1",))


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as made:
        yield made


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses that no test notices, as many as there are."""
    monkeypatch.setattr(delivery, "PAUSES", (0.01,) * len(delivery.PAUSES))


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with serving(tmp_path / "api", keys=SIGNING, server=LOCAL) as made:
        yield made


async def convert(api: Api, video_id: str, url: str, *, key: str = KEY, **more: Any) -> str:
    answer = await api.post("/convert", {"url": watch(video_id), "webhook_url": url, **more}, key=key)
    assert answer.status == 200, answer
    return str(answer.json["conversion_id"])


def counted(api: Api, outcome: str) -> float:
    return api.app[METRICS].registry.get_sample_value("ytmp3d_webhooks_total", {"outcome": outcome}) or 0.0


def waiting(api: Api) -> float:
    return api.app[METRICS].registry.get_sample_value("ytmp3d_webhooks_waiting") or 0.0


async def test_a_completed_conversion_is_told_with_its_object_and_a_signature(api: Api, receiver: Receiver) -> None:
    conversion_id = await convert(api, "aaaaaaaaaaa", receiver.url("/hook?token=1"))
    (one,) = await receiver.has(1)
    assert one.event.keys() == {"type", "timestamp", "data"}
    assert one.event["type"] == "conversion.completed"
    assert one.event["data"] == await api.status(conversion_id)
    assert one.event["timestamp"] == one.event["data"]["finished_at"]
    assert one.event["data"]["download_url"].startswith(api.url)
    assert one.headers["content-type"] == "application/json"
    assert one.id.startswith("msg_") and conversion_id not in one.id
    assert abs(int(one.headers["webhook-timestamp"]) - time.time()) < 300
    assert one.is_signed_with(SECRET)
    await eventually(lambda: counted(api, "delivered") == 1 and waiting(api) == 0)


async def test_a_failed_conversion_is_told_with_its_error(api: Api, receiver: Receiver) -> None:
    await convert(api, "led-aaaaaaa", receiver.url())
    (await api.studio.take("led-aaaaaaa")).fail(errors.VideoPrivate())
    (one,) = await receiver.has(1)
    assert one.event["type"] == "conversion.failed"
    assert one.event["data"]["error"]["code"] == "VIDEO_PRIVATE"


async def test_what_is_kept_is_told_at_once_and_each_of_a_batch_for_itself(api: Api, receiver: Receiver) -> None:
    await api.made("aaaaaaaaaaa")
    body = {"urls": [watch("aaaaaaaaaaa"), watch("bbbbbbbbbbb")], "webhook_url": receiver.url()}
    jobs = (await api.post("/batch-convert", body)).json["jobs"]
    told = await receiver.has(2)
    assert {one.event["data"]["conversion_id"] for one in told} == {job["conversion_id"] for job in jobs}
    assert len({one.id for one in told}) == 2


async def test_what_its_owner_cancelled_is_not_told(api: Api, receiver: Receiver) -> None:
    cancelled = await convert(api, "led-aaaaaaa", receiver.url("/cancelled"))
    assert (await api.request("DELETE", f"/status/{cancelled}")).status == 200
    await convert(api, "bbbbbbbbbbb", receiver.url("/other"))
    await receiver.has(1)
    assert receiver.paths == ["/other"]
    assert waiting(api) == 0


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize("status", [500, 301, 404, 429])
async def test_it_is_tried_again_with_the_same_id_and_body_until_it_is_taken(api: Api, status: int) -> None:
    answers = [status, status, 200]
    async with receiving(lambda received: answers.pop(0)) as receiver:
        await convert(api, "aaaaaaaaaaa", receiver.url())
        told = await receiver.has(3)
        await eventually(lambda: counted(api, "delivered") == 1)
    assert len({(one.id, one.body, one.path) for one in told}) == 1
    assert all(one.is_signed_with(SECRET) for one in told)
    assert counted(api, "failed") == 2


async def test_the_first_pause_is_five_seconds_and_all_are_a_day() -> None:
    one = Delivery("msg_1", "anna", "https://example.org/", "{}", created=0.0, due=0.0)
    now, pauses = 0.0, []
    while not one.given_up:
        one.failed("no answer", now, for_good=False)
        if not one.given_up:
            pauses.append(one.due - now)
            now = one.due
    assert pauses[0] == 5
    assert pauses == sorted(pauses) and len(set(pauses)) == len(pauses)
    assert 0.95 * 86_400 < sum(pauses) <= 86_400


async def test_a_receiver_that_is_gone_is_asked_no_more_until_the_owner_says_so(tmp_path: Path) -> None:
    answers = [410, 200]
    async with (
        receiving(lambda received: answers.pop(0)) as receiver,
        serving(tmp_path / "api", keys=SIGNING, server=LOCAL) as api,
    ):
        await convert(api, "aaaaaaaaaaa", receiver.url())
        (one,) = await receiver.has(1)
        await eventually(lambda: counted(api, "given_up") == 1)
        assert waiting(api) == 0
        requests.ask(tmp_path / "api" / "state", [one.id, "msg_unknown"])
        first, second = await receiver.has(2)
        assert first.id == second.id
        await eventually(lambda: counted(api, "delivered") == 1)


async def test_a_restart_goes_on_where_it_was(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    async with serving(tmp_path / "api", keys=SIGNING, server=LOCAL) as api:
        conversion_id = await convert(api, "aaaaaaaaaaa", f"http://127.0.0.1:{port}/hook")
        unfinished = await convert(api, "led-aaaaaaa", f"http://127.0.0.1:{port}/hook")
        await eventually(lambda: counted(api, "failed") == 1)
    async with receiving(port=port) as receiver, serving(tmp_path / "api", keys=SIGNING, server=LOCAL) as api:
        await finish(api, "led-aaaaaaa")
        told = await receiver.has(2)
        assert {one.event["data"]["conversion_id"] for one in told} == {conversion_id, unfinished}
    async with receiving(port=port) as receiver, serving(tmp_path / "api", keys=SIGNING, server=LOCAL) as api:
        await convert(api, "bbbbbbbbbbb", receiver.url("/new"))
        await receiver.has(1)
        assert receiver.paths == ["/new"]


async def test_an_end_that_the_database_has_without_its_delivery_is_told(tmp_path: Path) -> None:
    """A server that died in between."""
    folder = tmp_path / "api"
    async with receiving() as receiver:
        async with serving(folder, keys=SIGNING, server=LOCAL) as api:
            made = await api.made("aaaaaaaaaaa")
        state, rows = await State.open(folder / "state")
        (record,) = [record for key, record in rows["conversions"] if key == made["conversion_id"]]
        record["webhook"] = {"url": receiver.url(), "base_url": "http://there"}
        await state.commit("conversions", {made["conversion_id"]: record})
        await state.close()
        async with serving(folder, keys=SIGNING, server=LOCAL) as api:
            (one,) = await receiver.has(1)
            await eventually(lambda: counted(api, "delivered") == 1)
    assert one.event["data"]["download_url"].startswith("http://there/static/")


async def test_a_receiver_that_does_not_answer_holds_up_nobody_else(api: Api, receiver: Receiver) -> None:
    for _ in range(16):
        await convert(api, "aaaaaaaaaaa", receiver.url("/silent"))
    await eventually(lambda: receiver.silent == 2)
    await convert(api, "aaaaaaaaaaa", receiver.url("/bens"), key=OTHER)
    await receiver.has(1)
    assert receiver.paths == ["/bens"] and receiver.silent == 2


async def test_a_receiver_that_does_not_answer_in_time_has_failed(
    api: Api, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender, "TIMEOUT", 0.05)
    await convert(api, "aaaaaaaaaaa", receiver.url("/silent"))
    await eventually(lambda: counted(api, "failed") == 1)


async def test_a_key_may_have_only_so_many_that_wait(
    api: Api, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "MOST", 2)
    await convert(api, "aaaaaaaaaaa", receiver.url("/silent"))
    await convert(api, "led-aaaaaaa", receiver.url("/later"))
    refused = await api.post("/convert", {"url": watch("bbbbbbbbbbb"), "webhook_url": receiver.url()})
    assert (refused.status, refused.code) == (503, "QUEUE_FULL") and "webhooks" in refused.message
    assert (await api.post("/convert", {"url": watch("bbbbbbbbbbb")})).status == 200
    await convert(api, "bbbbbbbbbbb", receiver.url("/bens"), key=OTHER)
    await receiver.has(1)


async def test_the_owner_sees_what_is_not_delivered_and_has_it_tried(tmp_path: Path) -> None:
    folder = tmp_path / "api"
    config = tmp_path / "config.toml"
    config.write_text('[storage]\nstate = "api/state"\ndownloads = "api/downloads"\n')

    async def command(*words: str) -> tuple[int, str, str]:
        done = await asyncio.to_thread(ytmp3d, "webhooks", "--config", config, *words, cwd=tmp_path)
        return done.returncode, done.stdout, done.stderr

    answers = [410, 200]
    async with (
        receiving(lambda received: answers.pop(0)) as receiver,
        serving(folder, keys=SIGNING, server=LOCAL) as api,
    ):
        assert await command("list") == (0, "", "Every webhook is delivered.\n")
        await convert(api, "aaaaaaaaaaa", receiver.url("/secret-path"))
        (one,) = await receiver.has(1)
        await eventually(lambda: counted(api, "given_up") == 1)
        await api.convert("bbbbbbbbbbb")  # its commit comes after
        status, output, _ = await command("list")
        assert status == 0 and output.startswith(f"{one.id}  anna  127.0.0.1  ")
        assert "1 attempt, given up  the receiver answered 410" in output and "secret-path" not in output
        status, _, errors_shown = await command("retry", "msg_unknown")
        assert status == 2 and 'there is no webhook "msg_unknown"' in errors_shown
        assert (await command("retry"))[0] == 0
        await receiver.has(2)
        await eventually(lambda: counted(api, "delivered") == 1)
        await api.convert("ccccccccccc")
        assert (await command("list"))[:2] == (0, "")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://example.org/", "https://"),
        ("ftp://example.org/", "https://"),
        ("example.org", "https://"),
        ("https://", "host"),
        ("https://anna:secret@example.org/", "password"),
        ("https://example.org/#a", "fragment"),
        ("https://example.org/a b", "characters"),
        ("https://exämple.org/", "characters"),
        ("https://example.org:99999/", "no address"),
        ("https://example.org/" + "a" * 2048, "2048"),
        ("https://localhost/", "own network"),
        ("https://printer.local/", "own network"),
        ("https://127.0.0.1/", "own network"),
        ("https://10.0.0.1:8443/", "own network"),
        ("https://[::1]/", "own network"),
        ("https://[::ffff:192.168.1.1]/", "own network"),
        ("", "https://"),
    ],
)
async def test_an_address_that_no_webhook_may_go_to_is_refused(start_api: Any, url: str, said: str) -> None:
    api = await start_api(keys=SIGNING)
    refused = await api.post("/convert", {"url": watch("aaaaaaaaaaa"), "webhook_url": url})
    assert (refused.status, refused.code) == (400, "INVALID_OPTION"), refused
    assert said in refused.message and "secret" not in refused.message
    assert not api.studio.videos


async def test_null_is_none_and_other_types_are_refused(start_api: Any) -> None:
    api = await start_api(keys=SIGNING)
    assert (await api.post("/convert", {"url": watch("aaaaaaaaaaa"), "webhook_url": None})).status == 200
    values: list[Any] = [1, True, ["https://example.org/"], {}]
    for value in values:
        refused = await api.post("/batch-convert", {"urls": [watch("aaaaaaaaaaa")], "webhook_url": value})
        assert refused.code == "INVALID_REQUEST"


async def test_a_key_without_a_secret_is_told_so(start_api: Any) -> None:
    api = await start_api(keys=KEYS)
    refused = await api.post("/convert", {"url": watch("aaaaaaaaaaa"), "webhook_url": "https://example.org/"})
    assert refused.code == "INVALID_OPTION" and "keys secret" in refused.message
