"""`doctor --public URL`: asks the public address as a client elsewhere does, through the proxy that stands there."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from .checks import OK, PROBLEM, WARNING, Finding

#: Seconds for one answer, and for the first event or sound after it was made.
_TIMEOUT, _EVENT_TIMEOUT = 20.0, 5.0
#: Seconds that a conversion may take until its first sound.
_SOUND_TIMEOUT = 60.0
_BUFFERING = (
    "The proxy holds it back: turn its buffering off (nginx: proxy_buffering off; Caddy: flush_interval -1). "
    "`ytmp3d deploy nginx` and `deploy caddy` print what works."
)
_LINKS = 'Set [server] public_url = "{}", and have the proxy pass on Host and X-Forwarded-Proto.'


async def examine(url: str, key: str | None, video: str | None) -> AsyncIterator[Finding]:
    """Every finding about `url`. With a `key`, events are read; a `video` is converted and listened to."""
    url = url.rstrip("/")
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        yield Finding(PROBLEM, "public", f'expected an address like "https://mp3.example.org", found "{url}"')
        return
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=_TIMEOUT, sock_read=_SOUND_TIMEOUT)
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    async with aiohttp.ClientSession(timeout=timeout, headers=headers, auto_decompress=False) as session:
        try:
            async with asyncio.timeout(_TIMEOUT), session.get(f"{url}/healthz", allow_redirects=False) as answer:
                if answer.status != 200 or "X-Request-ID" not in answer.headers:
                    yield Finding(PROBLEM, "public", f"{url}/healthz is not answered by ytmp3d: status {answer.status}")
                    return
        except aiohttp.ClientConnectorCertificateError as error:
            yield Finding(PROBLEM, "public", f"the certificate of {parts.hostname} is not accepted: {error}")
            return
        except (aiohttp.ClientError, OSError, ValueError) as error:
            yield Finding(PROBLEM, "public", f"{url} cannot be reached from here: {error or 'no answer in time'}")
            return
        yield Finding(OK, "public", f"{url} is answered by ytmp3d")
        if parts.scheme == "http":
            yield Finding(WARNING, "https", "there is none: whoever is on the way reads the keys")
        if not key:
            text = "links, streaming and events are not tried: name a key in the variable YTMP3D_KEY"
            yield Finding(WARNING, "streams", text)
            return
        try:
            async for finding in _with_key(session, url, video):
                yield finding
        except (aiohttp.ClientError, OSError) as error:
            yield Finding(PROBLEM, "streams", f"the connection ended: {error or 'no answer in time'}")


async def _with_key(session: aiohttp.ClientSession, url: str, video: str | None) -> AsyncIterator[Finding]:
    async with session.get(f"{url}/status", params={"status": "completed", "limit": "1"}) as answer:
        if answer.status != 200:
            yield Finding(PROBLEM, "streams", f"the key is not accepted: {_message(await answer.read())}")
            return
        found: list[dict[str, Any]] = json.loads(await answer.read())["jobs"]
    yield await _events(session, url)
    if video:
        async with session.post(f"{url}/convert", json={"url": video}) as answer:
            body = await answer.read()
            if answer.status != 200:
                yield Finding(PROBLEM, "links", f"the conversion is refused: {_message(body)}")
                return
            conversion = json.loads(body)
    elif found:
        conversion = found[0]
    else:
        yield Finding(WARNING, "links", "not tried: nothing is converted yet; name a video with --url")
        return
    link = conversion["download_url"]
    if not link.startswith(f"{url}/"):
        yield Finding(PROBLEM, "links", f"they begin with {link.partition('/static/')[0]}. {_LINKS.format(url)}")
        return
    yield Finding(OK, "links", f"they begin with {url}")
    if video:
        yield await _live(session, url, conversion)
    yield await _ranges(session, link)


async def _events(session: aiohttp.ClientSession, url: str) -> Finding:
    """Whether what the server sends on an event stream arrives while the stream is open."""
    begun = time.monotonic()
    try:
        async with asyncio.timeout(_EVENT_TIMEOUT), session.get(f"{url}/events") as answer:
            if answer.content_type != "text/event-stream":
                return Finding(PROBLEM, "events", f"GET /events has status {answer.status} and is no stream of events")
            await answer.content.readany()
    except TimeoutError:
        return Finding(PROBLEM, "events", f"nothing came in {_EVENT_TIMEOUT:g} s. {_BUFFERING}")
    return Finding(OK, "events", f"they come as they happen, the first after {time.monotonic() - begun:.2f} s")


async def _live(session: aiohttp.ClientSession, url: str, conversion: dict[str, Any]) -> Finding:
    """Whether the download's first bytes arrive while the MP3 is being made."""
    begun = time.monotonic()
    async with session.get(conversion["download_url"]) as answer:
        if answer.status != 200:
            return Finding(PROBLEM, "streaming", f"the download is refused: {_message(await answer.read())}")
        await answer.content.readany()
        took = time.monotonic() - begun
        async with session.get(f"{url}/status/{conversion['conversion_id']}") as now:
            state = json.loads(await now.read())
    if state["status"] == "processing":
        return Finding(OK, "streaming", f"sound came after {took:.2f} s, while the MP3 was being made")
    text = (
        f"sound came after {took:.2f} s, when the MP3 was finished. Try a longer video. If it is the same: {_BUFFERING}"
    )
    return Finding(WARNING, "streaming", text)


async def _ranges(session: aiohttp.ClientSession, link: str) -> Finding:
    """Whether a player can jump."""
    async with asyncio.timeout(_SOUND_TIMEOUT), session.get(link, headers={"Range": "bytes=100-199"}) as answer:
        if answer.status == 206 and len(await answer.read()) == 100:
            return Finding(OK, "ranges", "a player can jump")
        return Finding(PROBLEM, "ranges", f"a part of the download has status {answer.status} instead of 206")


def _message(body: bytes) -> str:
    try:
        return str(json.loads(body)["error"]["message"])[:300]
    except (ValueError, KeyError, TypeError):
        return "the answer is not ytmp3d's"
