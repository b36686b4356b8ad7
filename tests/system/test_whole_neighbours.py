"""Neighbours of the odd sources: other codecs and containers, other places to break, and what HTTP can get wrong."""

from __future__ import annotations

import asyncio
import gzip
import itertools
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio
from aiohttp import web
from support.listening import heard, levels, likeness
from support.workshop import Serve, Workshop, workshop

from server import errors
from server.config import AudioConfig
from server.offline.behaviours import Media, Reserved
from server.offline.offers import Delivery, Layout, Offer, Says

pytestmark = [pytest.mark.long, pytest.mark.asyncio(loop_scope="module")]

OPUS = Offer(251, codec="opus", kbps=96)
AAC = Offer(140, sample_rate=44_100)
MONO = Offer(140, channels=1, kbps=64, sample_rate=22_050)
SURROUND = Offer(328, codec="eac3", channels=6, kbps=384, layout=Layout.SURROUND)
PROGRESSIVE = Offer(18, sample_rate=44_100, height=144)
HLS = Offer(234, Delivery.HLS, sample_rate=44_100, codec_named=False)
HLS_MONO = Offer(234, Delivery.HLS, channels=1, kbps=64, sample_rate=22_050, codec_named=False)
HLS_MUXED = Offer(91, Delivery.HLS, sample_rate=44_100, height=144)
HLS_UNNAMED = Offer(91, Delivery.HLS, sample_rate=44_100, height=144, codec_named=False)
DASH = Offer(140, Delivery.DASH, sample_rate=44_100)

numbers = itertools.count()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shop(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Workshop]:
    async with workshop(tmp_path_factory.mktemp("workshop")) as made:
        yield made


def source(*offers: Offer, seconds: int = 6, **how: object) -> Reserved:
    """A video of a name of its own, so that nothing of another is taken for it."""
    entry = Reserved(f"x-new-{next(numbers):05d}", "", "", seconds=seconds, offers=offers)
    return Reserved(**{**vars(entry), **how})


async def failure(shop: Workshop, entry: Reserved, **how: object) -> str:
    with pytest.raises(errors.JobError) as raised:
        await shop.convert(entry, **how)  # type: ignore[arg-type]
    return raised.value.code


async def whole(shop: Workshop, entry: Reserved, *, serve: Serve | None = None) -> None:
    """Converted, it is all that the source has."""
    made = await shop.convert(entry, serve=serve)
    ours, theirs = heard(made.content), heard(await shop.original(entry))
    assert abs(len(ours) - len(theirs)) < 0.15 * 4_000
    assert likeness(ours, theirs) > 0.8
    assert made.artifact.media.duration == pytest.approx(entry.clip_seconds or entry.seconds, abs=0.15)
    assert made.job.media and made.job.media.source.codec in ("opus", "aac", "eac3")
    assert made.job.progress == 99 or entry.says is not Says.LENGTH


# ---- formats


@pytest.mark.parametrize(
    "offer", [MONO, SURROUND, PROGRESSIVE, HLS_MUXED, HLS_UNNAMED], ids=lambda one: f"{one.itag} {one.delivery.name}"
)
async def test_every_format_arrives_whole(shop: Workshop, offer: Offer) -> None:
    await whole(shop, source(offer))


@pytest.mark.parametrize(
    "offer", [OPUS, MONO, PROGRESSIVE, HLS_MONO, DASH], ids=lambda one: f"{one.itag} {one.delivery.name}"
)
async def test_a_second_is_long_enough(shop: Workshop, offer: Offer) -> None:
    made = await shop.convert(source(offer, seconds=1))
    assert made.artifact.media.duration == pytest.approx(1, abs=0.15)


async def test_one_channel_of_which_nobody_says_so_is_as_loud_as_it_was(shop: Workshop) -> None:
    entry = source(HLS_MONO)
    made = await shop.convert(entry)
    left, right = levels(made.content)
    (before,) = levels(await shop.original(entry))
    assert left == right and abs(left[1] - before[1]) < 0.7


@pytest.mark.parametrize("offer", [MONO, SURROUND, PROGRESSIVE], ids=lambda one: str(one.itag))
async def test_a_hole_is_found_in_every_codec(shop: Workshop, offer: Offer) -> None:
    assert await failure(shop, source(offer, media=Media.HOLED)) == "TRUNCATED"


@pytest.mark.parametrize("missing", [Media.FIRST_MISSING, Media.MIDDLE_MISSING, Media.LAST_MISSING])
@pytest.mark.parametrize("offer", [HLS_MUXED, DASH], ids=lambda one: one.delivery.name)
async def test_a_fragment_that_is_missing_is_missed(shop: Workshop, offer: Offer, missing: Media) -> None:
    assert await failure(shop, source(offer, media=missing)) == "TRUNCATED"


