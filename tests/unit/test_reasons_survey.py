"""The table of sentences is complete for the yt-dlp that it was made from: its source is read again."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
import yt_dlp
from support.sentences import NOTHING_SAID, OWN, SURVEYED, WARNED, YOUTUBE

ROOT = Path(yt_dlp.__file__).parent
#: What a run for one YouTube video goes through, by folder or file.
ON_THE_WAY = (
    *("extractor/youtube/_base.py", "extractor/youtube/_video.py", "extractor/youtube/jsc", "extractor/youtube/pot"),
    *("extractor/common.py", "YoutubeDL.py", "cookies.py", "networking", "socks.py"),
    *(
        "downloader/common.py",
        "downloader/dash.py",
        "downloader/fragment.py",
        "downloader/hls.py",
        "downloader/http.py",
    ),
)
#: What says something to the user.
SPEAKING = {
    *("ExtractorError", "DownloadError", "GeoRestrictedError", "LoadError", "CookieLoadError", "RequestError"),
    *("UnsupportedRequest", "raise_geo_restricted", "raise_login_required", "raise_no_formats", "report_error"),
    *("report_warning", "warning", "write_debug"),
}
#: Functions and a class for what no run here asks for: playlists, comments, subtitles, files.
ELSEWHERE = {
    "SearchInfoExtractor",
    "__init__",
    "__process_playlist",
    "_check_formats",
    "_comment_entries",
    "_delete_downloaded_files",
    "_get_netrc_login_info",
    "_live_adaptive_fragments",
    "_prepare_filename",
    "_search_json_ld",
    "_wait_for_video",
    "_write_description",
    "_write_info_json",
    "_write_subtitles",
    "_write_thumbnails",
    "check_deprecated",
    "download_with_info_file",
    "extract_info",
    "prepare_filename",
    "print_debug_header",
    "process_info",
    "process_subtitles",
    "record_download_archive",
    "warn_if_short_id",
}
#: Characters of a template's longest literal that must stand in a row.
TELLING = 12


def literals(node: ast.expr) -> Iterator[str]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.JoinedStr):
        for part in node.values:
            yield from literals(part)
    elif isinstance(node, ast.BinOp):
        yield from literals(node.left)
        yield from literals(node.right)


def said(node: ast.AST, function: str = "") -> Iterator[tuple[str, str]]:
    """Function and longest literal of what the code below `node` may say."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        if node.name in ELSEWHERE:
            return
        function = node.name
    if isinstance(node, ast.Call) and node.args:
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        longest = max(literals(node.args[0]), key=len, default="").strip()
        if name in SPEAKING and len(longest) >= TELLING:
            yield function, longest
    for child in ast.iter_child_nodes(node):
        yield from said(child, function)


def test_every_sentence_of_yt_dlp_stands_in_the_table() -> None:
    rows = [row for table in (YOUTUBE, OWN, WARNED) for rows in table.values() for row in rows] + NOTHING_SAID
    known = " ".join(" ".join(rows).lower().split())
    paths = [path for name in ON_THE_WAY for path in (list((ROOT / name).rglob("*.py")) or [ROOT / name])]
    missing = [
        f"{path.relative_to(ROOT)} {function}: {longest}"
        for path in paths
        for function, longest in said(ast.parse(path.read_text()))
        if " ".join(longest.lower().split())[:40] not in known
    ]
    if missing and yt_dlp.version.__version__ != SURVEYED:
        pytest.skip("NOT TESTED: a newer yt-dlp says what is in no table yet:\n" + "\n".join(missing))
    assert not missing, "\n".join(missing)
