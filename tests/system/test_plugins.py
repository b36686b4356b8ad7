"""Plugins of yt-dlp: those installed as packages in the server's own environment work, all others stay out."""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import pytest
from aiohttp import web
from support import environments
from support.serverprocess import ROOT, ServerProcess
from support.workshop import served_by

from server.offline import attestation, offline_youtube

GATED = "x-po-token-"
ASK = """
import json
from server.media import ytdlp_child
from yt_dlp.extractor.youtube.pot._registry import _pot_providers
import yt_dlp
with yt_dlp.YoutubeDL({"quiet": True, "allowed_extractors": ["youtube"]}) as ydl:
    extractors = [ie.IE_NAME for ie in ydl._ies.values()]
    title = getattr(ydl.get_info_extractor("Youtube"), "trace", None)
print(json.dumps([sorted(_pot_providers.value), ytdlp_child._VERSIONS["plugins"], extractors, title]))
"""
OVERRIDE = {
    "yt_dlp_plugins/extractor/overriding.py": """
from yt_dlp.extractor.common import InfoExtractor
from yt_dlp.extractor.youtube import YoutubeIE

class _OverridingIE(YoutubeIE, plugin_name="overriding"):
    trace = "overridden"

class ElsewhereIE(InfoExtractor):
    _VALID_URL = r"https://elsewhere\\.example/.*"
""",
}

pytestmark = pytest.mark.long


