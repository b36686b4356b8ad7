"""The command `ytmp3d`, and `python -m server` in a checkout.

The file also runs where nothing else of ytmp3d does, on an old Python or without the dependencies, to say what to do.
"""

from __future__ import annotations

import sys


def main() -> int:
    """Run the command line; the exit status."""
    if sys.version_info < (3, 11):  # noqa: UP036  # the owner of an older one should not read a traceback
        return _refuse(f"Python 3.11 or later is needed, this is {sys.version.split()[0]}")
    try:
        from .commands.cli import main as run
    except ImportError as error:
        if not error.name or error.name.split(".")[0] == __package__:
            raise
        return _refuse(f"{sys.executable}: {error}")
    except KeyboardInterrupt:
        return 130
    return run()


def _refuse(problem: str) -> int:
    from .installation import CHECKOUT, pip_install

    fix = "Run `make demo` once, then .venv/bin/ytmp3d" if CHECKOUT else f"Install it again: {pip_install('ytmp3d')}"
    print(f"ytmp3d: {problem}. {fix}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
