"""The reference's examples do what they say, run as a person would paste them, against a real offline server."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.description import SPEC
from support.serverprocess import SOON, ServerProcess

from server.offline.catalogue import RESERVED
from server.offline.keys import TABLE, reserved
from server.offline.playlists import RESERVED_LISTS

LANGUAGES = ("curl", "Python", "JavaScript")
#: It takes a minute.
LONG = "x-4-minutes"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    server = ServerProcess(tmp_path_factory.mktemp("docs") / "state", "[offline]\nrate_kbps = 512")
    server.start()
    yield server
    server.end()


@pytest.fixture
def made(server: ServerProcess) -> str:
    """The id of a completed conversion, also of the video that the examples name. One of the examples clears it."""
    conversion_id = server.convert("dQw4w9WgXcQ", "high")
    assert server.finished(conversion_id)["status"] == "completed"
    return conversion_id


def example(operation_id: str, language: str) -> str:
    for item in SPEC["paths"].values():
        for operation in item.values():
            if operation["operationId"] == operation_id:
                return str(next(one["source"] for one in operation["x-codeSamples"] if one["label"] == language))
    raise LookupError(operation_id)


def command(language: str, source: str, folder: Path) -> list[str]:
    """How a person would run it."""
    if language == "curl":
        script = folder / "example.sh"
    elif language == "Python":
        script = folder / "example.py"
    else:
        script = folder / "example.mjs"
    script.write_text(source, encoding="utf-8")
    if language == "curl":
        if not shutil.which("curl"):
            pytest.skip("NOT TESTED: the examples for curl (there is none on PATH)")
        return ["sh", str(script)]
    if language == "Python":
        return [sys.executable, str(script)]
    deno = Path(sysconfig.get_path("scripts")) / "deno"  # yt-dlp's JavaScript runtime, which runs fetch too
    return [str(deno), "run", "--quiet", "--allow-net", str(script)]


def environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "DENO_DIR": str(folder / "deno"), "DENO_NO_UPDATE_CHECK": "1"}


def filled_in(server: ServerProcess, source: str, conversion_id: str) -> str:
    source = source.replace("http://127.0.0.1:8080", f"http://127.0.0.1:{server.port}")
    return source.replace("CONVERSION_ID", conversion_id)


def printed(server: ServerProcess, folder: Path, language: str, operation_id: str, conversion_id: str = "") -> str:
    """What the example prints."""
    source = filled_in(server, example(operation_id, language), conversion_id)
    done = subprocess.run(
        command(language, source, folder),
        cwd=folder,
        env=environment(folder),
        capture_output=True,
        text=True,
        timeout=SOON,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.long
@pytest.mark.parametrize("language", LANGUAGES)
def test_the_example_converts(server: ServerProcess, tmp_path: Path, language: str) -> None:
    output = printed(server, tmp_path, language, "convert")
    assert f"http://127.0.0.1:{server.port}/static/downloads/" in output


@pytest.mark.long
@pytest.mark.parametrize("language", LANGUAGES)
def test_the_example_converts_many(server: ServerProcess, tmp_path: Path, language: str) -> None:
    assert printed(server, tmp_path, language, "batchConvert").count("/static/downloads/") >= 2


@pytest.mark.long
@pytest.mark.parametrize("language", LANGUAGES)
def test_the_example_lists_a_playlist(server: ServerProcess, tmp_path: Path, language: str) -> None:
    assert printed(server, tmp_path, language, "playlist").count("watch?v=") >= 3


@pytest.mark.long
@pytest.mark.parametrize("language", LANGUAGES)
def test_the_example_waits_for_the_end(server: ServerProcess, tmp_path: Path, language: str) -> None:
    output = printed(server, tmp_path, language, "status", server.convert(f"wait{language[:7]:-<7}"))
    assert "completed" in output
    assert "100" in output


@pytest.mark.long
@pytest.mark.parametrize("language", LANGUAGES)
def test_the_example_lists(server: ServerProcess, made: str, tmp_path: Path, language: str) -> None:
    title = server.status(made)["title"]
    assert title in printed(server, tmp_path, language, "list")


@pytest.mark.long
@pytest.mark.parametrize("language", LANGUAGES)
def test_the_example_cancels(server: ServerProcess, tmp_path: Path, language: str) -> None:
    conversion_id = server.convert(LONG)
    assert "cancelled" in printed(server, tmp_path, language, "remove", conversion_id)
    assert server.status(conversion_id)["status"] == "cancelled"


@pytest.mark.long
@pytest.mark.parametrize("language", LANGUAGES)
def test_the_example_clears_many(server: ServerProcess, tmp_path: Path, language: str) -> None:
    failed = server.convert("x-private--")
    assert server.finished(failed)["status"] == "failed"
    removed, _, rest = printed(server, tmp_path, language, "clear").partition(" ")
    assert '"removed":' in removed if language == "curl" else (int(removed) >= 1 and rest == "removed\n")
    assert server.request("GET", f"/status/{failed}").status == 404


@pytest.mark.long
@pytest.mark.parametrize("language", LANGUAGES)
def test_the_example_follows_one_conversion_to_its_end(server: ServerProcess, tmp_path: Path, language: str) -> None:
    output = printed(server, tmp_path, language, "conversionEvents", server.convert(f"seen{language[:7]:-<7}"))
    assert "completed" in output


@pytest.mark.long
@pytest.mark.parametrize("language", LANGUAGES)
def test_the_example_follows_all_conversions(server: ServerProcess, tmp_path: Path, language: str) -> None:
    source = filled_in(server, example("events", language), "")
    conversion_id = server.convert(LONG)
    process = subprocess.Popen(
        command(language, source, tmp_path),
        cwd=tmp_path,
        env=environment(tmp_path) | {"PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    too_late = threading.Timer(SOON, os.killpg, (process.pid, signal.SIGKILL))
    too_late.start()
    try:
        assert process.stdout
        assert any("processing" in line for line in process.stdout)
    finally:
        too_late.cancel()
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        server.request("DELETE", f"/status/{conversion_id}")


@pytest.mark.long
@pytest.mark.parametrize("language", LANGUAGES)
def test_the_example_downloads(server: ServerProcess, made: str, tmp_path: Path, language: str) -> None:
    output = printed(server, tmp_path, language, "download", made)
    whole = server.download(made)
    if language == "JavaScript":
        assert output.split() == ["audio/mpeg", str(len(whole))]
    else:
        (file,) = tmp_path.glob("*.mp3")
        assert file.read_bytes() == whole


def test_the_description_of_the_offline_server_lists_every_reserved_id_and_key(server: ServerProcess) -> None:
    answer = server.request("GET", "/openapi.json").json
    assert answer["x-reserved"] == reserved()
    assert [one["id"] for one in answer["x-reserved"]["videos"]] == list(RESERVED)
    assert [one["id"] for one in answer["x-reserved"]["playlists"]] == list(RESERVED_LISTS)
    assert [one["key"] for one in answer["x-reserved"]["keys"]] == [one.key for one in TABLE]
    assert {key: value for key, value in answer.items() if key != "x-reserved"} == SPEC


def test_the_description_of_the_offline_server_is_for_reading_only(server: ServerProcess) -> None:
    for method in ("PUT", "TRACE"):
        answer = server.request(method, "/openapi.json")
        assert (answer.status, answer.json["error"]["code"]) == (405, "METHOD_NOT_ALLOWED")
    assert server.request("HEAD", "/openapi.json").status == 200
