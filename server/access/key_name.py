"""What a key may be called: a word of any script, or several with one space between them."""

from __future__ import annotations

import unicodedata

#: What is expected of a name, for messages.
EXPECTED = "1 to 64 letters of any script, digits, . _ - and single spaces between them"
_LONGEST = 64


def normal(name: str) -> str:
    """The one spelling of a name that can be written with several (Unicode NFC)."""
    return unicodedata.normalize("NFC", name)


def is_good(name: str) -> bool:
    """Whether a key may have this name. It needs no escapes in TOML, a log line or a label."""
    return len(name) <= _LONGEST and all(map(_is_word, name.split(" ")))


def _is_word(text: str) -> bool:
    allowed = all(one in "._-" or unicodedata.category(one)[0] in "LMN" for one in text)
    return bool(text) and allowed and not unicodedata.category(text[0]).startswith("M")
