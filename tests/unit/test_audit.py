"""The advisories that CI prints: information, which never fails it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from audit.__main__ import UNREACHABLE, audit, told

SKIPPED = {"name": "aiohttp", "skip_reason": "Dependency not found on PyPI and could not be audited: aiohttp (3.14.5)"}
SOUND = {"name": "yarl", "version": "1.25.1", "vulns": []}
WEAK = {
    "name": "yt-dlp",
    "version": "2026.1.1",
    "vulns": [
        {"id": "PYSEC-2026-1", "fix_versions": ["2026.7.4"], "aliases": [], "description": "long"},
        {"id": "PYSEC-2026-2", "fix_versions": [], "aliases": [], "description": "long"},
    ],
}


def test_each_advisory_is_a_line_with_its_mend() -> None:
    assert list(told([SKIPPED, SOUND, WEAK])) == [
        "pip-audit: yt-dlp 2026.1.1 has PYSEC-2026-1, mended in 2026.7.4",
        "pip-audit: yt-dlp 2026.1.1 has PYSEC-2026-2, mended in no version yet",
        "pip-audit: 2 packages were looked up, 1 have advisories",
    ]


def test_where_nothing_is_known_of_any_package_nothing_was_looked_up() -> None:
    assert list(told([SKIPPED])) == list(told([])) == [UNREACHABLE]


@pytest.mark.parametrize(
    ("printed", "status", "lines"),
    [
        (json.dumps({"dependencies": [SOUND]}), 0, ["pip-audit: 1 packages were looked up, 0 have advisories"]),
        (json.dumps({"dependencies": [WEAK]}), 1, list(told([WEAK]))),
        (json.dumps({"dependencies": [SKIPPED]}), 0, [UNREACHABLE]),
        ("", 1, [UNREACHABLE]),
    ],
    ids=["sound", "weak", "unknown", "no network"],
)
def test_whatever_it_says_or_not_there_are_lines(tmp_path: Path, printed: str, status: int, lines: list[str]) -> None:
    program = tmp_path / "pip-audit"
    program.write_text(f"#!/bin/sh\nprintf '%s' '{printed}'\nexit {status}\n")
    program.chmod(0o755)
    assert list(audit(program, tmp_path)) == lines
