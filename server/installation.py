"""How ytmp3d was installed, and so what its messages tell people to type.

`__main__` imports this to explain that Python is too old or a dependency is missing, so it needs neither a newer Python
nor a dependency.
"""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path

_FOLDER = Path(__file__).resolve().parent
#: The clone of the repository that this runs from, where the package's folder is called `server`; None elsewhere.
CHECKOUT = _FOLDER.parent if _FOLDER.name == "server" else None
#: The file that shows every setting with its default.
CONFIG_EXAMPLE = (CHECKOUT or _FOLDER / "example") / "config.example.toml"


def program() -> str:
    """What starts ytmp3d on this machine: the command as it was typed, or Python's `-m`."""
    typed = sys.argv[0]
    if Path(typed).name != "ytmp3d":
        return f"python -m {__package__}"
    on_path = shutil.which("ytmp3d")
    return "ytmp3d" if on_path and Path(on_path).resolve() == Path(typed).resolve() else shlex.quote(typed)


def pip_install(arguments: str) -> str:
    """The command that installs `arguments` into this environment.

    It holds no path of this machine, since `GET /readyz` shows it to anybody.
    """
    return f"{_installer(Path(sys.prefix))} {arguments}"


def _installer(environment: Path) -> str:
    if CHECKOUT:
        return ".venv/bin/pip install"
    if (environment / "pipx_metadata.json").exists():
        return "pipx runpip ytmp3d install"
    if (environment / "uv-receipt.toml").exists():
        return 'uv pip install --python "$(uv tool dir)/ytmp3d"'
    return "pip install"
