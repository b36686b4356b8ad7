"""What a key may be called: a word of any script."""

from __future__ import annotations

import unicodedata

#: What is expected of a name, for messages.
EXPECTED = "1 to 64 letters of any script, digits, . _ -"
_LONGEST = 64


def normal(name: str) -> str:
    """The one spelling of a name that can be written with several (Unicode NFC)."""
    return unicodedata.normalize("NFC", name)


def is_good(name: str) -> bool:
    """Whether a key may have this name. It needs no quoting in TOML, a log line or a label."""
    allowed = all(one in "._-" or unicodedata.category(one)[0] in "LMN" for one in name)
    return 0 < len(name) <= _LONGEST and allowed and not unicodedata.category(name[0]).startswith("M")
