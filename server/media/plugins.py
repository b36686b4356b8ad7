"""yt-dlp's plugins, in its own process: those installed as packages in this environment. The server never imports this.

yt-dlp would also look for plugins in the working folder, the home folder, configuration folders, beside the program and
in every folder of PYTHONPATH. All of these stay closed. What a plugin may do is bounded by a run's options: extractors
other than YouTube's and post-processors are never asked, so in effect plugins change or assist YouTube's extractor.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import site
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import yt_dlp.plugins
from yt_dlp.globals import all_plugins_loaded, plugin_dirs

#: Set in the environment of this process to load no plugin at all; yt-dlp's own name for it.
NONE = "YTDLP_NO_PLUGINS"


def load() -> str:
    """Load the environment's plugins, once. Returns yt-dlp's errors for those that cannot be imported."""
    yt_dlp.plugins.candidate_plugin_paths = _the_folder_itself
    plugin_dirs.value = [] if os.environ.get(NONE) else _site_packages()
    said = io.StringIO()
    if plugin_dirs.value:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
            yt_dlp.plugins.load_all_plugins()
    all_plugins_loaded.value = True
    return said.getvalue()


def _the_folder_itself(folder: str) -> Iterator[Path]:
    """In place of yt-dlp's rule, by which a plugin folder holds one folder for each plugin."""
    yield Path(folder)


def _site_packages() -> list[str]:
    """The folders into which packages of this environment are installed; not the user's own, in the home folder."""
    return [folder for folder in site.getsitepackages() if Path(folder).is_dir()]


def versions() -> dict[str, str]:
    """The packages that the loaded plugins belong to, with their versions. Call right after `load`.

    A plugin that belongs to no package stands there under its module's name, with an empty version.
    """
    loaded = {Path(file) for folder in yt_dlp.plugins.directories() for file in _modules(Path(folder))}
    found: dict[str, str] = {}
    if loaded:
        for package in metadata.distributions(path=_site_packages()):
            owned = {Path(str(package.locate_file(file))) for file in package.files or () if _is_plugin(str(file))}
            if owned & loaded:
                found[re.sub(r"[-_.]+", "-", package.metadata["Name"]).lower()] = package.version
                loaded -= owned
    return dict(sorted((found | {file.stem: "" for file in loaded}).items()))


def _modules(folder: Path) -> Iterator[Path]:
    return (file for file in folder.glob("*/*.py") if not file.name.startswith("_"))


def _is_plugin(file: str) -> bool:
    return file.startswith(f"{yt_dlp.plugins.PACKAGE_NAME}/")
