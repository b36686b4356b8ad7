"""What the docs tell authors of clients, run as it is written, and their tables beside the code's."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import requests
from support.commandline import started
from support.curl import needs_curl
from support.serverprocess import MARK, ROOT, all_processes, marked, until

from server.offline.keys import reserved

TEXT = (ROOT / "static" / "docs" / "testing.md").read_text()
README = (ROOT / "README.md").read_text()
#: The languages whose recipes run here; each other example says above it why not.
RUN = {"sh", "python", "js"}
CONSOLE = re.compile(r"(?<!-->\n)^```console\n(.+?)^```$", re.M | re.S)


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.+?)^```$", TEXT, re.M | re.S)


def test_every_recipe_is_run_or_says_why_not() -> None:
    for before, language in re.findall(r"^(.*)\n```(\w+)$", TEXT, re.M):
        assert (language in RUN) != before.startswith("<!-- not run: "), language
    for page in (ROOT / "static" / "docs").glob("*.md"):
        assert page.name in ("testing.md", "api.md") or not CONSOLE.search(page.read_text()), page


def rows(first: str) -> list[list[str]]:
    """The cells of the table that begins with the column `first`, without its backquotes."""
    table = re.search(rf"^\| {first} .+\n\|[-|]+\n((?:\|.+\n)+)", TEXT, re.M)
    assert table
    return [[cell.strip().strip("`") for cell in row.strip("|").split("|")] for row in table[1].splitlines()]


@pytest.fixture
def environment(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """For whom a checkout's command is at `YTMP3D`, as `make demo` leaves it."""
    temporary = tmp_path_factory.mktemp("t")  # a short name: the path of a socket in it has at most 107 bytes
    command = Path(sys.prefix) / "bin" / "ytmp3d"
    return {**os.environ, "YTMP3D": str(command), "TMPDIR": str(temporary), MARK: str(tmp_path)}


def check_nothing_is_left(environment: dict[str, str], folder: Path, *files: str) -> None:
    """No process, and in `folder`, where the recipe ran, only these files."""
    until(lambda: not any(marked(one.pid, environment[MARK]) for one in all_processes()), what="no process is left")
    assert {path.name for path in folder.iterdir()} == set(files)


@needs_curl
def test_the_shell_recipe_works_as_written(tmp_path: Path, environment: dict[str, str]) -> None:
    (recipe,) = blocks("sh")
    done = subprocess.run(
        ["sh", "-eu", "-c", recipe], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=90
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["status"] == "completed"
    assert list(Path(environment["TMPDIR"]).iterdir()) == []
    check_nothing_is_left(environment, tmp_path)


def test_the_shell_recipe_ends_when_the_server_does_not_start(tmp_path: Path, environment: dict[str, str]) -> None:
    (recipe,) = blocks("sh")
    recipe = recipe.replace("--port 0", "--port 0 --host nowhere.invalid")
    done = subprocess.run(
        ["sh", "-c", recipe], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1 and "--allow-remote" in done.stdout
    check_nothing_is_left(environment, tmp_path)


def test_the_pytest_recipe_works_as_written(tmp_path: Path, environment: dict[str, str]) -> None:
    (recipe,) = blocks("python")
    theirs = tmp_path / "their-project"
    theirs.mkdir()
    (theirs / "test_client.py").write_text(recipe)
    command = [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", "--rootdir", str(theirs)]
    # Some of our plugins ask for settings; ours is this checkout's.
    plain = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(ROOT)}
    command += ["-p", "server.testing.plugin"]
    done = subprocess.run(command, cwd=theirs, env=environment | plain, capture_output=True, text=True, timeout=90)
    assert done.returncode == 0 and "3 passed" in done.stdout, done.stdout + done.stderr
    check_nothing_is_left(environment, theirs, "test_client.py")


def test_the_node_recipe_works_as_written(tmp_path: Path, environment: dict[str, str]) -> None:
    """By Node, or else by Deno, which comes with yt-dlp."""
    for name, recipe in zip(("ytmp3d.mjs", "client.test.mjs"), blocks("js"), strict=True):
        (tmp_path / name).write_text(recipe)
    deno = [str(Path(sys.prefix) / "bin" / "deno"), "test", "--no-config", "--allow-all", "--quiet"]
    command = ["node", "--test"] if shutil.which("node") else deno
    variables = environment | {"DENO_DIR": environment["TMPDIR"], "NO_COLOR": "1"}
    done = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True, timeout=90)
    assert done.returncode == 0 and re.search(r"# pass 1|1 passed", done.stdout), done.stdout + done.stderr
    check_nothing_is_left(environment, tmp_path, "ytmp3d.mjs", "client.test.mjs")


def test_the_tables_of_docs_code_and_description_are_one(tmp_path: Path) -> None:
    in_code = reserved()
    assert rows("API key") == [[one["key"], one["behaviour"]] for one in in_code["keys"]]
    for first, kind in (("video id", "videos"), ("list id", "playlists")):
        shown = rows(first)
        assert [row[:3] for row in shown] == [[one["id"], one["outcome"], one["summary"]] for one in in_code[kind]]
        assert all(re.fullmatch(r"\d+\.\d s", row[3]) for row in shown), "python -m tests.durations measures it"
    with started(tmp_path / "it", "--offline") as server:
        assert requests.get(f"{server.url}/openapi.json", timeout=60).json()["x-reserved"] == in_code


@needs_curl
def test_the_console_of_the_readme_works_as_written(tmp_path: Path, environment: dict[str, str]) -> None:
    (example,) = CONSOLE.findall(README)
    commands = [line.removeprefix("$ ") for line in example.splitlines() if line.startswith("$ ")]
    assert commands[0] == "ytmp3d serve --offline &" and len(commands) == 3
    with started(tmp_path / "it", "--offline", TMPDIR=environment["TMPDIR"]) as server:
        convert, download = (one.replace("http://127.0.0.1:8080", server.url) for one in commands[1:])
        answer = subprocess.run(["sh", "-c", convert], cwd=tmp_path, capture_output=True, timeout=60, check=True).stdout
        download = download.replace("y0jE3k…", json.loads(answer)["conversion_id"])
        subprocess.run(["sh", "-c", download], cwd=tmp_path, timeout=60, check=True)
        (saved,) = tmp_path.glob("*.mp3")
        assert saved.read_bytes()[:3] == b"ID3"
