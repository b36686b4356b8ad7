"""Error messages for two readers: the guest, and the owner, whose advice depends on the settings."""

from __future__ import annotations

import urllib.request
from collections.abc import Callable
from dataclasses import dataclass

from .. import errors
from ..config import Config


@dataclass(frozen=True)
class Setup:
    """What the owner has set already, so that no message asks for it."""

    cookies: bool = False
    proxy: bool = False


Advice = Callable[[Setup], str]


@dataclass(frozen=True)
class Reason:
    """A job error with its own message. None stands for the class's own text."""

    error: type[errors.JobError]
    guest: str | None = None
    owner: Advice | None = None
    of_proxy: bool = False

    def raised(self, setup: Setup) -> errors.JobError:
        """The error with the advice that fits `setup`."""
        owner = self.owner(setup) if self.owner else None
        error = self.error(self.guest) if owner is None else self.error(self.guest or self.error.text, owner=owner)
        error.of_proxy = self.of_proxy
        return error


def setup(config: Config) -> Setup:
    """What `config`, its arguments for yt-dlp and the environment set."""
    words = {word.partition("=")[0] for word in config.ytdlp.args}
    return Setup(
        cookies=config.ytdlp.cookies is not None or "--cookies-from-browser" in words,
        proxy=bool(config.ytdlp.proxy or "--proxy" in words or urllib.request.getproxies().get("https")),
    )


def account(setup: Setup) -> str:
    """Advice for videos that only some accounts may see."""
    if setup.cookies:
        return "the account of the cookies that are set may not see it either; use those of one that may."
    return errors.SET_COOKIES


def premium(setup: Setup) -> str:
    if setup.cookies:
        return "the account of the cookies that are set has not paid for it; what is rented or sold stays protected."
    return errors.SET_PREMIUM_COOKIES


def other_country(setup: Setup) -> str:
    if setup.proxy:
        return "it is blocked where the exit in [ytdlp] proxy is, too; use one in another country."
    return "set [ytdlp] proxy to an exit in another country."


def other_exit(setup: Setup) -> str:
    """Advice for an address that YouTube distrusts."""
    way = "use another exit in [ytdlp] proxy" if setup.proxy else "set [ytdlp] proxy to another exit"
    cookies = "export the cookies that are set again" if setup.cookies else "set [ytdlp] cookies"
    return f"{way}, or {cookies}."


def slower(setup: Setup) -> str:
    """Advice for an address or account that made too many requests."""
    way = "use another exit in [ytdlp] proxy" if setup.proxy else "set [ytdlp] proxy to another exit"
    return f"add --sleep-requests to [ytdlp] args, or {way}; cookies in use bind the limit to their account."


def update(_: Setup) -> str:
    return f"{errors.UPDATE_YTDLP}."


def trust(_: Setup) -> str:
    return "if a proxy looks into TLS, name its authority at [ytdlp] ca_file; `doctor` tests the way."


def network(setup: Setup) -> str:
    proxy = "the proxy that is set" if setup.proxy else "[ytdlp] proxy, if it needs one"
    return f"check the server's network and {proxy}; `doctor --url` tests both."


def arguments(_: Setup) -> str:
    return "look at [ytdlp] args; `doctor` with this link repeats the failure."


def update_or_exit(setup: Setup) -> str:
    """Advice for a refusal without a reason: the cause may be an old yt-dlp or a distrusted address."""
    return f"{errors.UPDATE_YTDLP}; if that changes nothing, {other_exit(setup)}"


def sign_in_again(setup: Setup) -> str:
    if setup.cookies:
        return "YouTube may not accept the cookies that are set; export them again."
    return update_or_exit(setup)
