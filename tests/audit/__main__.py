"""`python -m tests.audit`: print the known weaknesses (advisories) of the packages in this environment.

It is information: neither an advisory nor a service that cannot be reached fails it. A pip-audit that cannot be
installed does.
"""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
import tempfile
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

#: Seconds that the service may take for one package, and pip-audit for all.
ANSWER_TIMEOUT, TIMEOUT = 10, 300
UNREACHABLE = "pip-audit: the service with the advisories cannot be reached from here, so nothing was looked up"


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="ytmp3d-audit-") as name:
        programs = Path(name) / "bin"
        venv.create(name, with_pip=True)
        install = [str(programs / "pip"), "install", "--quiet", "--disable-pip-version-check", "pip-audit>=2.9"]
        subprocess.run(install, check=True, timeout=TIMEOUT)
        for line in audit(programs / "pip-audit", Path(sysconfig.get_path("purelib"))):
            print(line)
    return 0


def audit(program: Path, packages: Path) -> Iterator[str]:
    """What pip-audit has found out about the installed `packages`, in lines."""
    command = [str(program), "--path", str(packages), "--format", "json", "--progress-spinner", "off"]
    try:
        done = subprocess.run(
            [*command, "--timeout", str(ANSWER_TIMEOUT)], capture_output=True, text=True, timeout=TIMEOUT
        )
        found = json.loads(done.stdout)["dependencies"]
    except (subprocess.TimeoutExpired, ValueError, KeyError):
        yield UNREACHABLE
    else:
        yield from told(found)


def told(found: list[dict[str, Any]]) -> Iterator[str]:
    """pip-audit's JSON in lines: a package that the service does not know was not looked up."""
    looked_up = [package for package in found if "skip_reason" not in package]
    if not looked_up:
        yield UNREACHABLE
        return
    weak = [package for package in looked_up if package["vulns"]]
    for package in weak:
        for advisory in package["vulns"]:
            mended = ", ".join(advisory["fix_versions"]) or "no version yet"
            yield f"pip-audit: {package['name']} {package['version']} has {advisory['id']}, mended in {mended}"
    yield f"pip-audit: {len(looked_up)} packages were looked up, {len(weak)} have advisories"


if __name__ == "__main__":
    sys.exit(main())
