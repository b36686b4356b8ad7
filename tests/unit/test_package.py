"""The package holds every module and every data file; `python -m tests.package` builds and uses it."""

from __future__ import annotations

import configparser
import re
from fnmatch import fnmatch
from pathlib import Path

import pytest

from server import __version__

ROOT = Path(__file__).parents[2]
SETUP = configparser.ConfigParser()
SETUP.read(ROOT / "setup.cfg")
PACKAGES = set(SETUP["options"]["packages"].split())
PATTERNS = {name: value.replace(",", " ").split() for name, value in SETUP["options.package_data"].items()}
#: What lies in a package's folder and is none of its data.
FOR_DEVELOPERS = {"README.md"}

#: Packages without modules.
OF_DATA = {"ytmp3d.deploy", "ytmp3d.example", "ytmp3d.static", "ytmp3d.static.docs"}
#: Nothing that makes YouTube work is held back in CI.
FLOATING = {"yt-dlp", "yt-dlp-ejs", "deno", "bgutil-ytdlp-pot-provider"}


def test_every_folder_of_modules_is_a_package() -> None:
    folders = {path.parent.relative_to(ROOT / "server").parts for path in (ROOT / "server").rglob("*.py")}
    assert {".".join(("ytmp3d", *folder)) for folder in folders} == PACKAGES - OF_DATA


@pytest.mark.parametrize("folder", ["server", "static"])
def test_every_other_file_is_data(folder: str) -> None:
    for path in (ROOT / folder).rglob("*"):
        inside = path.relative_to(ROOT / folder).parts
        if path.is_dir() or path.suffix in (".py", ".pyc") or "downloads" in inside or path.name in FOR_DEVELOPERS:
            continue
        package = ".".join(("ytmp3d", *(("static",) if folder == "static" else ()), *inside[:-1]))
        assert any(fnmatch(path.name, pattern) for pattern in PATTERNS.get(package, [])), path


def test_nothing_that_is_named_is_missing() -> None:
    assert PATTERNS.keys() <= PACKAGES
    assert PATTERNS["ytmp3d.example"] == ["config.example.toml"] and (ROOT / "config.example.toml").is_file()


def test_the_newest_release_of_the_changelog_is_this_version() -> None:
    releases = re.findall(r"^## \[(\d.+)\] - \d{4}-\d\d-\d\d$", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert releases[0] == __version__


def test_ci_keeps_everything_but_ytdlp_to_the_version_it_passed_with() -> None:
    lines = (ROOT / ".ci" / "constraints.txt").read_text().splitlines()
    pinned = {normalized(line) for line in lines if not line.startswith("#")}
    wanted = SETUP["options"]["install_requires"] + "".join(SETUP["options.extras_require"].values())
    named = {normalized(line) for line in wanted.split("\n") if line and not line.startswith(("#", "ytmp3d"))}
    assert named - FLOATING <= pinned and not pinned & FLOATING
    assert all(re.fullmatch(r"#.*|[\w-]+==[\w.]+", line) for line in lines)


def normalized(requirement: str) -> str:
    """Its name as package indexes write it."""
    return re.sub(r"[-_.]+", "-", re.split(r"[\[<>=]", requirement)[0]).lower()
