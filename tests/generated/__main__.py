"""`python -m tests.generated`: generate clients from the description, and convert a link with each.

openapi-python-client makes one, in an environment of its own. openapi-typescript makes the types of the other, which
is `client.ts`; Deno, which yt-dlp needs anyway, fetches it from npm, checks the types and runs the client. An offline
server answers both. A part of the description that a generator leaves out fails this.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
#: Seconds for each step.
TIMEOUT = 300
#: The generator knows bytes by one name only.
SETTINGS = """\
content_type_overrides:
  audio/mpeg: application/octet-stream
  image/jpeg: application/octet-stream
  application/zip: application/octet-stream
"""
#: What somebody would write with the client.
PROGRAM = """\
import sys
from generated import AuthenticatedClient
from generated.api.convert import convert
from generated.api.conversions import status
from generated.api.downloads import download
from generated.models import ConvertRequest

client = AuthenticatedClient(base_url=sys.argv[1], token="YOUR_API_KEY")
accepted = convert.sync(client=client, body=ConvertRequest(url="https://youtu.be/dQw4w9WgXcQ"), prefer="wait=60")
done = status.sync(accepted.conversion_id, client=client)
mp3 = download.sync(done.conversion_id, client=client).payload.read()
assert str(done.status) == "completed" and len(mp3) == done.file_size and mp3.startswith(b"ID3"), (done, mp3[:9])
print(f"a generated client has converted {done.title!r}: {len(mp3)} bytes")
"""


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="ytmp3d-generated-") as name:
        folder = Path(name)
        python, typed = generate(folder), generate_types(folder)
        port_file = folder / "port"
        serve = [sys.executable, "-m", "server", "serve", "--offline", "--port", "0", "--port-file", str(port_file)]
        with (folder / "log").open("wb") as log:
            server = subprocess.Popen([*serve, "--state", f"{folder}/state"], cwd=ROOT, stdout=log, stderr=log)
        try:
            while not port_file.exists():
                if server.poll() is not None:
                    print((folder / "log").read_text(), file=sys.stderr)
                    return 1
                time.sleep(0.02)
            url = f"http://127.0.0.1:{port_file.read_text().strip()}"
            for command in ([python, "-c", PROGRAM, url], [*typed, url]):
                subprocess.run(command, cwd=folder, check=True, timeout=TIMEOUT)
            return 0
        finally:
            server.terminate()
            server.wait(40)


def generate(folder: Path) -> str:
    """Make the package `generated` in `folder`. Returns the Python that can import it and what it needs."""
    programs = folder / "environment" / "bin"
    venv.create(programs.parent, with_pip=True)
    python = str(programs / "python")
    install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "openapi-python-client>=0.26"]
    # CI's constraints are for what is ours.
    subprocess.run(install, check=True, timeout=TIMEOUT, env={**os.environ, "PIP_CONSTRAINT": ""})
    (folder / "settings.yaml").write_text(SETTINGS + "post_hooks: []\n")
    command = [str(programs / "openapi-python-client"), "generate", "--path", str(ROOT / "static" / "openapi.json")]
    command += ["--meta", "none", "--output-path", "generated", "--config", "settings.yaml", "--fail-on-warning"]
    subprocess.run(command, cwd=folder, check=True, timeout=TIMEOUT)
    return python


def generate_types(folder: Path) -> list[str]:
    """Make `types.ts` in `folder`. Returns the command that checks the types of `client.ts`, and runs it."""
    deno = str(Path(sys.executable).with_name("deno"))
    generator = [deno, "run", "--allow-all", "--quiet", "npm:openapi-typescript@7"]
    description = str(ROOT / "static" / "openapi.json")
    subprocess.run([*generator, description, "-o", "types.ts"], cwd=folder, check=True, timeout=TIMEOUT)
    shutil.copy(Path(__file__).with_name("client.ts"), folder)
    return [deno, "run", "--check", "--quiet", "--allow-net", "--allow-env", "client.ts"]


if __name__ == "__main__":
    sys.exit(main())
