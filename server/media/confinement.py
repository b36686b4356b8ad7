"""What a child that handles a video may use: limits of the system, and the files that it needs.

A video that takes over yt-dlp or ffmpeg finds neither the keys, the state nor other people's audio, and ffmpeg no
network. `sandbox.py` holds the child to it.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import re
import shutil
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..installation import CHECKOUT

#: Where systems keep programs, libraries and their settings, except for what a server could keep below /etc.
_SYSTEM = (
    *("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store", "/gnu/store"),
    *("/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/ld.so.preload", "/etc/alternatives"),
    *("/etc/localtime", "/etc/timezone", "/etc/locale.alias", "/dev/zero", "/dev/random", "/dev/urandom"),
    # Of /proc not the other processes: root may read their environment there, Landlock or not.
    *("/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/proc/version", "/proc/filesystems", "/proc/sys", "/proc/self"),
)
#: What finding a host and trusting it takes.
_NETWORK = (
    *("/etc/resolv.conf", "/etc/hosts", "/etc/host.conf", "/etc/nsswitch.conf", "/etc/gai.conf", "/etc/services"),
    *("/etc/protocols", "/etc/passwd", "/etc/group", "/etc/mime.types", "/etc/ssl", "/etc/pki", "/etc/crypto-policies"),
    *("/etc/ca-certificates", "/etc/ca-certificates.conf", "/run/systemd/resolve", "/run/nscd", "/sys/fs/cgroup"),
)
_RUNTIMES = ("deno", "node", "bun", "qjs")
#: A path in one of yt-dlp's arguments, also in `name:key=/path`.
_PATH = re.compile(r"(?:^|[=:,;])([/~][^=:,;]*)")

_MIB = 1 << 20
#: Bytes of data in memory. yt-dlp's JavaScript runtime has the same limit for itself.
YTDLP_MEMORY = 2048 * _MIB
TOOL_MEMORY = 512 * _MIB
#: Bytes of a file that yt-dlp writes: a thumbnail, cookies, or its cache. The audio goes through a pipe.
YTDLP_FILE = 256 * _MIB


@dataclass(frozen=True)
class Confinement:
    """What a child may use; the fields are the arguments of `sandbox.enter`."""

    memory: int
    file_size: int
    descriptors: int
    read: tuple[str, ...] = ()
    write: tuple[str, ...] = ()
    network: bool = False
    sandbox: bool = True

    def with_folder(self, folder: Path) -> Confinement:
        """The same, and `folder` to write in."""
        return replace(self, write=(*self.write, os.fspath(folder)))

    def reading(self, file: Path) -> Confinement:
        """The same, and `file` to read."""
        return replace(self, read=(*self.read, os.fspath(file)))

    @property
    def rules(self) -> tuple[Any, ...]:
        """The arguments of `sandbox.enter`."""
        return dataclasses.astuple(self)


def of_tool(program: str, *, file_size: int, memory: int = TOOL_MEMORY, sandbox: bool = True) -> Confinement:
    """For a program that gets its input and its output as open descriptors: it opens no file but its own parts."""
    return Confinement(
        memory=memory,
        file_size=file_size,
        descriptors=64,
        read=(*_system(), *_parts(program)),
        write=(os.devnull,),
        sandbox=sandbox,
    )


@functools.cache
def _system() -> tuple[str, ...]:
    """What there is of the system's folders, each once: on most systems /bin and /lib lead into /usr."""
    real = {os.path.realpath(path) for path in _SYSTEM if not path.startswith("/proc") and os.path.exists(path)}  # noqa: PTH110
    inside = {path for path in real if _is_system(path)}
    return (*sorted(real - inside), *(path for path in _SYSTEM if path.startswith("/proc")))


@functools.lru_cache(maxsize=64)
def of_ytdlp(cache: Path, arguments: tuple[str, ...], *, ca_bundle: Path | None, sandbox: bool = True) -> Confinement:
    """For yt-dlp, its plugins and its JavaScript runtime. What the operator's `arguments` name may be read."""
    beside = os.path.dirname(sys.executable)  # noqa: PTH120  # yt-dlp looks there first, then on PATH
    runtimes = [found for name in _RUNTIMES for path in (beside, None) if (found := shutil.which(name, path=path))]
    return Confinement(
        memory=YTDLP_MEMORY,
        file_size=YTDLP_FILE,
        descriptors=512,
        read=(
            *_system(),
            *_NETWORK,
            *_python(),
            *(path for runtime in runtimes for path in _parts(runtime)),
            *([os.fspath(ca_bundle)] if ca_bundle else []),
            *_named_in(arguments),
        ),
        write=(os.devnull, os.fspath(cache)),
        network=True,
        sandbox=sandbox,
    )


def _parts(program: str) -> list[str]:
    """A program outside the system's folders, and the libraries that lie beside it."""
    real = Path(shutil.which(program) or program).resolve()
    beside = (real.parent.parent / name for name in ("lib", "lib64", "libexec"))
    return [path for path in map(os.fspath, (real, *(one for one in beside if one.is_dir()))) if not _is_system(path)]


def _is_system(path: str) -> bool:
    return path.startswith("/usr/")


def _python() -> set[str]:
    """Where this Python's modules are, and ours; not the folder where the server runs, which may hold keys."""
    parts = {f"{prefix}/{name}" for prefix in (sys.prefix, sys.base_prefix) for name in ("bin", "lib", "lib64")}
    ours = os.fspath(Path(__file__).parents[1])
    here = {"", os.fspath(CHECKOUT) if CHECKOUT else ""}
    with suppress(FileNotFoundError):
        here.add(os.getcwd())  # noqa: PTH109
    return ({*parts, f"{sys.prefix}/pyvenv.cfg", *sys.path, ours}) - here


def _named_in(arguments: Sequence[str]) -> list[str]:
    paths = [os.path.expanduser(path) for argument in arguments for path in _PATH.findall(argument)]  # noqa: PTH111
    if any(argument.startswith("--netrc") for argument in arguments):
        paths.append(os.path.expanduser("~/.netrc"))  # noqa: PTH111
    if any(argument.startswith("--cookies-from-browser") for argument in arguments):
        paths.append(os.path.expanduser("~"))  # noqa: PTH111
    return [path for path in paths if path.startswith("/") and path != "/"]
