"""API keys: who asks, and the file that knows them.

The file keeps the SHA-256 of each key only. A key has at least 192 random bits, so a plain hash is as good as a slow
one, and a lookup by hash tells a guesser nothing through its time.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import logging
import os
import re
import secrets
import shlex
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiofiles
import aiofiles.os

from server.config import DEFAULT_FILE, Config, ConfigError
from server.errors import KeyDisabled, Unauthorized
from server.ratelimit import Limits

log = logging.getLogger(__name__)

#: The name of the key in the environment variable YTMP3D_KEY.
ENVIRONMENT = "env"
#: Fewer characters can be guessed, since nothing slows a guesser down.
_FEWEST = 16
#: How often the file is looked at, in seconds.
_PERIOD = 1.0
_WINDOWS = ("per_minute", "per_hour", "per_day")
_MOST = 1_000_000_000
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_HASH = re.compile(r"[0-9a-f]{64}")
_SENDABLE = re.compile(r"[!-~]+")
_HEADER = re.compile(r"bearer +(\S+) *", re.IGNORECASE)
_EXPECTED = "Send your API key in the header: Authorization: Bearer API_KEY"

Stamp = tuple[int, int, int, int] | None


@dataclass(frozen=True)
class Key:
    """Who asks. Conversions belong to the name, so a new key of the same name sees them."""

    name: str
    limits: Limits
    disabled: bool = False


class Keys:
    """The keys that are accepted now: those of the file, that of the environment, and `extra`, by the plain key."""

    def __init__(
        self,
        path: Path,
        defaults: Limits,
        *,
        environment_key: str | None = None,
        extra: Mapping[str, Key] | None = None,
    ) -> None:
        self._path = path
        self._defaults = defaults
        self._fixed = {_hashed(plain): key for plain, key in (extra or {}).items()}
        if environment_key and environment_key.strip():
            self._fixed[_hashed(environment_key.strip())] = Key(ENVIRONMENT, defaults)
        self._by_hash = dict(self._fixed)
        self._stamp: Stamp = None

    @property
    def any_keys(self) -> bool:
        """Disabled ones count: who disabled every key wants nobody in."""
        return bool(self._by_hash)

    def authenticate(self, authorization: str | None) -> Key:
        """The key in an `Authorization` header's value. Raises Unauthorized or KeyDisabled."""
        if authorization is None:
            raise Unauthorized(f"This needs an API key. {_EXPECTED}")
        found = _HEADER.fullmatch(authorization)
        if not found:
            raise Unauthorized(f"The Authorization header is not understood. {_EXPECTED}")
        key = self._by_hash.get(_hashed(found[1]))
        if key is None:
            raise Unauthorized(f"This API key is not known. {_EXPECTED}")
        if key.disabled:
            raise KeyDisabled("This API key is disabled. Ask the server's owner.")
        return key

    async def load(self) -> None:
        """Read the file. Raises ConfigError, and then keeps the keys it had."""
        self._stamp = await self._look()  # before reading: what changes meanwhile is seen by the next look
        try:
            async with aiofiles.open(self._path, "rb") as file:
                content = await file.read()
        except FileNotFoundError:
            content = b""
        except OSError as error:
            raise ConfigError(f"{self._path}: cannot be read: {error.strerror}") from error
        stored = {one.sha256: one.key(self._defaults) for one in _parse(self._path, content).values()}
        self._by_hash = stored | self._fixed

    async def watch(self) -> None:
        """Endless: take over every change of the file within two seconds; a broken file changes nothing."""
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

    async def _look(self) -> Stamp:
        try:
            found = await aiofiles.os.stat(self._path)
        except OSError:
            return None
        return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


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


def command(config: Config, action: str) -> str:
    """What to type for an `action` upon the keys of `config`."""
    option = f" --config {shlex.quote(str(config.file))}" if config.file not in (None, DEFAULT_FILE) else ""
    return f"python -m server keys{option} {action}"


def create(path: Path, name: str, limits_overrides: dict[str, int]) -> str:
    """A new key, in the plain for the only time. Raises ValueError, ConfigError or OSError, as all below do."""
    if not _NAME.fullmatch(name):
        raise ValueError(f"a key's name has 1 to 64 of the characters A-Z a-z 0-9 . _ -, found {name!r}")
    if name == ENVIRONMENT:
        raise ValueError(f'the name "{ENVIRONMENT}" belongs to the key in the environment variable YTMP3D_KEY')
    for window, number in limits_overrides.items():
        if window not in _WINDOWS or not 1 <= number <= _MOST:
            raise ValueError(f"{window} must be a whole number from 1 to {_MOST}, found {number}")
    plain = f"ytmp3d_{secrets.token_urlsafe(24)}"
    with _edit(path) as keys:
        if name in keys:
            raise ValueError(f'there is already a key "{name}"; delete it first')
        keys[name] = _Stored(name, _hashed(plain), datetime.now(UTC).replace(microsecond=0), limits=limits_overrides)
    return plain


def listing(path: Path) -> list[str]:
    """One line a key: its name, when it was made, whether it is disabled, and its own limits."""
    keys = _read(path)
    width = max(map(len, keys), default=0)
    return [f"{name:{width}}  {one.described()}" for name, one in keys.items()]


