"""The key file: what the `keys` commands write and a running server reads.

It keeps the SHA-256 of each key only, but a webhook secret as it is, since that is what signs. Every function here
blocks.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import logging
import os
import re
import secrets
import shlex
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from ..config import Config, ConfigError, LimitsConfig, whole_number
from ..filesystems import NO_LOCKS, lock, replace, sync_open
from ..installation import program
from . import key_name, webhook_secret

log = logging.getLogger(__name__)

#: The name of the key in the environment variable YTMP3D_KEY.
ENVIRONMENT = "env"
_WINDOWS = tuple(one.name for one in dataclasses.fields(LimitsConfig))
_HASH = re.compile(r"[0-9a-f]{64}")


def command(config: Config, action: str) -> str:
    """The command line for an `action` on the keys of `config`."""
    option = f" --config {shlex.quote(str(config.file))}" if config.named else ""
    return f"{program()} keys{option} {action}"


def create(path: Path, name: str, limits_overrides: dict[str, int]) -> str:
    """Make a key and return it. Only its hash is stored. Raises ValueError, ConfigError or OSError, as all below do."""
    name = key_name.normal(name)
    if not key_name.is_good(name):
        raise ValueError(f"a key's name has {key_name.EXPECTED}, found {name!r}")
    if name == ENVIRONMENT:
        raise ValueError(f'the name "{ENVIRONMENT}" belongs to the key in the environment variable YTMP3D_KEY')
    _check_limits(limits_overrides)
    plain = _new_key()
    with _edit(path) as keys:
        if name in keys:
            raise ValueError(f'there is already a key "{name}"; delete it first')
        created, secret = datetime.now(UTC).replace(microsecond=0), webhook_secret.new()
        keys[name] = Stored(name, hashed(plain), created, limits=limits_overrides, webhook_secret=secret)
    return plain


def renew(path: Path, name: str, show: Callable[[str], None]) -> None:
    """Give a key's name a new key, which `show` is called with; limits and webhook secret stay.

    The old key ends, but not if `show` raises.
    """
    plain = _new_key()
    with _edit(path) as keys:
        one = _known(keys, name)
        if one.disabled:
            raise ValueError(f'the key "{one.name}" is disabled; enable it first')
        created = datetime.now(UTC).replace(microsecond=0)
        keys[one.name] = dataclasses.replace(one, sha256=hashed(plain), created=created)
        show(plain)


def check_known(path: Path, name: str) -> None:
    """Raise ValueError unless there is a key of that name."""
    _known(_read(path), name)


def listing(path: Path) -> dict[str, str]:
    """One line a key, by its name: the name, when it was made, whether it is disabled, and its own limits."""
    keys = _read(path)
    width = max(map(len, keys), default=0)
    return {name: f"{name:{width}}  {one.described()}" for name, one in keys.items()}


def set_disabled(path: Path, name: str, disabled: bool) -> None:
    with _edit(path) as keys:
        one = _known(keys, name)
        keys[one.name] = dataclasses.replace(one, disabled=disabled)


def set_limits(path: Path, name: str, changes: Mapping[str, int | None]) -> None:
    """Give a key these limits; None takes one back to the default. The others stay."""
    _check_limits({limit: number for limit, number in changes.items() if number is not None})
    with _edit(path) as keys:
        one = _known(keys, name)
        limits = {limit: number for limit, number in {**one.limits, **changes}.items() if number is not None}
        keys[one.name] = dataclasses.replace(one, limits=limits)


def make_secret(path: Path, name: str, *, renew: bool) -> str:
    """Give a key a webhook secret and return it. One that it has already is replaced only if `renew`."""
    with _edit(path) as keys:
        one = _known(keys, name)
        if one.webhook_secret and not renew:
            raise ValueError(
                f'the key "{one.name}" has a webhook secret, which is not shown again; --renew replaces it'
            )
        secret = webhook_secret.new()
        keys[one.name] = dataclasses.replace(one, webhook_secret=secret)
    return secret


def secret_of(path: Path, name: str) -> str:
    """The webhook secret of a key; empty if it has none."""
    return _known(_read(path), name).webhook_secret


def delete(path: Path, name: str) -> None:
    with _edit(path) as keys:
        del keys[_known(keys, name).name]


def _new_key() -> str:
    return f"ytmp3d_{secrets.token_urlsafe(24)}"


def _check_limits(limits: Mapping[str, int]) -> None:
    for limit, number in limits.items():
        try:
            whole_number(LimitsConfig, limit, number)
        except ValueError as expected:
            raise ValueError(f"{limit}: expected {expected}, found {number}") from None


@dataclass(frozen=True)
class Stored:
    """One table of the file."""

    name: str
    sha256: str
    created: datetime
    disabled: bool = False
    limits: Mapping[str, int] = field(default_factory=dict)  # those that are not the defaults
    webhook_secret: str = field(default="", repr=False)

    def described(self) -> str:
        limits = ", ".join(f"{self.limits[one]} {one.replace('_', ' ')}" for one in _WINDOWS if one in self.limits)
        state = "disabled" if self.disabled else "enabled "
        return f"{self.created:%Y-%m-%d %H:%M}  {state}  {limits or 'default limits'}"

    def toml(self) -> str:
        values = {"sha256": f'"{self.sha256}"', "created": self.created.isoformat()}
        values |= {"disabled": str(self.disabled).lower(), **{name: str(n) for name, n in self.limits.items()}}
        values |= {"webhook_secret": f'"{self.webhook_secret}"'} if self.webhook_secret else {}
        return f'[keys."{self.name}"]\n' + "".join(f"{name} = {value}\n" for name, value in values.items())


def hashed(plain: str) -> str:
    return hashlib.sha256(plain.encode("utf-8", "surrogatepass")).hexdigest()


def _known(keys: Mapping[str, Stored], name: str) -> Stored:
    if (found := keys.get(key_name.normal(name))) is None:
        raise ValueError(f'there is no key "{name}"')
    return found


def _read(path: Path) -> dict[str, Stored]:
    try:
        return parse(path, path.read_bytes())
    except FileNotFoundError:
        return {}


@contextlib.contextmanager
def _edit(path: Path) -> Iterator[dict[str, Stored]]:
    """The keys, to be changed; written back whole at the end, while no other command can change them."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _give_to_owner_of(path.parent, descriptor)
        if not lock(descriptor, wait=True):
            log.warning("%s: %s", path.parent, NO_LOCKS)
        keys = _read(path)
        yield keys
        _write(path, keys)
    finally:
        os.close(descriptor)