def asked(python: Path, *, cwd: Path = ROOT, **environment: str) -> tuple[list[str], dict[str, str], list[str], str]:
    """The PO token providers and the packages of plugins that a yt-dlp of ours loads, and its extractors."""
    done = subprocess.run(
        [python, "-c", ASK],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    providers, packages, extractors, trace = json.loads(done.stdout)
    return providers, packages, extractors, trace


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One with the small plugin."""
    folder = tmp_path_factory.mktemp("environment") / "venv"
    environments.make(folder)
    environments.install(folder, "small-pot", "1.0", environments.POT_PLUGIN)
    return folder


def test_a_package_of_the_environment_is_loaded_and_named(environment: Path) -> None:
    providers, packages, _, _ = asked(environment / "bin/python")
    assert (providers, packages) == (["Small"], {"small-pot": "1.0"})


@pytest.mark.parametrize(
    "place",
    [
        "work",
        "work/ytdlp_plugins",
        "work/yt-dlp-plugins/small",
        "home/yt-dlp-plugins/small",
        "home/.yt-dlp/plugins/small",
        "home/.config/yt-dlp/plugins/small",
        "home/.config/yt-dlp-plugins/small",
        "home/.local/lib/python3.11/site-packages",
        "xdg/yt-dlp/plugins/small",
        "xdg/yt-dlp-plugins/small",
        "pythonpath",
        "pythonpath/archive.zip",
    ],
)
def test_a_plugin_anywhere_else_is_not_loaded(tmp_path: Path, place: str) -> None:
    python = environments.make(tmp_path / "venv")
    target = tmp_path / place
    folders = {name: tmp_path / name for name in ("work", "home", "xdg", "pythonpath")}
    for folder in folders.values():
        folder.mkdir()
    if target.suffix == ".zip":
        with zipfile.ZipFile(target, "w") as archive:
            for file, text in environments.POT_PLUGIN.items():
                archive.writestr(file, text)
    else:
        for file, text in environments.POT_PLUGIN.items():
            (target / file).parent.mkdir(parents=True, exist_ok=True)
            (target / file).write_text(text)
    providers, packages, _, _ = asked(
        python,
        cwd=folders["work"],
        HOME=str(folders["home"]),
        XDG_CONFIG_HOME=str(folders["xdg"]) if place.startswith("xdg") else "",
        PYTHONPATH=os.pathsep.join([str(ROOT), str(target if "pythonpath" in place else folders["pythonpath"])]),
    )
    assert (providers, packages) == ([], {})


def test_a_plugin_may_override_youtubes_extractor_and_add_no_other(tmp_path: Path) -> None:
    python = environments.make(tmp_path / "venv")
    environments.install(tmp_path / "venv", "overriding", "2.1", OVERRIDE)
    _, packages, extractors, trace = asked(python)
    assert (packages, trace) == ({"overriding": "2.1"}, "overridden")
    assert len(extractors) == 1 and extractors[0].startswith("youtube")


def test_a_plugin_that_cannot_be_imported_is_told_and_the_server_runs(tmp_path: Path) -> None:
    folder = tmp_path / "venv"
    python = environments.make(folder)
    environments.install(folder, "broken", "1.0", {"yt_dlp_plugins/extractor/broken.py": "import no_such_module\n"})
    server = ServerProcess(tmp_path / "server", python=python)
    try:
        server.start()
        assert any("plugin" in warning for warning in server.request("GET", "/readyz").json["warnings"])
        assert "no_such_module" in server.log
        assert server.finished(server.convert("x-1-second-"))["status"] == "completed"
    finally:
        server.end()


def test_a_gated_video_is_converted_with_the_plugin_and_not_without(environment: Path, tmp_path: Path) -> None:
    """The versions that run are named in the log, in /readyz and in /metrics."""
    for plugins, status in ((True, "completed"), (False, "failed")):
        server = ServerProcess(
            tmp_path / f"server-{plugins}",
            f"[ytdlp]\nplugins = {str(plugins).lower()}",
            python=environment / "bin/python",
        )
        try:
            server.start()
            ended = server.finished(server.convert(GATED))
            assert ended["status"] == status, ended
            if not plugins:
                assert ended["error"]["code"] == "SOURCE_WITHHELD" and "PO token" in ended["error"]["message"]
            packages = {"small-pot": "1.0"} if plugins else {}
            versions = server.request("GET", "/readyz").json["versions"]
            assert versions["plugins"] == packages
            shown = "small-pot 1.0" if plugins else ""
            assert f'plugins="{shown}"' in server.request("GET", "/metrics").body.decode()
            assert f"yt-dlp {versions['yt_dlp']}, yt-dlp-ejs {versions['yt_dlp_ejs']}, deno" in server.log
            assert ("plugins: small-pot 1.0" in server.log) == plugins
        finally:
            server.end()


class Provider(BaseHTTPRequestHandler):
    """As bgutil's server answers, but for its tokens, which are the offline YouTube's."""

    asked: list[Any]

    def do_GET(self) -> None:
        self._answer({"version": "2.0.2", "server_uptime": 1})

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.asked.append(request)
        self._answer({"poToken": attestation.token(request["content_binding"])})

    def _answer(self, content: dict[str, Any]) -> None:
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Silent."""


@contextmanager
def provider() -> Iterator[tuple[str, list[Any]]]:
    """A provider of PO tokens on loopback: its address, and what it was asked."""
    requests: list[Any] = []
    with ThreadingHTTPServer(("127.0.0.1", 0), type("Asked", (Provider,), {"asked": requests})) as server:
        thread = threading.Thread(target=server.serve_forever, name="provider")
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", requests
        finally:
            server.shutdown()
            thread.join()


async def test_the_real_bgutil_plugin_asks_its_provider_by_way_of_ytdlp_args(tmp_path: Path) -> None:
    """In `doctor`, which names the plugin and converts as the server does."""
    with provider() as (address, requests):
        words = f'"--extractor-args", "youtubepot-bgutilhttp:base_url={address}"'
        said = await diagnosis(tmp_path, "bgutil-ytdlp-pot-provider", args=words, video_id=GATED)
    assert re.search(r"^ok +plugins +bgutil-ytdlp-pot-provider 2\.", said, re.MULTILINE), said
    assert re.search(r"^ok +conversion ", said, re.MULTILINE), said
    assert {request["content_binding"] for request in requests} == {attestation.VISITOR_DATA}


@pytest.mark.parametrize("trusted", [True, False])
async def test_the_extra_authority_holds_for_impersonated_requests_too(tmp_path: Path, trusted: bool) -> None:
    said = await diagnosis(tmp_path, "curl-cffi<0.18", args='"--impersonate", "chrome"', trusted=trusted)
    if trusted:
        assert re.search(r"^ok +conversion ", said, re.MULTILINE), said
    else:
        assert "NETWORK_ERROR" in said and "Failed to perform, curl: (60)" in said, said


async def test_an_impersonated_request_is_not_redirected_elsewhere(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)

        async def serve(request: web.Request, path: Path) -> web.StreamResponse:
            raise web.HTTPFound(f"https://127.0.0.1:{listener.getsockname()[1]}/videoplayback")

        with served_by(serve):
            said = await diagnosis(tmp_path, "curl-cffi<0.18", args='"--impersonate", "chrome"')
        with pytest.raises(BlockingIOError):
            listener.accept()
    assert "SOURCE_WITHHELD" in said and "leads to another site" in said, said


async def diagnosis(
    tmp_path: Path, package: str, *, args: str, video_id: str = "dQw4w9WgXcQ", trusted: bool = True
) -> str:
    """What `doctor` says of a conversion where `package` is installed, too. Without the network it cannot be."""
    folder = tmp_path / "venv"
    python = environments.make(folder)
    fetched = await asyncio.to_thread(_install, folder, package)
    if fetched.returncode:
        pytest.skip(f"NOT TESTED: {package} (it cannot be fetched: {fetched.stderr.strip()[-200:]})")
    async with offline_youtube(tmp_path / "youtube", imageio_ffmpeg.get_ffmpeg_exe()) as youtube:
        config = tmp_path / "config.toml"
        authority = f'ca_file = "{youtube.ca_file}"\n' * trusted
        config.write_text(f'[ytdlp]\nproxy = "{youtube.proxy}"\n{authority}args = [{args}]\n[server]\nport = 0\n')
        doctor = await asyncio.create_subprocess_exec(
            *(python, "-m", "server", "doctor", "--config", config, "--url", f"https://youtu.be/{video_id}"),
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
        )
        output, _ = await asyncio.wait_for(doctor.communicate(), 60)
    return output.decode()


def _install(folder: Path, package: str) -> subprocess.CompletedProcess[str]:
    """With what else it needs and the tests' own environment has not."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(environments.site_packages(folder))]
    return subprocess.run([*command, "--no-deps", package], capture_output=True, text=True, timeout=120)
