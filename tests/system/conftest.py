"""What tests of whole commands share."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.commandline import Here

from server.commands.cli import main


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder for temporary files, whose path is short enough for that of a socket in it."""
    with tempfile.TemporaryDirectory(prefix="t", dir="/tmp") as name:  # pytest's own are too long
        yield Path(name)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Here:
    """Runs a command that ends by itself in `tmp_path`, and in this process, which takes less time than a new one."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.toml").touch()  # so that all files are beside it

    def run(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        try:
            status = main([str(one) for one in arguments])
        except SystemExit as refusal:  # argparse's
            status = refusal.code if isinstance(refusal.code, int) else 1
        printed = capsys.readouterr()
        return subprocess.CompletedProcess([str(one) for one in arguments], status, printed.out, printed.err)

    return run
