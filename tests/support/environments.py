"""Environments (venvs) of a test's own, which see the packages of this one and hold more of their own."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

#: A plugin that gives the offline YouTube's PO tokens, and a post-processor that would leave a trace if it ran.
POT_PLUGIN = {
    "yt_dlp_plugins/extractor/small_pot.py": """
import base64, hashlib
from yt_dlp.extractor.youtube.pot.provider import PoTokenProvider, PoTokenResponse, register_provider
from yt_dlp.extractor.youtube.pot.utils import get_webpo_content_binding

@register_provider
class SmallPTP(PoTokenProvider):
    PROVIDER_NAME = "small"
    PROVIDER_VERSION = "1.0"
    BUG_REPORT_LOCATION = "nowhere"
    _SUPPORTED_CLIENTS = None
    _SUPPORTED_CONTEXTS = None
    _SUPPORTED_EXTERNAL_REQUEST_FEATURES = None

    def is_available(self):
        return True

    def _real_request_pot(self, request):
        print("noise that must not become audio")
        binding, _ = get_webpo_content_binding(request)
        digest = hashlib.sha256(f"po-token:{binding}".encode()).digest()
        return PoTokenResponse(base64.urlsafe_b64encode(digest).decode())
""",
    "yt_dlp_plugins/postprocessor/small_trace.py": """
from yt_dlp.postprocessor.common import PostProcessor

class SmallTracePP(PostProcessor):
    def run(self, info):
        raise RuntimeError("a post-processor of a plugin ran")
""",
}


def make(folder: Path) -> Path:
    """An environment in `folder`; the path of its Python."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True, timeout=60)
    (site_packages(folder) / "base.pth").write_text(sysconfig.get_path("purelib") + "\n")
    for program in Path(sysconfig.get_path("scripts")).glob("deno*"):
        (folder / "bin" / program.name).symlink_to(program)
    return folder / "bin" / "python"


def site_packages(folder: Path) -> Path:
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    return folder / "lib" / version / "site-packages"


def install(folder: Path, name: str, version: str, files: dict[str, str]) -> None:
    """Put a package into the environment in `folder`, as an installer would."""
    place = site_packages(folder)
    about = f"{name.replace('-', '_')}-{version}.dist-info"
    whole = {**files, f"{about}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"}
    whole[f"{about}/RECORD"] = "".join(f"{file},,\n" for file in [*whole, f"{about}/RECORD"])
    for file, text in whole.items():
        (place / file).parent.mkdir(parents=True, exist_ok=True)
        (place / file).write_text(text)


def with_own_ytdlp(folder: Path) -> Path:
    """An environment in `folder` that has a copy of this one's yt-dlp; the path of its Python."""
    python = make(folder)
    about = _about_ytdlp()
    shutil.copytree(about.parent / "yt_dlp", site_packages(folder) / "yt_dlp", ignore=_COMPILED)
    shutil.copytree(about, site_packages(folder) / about.name)
    return python


def release(folder: Path, version: str, changes: dict[str, tuple[str, str]] | None = None) -> None:
    """Put into `folder` a wheel of this environment's yt-dlp as `version`, in each of whose files a text is changed."""
    about = _about_ytdlp()
    name = f"yt_dlp-{version}.dist-info"
    old = about.name.removeprefix("yt_dlp-").removesuffix(".dist-info")
    edits = {"version.py": (f"'{old}'", f"'{version}'"), **(changes or {})}
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / f"yt_dlp-{version}-py3-none-any.whl", "w") as wheel:
        for path in sorted((about.parent / "yt_dlp").rglob("*")):
            inside = path.relative_to(about.parent / "yt_dlp").as_posix()
            if not path.is_file() or "__pycache__" in path.parts:
                continue
            content = path.read_bytes()
            if inside in edits:
                before, after = edits[inside]
                assert before.encode() in content, inside
                content = content.replace(before.encode(), after.encode(), 1)
            wheel.writestr(f"yt_dlp/{inside}", content)
        described = (about / "METADATA").read_text().replace(f"\nVersion: {old}\n", f"\nVersion: {version}\n", 1)
        wheel.writestr(f"{name}/METADATA", described)
        wheel.writestr(f"{name}/WHEEL", (about / "WHEEL").read_text())
        names = [*wheel.namelist(), f"{name}/RECORD"]
        wheel.writestr(f"{name}/RECORD", "".join(f"{one},,\n" for one in names))


_COMPILED = shutil.ignore_patterns("__pycache__")


def _about_ytdlp() -> Path:
    (about,) = Path(sysconfig.get_path("purelib")).glob("yt_dlp-*.dist-info")
    return about