async def test_a_clip_that_is_half_as_long_as_it_says_is_not_whole_however_short(shop: Workshop) -> None:
    assert await failure(shop, source(OPUS, seconds=2, clip_seconds=1)) == "TRUNCATED"
    assert await failure(shop, source(OPUS, seconds=1, clip_seconds=2)) == "TOO_LONG"
    assert await failure(shop, source(PROGRESSIVE, seconds=6, clip_seconds=9)) == "TOO_LONG"


async def test_a_hole_is_found_where_nobody_says_how_long_the_source_is(shop: Workshop) -> None:
    assert await failure(shop, source(OPUS, media=Media.HOLED, says=Says.NOTHING, seconds=10)) == "TRUNCATED"


async def test_without_any_length_the_longest_allowed_is_the_bound(shop: Workshop) -> None:
    entry = source(AAC, media=Media.ENDLESS, says=Says.NOTHING)
    with pytest.raises(errors.TooLong) as raised:
        await shop.convert(entry, audio=AudioConfig(max_duration=20))
    assert not raised.value.retried


async def test_more_than_the_largest_allowed_is_refused_announced_or_not(shop: Workshop) -> None:
    small = AudioConfig(max_source_mb=1)
    assert await failure(shop, source(AAC, size=3_000_000), audio=small) == "TOO_LARGE"
    entry = source(AAC, says=Says.NOTHING)
    assert await failure(shop, entry, serve=endless(b"\0\1\0\0free"), audio=small) == "TOO_LARGE"


# ---- fragments


def second(answer: Serve) -> Serve:
    """The second fragment is answered so, the others as they are."""

    async def serve(request: web.Request, path: Path) -> web.StreamResponse:
        return await answer(request, path) if path.name == "2" else web.FileResponse(path)

    return serve


async def nothing(request: web.Request, path: Path) -> web.StreamResponse:
    return web.Response()


async def a_page(request: web.Request, path: Path) -> web.StreamResponse:
    return web.Response(text="<html>Sorry</html>" * 50, content_type="text/html")


async def the_first(request: web.Request, path: Path) -> web.StreamResponse:
    return web.FileResponse(path.with_name("1"))


