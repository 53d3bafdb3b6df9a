"""The JSON form of values that a flow stores or sends: results, arguments, metadata."""

from __future__ import annotations

import json
from typing import Any

from pydantic_core import to_jsonable_python

from bot.flows.authoring import FlowMisuse


def json_form(what: str, value: Any) -> Any:
    """Return the value as it will come back from the database.

    Args:
        what: names the value in the error.
        value: JSON values, dataclasses, dates, enums and the like.

    Raises:
        FlowMisuse: the value has no JSON form. NaN and infinities have none: a database
            or the platform's API would refuse or change them.
    """
    try:
        return json.loads(json.dumps(to_jsonable_python(value), allow_nan=False))
    except (ValueError, TypeError, RecursionError) as error:
        no_number = ", with a number that is NaN or infinite" if "Out of range" in str(error) else ""
        raise FlowMisuse(f"{what} has no JSON form: {type(value).__name__}{no_number}") from None
