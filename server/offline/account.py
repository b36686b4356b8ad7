"""What the offline YouTube does to the cookies of whoever is signed in."""

from __future__ import annotations

import dataclasses
import re

from aiohttp import web

from .behaviours import Account, Reserved
from .videos import Video

#: YouTube changes the cookie of this name every few minutes.
RENEWED = "__Secure-1PSIDTS"
#: Without this cookie nobody is signed in.
LOGIN = "LOGIN_INFO"
_YEAR = 31_536_000


def times_renewed(request: web.Request) -> int:
    """What the request's cookie says, made by `renew`; 0 without one."""
    found = re.fullmatch(r"renewed-([0-9]{1,9})-times", request.cookies.get(RENEWED, ""))
    return int(found[1]) if found else 0


def seen_by(request: web.Request, video: Video, entry: Reserved) -> Video:
    """The channel's name of a video that renews says which cookie came."""
    if entry.account is not Account.RENEWED:
        return video
    return dataclasses.replace(video, channel=f"Renewed {times_renewed(request)} times")


def answer(request: web.Request, response: web.Response, entry: Reserved) -> None:
    """Set or take away cookies, as the video does."""
    if entry.account is Account.RENEWED:
        value = f"renewed-{times_renewed(request) + 1}-times"
        response.set_cookie(RENEWED, value, domain=".youtube.com", max_age=_YEAR, secure=True, httponly=True)
    elif entry.account is Account.SIGNED_OUT and LOGIN in request.cookies:
        response.del_cookie(LOGIN, domain=".youtube.com", secure=True)
