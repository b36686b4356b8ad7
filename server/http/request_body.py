"""A request's body: read whole within a deadline, then parsed strictly (RFC 8259, and then some)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, NoReturn, TypeVar

from aiohttp import web

from .. import errors, youtube_url
from ..clip import Clip
from ..jobs import Order, Quality
from .request_options import clip, kind, loudness, webhook_url

#: Largest body, in bytes: a batch of 50 long links is far below.
MAX_BYTES = 256 * 1024
#: How long a body may take to arrive, in seconds. aiohttp itself has no such limit.
DEADLINE = 10.0
#: A larger body, in bytes, is parsed in a thread: the worst 256 KiB would block the loop for 30 ms.
_LARGE = 8 * 1024

T = TypeVar("T")


async def read(request: web.Request) -> bytes:
    """The body. Raises UnsupportedEncoding, MalformedRequest or PayloadTooLarge."""
    if "Content-Encoding" in request.headers:
        raise errors.UnsupportedEncoding("Send the body as it is, without a Content-Encoding.")
    try:
        async with asyncio.timeout(DEADLINE):
            return await request.read()
    except TimeoutError:
        raise errors.MalformedRequest(f"The body did not arrive within {DEADLINE:g} seconds.") from None
    except web.HTTPRequestEntityTooLarge:
        raise errors.PayloadTooLarge(f"The body is larger than {MAX_BYTES} bytes.") from None
    except web.RequestPayloadError as error:
        raise errors.MalformedRequest("The body could not be read: it was cut off or is broken.") from error


async def understood(body: bytes, ask: Callable[[dict[str, Any]], T]) -> T:
    """What `ask` makes of the JSON object in `body`. Raises what it raises, and what `parse` does."""
    if len(body) <= _LARGE:
        return ask(parse(body))
    return await asyncio.to_thread(lambda: ask(parse(body)))


def parse(body: bytes) -> dict[str, Any]:
    """The JSON object in `body`. Raises InvalidJson or InvalidRequest."""
    try:
        text = body.decode()
        value = json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_unique)
    except UnicodeDecodeError:
        raise errors.InvalidJson("The body is not UTF-8.") from None
    except RecursionError:
        raise errors.InvalidJson("The body is nested too deeply.") from None
    except json.JSONDecodeError as error:
        hint = "" if text.strip() else ' It is empty; send {"url": "https://www.youtube.com/watch?v=…"}.'
        where = f"{error.msg} at line {error.lineno}, column {error.colno}"
        raise errors.InvalidJson(f"The body is not valid JSON: {where}.{hint}") from None
    except ValueError:  # Python refuses numbers of thousands of digits, which are slow to parse
        raise errors.InvalidJson("The body has a number with too many digits.") from None
    if "\\u" in text:  # only escapes can yield either: UTF-8 has no surrogates, JSON no bare control characters
        _refuse_what_is_no_text(value)
    if not isinstance(value, dict):
        raise errors.InvalidRequest(f"The body must be a JSON object, not {kind(value)}.")
    return value


def single(fields: dict[str, Any], *, webhook_hosts: Collection[str] = ()) -> list[Order]:
    """The requested video. Raises InvalidRequest, InvalidUrl, InvalidQuality or InvalidOption."""
    if fields.get("url") is None:
        raise errors.InvalidRequest('"url" is missing: a YouTube video URL.')
    return [Order(_video_id(fields["url"], '"url"'), *_options(fields, webhook_hosts))]


def batch(fields: dict[str, Any], *, most: int, webhook_hosts: Collection[str] = ()) -> list[Order]:
    """The requested videos, in their order.

    Raises InvalidRequest, BatchEmpty, BatchTooLarge, InvalidQuality, InvalidOption, or InvalidUrl for all at once.
    """
    urls = fields.get("urls")
    if urls is None:
        raise errors.InvalidRequest('"urls" is missing: an array of YouTube video URLs.')
    if not isinstance(urls, list):
        raise errors.InvalidRequest(f'"urls" must be an array of strings, not {kind(urls)}.')
    if not urls:
        raise errors.BatchEmpty('"urls" is empty: name at least one YouTube video URL.')
    if len(urls) > most:
        raise errors.BatchTooLarge(f'"urls" has {len(urls)} entries; at most {most} go into one batch.')
    ids: list[str] = []
    problems: list[errors.RequestError] = []
    for index, url in enumerate(urls):
        try:
            ids.append(_video_id(url, f"urls[{index}]"))
        except errors.RequestError as error:
            problems.append(error)
    if problems:
        refuse: type[errors.RequestError] = next(
            (type(error) for error in problems if isinstance(error, errors.InvalidRequest)), errors.InvalidUrl
        )
        raise refuse(" ".join(error.message for error in problems))
    options = _options(fields, webhook_hosts)
    return [Order(video_id, *options) for video_id in ids]


def conversion_ids(fields: dict[str, Any], *, most: int) -> list[str]:
    """1 to `most` ids of conversions, in their order. Raises InvalidRequest."""
    ids = fields.get("conversion_ids")
    if not isinstance(ids, list) or not all(isinstance(one, str) for one in ids):
        raise errors.InvalidRequest('"conversion_ids" must be an array of strings.')
    if not 1 <= len(ids) <= most:
        raise errors.InvalidRequest(f'"conversion_ids" has {len(ids)} entries; it must have 1 to {most}.')
    return ids


def _options(fields: dict[str, Any], hosts: Collection[str]) -> tuple[Quality, Clip | None, float | None, str]:
    """As an order has them. `hosts` are those that the owner allows webhooks to."""
    return _quality(fields), clip(fields), loudness(fields), webhook_url(fields, hosts)


def _quality(fields: dict[str, Any]) -> Quality:
    """Absent and null are the published default."""
    value = fields.get("quality")
    if value is None:
        return Quality.HIGH
    if not isinstance(value, str):
        raise errors.InvalidRequest(f'"quality" must be a string, not {kind(value)}.')
    try:
        return Quality(value)
    except ValueError:
        raise errors.InvalidQuality('"quality" must be one of "high", "medium" and "low".') from None


def _video_id(url: Any, where: str) -> str:
    if not isinstance(url, str):
        raise errors.InvalidRequest(f"{where} must be a string, not {kind(url)}.")
    try:
        return youtube_url.video_id(url)
    except errors.InvalidUrl as error:
        raise errors.InvalidUrl(f"{where}: {error.message}") from error


def _unique(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise errors.InvalidJson("The body is not valid JSON: a name comes twice in an object.")
    return fields


def _refuse_constant(name: str) -> NoReturn:
    raise errors.InvalidJson(f"The body is not valid JSON: {name} is not a JSON number.")


def _refuse_what_is_no_text(value: Any) -> None:
    for string in _strings(value):
        if "\0" in string:
            raise errors.InvalidJson("The body has a NUL character (U+0000) in a string.")
        try:
            string.encode()
        except UnicodeEncodeError:
            raise errors.InvalidJson("The body has half of a surrogate pair in a string.") from None


def _strings(value: Any) -> Iterator[str]:
    """Every string in `value`, names included, however deep."""
    left = [value]
    while left:
        one = left.pop()
        if isinstance(one, str):
            yield one
        elif isinstance(one, list):
            left += one
        elif isinstance(one, dict):
            left += [*one, *one.values()]
