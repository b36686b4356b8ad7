"""Imports yt-dlp without what no run here needs, which saves some 13 MB for as long as the server runs.

yt-dlp describes some 1,800 sites; only YouTube's extractors are ever asked (`--use-extractors`). It imports libraries
for tags, for WebSockets, for guessing encodings and for encryption if they are installed; tags are written in `id3.py`,
YouTube has no WebSockets and encrypts nothing that is fetched here, and yt-dlp guesses no encoding. Import this before
all of yt-dlp. The server never imports this.
"""

from __future__ import annotations

import gc
import importlib
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress

#: Libraries that yt-dlp would import.
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


with _as_if_missing(*_UNUSED), warnings.catch_warnings():
    warnings.simplefilter("ignore")  # requests would like one that guesses encodings
    importlib.import_module("yt_dlp")


def _forget_other_sites() -> None:
    """Forget their lazy extractors. Where a yt-dlp has none, nothing changes."""
    importlib.import_module("yt_dlp.extractor.extractors")
    extractors = importlib.import_module("yt_dlp.globals").extractors.value
    lazy = sys.modules.get("yt_dlp.extractor.lazy_extractors")
    base = getattr(lazy, "LazyLoadExtractor", None)
    if lazy is None or base is None:
        return
    lists = [getattr(lazy, "_CLASS_LOOKUP", {}), extractors]
    for name, value in [*vars(lazy).items()]:
        is_site = isinstance(value, type) and issubclass(value, base) and value is not base
        if is_site and ".youtube" not in str(value._module):
            delattr(lazy, name)
            for known in lists:
                known.pop(name, None)
    gc.collect()  # classes are always part of a cycle


with suppress(ImportError, AttributeError, TypeError):  # a yt-dlp that is made otherwise works, and takes more memory
    _forget_other_sites()
