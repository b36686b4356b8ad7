"""What the server's processes do not import at their start, since it would stay in memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
CHILD = """
import json, sys
from server.media import ytdlp_child
import yt_dlp.globals
hidden = [name for name in ("mutagen", "websockets", "charset_normalizer", "Cryptodome") if name in sys.modules]
modules = [ie._module for ie in yt_dlp.globals.extractors.value.values()]
import mutagen, Cryptodome.Cipher.AES
print(json.dumps([hidden, sorted(one for one in modules if ".youtube" not in one), len(modules) > 5]))
"""


def said(program: str) -> str:
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout.strip()


def test_a_server_imports_no_offline_youtube_and_nothing_that_draws_pages() -> None:
    program = "import sys, server.commands.cli; print([m for m in {} if m in sys.modules])"
    assert said(program.format(("server.offline", "segno", "markdown_it"))) == "[]"


def test_yt_dlp_knows_youtube_alone_and_what_was_left_out_can_be_imported_later() -> None:
    assert said(CHILD) == "[[], [], true]"
