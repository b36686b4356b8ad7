"""What the description cannot say: an Idempotency-Key is for one request."""

from __future__ import annotations  # Case is generic for the type checker only

import uuid
from typing import Any

import schemathesis


@schemathesis.hook
def before_call(context: schemathesis.HookContext, case: schemathesis.Case[Any], kwargs: dict[str, Any]) -> None:
    """The fuzzer likes to use one key for two bodies, which is rightly refused."""
    if case.meta and case.meta.generation.mode.is_negative:
        return  # meant to be refused as it is
    if case.headers and "Idempotency-Key" in case.headers:
        case.headers["Idempotency-Key"] = uuid.uuid4().hex
