"""`deploy`: prints a finished file for the program that starts ytmp3d, or stands before it, with what is known here."""

from __future__ import annotations

import getpass
import pwd
import re
import shlex
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from ..config import Config, ConfigError
from ..installation import CHECKOUT
from ..places import SYSTEM

#: What is printed, by its name on the command line.
FILES = {
    "systemd": "ytmp3d.service",
    "nginx": "nginx.conf",
    "caddy": "Caddyfile",
    "compose": "compose.yaml",
    "quadlet": "ytmp3d.container",
}
_FOLDER = Path(__file__).parent.parent / "deploy"
_EXAMPLE_URL = "https://mp3.example.org"
_LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104  # where a proxy on this machine finds it
_BOX = re.compile(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}")
#: The numbers of users who are people (login.defs(5)).
_PEOPLE = range(1000, 60_000)
#: What an address names before its path: a host, in brackets if it is one of IPv6, and perhaps a port.
_PLACE = re.compile(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?")
_FIELD = re.compile(r"@([A-Z_]+)@")


def run(what: str, config: Config, *, public_url: str | None, boxes: Sequence[str] = ()) -> int:
    """Print the file; what is to be done by hand goes to stderr. The exit status. Raises ConfigError.

    With `boxes`, the addresses of several servers, nginx sends each key to one of them.
    """
    if boxes and what != "nginx":
        raise ConfigError("--box goes with nginx")
    url = (public_url or config.server.public_url).rstrip("/")
    if not url and what != "systemd":
        print(f"There is no [server] public_url, so this is for {_EXAMPLE_URL}; see --public-url.", file=sys.stderr)
    url = url or _EXAMPLE_URL
    text = (_FOLDER / FILES[what]).read_text(encoding="utf-8")
    try:
        fields = _fields(config, url)
    except ValueError as error:
        raise ConfigError(f"--public-url: expected an address like {_EXAMPLE_URL!r}, found {url!r}") from error
    if what == "systemd":
        fields |= _service(config)
    if boxes:
        fields |= _upstream(boxes)
    print(_FIELD.sub(lambda found: fields[found[1]], text), end="")
    return 0


def _fields(config: Config, url: str) -> dict[str, str]:
    parts = urlsplit(url)
    place = _PLACE.fullmatch(parts.netloc)
    if parts.scheme not in ("http", "https") or not place or not re.fullmatch(r"[A-Za-z0-9_./~-]*", parts.path):
        raise ValueError(url)
    host = _LOOPBACK.get(config.server.host, config.server.host)
    address = f"[{host}]" if ":" in host and not host.startswith("[") else host
    return {
        "PUBLIC_URL": url,
        "NAME": place[1],
        "PLACE": parts.netloc,
        "PREFIX": parts.path,
        "UPSTREAM": "",
        "ADDRESS": f"{address}:{config.server.port}",
        "HOST": "127.0.0.1",
        "PORT": str(config.server.port),
        "STOP_SECONDS": str(config.server.shutdown_grace + 15),
    }


def _upstream(boxes: Sequence[str]) -> dict[str, str]:
    if wrong := [box for box in boxes if not _BOX.fullmatch(box)]:
        raise ConfigError(f"--box: expected a server like '10.0.0.2:8080', found {wrong[0]!r}")
    servers = "".join(f"    server {box} max_fails=0;\n" for box in boxes)
    text = (
        "# A key is always served by the same box; all have the same keys.toml. Each has a [server] public_url of its\n"
    )
    text += "# own, which leads to it alone: downloads and covers are asked for without a key.\n"
    text += f"upstream ytmp3d {{\n    hash $http_authorization consistent;\n{servers}}}\n\n"
    return {"UPSTREAM": text, "ADDRESS": "ytmp3d"}


def _service(config: Config) -> dict[str, str]:
    """A service of the system has a user of its own; one with settings in another folder is that folder's owner."""
    if config.file is None or config.file.absolute().parent == SYSTEM:
        settings, options = "/etc/ytmp3d/config.toml", ""
        user = ["DynamicUser=yes", "User=ytmp3d", "StateDirectory=ytmp3d", "ConfigurationDirectory=ytmp3d"]
        user += ["StateDirectoryMode=0700"]
    else:
        file = config.file.absolute()
        settings, options = str(file), f" --config {_argument(str(file))}"
        folders = sorted({str(one.absolute()) for one in (file.parent, config.storage.state, config.storage.downloads)})
        user = [f"User={_owner(file.parent)}", f"ReadWritePaths={' '.join(map(_quoted, folders))}"]
    if config.storage.library:
        user.append(f"ReadWritePaths={_quoted(str(config.storage.library.absolute()))}")
    command = _command()
    if not options and any(map(_is_hidden, command)):
        print(
            "This ytmp3d is where a service may not look: in a home, or in /tmp. Install it for all, such as with "
            "python3 -m venv /opt/ytmp3d and its pip, and print this with /opt/ytmp3d/bin/ytmp3d.",
            file=sys.stderr,
        )
    return {
        "SETTINGS": settings,
        "OPTIONS": options,
        "USER": "\n".join(user),
        "HOME": "no" if options else "yes",
        "COMMAND": " ".join(map(_argument, command)),
    }


def _is_hidden(path: str) -> bool:
    """Whether a service, which sees no home and has a temporary folder of its own, does not see this."""
    homes = [Path(one.pw_dir) for one in pwd.getpwall() if one.pw_uid == 0 or one.pw_uid in _PEOPLE]
    return any(Path(path).is_relative_to(one) for one in (*homes, Path(tempfile.gettempdir())))


def _command() -> list[str]:
    """What starts this very ytmp3d, by its whole path."""
    typed = shutil.which(sys.argv[0])
    if typed and Path(typed).name == "ytmp3d":
        return [str(Path(typed).absolute())]
    beside = Path(sys.executable).with_name("ytmp3d")
    if beside.exists():
        return [str(beside)]
    package = (__package__ or "").partition(".")[0]
    return ["/usr/bin/env", *([f"PYTHONPATH={CHECKOUT}"] if CHECKOUT else []), sys.executable, "-m", package]


def _owner(folder: Path) -> str:
    try:
        return folder.owner()
    except (KeyError, OSError):
        return getpass.getuser()


def _quoted(text: str) -> str:
    """For systemd, which expands % and takes quotes as a shell does (systemd.syntax(7))."""
    escaped = text.replace("%", "%%")
    return escaped if re.fullmatch(r"[\w@%+=:,./$-]+", escaped) else shlex.quote(escaped)


def _argument(text: str) -> str:
    """One of a command line, where $ is expanded, too (systemd.service(5))."""
    return _quoted(text.replace("$", "$$"))
