"""Text from the source or a client, before a terminal, a log, a header or a page shows it."""

from __future__ import annotations

import re

#: Controls of C0 and C1, with them ESC, and the separators of lines and paragraphs; halves of surrogate pairs.
_CONTROLS = "\x00-\x1f\x7f-\x9f\u2028\u2029\ufff9-\ufffb\ud800-\udfff"
#: What turns the direction of the text after it (Unicode Standard Annex #9: embeddings, overrides, isolates), and what
#: nobody sees: zero-width spaces and tags. Joiners and directional marks stay: emoji and scripts need them.
_HIDDEN = "\u200b\u202a-\u202e\u2060-\u206f\ufeff\U000e0000-\U000e0fff"
_UNSAFE = re.compile(f"(?P<control>[{_CONTROLS}])|[{_HIDDEN}]")


def printable(text: str, *, keep: str = "") -> str:
    """`text` as one line that nothing in it can leave, hide or turn around.

    A control that is white space becomes a blank unless it is in `keep`, another one U+FFFD; what is hidden is left
    out.
    """
    if text.isascii() and text.isprintable():  # most is, and this is known ten times sooner
        return text
    return _UNSAFE.sub(lambda found: _safe(found, keep), text)


def _safe(found: re.Match[str], keep: str) -> str:
    if not found["control"]:
        return ""
    if found[0] in keep:
        return found[0]
    return " " if found[0].isspace() else "�"
