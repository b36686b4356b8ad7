"""PO tokens, by which a web browser proves to YouTube that it is one; here they are easily made, once one is asked.

As at YouTube, the token of a media address is bound to the session, whose name is the ``VISITOR_DATA`` of the page.
"""

from __future__ import annotations

import base64
import hashlib
import hmac

VISITOR_DATA = "offline"


def token(binding: str) -> str:
    """The PO token for a session or a video: URL-safe base64 of SHA-256 of ``po-token:`` and its name."""
    return base64.urlsafe_b64encode(hashlib.sha256(f"po-token:{binding}".encode()).digest()).decode()


def passes(pot: str) -> bool:
    """Whether ``pot``, of a media address, is this session's."""
    return hmac.compare_digest(pot.encode(), token(VISITOR_DATA).encode())