def _give_to_owner_of(folder: Path, descriptor: int) -> None:
    """A service that runs as somebody else must read what root has written for it."""
    if os.geteuid() == 0:
        owner = folder.stat()
        os.fchown(descriptor, owner.st_uid, owner.st_gid)


def _write(path: Path, keys: Mapping[str, Stored]) -> None:
    header = "# Written by ytmp3d's command `keys`; what is added by hand stays only if that command knows it.\n"
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:  # noqa: PTH123  # the mode must hold from the start
            file.write("\n".join([header, *(one.toml() for one in keys.values())]))
            file.flush()
            _give_to_owner_of(path.parent, file.fileno())
            sync_open(file.fileno())
        replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def parse(path: Path, content: bytes) -> dict[str, Stored]:
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
    keys: dict[str, Stored] = {}
    hashes: dict[str, str] = {}
    for name, table in tables.items():
        where, name = f"{path}: keys.{name}", key_name.normal(name)
        if not key_name.is_good(name) or name == ENVIRONMENT or name in keys:
            raise ConfigError(
                f'{where}: expected a name of its own with {key_name.EXPECTED}, but not "{ENVIRONMENT}", found {name!r}'
            )
        if not isinstance(table, dict):
            raise ConfigError(f"{where}: expected a table, found {_shown(table)}")
        one = keys[name] = _stored(where, name, table)
        if (other := hashes.setdefault(one.sha256, name)) != name:
            raise ConfigError(f"{where}.sha256: expected a hash of its own, found that of keys.{other}")
    return keys


def _stored(where: str, name: str, table: dict[str, Any]) -> Stored:
    for entry, value in table.items():
        if entry not in _ENTRIES:
            raise ConfigError(f"{where}.{entry}: expected one of {', '.join(_ENTRIES)}, found an unknown entry")
        try:
            _ENTRIES[entry](value)
        except ValueError as expected:
            found = "something else" if entry == "webhook_secret" else _shown(value)
            raise ConfigError(f"{where}.{entry}: expected {expected}, found {found}") from None
    for entry, needed in (("sha256", _HASH_EXPECTED), ("created", _TIME_EXPECTED)):
        if entry not in table:
            raise ConfigError(f"{where}.{entry}: expected {needed}, found nothing")
    limits = {window: table[window] for window in _WINDOWS if window in table}
    secret = table.get("webhook_secret", "")
    return Stored(name, table["sha256"], table["created"], table.get("disabled", False), limits, secret)


_HASH_EXPECTED = "the key's SHA-256 in 64 hexadecimal digits"
_TIME_EXPECTED = "a time like 2026-01-31T12:00:00Z"


def _check_hash(value: Any) -> None:
    if not isinstance(value, str) or not _HASH.fullmatch(value):
        raise ValueError(_HASH_EXPECTED)


def _check_time(value: Any) -> None:
    if not isinstance(value, datetime):
        raise ValueError(_TIME_EXPECTED)


def _check_truth(value: Any) -> None:
    if not isinstance(value, bool):
        raise ValueError("true or false")


#: Each raises ValueError with what was expected.
_ENTRIES: dict[str, Callable[[Any], object]] = {
    "sha256": _check_hash,
    "created": _check_time,
    "disabled": _check_truth,
    "webhook_secret": webhook_secret.check,
    **{window: partial(whole_number, LimitsConfig, window) for window in _WINDOWS},
}


def _shown(value: Any) -> str:
    shown = str(value).lower() if isinstance(value, bool) else repr(value)
    return shown if len(shown) <= 60 else shown[:57] + "..."
