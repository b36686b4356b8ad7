"""`python -m tests.fuzz`: start a server, let schemathesis at it, stop; the exit status is schemathesis'."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
HERE = Path(__file__).parent


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="ytmp3d-fuzz-") as name:
        port_file = Path(name) / "port"
        serve = [sys.executable, "-m", "server", "serve", "--offline", "--port", "0", "--port-file", str(port_file)]
        log = (Path(name) / "log").open("wb")
        server = subprocess.Popen([*serve, "--state", f"{name}/state"], cwd=ROOT, stdout=log, stderr=log)
        try:
            while not port_file.exists():
                if server.poll() is not None:
                    print((Path(name) / "log").read_text(), file=sys.stderr)
                    return 1
                time.sleep(0.02)
            url = f"http://127.0.0.1:{port_file.read_text().strip()}/openapi.json"
            environment = {**os.environ, "SCHEMATHESIS_HOOKS": "tests.fuzz.hooks", "PYTHONPATH": str(ROOT)}
            schemathesis = str(Path(sys.executable).parent / "schemathesis")
            command = [schemathesis, "--config-file", str(HERE / "schemathesis.toml"), "run", url, "--checks", "all"]
            status = subprocess.call(command, cwd=name, env=environment)
            if status:
                print(_troubles((Path(name) / "log").read_text()), file=sys.stderr)
            return status
        finally:
            server.terminate()
            server.wait(40)
            log.close()


def _troubles(log: str) -> str:
    """What the server's log says of failed conversions and its own errors: the last forty lines of it."""
    lines = [line for line in log.splitlines() if re.search(r" warning | error | failed ", line)]
    return "\n".join(["The server's log:", *(lines[-40:] or ["no conversion failed, nothing went wrong"])])


if __name__ == "__main__":
    sys.exit(main())
