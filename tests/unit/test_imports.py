"""Which package may import which; `server/README.md` describes them."""

from __future__ import annotations

import ast
import re
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

SERVER = Path(__file__).parents[2] / "server"
#: Modules that stand in `server/` itself and are the vocabulary of all packages, with the modules they may use.
VOCABULARY = {
    "errors": set(),
    "config": {"naming"},
    "config_file": {"config", "naming", "places"},
    "places": set(),
    "completion": set(),
    "logs": {"config", "printable", "repeats"},
    "printable": set(),
    "repeats": set(),
    "installation": set(),
    "stored": set(),
    "clip": {"stored"},
    "levels": set(),
    "memory": set(),
    "jobs": {"clip", "errors", "stored"},
    "filesystems": set(),
    "gate": {"errors", "jobs"},
    "naming": {"jobs"},
    "networks": set(),
    "metrics": {"jobs"},
    "youtube_url": {"errors"},
}
#: The packages that each package may import, beside itself and the vocabulary.
IMPORT_RULES: dict[str, set[str]] = {
    "access": set(),
    "storage": set(),
    "media": {"storage"},
    "conversions": {"storage"},
    "webhooks": {"storage"},
    "testing": set(),
    "http": {"access", "conversions", "media", "storage", "webhooks"},
    "offline": {"access", "http", "media"},
    "app": {"access", "conversions", "http", "media", "storage", "webhooks"},
    "commands": {"access", "app", "conversions", "http", "media", "offline", "storage", "webhooks"},
}
#: Only these packages may import aiohttp.
HTTP_PACKAGES = {"http", "webhooks", "offline", "app", "commands"}
#: Who may start processes. The two before the last run in processes of their own, which `media.forking` starts.
STARTING = ("media.process", "media.forking", "media.forkserver", "media.tool_child", "testing.offline_server")
#: What starts processes or forks.
SPAWNING = re.compile(
    r"subprocess|multiprocessing(\.(process|context|pool|forkserver))?|asyncio\.create_subprocess_\w+"
    r"|os\.(fork|posix_spawn|exec|spawn|system|popen)\w*"
)

PATHS = {
    ".".join(path.relative_to(SERVER).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(SERVER.rglob("*.py"))
    if path.parent != SERVER or path.stem not in ("__init__", "__main__")
}


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), filename=str(path))


def imported(path: Path) -> set[str]:
    """Dotted names; those of other modules here begin with `server.`."""
    found: set[str] = set()
    package = ("server", *path.relative_to(SERVER).parts[:-1])
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            base = ".".join((*above, *filter(None, [node.module])))
            found |= {f"{base}.{alias.name}" for alias in node.names} if node.level else {base}
    return found


MODULES = {name: imported(path) for name, path in PATHS.items()}


def module_of(dotted: str) -> str | None:
    """The module here that an imported name is, or is in."""
    name = dotted.removeprefix("server.")
    while dotted.startswith("server.") and name:
        if name in PATHS:
            return name
        name = name.rpartition(".")[0]
    return None


BELOW = {name: {module for one in found if (module := module_of(one))} for name, found in MODULES.items()}


def package_of(module: str) -> str:
    return module.partition(".")[0]


def test_every_import_of_our_own_is_relative() -> None:
    """The folder is installed under another name."""
    for name, path in PATHS.items():
        for node in ast.walk(tree(path)):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
            assert not {one.split(".")[0] for one in names} & {"server", "ytmp3d"}, name


def test_no_module_imports_itself_through_others() -> None:
    TopologicalSorter(BELOW).prepare()


def test_every_module_is_in_a_package_or_in_the_vocabulary() -> None:
    assert {package_of(name) for name in PATHS} == IMPORT_RULES.keys() | VOCABULARY.keys()


@pytest.mark.parametrize("name", PATHS)
def test_a_module_imports_only_what_its_package_may(name: str) -> None:
    packages = {package_of(one) for one in BELOW[name]} - {package_of(name)}
    if package_of(name) in VOCABULARY:
        assert packages <= VOCABULARY[package_of(name)]
    else:
        assert packages <= IMPORT_RULES[package_of(name)] | VOCABULARY.keys()


def test_only_the_packages_of_http_import_aiohttp() -> None:
    users = {package_of(name) for name, found in MODULES.items() if any(package_of(one) == "aiohttp" for one in found)}
    assert users <= HTTP_PACKAGES


def test_only_the_commands_import_the_offline_youtube() -> None:
    users = {package_of(name) for name, below in BELOW.items() if "offline" in map(package_of, below)}
    assert users <= {"commands", "offline"}


def test_only_these_modules_start_processes() -> None:
    for name, path in PATHS.items():
        used = {ast.unparse(node) for node in ast.walk(tree(path)) if isinstance(node, ast.Attribute)}
        spawning = {one for one in used | MODULES[name] if SPAWNING.fullmatch(one)}
        assert bool(spawning) == (name in STARTING), (name, spawning)


@pytest.mark.parametrize("name", sorted(IMPORT_RULES.keys() - {"app"}))
def test_a_package_says_what_it_may_import(name: str) -> None:
    promise = ast.get_docstring(tree(SERVER / name / "__init__.py")) or ""
    found = re.search(r"^May import: (.+)\.$", promise, re.M)
    assert found, name
    assert set(found[1].split(", ")) - {"no other package"} == IMPORT_RULES[name]


def test_the_readme_names_every_package_and_no_missing_module() -> None:
    page = (SERVER / "README.md").read_text()
    for name in IMPORT_RULES:
        assert f"| `{name}{'.py' if name == 'app' else '/'}` |" in page, name
    for path in re.findall(r"`((?:[a-z_]+/)*[a-z_]+\.py)`", page):
        assert (SERVER / path).exists() or (SERVER.parent / path).exists(), path
