"""Which API keys are accepted now: those of the key file, the environment's, and extra ones.

Only the SHA-256 of a key is kept. A key has at least 192 random bits, so a plain hash is as good as a slow one, and a
lookup by hash tells a guesser nothing through its time.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import aiofiles
import aiofiles.os

from ..config import ConfigError, LimitsConfig
from ..errors import KeyDisabled, Unauthorized
from . import key_file, webhook_secret
from .key_file import ENVIRONMENT, hashed

log = logging.getLogger(__name__)

#: The name of the key that a start makes when there is none.
AUTOMATIC = "local"
#: A key with fewer characters could be guessed.
_FEWEST = 16
#: Seconds between two checks of the file.
_PERIOD = 1.0
_SENDABLE = re.compile(r"[!-~]+")
_HEADER = re.compile(r"bearer +(\S+) *", re.IGNORECASE)
_EXPECTED = "Send your API key in the header: Authorization: Bearer API_KEY"

Stamp = tuple[int, int, int, int] | None


@dataclass(frozen=True)
class Key:
    """An accepted key. Conversions belong to its name, so a new key of the same name sees them."""

    name: str
    limits: LimitsConfig
    disabled: bool = False
    webhook_secret: str = field(default="", repr=False, compare=False)  # webhooks are signed with it; empty is none


class Keys:
    """The keys that are accepted now: those of the file, that of the environment, and `extra`, by the plain key.

    Each of `listeners` is called whenever they may be others.
    """

    def __init__(
        self,
        path: Path,
        defaults: LimitsConfig,
        *,
        environment_key: str | None = None,
        environment_secret: str = "",
        extra: Mapping[str, Key] | None = None,
    ) -> None:
        self._path = path
        self._defaults = defaults
        self._fixed = {hashed(plain): key for plain, key in (extra or {}).items()}
        if environment_key and environment_key.strip():
            self._fixed[hashed(environment_key.strip())] = Key(ENVIRONMENT, defaults, False, environment_secret)
        self._by_hash, self._limits = dict(self._fixed), _limits(self._fixed)
        self._stamp: Stamp = None
        self.listeners: list[Callable[[], None]] = []

    @property
    def any_keys(self) -> bool:
        """Disabled keys count: an owner who disabled every key wants to admit nobody."""
        return bool(self._by_hash)

    def __contains__(self, name: str) -> bool:
        return any(key.name == name for key in self._by_hash.values())

    def accept(self, plain: str, key: Key) -> None:
        """Accept one more, until `refuse` is called for it."""
        self._fixed[hashed(plain)] = self._by_hash[hashed(plain)] = key
        self._changed()

    def refuse(self, plain: str) -> None:
        """Accept no longer what `accept` was called for."""
        self._fixed.pop(hashed(plain), None)
        self._by_hash.pop(hashed(plain), None)
        self._changed()

    def authenticate(self, authorization: str | None) -> Key:
        """The key in an `Authorization` header's value. Raises Unauthorized or KeyDisabled."""
        if authorization is None:
            raise Unauthorized(f"This needs an API key. {_EXPECTED}")
        found = _HEADER.fullmatch(authorization)
        if not found:
            raise Unauthorized(f"The Authorization header is not understood. {_EXPECTED}")
        key = self._by_hash.get(hashed(found[1]))
        if key is None:
            raise Unauthorized(f"This API key is not known. {_EXPECTED}")
        if key.disabled:
            raise KeyDisabled("This API key is disabled. Ask the server's owner.")
        return key

    def limits_of(self, name: str) -> LimitsConfig:
        """The limits of the key of that name; the defaults if there is none any more."""
        return self._limits.get(name, self._defaults)

    def webhook_secret_of(self, name: str) -> str:
        """The secret of the key of that name, disabled or not; empty if there is none."""
        return next((key.webhook_secret for key in self._by_hash.values() if key.name == name), "")

    async def load(self, defaults: LimitsConfig | None = None) -> None:
        """Read the file, with other `defaults` from now on, if given. Raises ConfigError, and then nothing changes."""
        self._stamp = await self._look()  # before reading: what changes meanwhile is seen by the next look
        try:
            async with aiofiles.open(self._path, "rb") as file:
                content = await file.read()
        except FileNotFoundError:
            content = b""
        except OSError as error:
            raise ConfigError(f"{self._path}: cannot be read: {error.strerror}") from error
        parsed = key_file.parse(self._path, content).values()
        if defaults is not None:
            self._defaults = defaults
            self._fixed = {one: replace(key, limits=defaults) for one, key in self._fixed.items()}
        stored = {one.sha256: self._key(one) for one in parsed}
        self._by_hash = stored | self._fixed
        self._changed()

    def _changed(self) -> None:
        self._limits = _limits(self._by_hash)
        for told in self.listeners:
            told()

    async def watch(self) -> None:
        """Load every change of the file within two seconds, until cancelled. A broken file changes nothing."""
        while True:
            await asyncio.sleep(_PERIOD)
            if await self._look() == self._stamp:
                continue
            try:
                await self.load()
            except ConfigError as error:
                log.warning("the keys stay as they were: %s", error)
            else:
                log.info("keys read anew: %d in all", len(self._by_hash))

    def _key(self, stored: key_file.Stored) -> Key:
        return Key(stored.name, replace(self._defaults, **stored.limits), stored.disabled, stored.webhook_secret)

    async def _look(self) -> Stamp:
        try:
            found = await aiofiles.os.stat(self._path)
        except OSError:
            return None
        return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _limits(keys: Mapping[str, Key]) -> dict[str, LimitsConfig]:
    return {key.name: key.limits for key in keys.values()}


def environment_key(value: str | None) -> str | None:
    """The key in the environment variable YTMP3D_KEY, whose value is given; empty is none. Raises ConfigError.

    The error says nothing of the value but its length.
    """
    key = (value or "").strip()
    if not key:
        return None
    if len(key) < _FEWEST or not _SENDABLE.fullmatch(key):
        found = f"{len(key)} characters" if len(key) < _FEWEST else "others among them"
        raise ConfigError(
            f"YTMP3D_KEY: expected at least {_FEWEST} characters, all of them visible ASCII, found {found}. "
            "One to use: python3 -c 'import secrets; print(secrets.token_urlsafe(24))'"
        )
    return key


def environment_secret(value: str | None) -> str:
    """The webhook secret in the environment variable YTMP3D_WEBHOOK_SECRET; empty is none. Raises ConfigError."""
    if secret := (value or "").strip():
        try:
            webhook_secret.check(secret)
        except ValueError as expected:
            raise ConfigError(f"YTMP3D_WEBHOOK_SECRET: expected {expected}, found something else") from None
    return secret
