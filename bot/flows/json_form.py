"""The JSON form of what a flow gives to be kept or sent: results, arguments, metadata."""

from __future__ import annotations

import json
from typing import Any

from pydantic_core import to_jsonable_python

from bot.flows.authoring import FlowMisuse


def json_form(what: str, value: Any) -> Any:
    """The value as it will come back from the database.

    Args:
        what: for the error.
        value: anything of JSON, and dataclasses, dates, enums and the like.

    Raises:
        FlowMisuse: it has no such form. NaN and the infinities have none either: a database and the platform's API
            would refuse them, or make something else of them.
    """
    try:
        return json.loads(json.dumps(to_jsonable_python(value), allow_nan=False))
    except (ValueError, TypeError, RecursionError) as error:
        no_number = ", with a number that is NaN or infinite" if "Out of range" in str(error) else ""
        raise FlowMisuse(f"{what} has no JSON form: {type(value).__name__}{no_number}") from None
