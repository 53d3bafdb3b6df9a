"""The published API description, where it lies beside the repository: do answers fit it?"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from openapi_schema_validator import OAS30Validator
from referencing import Registry
from referencing.jsonschema import DRAFT4

DESCRIPTION = Path(__file__).resolve().parents[3] / "shared" / "openapi.yaml"


@cache
def operations() -> dict[str, Any]:
    """What is said of each operation, by its name; empty where there is no description."""
    if not DESCRIPTION.exists():
        return {}
    paths = _description()["paths"].values()
    found = [one for path in paths for one in path.values() if isinstance(one, dict) and "operationId" in one]
    return {one["operationId"]: one for one in found}


def misfits(operation: str, status: int, answer: bytes) -> Iterator[str]:
    """What of a call does not fit the description; nothing where there is none."""
    known = operations().get(operation)
    if known is None:
        if operations():
            yield f"{operation}: there is no such operation"
        return
    answered = known["responses"].get(str(status))
    if answered is None:
        if status < 400:
            yield f"{operation}: {status} is no status of it"
        schema = {"$ref": "#/components/schemas/errorResponse"}
    else:
        schema = answered["content"]["application/json"]["schema"]
    yield from _errors(f"{operation}, {status}", schema, json.loads(answer))


@cache
def _description() -> Any:
    yaml = pytest.importorskip("yaml")
    return yaml.safe_load(DESCRIPTION.read_text())


@cache
def _registry() -> Any:
    return Registry().with_resource("urn:api", DRAFT4.create_resource(_description()))


def _errors(where: str, schema: Any, value: Any) -> Iterator[str]:
    absolute = json.loads(json.dumps(schema).replace('"#/', '"urn:api#/'))
    for error in OAS30Validator(absolute, registry=_registry()).iter_errors(value):
        yield f"{where} {list(error.absolute_path)}: {error.message}"
