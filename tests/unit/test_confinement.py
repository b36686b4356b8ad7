"""What a child that handles a video cannot do, tried by real children."""

from __future__ import annotations

import dataclasses
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.listening import FFMPEG
from support.waiting import SOON

from server.config import Config, JobsConfig
from server.media import confinement, ffmpeg, forking, landlock, tools, ytdlp
from server.media.confinement import Confinement
from server.media.process import ChildFailed

needs_landlock = pytest.mark.skipif(not landlock.version(), reason="NOT TESTED: this kernel has no Landlock")
needs_network_rules = pytest.mark.skipif(
    landlock.version() < landlock.NETWORK_VERSION, reason="NOT TESTED: this kernel's Landlock knows no network"
)

ROOT = Path(__file__).parents[2]


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "keys.toml"
    path.write_text("a secret")
    return path


@pytest.fixture
def port() -> Iterator[int]:
    """Somebody who listens on this machine."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


def of_python(*, sandbox: bool = True) -> Confinement:
    """As ffmpeg's, for a Python that tries what it could do."""
    own = confinement.of_tool(sys.executable, file_size=1 << 20, sandbox=sandbox)
    return dataclasses.replace(own, read=(*own.read, *confinement.of_ytdlp(ROOT, (), ca_bundle=None).read))


async def tried(code: str, own: Confinement) -> str:
    return (await tools.run([sys.executable, "-I", "-c", code], own, timeout=SOON)).decode().strip()


def attempt(statement: str) -> str:
    """Code that prints the name of the error that a statement ends with."""
    return f"""
import os, socket, subprocess
try:
    {statement}
except (OSError, MemoryError) as error:
    print(type(error).__name__)
else:
    print("done")
"""


@needs_landlock
@pytest.mark.parametrize("sandbox", [True, False])
async def test_a_tool_reads_no_file_that_is_not_its_own(secret: Path, sandbox: bool) -> None:
    said = await tried(attempt(f"open({str(secret)!r}).read()"), of_python(sandbox=sandbox))
    assert said == ("PermissionError" if sandbox else "done")


@needs_landlock
@pytest.mark.parametrize(
    "statement",
    [
        *("open({!r}, 'w')", "os.remove({!r})", "os.mkdir({!r} + '2')", "os.rename({!r}, '/tmp/x')"),
        *("os.truncate({!r}, 0)", "os.symlink('/etc', {!r} + '3')", "os.link({!r}, {!r} + '4')"),
        "os.listdir(os.path.dirname({!r}))",
    ],
)
async def test_a_tool_changes_and_lists_nothing(secret: Path, statement: str) -> None:
    said = await tried(attempt(statement.replace("{!r}", repr(str(secret)))), of_python())
    assert said in ("PermissionError", "OSError") and secret.read_text() == "a secret"


@needs_landlock
async def test_a_tool_works_in_the_folder_that_it_is_given(tmp_path: Path, secret: Path) -> None:
    folder = tmp_path / "staging"
    folder.mkdir()
    own = of_python().with_folder(folder)
    assert await tried(attempt(f"open({str(folder / 'part')!r}, 'w').write('x')"), own) == "done"
    assert await tried(attempt(f"open({str(folder / '..' / 'keys.toml')!r}).read()"), own) == "PermissionError"
    (folder / "link").symlink_to(secret)
    assert await tried(attempt(f"open({str(folder / 'link')!r}).read()"), own) == "PermissionError"


@needs_landlock
async def test_nobody_looks_into_the_servers_memory_or_environment() -> None:
    for name in ("environ", "mem", "maps", "fd/0", "cmdline"):
        assert await tried(attempt(f"open('/proc/{os.getpid()}/{name}').read(1)"), of_python()) == "PermissionError"


