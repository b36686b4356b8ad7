"""What the README tells authors of clients, run as it is written, and its tables beside the code's."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import requests
from support.commandline import started
from support.serverprocess import MARK, ROOT, all_processes, marked, until

from server.offline.keys import reserved

SECTION = re.search(r"^## Test a client against it\n(.+?)^## ", (ROOT / "README.md").read_text(), re.M | re.S)
assert SECTION
TEXT = SECTION[1]


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.+?)^```$", TEXT, re.M | re.S)


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
    conftest, test = blocks("python")
    theirs = tmp_path / "their-project"
    theirs.mkdir()
    (theirs / "conftest.py").write_text(conftest)
    (theirs / "test_client.py").write_text(test)
    command = [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", "--rootdir", str(theirs)]
    # Some of our plugins ask for settings.
    plain = environment | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, cwd=theirs, env=plain, capture_output=True, text=True, timeout=90)
    assert done.returncode == 0 and "1 passed" in done.stdout, done.stdout + done.stderr
    check_nothing_is_left(environment, theirs, "conftest.py", "test_client.py")


def test_the_tables_of_readme_code_and_description_are_one(tmp_path: Path) -> None:
    in_code = reserved()
    assert rows("API key") == [[one["key"], one["behaviour"]] for one in in_code["keys"]]
    assert rows("video id") == [[one["id"], one["outcome"], one["summary"]] for one in in_code["videos"]]
    assert rows("list id") == [[one["id"], one["outcome"], one["summary"]] for one in in_code["playlists"]]
    with started(tmp_path / "it", "--offline") as server:
        assert requests.get(f"{server.url}/openapi.json", timeout=60).json()["x-reserved"] == in_code
