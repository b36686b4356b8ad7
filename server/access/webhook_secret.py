"""Secrets with which webhooks are signed, in the form of Standard Webhooks: `whsec_` and 24 to 64 bytes in Base64.

Signing needs the secret itself, so a hash would not do.
"""

from __future__ import annotations

import base64
import binascii
import secrets

PREFIX = "whsec_"
EXPECTED = "whsec_ and 24 to 64 bytes in Base64"
_FEWEST, _MOST, _NEW = 24, 64, 32  # bytes


def new() -> str:
    return PREFIX + base64.b64encode(secrets.token_bytes(_NEW)).decode()


def check(value: object) -> None:
    """Raise ValueError, with what was expected, for anything that is no secret."""
    try:
        if not isinstance(value, str) or not value.startswith(PREFIX):
            raise ValueError
        length = len(base64.b64decode(value.removeprefix(PREFIX), validate=True))
    except (ValueError, binascii.Error):
        raise ValueError(EXPECTED) from None
    if not _FEWEST <= length <= _MOST:
        raise ValueError(EXPECTED)
