"""The recipes of "Use the API", run as they are written."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path

from support.commandline import started
from support.curl import needs_curl
from support.serverprocess import ROOT

from server.offline.keys import WEBHOOK_SECRET
from server.webhooks import signature

TEXT = (ROOT / "static" / "docs" / "api.md").read_text()
BODY = b'{"type": "conversion.completed", "data": {"title": "\xf0\x9f\x8c\x99"}}'


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.+?)^```$", TEXT, re.M | re.S)


def test_every_example_is_run_here() -> None:
    assert set(re.findall(r"^```(\w+)", TEXT, re.M)) == {"sh", "python", "js"}


@needs_curl
def test_the_recipes_for_a_shell_work_as_written(tmp_path: Path) -> None:
    clip, loudness, playlist, limits = blocks("sh")
    with started(tmp_path / "it", "--offline") as server:

        def run(recipe: str) -> str:
            environment = {**os.environ, "MP3_API": server.url, "MP3_KEY": "test-unlimited"}
            command = ["sh", "-eu", "-c", recipe]
            done = subprocess.run(
                command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=True
            )
            return done.stdout

        made = json.loads(run(clip))
        assert made["status"] == "completed" and made["clip"] == {"start": 2, "end": 5.5}
        assert [job["loudness"] for job in json.loads(run(loudness))["jobs"]] == [-14, -14]
        run(playlist)
        with zipfile.ZipFile(tmp_path / "songs.zip") as songs:
            assert len(songs.namelist()) == 3 and songs.testzip() is None
        assert re.search(r"^x-ratelimit-remaining: \d+", run(limits), re.M | re.I)


def test_the_signature_is_checked_as_written_in_python() -> None:
    (recipe,) = blocks("python")
    found: dict[str, object] = {}
    exec(recipe, found)  # noqa: S102  # our own text
    is_ours = found["is_from_ytmp3d"]
    assert callable(is_ours)
    for secret, body, age, expected in CASES:
        headers = signature.headers(WEBHOOK_SECRET, "msg_1", int(time.time()) - age, BODY)
        assert is_ours(secret, headers, body) is expected


CASES = (
    (WEBHOOK_SECRET, BODY, 0, True),
    (WEBHOOK_SECRET, BODY + b" ", 0, False),
    (WEBHOOK_SECRET, BODY, 3600, False),
    ("whsec_bm90IHRoZSBzZWNyZXQ=", BODY, 0, False),
)


def test_the_signature_is_checked_as_written_in_javascript(tmp_path: Path) -> None:
    (recipe,) = blocks("js")
    (tmp_path / "verify.mjs").write_text(recipe)
    headers = [signature.headers(WEBHOOK_SECRET, "msg_1", int(time.time()) - age, BODY) for _, _, age, _ in CASES]
    (tmp_path / "test.mjs").write_text(
        f"""
        import {{ isFromYtmp3d }} from "./verify.mjs";
        const secrets = {json.dumps([secret for secret, *_ in CASES])};
        const bodies = {json.dumps([body.decode() for _, body, *_ in CASES])};
        const headers = {json.dumps(headers)};
        console.log(JSON.stringify(secrets.map((secret, at) => isFromYtmp3d(secret, headers[at], bodies[at]))));
        """
    )
    deno = [str(Path(sys.prefix) / "bin" / "deno"), "run", "--no-config", "--quiet"]
    command = [*(["node"] if shutil.which("node") else deno), "test.mjs"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True)
    assert json.loads(done.stdout) == [expected for *_, expected in CASES]