def set_disabled(path: Path, name: str, disabled: bool) -> None:
    with _edit(path) as keys:
        keys[name] = replace(_known(keys, name), disabled=disabled)


def delete(path: Path, name: str) -> None:
    with _edit(path) as keys:
        _known(keys, name)
        del keys[name]


@dataclass(frozen=True)
class _Stored:
    """One table of the file."""

    name: str
    sha256: str
    created: datetime
    disabled: bool = False
    limits: Mapping[str, int] = field(default_factory=dict)  # those that are not the defaults

    def key(self, defaults: Limits) -> Key:
        return Key(self.name, replace(defaults, **self.limits), self.disabled)

    def described(self) -> str:
        limits = ", ".join(f"{self.limits[one]} {one.replace('_', ' ')}" for one in _WINDOWS if one in self.limits)
        state = "disabled" if self.disabled else "enabled "
        return f"{self.created:%Y-%m-%d %H:%M}  {state}  {limits or 'default limits'}"

    def toml(self) -> str:
        values = {"sha256": f'"{self.sha256}"', "created": self.created.isoformat()}
        values |= {"disabled": str(self.disabled).lower(), **{name: str(n) for name, n in self.limits.items()}}
        return f'[keys."{self.name}"]\n' + "".join(f"{name} = {value}\n" for name, value in values.items())


def _hashed(plain: str) -> str:
    return hashlib.sha256(plain.encode("utf-8", "surrogatepass")).hexdigest()


def _known(keys: Mapping[str, _Stored], name: str) -> _Stored:
    if name not in keys:
        raise ValueError(f'there is no key "{name}"')
    return keys[name]


def _read(path: Path) -> dict[str, _Stored]:
    try:
        return _parse(path, path.read_bytes())
    except FileNotFoundError:
        return {}


@contextlib.contextmanager
def _edit(path: Path) -> Iterator[dict[str, _Stored]]:
    """The keys, to be changed; written back whole at the end, while no other command can change them."""
    lock = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        keys = _read(path)
        yield keys
        _write(path, keys)
    finally:
        os.close(lock)


def _write(path: Path, keys: Mapping[str, _Stored]) -> None:
    header = "# Written by `python -m server keys`; what is added by hand stays only if that command knows it.\n"
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:  # noqa: PTH123  # the mode must hold from the start
            file.write("\n".join([header, *(one.toml() for one in keys.values())]))
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def _parse(path: Path, content: bytes) -> dict[str, _Stored]:
    """Every key in the file, by name. Raises ConfigError."""
    try:
        whole = tomllib.loads(content.decode())
    except ValueError as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from error
    tables = whole.pop("keys", {})
    for name, value in whole.items():
        raise ConfigError(f"{path}: {name}: expected only tables [keys.NAME], found {_shown(value)}")
    if not isinstance(tables, dict):
        raise ConfigError(f"{path}: keys: expected tables [keys.NAME], found {_shown(tables)}")
    keys: dict[str, _Stored] = {}
    hashes: dict[str, str] = {}
    for name, table in tables.items():
        where = f"{path}: keys.{name}"
        if not _NAME.fullmatch(name) or name == ENVIRONMENT:
            raise ConfigError(f'{where}: expected a name of A-Z a-z 0-9 . _ - but "{ENVIRONMENT}", found {name!r}')
        if not isinstance(table, dict):
            raise ConfigError(f"{where}: expected a table, found {_shown(table)}")
        one = keys[name] = _stored(where, name, table)
        if (other := hashes.setdefault(one.sha256, name)) != name:
            raise ConfigError(f"{where}.sha256: expected a hash of its own, found that of keys.{other}")
    return keys


def _stored(where: str, name: str, table: dict[str, Any]) -> _Stored:
    for entry, value in table.items():
        if entry not in _FIELDS:
            raise ConfigError(f"{where}.{entry}: expected one of {', '.join(_FIELDS)}, found an unknown entry")
        expected, is_good = _FIELDS[entry]
        if not is_good(value):
            raise ConfigError(f"{where}.{entry}: expected {expected}, found {_shown(value)}")
    for entry in ("sha256", "created"):
        if entry not in table:
            raise ConfigError(f"{where}.{entry}: expected {_FIELDS[entry][0]}, found nothing")
    limits = {window: table[window] for window in _WINDOWS if window in table}
    return _Stored(name, table["sha256"], table["created"], table.get("disabled", False), limits)


def _is_limit(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= _MOST


_FIELDS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "sha256": ("the key's SHA-256 in 64 hexadecimal digits", lambda v: isinstance(v, str) and bool(_HASH.fullmatch(v))),
    "created": ("a time like 2026-01-31T12:00:00Z", lambda v: isinstance(v, datetime)),
    "disabled": ("true or false", lambda v: isinstance(v, bool)),
    **{window: (f"a whole number from 1 to {_MOST}", _is_limit) for window in _WINDOWS},
}


def _shown(value: Any) -> str:
    shown = str(value).lower() if isinstance(value, bool) else repr(value)
    return shown if len(shown) <= 60 else shown[:57] + "..."
