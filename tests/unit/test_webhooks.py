"""What webhooks are made of: signatures, addresses, turns."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import trustme
from support.receiving import Received, receiving

from server import errors
from server.access import webhook_secret
from server.jobs import Conversion, Job, Quality, Recipe, new_id, utc_now
from server.webhooks import address, requests, signature, waiting, webhooks
from server.webhooks.delivery import Delivery
from server.webhooks.sender import NotDelivered, Sender
from server.webhooks.waiting import IN_ALL, PER_KEY, PER_LANE, Waiting


def delivery(name: str, owner: str = "anna", host: str = "example.org", due: float = 0.0) -> Delivery:
    return Delivery(name, owner, f"https://{host}/hook", "{}", created=0.0, due=due)


def taken(waiting: Waiting, now: float = 1.0) -> list[str]:
    found = []
    while one := waiting.next(now):
        found.append(one.id)
    return found


def test_the_signature_is_that_of_the_specification() -> None:
    """The example of github.com/standard-webhooks/standard-webhooks."""
    headers = signature.headers(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330,
        b'{"test": 2432232314}',
    )
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_a_new_secret_is_one_and_no_other() -> None:
    first, second = webhook_secret.new(), webhook_secret.new()
    assert first != second
    webhook_secret.check(first)
    assert Received("/", signature.headers(first, "m", 1, b"{}"), b"{}").is_signed_with(first)
    assert not Received("/", signature.headers(first, "m", 1, b"{}"), b"{}").is_signed_with(second)


@pytest.mark.parametrize(
    "value", [None, 7, "", "whsec_", "whsec_!", "whsec_c2hvcnQ=", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]
)
def test_what_is_no_secret_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="Base64"):
        webhook_secret.check(value)


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("https://example.org/", ()),
        ("https://example.org:8443/a?b=c%20d", ()),
        ("https://1.1.1.1/", ()),
        ("https://[2606:4700:4700::1111]/", ()),
        ("http://127.0.0.1:5678/hook", ("127.0.0.1:5678",)),
        ("http://127.0.0.1:5678/hook", ("other", "127.0.0.1")),
        ("http://N8N.lan/hook", ("n8n.lan",)),
        ("http://n8n.lan/hook", ("N8N.lan:80",)),
        ("http://[::1]:80/hook", ("[::1]",)),
    ],
)
def test_these_addresses_are_good(url: str, allowed: tuple[str, ...]) -> None:
    address.check(url, allowed)


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("http://127.0.0.1:5679/hook", ("127.0.0.1:5678",)),
        ("http://127.0.0.1.example.org/hook", ("127.0.0.1",)),
        ("http://n8n.lan@example.org/", ("n8n.lan",)),
        ("http://example.org\\@n8n.lan/", ("n8n.lan",)),
        ("https://[::]/", ()),
        ("https://100.64.0.1/", ()),
        ("https://a.localhost./", ()),
        ("https://exa\x00mple.org/", ()),
    ],
)
def test_these_addresses_are_refused(url: str, allowed: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match=r"^its? "):
        address.check(url, allowed)


@pytest.mark.parametrize(
    "found", ["127.0.0.1", "192.168.1.1", "169.254.169.254", "::1", "::ffff:127.0.0.1", "192.0.2.1", "fd00::1"]
)
async def test_no_name_leads_into_the_own_network(monkeypatch: pytest.MonkeyPatch, found: str) -> None:
    """Checked at the connection itself: what a name server said before does not count."""
    family = socket.AF_INET6 if ":" in found else socket.AF_INET

    def lookup(host: str, port: int, *more: Any) -> list[Any]:
        where = (found, port, 0, 0) if ":" in found else (found, port)
        return [(family, socket.SOCK_STREAM, 6, "", where)]

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    connected: list[Any] = []
    loop = asyncio.get_running_loop()

    async def connect(sock: socket.socket, where: Any) -> None:
        connected.append(where)
        raise ConnectionRefusedError

    monkeypatch.setattr(loop, "sock_connect", connect)
    async with Sender(()) as sender:
        with pytest.raises(NotDelivered, match="own network"):
            await sender.post("https://rebound.example.org/", b"{}", {})
    assert not connected


async def test_a_number_in_another_notation_leads_nowhere_either() -> None:
    async with receiving() as receiver, Sender(()) as sender:
        for host in ("2130706433", "0x7f000001", "127.1", "0"):
            with pytest.raises(NotDelivered):
                await sender.post(f"https://{host}:{receiver.port}/", b"{}", {})
    assert not receiver.received


async def test_https_needs_a_certificate_that_is_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    async with receiving(tls=context) as receiver:
        url = f"https://127.0.0.1:{receiver.port}/hook"
        async with Sender(("127.0.0.1",)) as sender:
            with pytest.raises(NotDelivered, match=r"(?i)certificate"):
                await sender.post(url, b"{}", {})
        assert not receiver.received
        trusting = ssl.create_default_context()
        authority.configure_trust(trusting)
        monkeypatch.setattr(aiohttp.connector, "_SSL_CONTEXT_VERIFIED", trusting)
        async with Sender(("127.0.0.1",)) as sender:
            await sender.post(url, b"{}", {})
        assert receiver.paths == ["/hook"]


async def test_a_host_that_the_owner_takes_back_gets_nothing_more() -> None:
    async with receiving() as receiver, Sender(("other.lan",)) as sender:
        with pytest.raises(NotDelivered, match="any more"):
            await sender.post(receiver.url(), b"{}", {})
    assert not receiver.received


def test_a_lane_a_key_and_all_have_a_bound() -> None:
    some = Waiting()
    for number in range(20):
        for host in range(10):
            some.enter(delivery(f"{number} {host}", host=f"h{host}.org"))
    assert len(taken(some)) == PER_KEY
    some = Waiting()
    for number in range(20):
        some.enter(delivery(f"{number}"))
    assert len(taken(some)) == PER_LANE
    some = Waiting()
    for number in range(2 * IN_ALL):
        some.enter(delivery(f"{number}", owner=f"key {number}"))
    assert len(taken(some)) == IN_ALL


def test_lanes_take_turns_and_begin_with_the_oldest() -> None:
    some = Waiting()
    for name in ("a1", "a2", "a3"):
        some.enter(delivery(name, host="a.org"))
    some.enter(delivery("b1", host="b.org"))
    assert taken(some) == ["a1", "b1", "a2"]
    first = some.get("a1")
    assert first
    some.done(first)
    some.forget(first)
    assert taken(some) == ["a3"]
    assert len(some) == 3


def test_it_waits_until_it_is_due_and_may_be_taken_up_before() -> None:
    some = Waiting()
    one = delivery("one", due=100.0)
    some.enter(one)
    assert taken(some, 99.0) == [] and some.seconds_to_next(40.0) == 60.0
    assert some.take_up(one, 50.0)
    assert some.take_up(one, 50.0)
    assert taken(some, 50.0) == ["one"]
    assert taken(some, 200.0) == []  # the entry for its earlier time counts no more
    assert not some.take_up(one, 200.0)  # it is under way


def test_what_is_given_up_counts_no_more_until_it_is_taken_up() -> None:
    some = Waiting()
    one = delivery("one")
    some.enter(one)
    assert taken(some) == ["one"]
    one.failed("gone", 1.0, for_good=True)
    some.give_up(one)
    some.done(one)
    assert (len(some), some.of_owner("anna"), taken(some)) == (0, 0, [])
    assert some.take_up(one, 2.0) and one.attempts == 0
    assert (len(some), taken(some, 2.0)) == (1, ["one"])


def test_a_delivery_comes_back_from_the_database_as_it_was() -> None:
    one = Delivery("msg_1", "anna", "https://example.org/", '{"a": "ä"}', created=1e9 + 0.5, due=2e9)
    one.failed("no answer", 1.9e9, for_good=False)
    back = Delivery.restored("msg_1", one.record())
    assert (back.record(), back.due, back.lane) == (one.record(), one.due, one.lane)
    for name in one.record():
        if name != "failure":
            with pytest.raises((KeyError, ValueError)):
                Delivery.restored("msg_1", {**one.record(), name: None})


def test_requests_of_several_commands_all_arrive_once(tmp_path: Path) -> None:
    requests.ask(tmp_path, ["msg_1", "msg_2"])
    requests.ask(tmp_path, ["msg_3"])
    assert sorted(requests.take(tmp_path)) == ["msg_1", "msg_2", "msg_3"]
    assert requests.take(tmp_path) == []
    assert list(tmp_path.iterdir()) == []
    assert waiting.PER_LANE < waiting.PER_KEY < waiting.IN_ALL


@pytest.mark.parametrize("looks", ["glob", "open"])
def test_requests_that_cannot_be_read_for_want_of_descriptors_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, looks: str
) -> None:
    def starved(*_: object, **__: object) -> None:
        raise OSError(errno.EMFILE, "Too many")

    requests.ask(tmp_path, ["msg_1"])
    with monkeypatch.context() as now:
        now.setattr(Path, looks, starved)
        assert requests.take(tmp_path) == []
    assert "Too many" in caplog.text
    assert requests.take(tmp_path) == ["msg_1"]


async def test_what_other_keys_are_about_to_be_told_takes_no_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "MOST", 3)
    nothing: Any = None
    telling = webhooks.Webhooks(nothing, nothing, secret_of=nothing, render=nothing, metrics=nothing, folder=tmp_path)
    for _ in range(3):
        telling.ended(Conversion(new_id(), "anna", Quality.LOW, utc_now(), Job(Recipe("some-video-", 128))))
    telling.check_room("ben", 3)
    with pytest.raises(errors.QueueFull):
        telling.check_room("anna", 1)
