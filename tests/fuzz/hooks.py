"""What the description cannot say.

An Idempotency-Key is for one request, to remove is not to cancel, a clip ends after its start, a webhook goes to a host
that is allowed, and what one caller clears is gone for all the others.
"""

from __future__ import annotations  # Case is generic for the type checker only

import re
import uuid
from typing import Any

import requests
import schemathesis


@schemathesis.hook
def before_call(context: schemathesis.HookContext, case: schemathesis.Case[Any], kwargs: dict[str, Any]) -> None:
    if case.method == "DELETE" and "conversion_id" in (case.path_parameters or {}):
        _wait_for_end(case.operation.base_url or "", str(case.path_parameters["conversion_id"]))
    if case.meta and case.meta.generation.mode.is_negative:
        return  # meant to be refused as it is
    if case.query and "from" in case.query:
        case.query["from"] = "0.5"  # there may be no more sound, which is rightly refused
    if case.method == "DELETE" and case.path == "/status":
        case.query["status"] = "cancelled"  # nothing is: others go on with what they made
    if isinstance(case.body, dict) and case.body.get("start") is not None:
        case.body.pop("end", None)  # it may be too early, which is rightly refused
    elif isinstance(case.body, dict) and "end" in case.body:
        case.body["end"] = "0:01"
    if isinstance(case.body, dict) and case.body.get("webhook_url") is not None:
        case.body["webhook_url"] = "https://example.org/hooks/mp3"
    if case.headers and "Idempotency-Key" in case.headers:
        # The fuzzer likes to use one key for two bodies, which is rightly refused.
        case.headers["Idempotency-Key"] = uuid.uuid4().hex


def _wait_for_end(base_url: str, conversion_id: str) -> None:
    """So that a DELETE is a removal, whose 404s the fuzzer checks, whatever the speed of the machine.

    A cancel stays readable and cuts the downloads under way: tests/test_api_own.py is for that.
    """
    if not re.fullmatch(r"[\w-]{24}", conversion_id):
        return  # made up
    url = f"{base_url.rstrip('/')}/status/{conversion_id}"
    headers = {"Authorization": "Bearer test-unlimited", "Prefer": "wait=60"}
    while True:
        answer = requests.get(url, headers=headers, timeout=90)
        if answer.status_code == 404 or answer.json()["finished_at"]:
            return
