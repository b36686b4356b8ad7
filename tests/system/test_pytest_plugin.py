"""The pytest plugin as an author of a client uses it: in a project and a pytest of its own, side by side."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.serverprocess import MARK, ROOT, all_processes, marked
from support.waiting import until

pytestmark = pytest.mark.long

CLIENT = '''
import json
import time
import urllib.error
import urllib.request


def convert(base, key, link, tries=3, timeout=60):
    """The finished conversion; it tries again when it is told to."""
    headers = {"Authorization": f"Bearer {key}", "Prefer": "wait=50", "Idempotency-Key": link}
    request = urllib.request.Request(f"{base}/convert", json.dumps({"url": link}).encode(), headers)
    for left in reversed(range(tries)):
        try:
            with urllib.request.urlopen(request, timeout=timeout) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                if error.code not in (429, 503) or not left:
                    raise
                time.sleep(int(error.headers["Retry-After"]))
        except ConnectionError:
            if not left:
                raise
'''
TESTS = """
import urllib.error

import pytest
from client import convert

LINK = "https://youtu.be/x-1-second-"


@pytest.fixture(scope="session")
def ytmp3d_settings():
    return "[limits]\\nconcurrent = 1"


def test_it_tries_again_as_told(ytmp3d_server):
    ytmp3d_server.rule("POST /convert", nth=2, code="QUEUE_FULL", retry_after=1)
    convert(ytmp3d_server.url, ytmp3d_server.key, LINK)
    assert convert(ytmp3d_server.url, ytmp3d_server.key, LINK + "?si=2")["status"] == "completed"
    assert ytmp3d_server.requests == {"POST /convert": 3}


def test_it_survives_a_lost_answer(ytmp3d_server):
    ytmp3d_server.rule("POST /convert", cut_after=0)
    assert convert(ytmp3d_server.url, ytmp3d_server.key, LINK)["status"] == "completed"
    assert [one["fired"] for one in ytmp3d_server.rules()] == [1]


def test_it_gives_up_on_a_slow_server(ytmp3d_server):
    ytmp3d_server.rule(delay=60)
    with pytest.raises(TimeoutError):
        convert(ytmp3d_server.url, ytmp3d_server.key, LINK, timeout=0.2)


def test_it_gives_up_beyond_the_limit(ytmp3d_server):
    other = ytmp3d_server.another_key(per_minute=1)
    convert(other.url, other.key, LINK)
    with pytest.raises(urllib.error.HTTPError, match="429"):
        convert(other.url, other.key, LINK, tries=1)


@pytest.mark.parametrize("number", range(4))
def test_nothing_is_left_of_other_tests(ytmp3d_server, number):
    assert (ytmp3d_server.requests, ytmp3d_server.rules()) == ({}, [])
    ytmp3d_server.rule(every=1, code="INTERNAL_ERROR")
    with pytest.raises(urllib.error.HTTPError, match="500"):
        convert(ytmp3d_server.url, ytmp3d_server.key, LINK)


def test_a_mistake_is_explained(ytmp3d_server):
    with pytest.raises(Exception, match="POST /convert"):
        ytmp3d_server.rule("POST /conver", code="QUEUE_FULL")
"""


def run_pytest(folder: Path, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """In a process of its own, with our plugin as this checkout has it and nobody else's."""
    here = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONDONTWRITEBYTECODE": "1", MARK: str(folder)}
    path = os.pathsep.join(filter(None, [environment.pop("PYTHONPATH", ""), str(ROOT)]))
    command = [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", "--rootdir", str(folder)]
    return subprocess.run(
        [*command, "-p", "server.testing.plugin", *options],
        cwd=folder,
        env={**os.environ, **here, "PYTHONPATH": path, **environment},
        capture_output=True,
        text=True,
        timeout=240,
    )


def test_a_project_of_a_client_tests_it_side_by_side_and_leaves_nothing(tmp_path: Path) -> None:
    files = {
        "client.py": CLIENT,
        "test_client.py": TESTS,
        "config.toml": "this is not for the server",
        "yt_dlp.py": "1/0",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    done = run_pytest(tmp_path, "-p", "xdist", "-n", "2", YTMP3D_SERVER__HOST="nowhere.invalid", YTMP3D_KEY="short")
    assert done.returncode == 0 and "9 passed" in done.stdout, done.stdout + done.stderr
    until(lambda: not any(marked(one.pid, str(tmp_path)) for one in all_processes()), what="no process is left")
    assert {path.name for path in tmp_path.iterdir()} == files.keys()


def test_without_the_extra_it_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "without").mkdir()
    (tmp_path / "without" / "trustme.py").write_text('raise ModuleNotFoundError("none", name="trustme")')
    (tmp_path / "test_it.py").write_text("def test_it(ytmp3d_server): pass")
    done = run_pytest(tmp_path, PYTHONPATH=str(tmp_path / "without"))
    assert done.returncode == 1 and "install 'ytmp3d[offline]'" in done.stdout, done.stdout + done.stderr
    assert "Traceback" not in done.stdout


def test_a_run_that_does_not_use_it_pays_nothing() -> None:
    code = (
        "import sys, pytest; known = set(sys.modules); import server.testing.plugin; print(*set(sys.modules) - known)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert set(done.stdout.split()) == {"server", "server.testing", "server.testing.plugin"}, done
