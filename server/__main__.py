"""`python -m server`. This file alone must run where nothing else of ytmp3d does, to say what to do."""

import sys


def refuse(problem: str) -> None:
    print(f"ytmp3d: {problem}. Run `make demo` once, then .venv/bin/python -m server", file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    if sys.version_info < (3, 11):  # noqa: UP036  # whoever has an older one should not read a traceback
        refuse(f"Python 3.11 or later is needed, this is {sys.version.split()[0]}")
    try:
        from .commands.cli import main
    except ImportError as error:
        if (error.name or "server").split(".")[0] == "server":
            raise
        refuse(f"{sys.executable}: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(main())
