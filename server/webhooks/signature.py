"""Signatures of Standard Webhooks (github.com/standard-webhooks/standard-webhooks, spec/standard-webhooks.md).

Three lines of HMAC. Their library would be one more dependency, for these lines and for verifying, which is the
receivers' part; the tests verify with an implementation of their own.
"""

from __future__ import annotations

import base64
import hashlib
import hmac

PREFIX = "whsec_"


def headers(secret: str, message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The headers that prove to a receiver who knows `secret` that `body` is ours. Raises ValueError for no secret."""
    key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    signed = f"{message_id}.{timestamp}.".encode() + body
    signature = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    return {"webhook-id": message_id, "webhook-timestamp": str(timestamp), "webhook-signature": f"v1,{signature}"}
