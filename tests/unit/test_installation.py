"""What messages tell people to type, for each way of installing ytmp3d."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from server import installation
from server.config import ConfigError
from server.offline import offline_youtube

CHECKOUT = Path(__file__).parents[2]


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """The command that pip makes, in an environment's folder of programs."""
    path = tmp_path / "bin" / "ytmp3d"
    path.parent.mkdir()
    path.touch(0o755)
    return path


def test_a_checkout_is_started_by_its_module(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [str(CHECKOUT / "server" / "__main__.py"), "serve"])
    assert installation.program() == "python -m server"


def test_a_command_on_path_is_called_by_its_name(script: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [str(script)])
    monkeypatch.setenv("PATH", str(script.parent) + os.pathsep + os.environ["PATH"])
    assert installation.program() == "ytmp3d"


def test_a_command_that_is_not_on_path_is_called_as_it_was_typed(script: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = script.parent.parent / "other" / "ytmp3d"
    other.parent.mkdir()
    other.touch(0o755)
    monkeypatch.setenv("PATH", str(other.parent))
    monkeypatch.setattr(sys, "argv", [str(script)])
    assert installation.program() == str(script)
    monkeypatch.chdir(script.parent.parent)
    monkeypatch.setattr(sys, "argv", ["bin/ytmp3d"])
    assert installation.program() == "bin/ytmp3d"


@pytest.mark.parametrize(
    ("marker", "expected"),
    [
        (None, "pip install X"),
        ("pipx_metadata.json", "pipx runpip ytmp3d install X"),
        ("uv-receipt.toml", 'uv pip install --python "$(uv tool dir)/ytmp3d" X'),
    ],
)
def test_packages_are_installed_by_what_installed_ytmp3d(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, marker: str | None, expected: str
) -> None:
    if marker:
        (tmp_path / marker).touch()
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    assert installation.pip_install("X") == ".venv/bin/pip install X"
    monkeypatch.setattr(installation, "CHECKOUT", None)
    assert installation.pip_install("X") == expected


def test_the_example_of_a_checkout_is_at_its_top() -> None:
    assert CHECKOUT == installation.CHECKOUT
    assert installation.CONFIG_EXAMPLE == CHECKOUT / "config.example.toml"


async def test_offline_mode_without_its_extra_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "trustme", None)
    monkeypatch.setattr(installation, "CHECKOUT", None)
    with pytest.raises(ConfigError) as refused:
        await offline_youtube(tmp_path, "ffmpeg").__aenter__()
    assert str(refused.value) == (
        "offline mode needs a package that is not installed (trustme): pip install 'ytmp3d[offline]'"
    )
