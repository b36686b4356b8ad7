"""`python -m tests.package`: build into `dist/`, look at what is inside, install the wheel and use its command.

The command runs in an empty folder, with an environment of its own. The exit status is 0 if all of it works.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.request
import venv
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
DIST = ROOT / "dist"
#: Which files of each folder the package holds, and where.
SOURCES = (
    *(("server", "*.py", "ytmp3d"), ("server", "*.js", "ytmp3d"), ("static", "*.*", "ytmp3d/static")),
    ("server/deploy", "*", "ytmp3d/deploy"),
)
EXAMPLE = "config.example.toml"
FOR_DEVELOPERS = (
    "README.md",
    "Containerfile",
    "CHANGELOG.md",
    "LICENSE",
    "Makefile",
    "setup.cfg",
    "pyproject.toml",
    EXAMPLE,
)


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="ytmp3d-package-") as name:
        folder = Path(name)
        shutil.rmtree(DIST, ignore_errors=True)
        tools = new_environment(folder / "tools", "build")
        # The sdist, and the wheel from the sdist.
        run(tools / "python", "-m", "build", "--quiet", "--outdir", DIST, ROOT)
        (wheel,), (sdist,) = DIST.glob("*.whl"), DIST.glob("*.tar.gz")
        check_contents(wheel, sdist)
        programs = new_environment(folder / "installed", f"{wheel}[offline]")
        use(programs / "ytmp3d", folder / "empty folder")
        check_the_plugin(programs, folder / "their project")
        check_the_extra_is_asked_for(programs, folder)
    print(f"{wheel.name} and {sdist.name} in dist/ are complete, and the installed command works")
    return 0


def new_environment(folder: Path, requirement: str) -> Path:
    """Where the programs of a fresh environment with `requirement` are."""
    venv.create(folder, with_pip=True)
    run(folder / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check", requirement)
    return folder / "bin"


def check_contents(wheel: Path, sdist: Path) -> None:
    """All of the program is in both, and nothing else at the top of the wheel."""
    sources = {f"ytmp3d/example/{EXAMPLE}": EXAMPLE}
    for folder, pattern, target in SOURCES:
        paths = [path.relative_to(ROOT / folder) for path in (ROOT / folder).rglob(pattern)]
        sources |= {f"{target}/{path}": f"{folder}/{path}" for path in paths if path.parts[0] != "downloads"}
    with zipfile.ZipFile(wheel) as archive:
        inside = {name for name in archive.namelist() if ".dist-info/" not in name}
        assert inside == sources.keys(), f"in one only: {sorted(inside ^ sources.keys())}"
        for name, source in sources.items():
            assert archive.read(name) == (ROOT / source).read_bytes(), name
    tests = [str(path.relative_to(ROOT)) for path in (ROOT / "tests").rglob("*.py")]
    with tarfile.open(sdist) as archive:
        packed = {name.partition("/")[2] for name in archive.getnames()}
    missing = {*sources.values(), *tests, *FOR_DEVELOPERS} - packed
    assert not missing, f"not in the sdist: {sorted(missing)}"


def use(command: Path, folder: Path) -> None:
    """Every command that needs no network, in the empty `folder`, where a file has the name of a module."""
    folder.mkdir()
    (folder / "yt_dlp.py").write_text("raise SystemExit('this is not yt-dlp')\n")
    run(command, "--version", "-v", cwd=folder)
    run(command, "demo", cwd=folder)
    saved = list((folder / "demo-output").glob("*.mp3"))
    assert len(saved) == 3, saved
    (folder / "config.toml").write_text("[server]\nport = 0\n")
    run(command, "doctor", cwd=folder)
    run(command, "keys", "create", "anna", cwd=folder)
    run(command, "deploy", "systemd", cwd=folder)
    with serving(command, folder) as url:
        for path, file in (("", "index.html"), ("docs", "docs.html"), ("static/app.js", "app.js")):
            assert fetched(f"{url}/{path}") == (ROOT / "static" / file).read_bytes(), path
        assert b'"openapi"' in fetched(f"{url}/openapi.json")


@contextmanager
def serving(command: Path, folder: Path) -> Iterator[str]:
    """The address of an offline server while the block is open."""
    port_file = folder / "port"
    server = subprocess.Popen([command, "serve", "--offline", "--port-file", port_file], cwd=folder)
    try:
        while not port_file.exists():
            assert server.poll() is None, "the server did not start"
            time.sleep(0.02)
        yield f"http://127.0.0.1:{port_file.read_text().strip()}"
    finally:
        server.terminate()
        assert server.wait(40) == 0


def fetched(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=10) as answer:
        body: bytes = answer.read()
    return body


def check_the_plugin(programs: Path, folder: Path) -> None:
    """pytest finds the plugin by itself, and a test gets a server."""
    folder.mkdir()
    asks = "urllib.request.urlopen(f'{ytmp3d_server.url}/healthz', timeout=30).close()"
    (folder / "test_it.py").write_text(f"import urllib.request\n\n\ndef test_it(ytmp3d_server):\n    {asks}\n")
    run(programs / "pip", "install", "--quiet", "--disable-pip-version-check", "pytest")
    run(programs / "pytest", "-q", "-W", "error", cwd=folder)


def check_the_extra_is_asked_for(programs: Path, folder: Path) -> None:
    """Offline mode without its extra is one line, and every other command works."""
    run(programs / "pip", "uninstall", "--quiet", "--yes", "trustme")
    done = subprocess.run([programs / "ytmp3d", "demo"], cwd=folder, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and done.stderr.endswith(": pip install 'ytmp3d[offline]'\n"), done
    run(programs / "ytmp3d", "keys", "list", cwd=folder)


def run(*command: object, cwd: Path = ROOT) -> None:
    subprocess.run([str(one) for one in command], cwd=cwd, check=True, timeout=300)


if __name__ == "__main__":
    sys.exit(main())
