"""A source whose answers lead elsewhere: to this machine, to its network, to other sites. With the real yt-dlp."""

from __future__ import annotations

import itertools
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from support.workshop import Workshop, workshop

from server import errors
from server.offline import streams
from server.offline.behaviours import Reserved
from server.offline.offers import Delivery, Offer

pytestmark = [pytest.mark.long, pytest.mark.asyncio(loop_scope="module")]

numbers = itertools.count()
ELSEWHERE = ["http://127.0.0.1:{port}", "https://127.0.0.1:{port}", "https://localhost:{port}", "https://example.org"]
ELSEWHERE += ["http://rr1---sn-offline.googlevideo.com", "https://[::1]:{port}", "ftp://127.0.0.1:{port}"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shop(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Workshop]:
    async with workshop(tmp_path_factory.mktemp("source")) as made:
        yield made


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """One that nobody may reach."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        yield listening
        with pytest.raises(BlockingIOError):
            listening.accept()


def entry(*offers: Offer) -> Reserved:
    return Reserved(f"x-src-{next(numbers):05d}", "", "", seconds=5, offers=offers)


def at(listener: socket.socket, address: str) -> str:
    return address.format(port=listener.getsockname()[1])


@pytest.mark.parametrize("address", ELSEWHERE)
async def test_media_elsewhere_is_not_asked_for(
    shop: Workshop, listener: socket.socket, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setattr(streams, "_media_url", lambda *_: f"{at(listener, address)}/videoplayback")
    # A format that comes by FTP is none for yt-dlp's rules.
    with pytest.raises((errors.SourceWithheld, errors.NoAudio), match=r"leads to another site|has no sound"):
        await shop.convert(entry())


@pytest.mark.parametrize("address", ELSEWHERE)
async def test_a_redirect_elsewhere_is_not_followed(shop: Workshop, listener: socket.socket, address: str) -> None:
    async def serve(request: web.Request, path: Path) -> web.StreamResponse:
        raise web.HTTPFound(f"{at(listener, address)}/videoplayback")

    with pytest.raises(errors.SourceWithheld, match="leads to another site"):
        await shop.convert(entry(), serve=serve)


@pytest.mark.parametrize("delivery", [Delivery.HLS, Delivery.DASH])
async def test_fragments_elsewhere_are_not_asked_for(
    shop: Workshop, listener: socket.socket, monkeypatch: pytest.MonkeyPatch, delivery: Delivery
) -> None:
    monkeypatch.setattr(streams, "_fragments_url", lambda *_: f"{at(listener, ELSEWHERE[0])}/sq/")
    offer = Offer(234 if delivery is Delivery.HLS else 140, delivery)
    with pytest.raises(errors.JobError):
        await shop.convert(entry(offer))


async def test_a_key_elsewhere_is_not_asked_for(
    shop: Workshop, listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = streams.hls_playlist

    def encrypted(*arguments: Any) -> str:
        key = f'#EXT-X-KEY:METHOD=AES-128,URI="{at(listener, ELSEWHERE[0])}/key"'
        return usual(*arguments).replace("#EXTINF", f"{key}\n#EXTINF", 1)

    monkeypatch.setattr(streams, "hls_playlist", encrypted)
    with pytest.raises(errors.JobError):
        await shop.convert(entry(Offer(234, Delivery.HLS)))


async def test_a_redirect_to_itself_ends(shop: Workshop) -> None:
    count = itertools.count()

    async def serve(request: web.Request, path: Path) -> web.StreamResponse:
        next(count)
        raise web.HTTPFound(str(request.url.with_scheme("https")))

    with pytest.raises(errors.JobError):
        await shop.convert(entry(), serve=serve)
    assert next(count) <= 50, "of a few attempts"


async def test_a_redirect_among_youtubes_hosts_is_followed(shop: Workshop) -> None:
    async def serve(request: web.Request, path: Path) -> web.StreamResponse:
        if "again" not in request.query:
            raise web.HTTPFound(f"{request.url.with_scheme('https')}&again=1")
        return web.FileResponse(path)

    assert (await shop.convert(entry(), serve=serve)).content
