"""Imports yt-dlp without what no run here needs, which saves some 15 MB for as long as the server runs.

yt-dlp describes some 1,800 sites; only YouTube's extractors are ever asked (`--use-extractors`). It imports libraries
for tags, for WebSockets, for guessing encodings and for encryption if they are installed; tags are written in `id3.py`,
YouTube has no WebSockets and encrypts nothing that is fetched here, and yt-dlp guesses no encoding. Import this before
all of yt-dlp. The server never imports this.
"""

from __future__ import annotations

import importlib.util
import sys
import types
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_UNUSED = ("mutagen", "websockets", "charset_normalizer", "chardet", "Cryptodome", "Crypto")


@contextmanager
def _as_if_missing(*names: str) -> Iterator[None]:
    """Importing these fails while the block runs. Those imported already stay as they are."""
    hidden = [name for name in names if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]  # None stands for "missing" (import system)
    try:
        yield
    finally:
        for name in hidden:  # a plugin may need it
            sys.modules.pop(name, None)


def _describe_only_youtube() -> None:
    """Put YouTube's extractors in the place of the descriptions of all sites, where this yt-dlp has such."""
    name = "yt_dlp.extractor.lazy_extractors"
    if importlib.util.find_spec(name) is None:
        return
    found = vars(importlib.import_module("yt_dlp.extractor.youtube"))
    lookup = {one: found[one] for one in sorted(found) if one.endswith("IE")}
    if lookup:
        lazy = sys.modules[name] = types.ModuleType(name)
        lazy.__dict__["_CLASS_LOOKUP"] = lookup


with _as_if_missing(*_UNUSED), warnings.catch_warnings():
    warnings.simplefilter("ignore")  # requests would like one that guesses encodings
    importlib.import_module("yt_dlp")
    with suppress(ImportError):  # a yt-dlp that is made otherwise works, and takes more memory
        _describe_only_youtube()
