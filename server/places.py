"""Where the settings, the keys, the database and the MP3s of this installation lie.

The file of settings is the first there is of `--config FILE`, `$YTMP3D_CONFIG`, `./config.toml`,
`$XDG_CONFIG_HOME/ytmp3d/config.toml` and `/etc/ytmp3d/config.toml`. The rest lies where its defaults say, which hang on
that file and never on the folder in which a command is typed:

| settings | `keys.toml` | state | downloads |
|---|---|---|---|
| one of the first three | beside it | `state/` beside it | `static/downloads/` beside it |
| of the user, or none | `$XDG_CONFIG_HOME/ytmp3d/` | `$XDG_STATE_HOME/ytmp3d/` | `$XDG_DATA_HOME/ytmp3d/downloads/` |
| of the system | `/var/lib/ytmp3d/` | `/var/lib/ytmp3d/state/` | `/var/lib/ytmp3d/downloads/` |

`$STATE_DIRECTORY`, which systemd sets for a service and a container image sets by itself, takes the place of
`/var/lib/ytmp3d`, also where there are no settings. Releases before 0.2.0 kept everything in the folder they were
started in: where no settings are found but such files are, they are used. (XDG Base Directory Specification 0.8;
systemd.exec(5).)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

#: The variable that names the file of settings.
VARIABLE = "YTMP3D_CONFIG"
NAME, _OWN = "config.toml", "ytmp3d"
SYSTEM, _SYSTEM_DATA = Path("/etc") / _OWN, Path("/var/lib") / _OWN
#: What a release before 0.2.0 left in the folder it was started in.
_OLD_FILES = ("keys.toml", "state/ytmp3d.db")


@dataclass(frozen=True)
class Places:
    """`file` is None without settings. `named` says that `--config` must be given again to come to the same places."""

    file: Path | None
    keys: Path
    state: Path
    downloads: Path
    named: bool = False


def find(option: Path | None, environment: Mapping[str, str], *, here: Path = Path(), system: Path = SYSTEM) -> Places:
    """The places of a command that was given `--config option`, or None, in the folder `here`.

    A file that was named is taken, whether it is there or not.
    """
    user = _xdg(environment, "XDG_CONFIG_HOME", ".config") / _OWN
    if option is not None:
        return _of(option, environment, user, system, named=True)
    if variable := environment.get(VARIABLE):
        return _of(here / variable, environment, user, system)
    for file in (here / NAME, user / NAME, system / NAME):
        if _exists(file):
            return _of(file, environment, user, system)
    if any(_exists(here / one) for one in _OLD_FILES):
        return _beside(None, here.absolute())
    return _without(None, environment, user)


def for_new_settings(found: Places, environment: Mapping[str, str], *, system: Path = SYSTEM) -> Places:
    """The places once there are settings: in the file of `found`, or else where the next command finds them."""
    if found.file is not None:
        return found
    user = _xdg(environment, "XDG_CONFIG_HOME", ".config") / _OWN
    file = user / NAME if _state_directory(environment) else found.keys.with_name(NAME)
    return _of(file, environment, user, system)


def beside(file: Path, *, named: bool = False) -> Places:
    """The places of a file of settings that is neither the user's nor the system's."""
    return _beside(file, file.parent, named=named)


def _of(file: Path, environment: Mapping[str, str], user: Path, system: Path, *, named: bool = False) -> Places:
    folder = file.absolute().parent
    if folder == system:
        return _in(file, _state_directory(environment) or _SYSTEM_DATA, named=named)
    if folder == user.absolute():
        return _without(file, environment, user, named=named)
    return beside(file, named=named)


def _without(file: Path | None, environment: Mapping[str, str], user: Path, *, named: bool = False) -> Places:
    """Those of one user, who has settings or none."""
    if folder := _state_directory(environment):
        return _in(file, folder, named=named)
    state = _xdg(environment, "XDG_STATE_HOME", ".local/state") / _OWN
    downloads = _xdg(environment, "XDG_DATA_HOME", ".local/share") / _OWN / "downloads"
    return Places(file, user / "keys.toml", state, downloads, named)


def _in(file: Path | None, folder: Path, *, named: bool) -> Places:
    return Places(file, folder / "keys.toml", folder / "state", folder / "downloads", named)


def _beside(file: Path | None, folder: Path, *, named: bool = False) -> Places:
    return Places(file, folder / "keys.toml", folder / "state", folder / "static" / "downloads", named)


def _state_directory(environment: Mapping[str, str]) -> Path | None:
    """systemd separates several with colons; the first is ours."""
    first = environment.get("STATE_DIRECTORY", "").partition(":")[0]
    return Path(first) if first.startswith("/") else None


def _xdg(environment: Mapping[str, str], variable: str, otherwise: str) -> Path:
    """A relative path in the variable is ignored, as the specification says."""
    value = environment.get(variable, "")
    if value.startswith("/"):
        return Path(value)
    home = environment.get("HOME", "")
    return Path(home if home.startswith("/") else "/") / otherwise


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a folder that may not be looked into: another user's
        return False