async def half_of_it(request: web.Request, path: Path) -> web.StreamResponse:
    content = path.read_bytes()
    return web.Response(body=content[: len(content) // 2])


@pytest.mark.parametrize("answer", [nothing, a_page, the_first, half_of_it], ids=lambda one: one.__name__)
@pytest.mark.parametrize("offer", [HLS, DASH], ids=lambda one: one.delivery.name)
async def test_no_other_answer_is_taken_for_a_fragment(shop: Workshop, offer: Offer, answer: Serve) -> None:
    assert await failure(shop, source(offer), serve=second(answer)) == "TRUNCATED"


@pytest.mark.parametrize("offer", [HLS_MUXED, DASH], ids=lambda one: one.delivery.name)
async def test_a_fragment_without_end_ends_at_once(shop: Workshop, offer: Offer) -> None:
    assert await failure(shop, source(offer), serve=second(endless(b""))) == "TOO_LARGE"


async def test_fragments_arrive_over_a_connection_that_drops_again_and_again(shop: Workshop) -> None:
    async def serve(request: web.Request, path: Path) -> web.StreamResponse:
        content = path.read_bytes()
        start = request.http_range.start or 0
        headers = {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"} if start else {}
        response = web.StreamResponse(status=206 if start else 200, headers=headers)
        response.content_length = len(content) - start
        await response.prepare(request)
        await response.write(content[start : start + 5_000])
        if start + 5_000 < len(content) and request.transport:
            request.transport.close()
        return response

    await whole(shop, source(HLS), serve=serve)


# ---- what HTTP can get wrong


def endless(start: bytes) -> Serve:
    async def serve(request: web.Request, path: Path) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(start + bytes(65_536 - len(start)))
            await asyncio.sleep(0)  # without it the loop never learns that the client has gone

    return serve


def ranged(change: Callable[[int, int, bytes], tuple[str, bytes]], *, drop_at: float = 0.4) -> Serve:
    """Drops the first connection; what follows is answered as `change(first byte, size, rest)` says."""

    async def serve(request: web.Request, path: Path) -> web.StreamResponse:
        content = path.read_bytes()
        start = request.http_range.start or 0
        stop = int(len(content) * drop_at) if start == 0 else len(content)
        said, body = f"bytes {start}-{len(content) - 1}/{len(content)}", content[start:stop]
        if start:
            said, body = change(start, len(content), content[start:])
        response = web.StreamResponse(status=206, headers={"Content-Range": said})
        response.content_length = len(content) - start if start == 0 else len(body)
        await response.prepare(request)
        await response.write(body)
        if start == 0 and request.transport:
            request.transport.close()
        return response

    return serve


RESUMED: dict[str, tuple[Callable[[int, int, bytes], tuple[str, bytes]], str]] = {
    "as it should be": (lambda start, size, rest: (f"bytes {start}-{size - 1}/{size}", rest), "completed"),
    "another range, and says so": (lambda start, size, rest: (f"bytes 9-{size - 1}/{size}", rest[9:]), "TRUNCATED"),
    "another range, and says the right one": (
        lambda start, size, rest: (f"bytes {start}-{size - 1}/{size}", rest[3_000:]),
        "TRUNCATED",
    ),
    "no range at all": (lambda start, size, rest: ("", rest), "TRUNCATED"),
    "a range of nonsense": (lambda start, size, rest: ("bytes x-y/z", rest), "TRUNCATED"),
}


@pytest.mark.parametrize("case", RESUMED)
async def test_what_is_resumed_wrongly_is_never_taken_for_the_rest(shop: Workshop, case: str) -> None:
    change, outcome = RESUMED[case]
    entry = source(OPUS)
    if outcome == "completed":
        await whole(shop, entry, serve=ranged(change))
    else:
        assert await failure(shop, entry, serve=ranged(change)) == outcome


def served(
    *, length: int | None = 0, part: float = 1.0, chunked: bool = False, encoding: str = "", refused: int = 0
) -> Serve:
    """A file in one answer: a `Content-Length` that is off by `length`, only a `part` of it, after so many refusals."""
    left = [refused]

    async def serve(request: web.Request, path: Path) -> web.StreamResponse:
        if left[0]:
            left[0] -= 1
            raise web.HTTPServiceUnavailable
        content = path.read_bytes()
        body = content[: int(len(content) * part)]
        if encoding == "gzip":
            body = gzip.compress(body)
        response = web.StreamResponse(headers={"Content-Encoding": encoding} if encoding else {})
        if chunked:
            response.enable_chunked_encoding()
        elif length is not None:
            response.content_length = len(body) + length
        response.force_close()
        await response.prepare(request)
        with_length = body if length is None or length >= 0 else body[:length]
        await response.write(with_length)
        if length and length > 0 and request.transport:
            request.transport.close()
        return response

    return serve


async def test_one_answer_without_ranges_is_enough(shop: Workshop) -> None:
    await whole(shop, source(OPUS), serve=served())
    await whole(shop, source(AAC), serve=served(chunked=True))
    await whole(shop, source(OPUS), serve=served(length=None))
    await whole(shop, source(OPUS), serve=served(encoding="gzip"))
    await whole(shop, source(OPUS), serve=served(refused=2))


@pytest.mark.parametrize("offer", [OPUS, PROGRESSIVE], ids=lambda one: str(one.itag))
async def test_one_answer_that_ends_too_soon_is_not_whole_whatever_it_says(shop: Workshop, offer: Offer) -> None:
    assert await failure(shop, source(offer), serve=served(part=0.7)) == "TRUNCATED"
    assert await failure(shop, source(offer), serve=served(part=0.7, chunked=True)) == "TRUNCATED"
    assert await failure(shop, source(offer), serve=served(part=0.7, length=None)) == "TRUNCATED"
    assert await failure(shop, source(offer), serve=served(length=-20_000)) == "TRUNCATED"


async def test_a_length_that_is_never_reached_is_not_whole(shop: Workshop) -> None:
    assert await failure(shop, source(OPUS), serve=served(length=5_000)) == "TRUNCATED"


async def test_bytes_without_end_that_are_no_audio_end_at_once(shop: Workshop) -> None:
    began = asyncio.get_running_loop().time()
    assert await failure(shop, source(AAC), serve=endless(b"\0\1\0\0free")) == "TOO_LARGE"
    assert asyncio.get_running_loop().time() - began < 60


@pytest.mark.parametrize("keep", [True, False])
async def test_a_connection_that_ends_with_a_piece_is_no_loss(shop: Workshop, keep: bool) -> None:
    async def serve(request: web.Request, path: Path) -> web.StreamResponse:
        content = path.read_bytes()
        start, stop = request.http_range.start or 0, min(request.http_range.stop or len(content), len(content))
        said = f"bytes {start}-{stop - 1}/{len(content)}"
        response = web.Response(body=content[start:stop], status=206, headers={"Content-Range": said})
        if not keep:
            response.force_close()
        return response

    await whole(shop, source(AAC, size=12_000_000), serve=serve)
