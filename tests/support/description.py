"""The description (static/openapi.json), and what it takes to hold something to it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker
from referencing import Registry
from referencing.jsonschema import DRAFT202012

SPEC: dict[str, Any] = json.loads((Path(__file__).parents[2] / "static" / "openapi.json").read_text(encoding="utf-8"))
SCHEMAS = SPEC["components"]["schemas"]
ROOT = "urn:ytmp3d"
REGISTRY: Registry[Any] = Registry().with_resource(ROOT, DRAFT202012.create_resource(SPEC))


def resolved(part: Any) -> Any:
    while "$ref" in part:
        found: Any = SPEC
        for step in part["$ref"].removeprefix("#/").split("/"):
            found = found[step]
        part = found
    return part


def validate(value: Any, schema: Any) -> None:
    if "$ref" in schema:
        schema = {"$ref": ROOT + schema["$ref"]}
    else:
        schema = json.loads(json.dumps(schema).replace('"$ref": "#', f'"$ref": "{ROOT}#'))
    Draft202012Validator(schema, registry=REGISTRY, format_checker=FormatChecker()).validate(value)


def documented_codes(answer: Any) -> set[str]:
    """The error codes that an answer of the description names, by its examples."""
    media = answer.get("content", {}).get("application/json", {})
    if media.get("schema", {}).get("$ref") != "#/components/schemas/Error":
        return set()
    return {resolved(example)["value"]["error"]["code"] for example in media["examples"].values()}
