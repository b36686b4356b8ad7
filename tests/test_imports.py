"""Who may import what: the floors of the house, see each module's first lines for what is on them."""

from __future__ import annotations

import ast
import re
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

SERVER = Path(__file__).parent.parent / "server"
#: The files that speak HTTP, and those that make the parts of it and start them.
HTTP = {
    "admission", "app", "appkeys", "body", "border", "demo", "downloads", "events", "files", "forwarded",
    "handlers", "health", "logs", "serve",
}  # fmt: skip
#: What makes an MP3, of which the engine and all around the table know nothing.
MAKING = {"pipeline", "ytdlp", "ytdlp_child", "ffmpeg", "process"}
#: What starts processes or forks.
SPAWNING = re.compile(
    r"subprocess|multiprocessing(\.(process|context|pool|forkserver))?|asyncio\.create_subprocess_\w+|os\.(fork|posix_spawn|exec|spawn|system|popen)\w*"
)


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), filename=str(path))


def imported(path: Path) -> set[str]:
    """Dotted names, ours beginning with `server.`."""
    found: set[str] = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 or path.parent != SERVER, "absolute imports in server/"
            base = node.module or ""
            found |= {f"{base}.{alias.name}" for alias in node.names} if base == "server" else {base}
    return found


MODULES = {path.stem: imported(path) for path in sorted(SERVER.glob("*.py"))}
BELOW = {
    name: {one.split(".")[1] for one in found if one.startswith("server.")} - {"__version__"}
    for name, found in MODULES.items()
}


def all_below(name: str) -> set[str]:
    found: set[str] = set()
    waiting = [name]
    while waiting:
        fresh = BELOW.get(waiting.pop(), set()) - found
        found |= fresh
        waiting += fresh
    return found


def test_imports_run_downward_only() -> None:
    TopologicalSorter({name: below & BELOW.keys() for name, below in BELOW.items()}).prepare()


def test_only_the_files_of_http_import_aiohttp() -> None:
    assert {name for name, found in MODULES.items() if any(one.split(".")[0] == "aiohttp" for one in found)} == HTTP


@pytest.mark.parametrize("name", ["engine", "workers", "table", "recovery", "journal", "artifacts"])
def test_what_keeps_the_conversions_knows_nothing_of_http_or_of_how_an_mp3_is_made(name: str) -> None:
    assert not all_below(name) & (HTTP | MAKING)


@pytest.mark.parametrize(("name", "below"), [("errors", set()), ("config", set()), ("jobs", {"errors"})])
def test_the_leaves_rest_on_nothing(name: str, below: set[str]) -> None:
    assert BELOW[name] == below


def test_the_offline_youtube_is_imported_by_serve_alone() -> None:
    assert {name for name, below in BELOW.items() if "offline" in below} == {"serve"}


def test_only_process_starts_processes() -> None:
    for path in SERVER.glob("*.py"):
        used = {ast.unparse(node) for node in ast.walk(tree(path)) if isinstance(node, ast.Attribute)}
        spawning = {name for name in used | MODULES[path.stem] if SPAWNING.fullmatch(name)}
        assert bool(spawning) == (path.stem == "process"), (path.name, spawning)
