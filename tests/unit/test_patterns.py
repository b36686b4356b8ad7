"""The description's patterns as other tools read them: as ECMA-262 with the flag u, which Python's `re` is not."""

from __future__ import annotations

import json
import re
import subprocess
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.description import SCHEMAS, SPEC

#: yt-dlp's JavaScript runtime.
DENO = Path(sysconfig.get_path("scripts")) / "deno"
#: Reads [[pattern, text], …]; says of each whether the text fits, or what is wrong with the pattern.
SCRIPT = """
const asked = JSON.parse(await new Response(Deno.stdin.readable).text());
console.log(JSON.stringify(asked.map(([pattern, text]) => {
  try { return new RegExp(pattern, 'u').test(text); } catch (error) { return error.message; }
})));
"""


def patterns(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if isinstance(pattern := part.get("pattern"), str):
            yield pattern
        yield from (found for one in part.values() for found in patterns(one))
    elif isinstance(part, list):
        yield from (found for one in part for found in patterns(one))


def answered(asked: list[tuple[str, str]], tmp_path: Path) -> list[bool | str]:
    script = tmp_path / "patterns.js"
    script.write_text(SCRIPT)
    command = [str(DENO), "run", "--quiet", "--no-config", str(script)]
    done = subprocess.run(command, input=json.dumps(asked).encode(), capture_output=True, check=True, timeout=120)
    found: list[bool | str] = json.loads(done.stdout)
    return found


def test_every_pattern_is_an_expression_under_the_flag_u_and_means_the_same(tmp_path: Path) -> None:
    texts = [
        "",
        "12",
        "1:05",
        "1:02:03.5",
        "dQw4w9WgXcQ",
        "y0jE3kAAAAAAAAAAAAAAAAAA",
        "a key",
        "PL" + 16 * "x",
        "é",
        "\n",
    ]
    texts += [str(one) for name in ("VideoUrl", "ListUrl") for one in SCHEMAS[name]["examples"]]
    texts += ['https://youtu.be/dQw4w9WgXcQ?x="', "https://youtu.be/dQw4w9WgXcQ#t=1", "https://example.org/dQw4w9WgXcQ"]
    asked = [(pattern, text) for pattern in sorted(set(patterns(SPEC))) for text in texts]
    assert len(asked) > 50
    expected = [
        bool(re.search(pattern.removesuffix("$") + r"\Z" if pattern[-1] == "$" else pattern, text))
        for pattern, text in asked
    ]
    assert answered(asked, tmp_path) == expected


@pytest.mark.parametrize("pattern", [r"[\"]", r"\-", "{", "a]", r"\_"])
def test_what_only_python_takes_would_be_found(pattern: str, tmp_path: Path) -> None:
    re.compile(pattern)
    (found,) = answered([(pattern, "")], tmp_path)
    assert "Invalid regular expression" in str(found)