@needs_network_rules
@pytest.mark.parametrize("what", ["connect", "bind"])
async def test_ffmpeg_has_no_network_and_ytdlp_has(port: int, what: str) -> None:
    code = {"connect": f"socket.create_connection(('127.0.0.1', {port}))", "bind": "socket.create_server(('', 0))"}[
        what
    ]
    assert await tried(attempt(code), of_python()) == "PermissionError"
    own = dataclasses.replace(of_python(), network=True)
    assert await tried(attempt(code), own) == "done"


@pytest.mark.parametrize("sandbox", [True, False])
async def test_limits_hold_with_and_without_a_sandbox(tmp_path: Path, sandbox: bool) -> None:
    own = of_python(sandbox=sandbox).with_folder(tmp_path)
    assert await tried(attempt("bytearray(4 << 30)"), own) == "MemoryError"
    assert await tried(attempt("[os.open('/dev/null', 0) for _ in range(5000)]"), own) == "OSError"
    big = tmp_path / "big"
    assert await tried(attempt(f"open({str(big)!r}, 'wb').write(bytes(2 << 20))"), own) == "OSError"
    assert big.stat().st_size <= 1 << 20
    limits = await tried("import resource; print(resource.getrlimit(resource.RLIMIT_CORE))", own)
    assert limits == "(0, 0)"


@pytest.mark.skipif(sys.platform != "linux", reason="NOT TESTED: needs Linux")
async def test_no_program_gives_it_more_rights() -> None:
    said = await tried("print(open('/proc/self/status').read())", of_python())
    assert "NoNewPrivs:\t1" in said


@pytest.mark.parametrize(
    ("arguments", "path"),
    [
        (("--client-certificate", "/secret/client.pem"), "/secret/client.pem"),
        (("--netrc-location=/secret/netrc",), "/secret/netrc"),
        (("--extractor-args", "youtubepot-bgutilscript:server_home=/opt/bgutil"), "/opt/bgutil"),
        (("--js-runtimes", "node:/opt/node/bin/node"), "/opt/node/bin/node"),
        (("--cookies-from-browser", "firefox"), os.path.expanduser("~")),  # noqa: PTH111
    ],
)
def test_ytdlp_may_read_what_its_owner_names(arguments: tuple[str, ...], path: str) -> None:
    assert path in confinement.of_ytdlp(ROOT, arguments, ca_bundle=None).read
    assert path not in confinement.of_ytdlp(ROOT, ("--proxy", "http://127.0.0.1:1/"), ca_bundle=None).read


def test_ytdlp_may_not_read_the_folder_where_the_server_runs() -> None:
    own = confinement.of_ytdlp(ROOT / "state" / "cache", (), ca_bundle=None)
    for path in own.read:
        assert not (ROOT / "keys.toml").is_relative_to(Path(path).resolve()), path


@needs_landlock
async def test_an_ffmpeg_that_does_not_run_in_a_sandbox_has_limits(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As a script that needs files elsewhere."""
    beside = tmp_path / "beside"
    beside.write_text("#!/bin/sh\n")
    beside.chmod(0o755)
    script = tmp_path / "bin" / "ffmpeg"
    script.parent.mkdir()
    script.write_text(f'#!/bin/sh\n{beside} && exec {FFMPEG} "$@"\n')
    script.chmod(0o755)
    own = await ffmpeg.confined(str(script), Config())
    assert not own.sandbox and "sandbox" in caplog.text
    assert (await ffmpeg.confined(FFMPEG, Config())).sandbox
    assert not (await ffmpeg.confined(FFMPEG, Config(jobs=JobsConfig(sandbox=False)))).sandbox


async def test_a_program_that_is_not_there_says_so() -> None:
    with pytest.raises(ChildFailed) as failed:
        await tools.run(["no-such-program"], of_python(), timeout=SOON)
    assert failed.value.returncode == 127 and "could not be started" in failed.value.stderr


@needs_landlock
async def test_the_real_ytdlp_starts_with_its_runtime(tmp_path: Path) -> None:
    forking.preload(ytdlp.CHILD)
    versions = await ytdlp.check(Config(), tmp_path / "cache")
    assert versions.runtime.startswith("deno"), "it runs in the sandbox, too"
