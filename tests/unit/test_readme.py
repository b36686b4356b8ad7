"""The README and its reference name every command, option, route, error code and dependency there is, and no other."""

from __future__ import annotations

import argparse
import configparser
import re
from pathlib import Path

import pytest

from server.app import ROUTES
from server.commands.cli import parser
from server.errors import JOB_ERRORS, REQUEST_ERRORS

ROOT = Path(__file__).parents[2]
#: The README and the documents that it leads to.
PAGES = {path.name: path.read_text() for path in (ROOT / "README.md", *(ROOT / "static" / "docs").glob("*.md"))}
README = "\n".join(PAGES.values())
#: Words of prose in the README that a newcomer reads in five minutes.
MOST_WORDS = 1000
#: Words in capitals that are no error codes.
NO_CODES = {"ERROR_CODE", "YOUR_API_KEY", "YTMP3D_KEY"}


def commands(whole: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """Every parser by its words, such as `keys create`."""
    found: dict[str, argparse.ArgumentParser] = {}
    for action in whole._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, below in action.choices.items():
                found[name] = below
                found |= {f"{name} {deeper}": one for deeper, one in commands(below).items()}
    return found


def test_every_command_and_option_is_in_the_readme() -> None:
    for words, command in {"--version": parser(), **commands(parser())}.items():
        assert f"`{words}" in README, words
        for action in command._actions:
            for option in action.option_strings:
                assert option in ("-h", "--help") or option in README, f"{words} {option}"


def test_every_route_is_in_the_readme() -> None:
    for method, path, _ in ROUTES:
        if not path.startswith("/static/downloads/"):
            assert f"`{method} {path}" in README, f"{method} {path}"
    assert "`download_url`" in README and "`thumbnail_url`" in README


def test_the_error_codes_of_the_readme_are_those_of_the_catalogue() -> None:
    named = set(re.findall(r"`([A-Z]+(?:_[A-Z]+)+|UPCOMING|TIMEOUT|TRUNCATED|UNAUTHORIZED|FORBIDDEN)`", README))
    assert named - NO_CODES == set(REQUEST_ERRORS) | set(JOB_ERRORS)


def test_every_dependency_has_its_sentence() -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    wanted = setup["options"]["install_requires"] + setup["options.extras_require"]["offline"]
    for name in re.findall(r"^([A-Za-z-]+)", wanted, re.MULTILINE):
        assert f"**{name}**" in README, name


def test_the_readme_is_short() -> None:
    prose = re.sub(r"^(```.+?^```|\|.+?)$", "", PAGES["README.md"], flags=re.M | re.S)
    assert len(prose.split()) < MOST_WORDS


@pytest.mark.parametrize("name", PAGES)
def test_every_link_leads_to_a_file(name: str) -> None:
    folder = ROOT if name == "README.md" else ROOT / "static" / "docs"
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", PAGES[name]):
        assert target.startswith("https://") or (folder / target).exists(), target
