"""Field types for events: strict for fields that decisions need, lenient for all others.

An invalid value in a lenient field counts as absent. The platform adds keys and values at
any time (docs/platform.md, 4), and no event should be set aside over a picture's URL.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from webhooks.wire import identifier

T = TypeVar("T")

PLAUSIBLE_YEARS = range(2000, 2100)


class Part(BaseModel):
    """A frozen part of an event: camelCase on the wire, snake_case here. Drops unknown keys."""

    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel, populate_by_name=True)


class OpenPart(Part):
    """A part that keeps unknown keys in `model_extra`, under their names as posted."""

    model_config = ConfigDict(extra="allow")


def moment(value: object) -> datetime | None:
    """Convert a time to an aware UTC datetime; None if invalid or outside 2000 to 2099.

    Accepts ISO text with a date and a time, or a datetime. Without a time zone, it is UTC.
    Plain numbers and dates are rejected rather than guessed: a wrong time would misorder
    the event, while an absent one does no harm.
    """
    at = iso_time(value)
    return at if at and at.year in PLAUSIBLE_YEARS else None


def iso_time(value: object) -> datetime | None:
    """Convert a time as `moment` does, but accept any year."""
    try:
        if isinstance(value, str) and value[10:11] in ("T", " "):
            value = datetime.fromisoformat(value)
        if not isinstance(value, datetime):
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _id(value: object) -> str:
    usable = identifier(value)
    if usable is None:
        raise PydanticCustomError("id", "should be an id")
    return usable


def _or_none(value: object, read: ValidatorFunctionWrapHandler) -> Any:
    try:
        return read(value)
    except ValidationError:
        return None


def _or_empty_text(value: object, read: ValidatorFunctionWrapHandler) -> Any:
    return _or_none(value, read) or ""


def _texts(value: object) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def _object(value: object) -> object:
    return value if isinstance(value, dict | BaseModel) else {}


def _object_or_none(value: object) -> object:
    return None if value is None else _object(value)


Id = Annotated[str, BeforeValidator(_id)]
"""Required, and valid: printable text or a whole number."""

Moment = Annotated[datetime | None, BeforeValidator(moment)]
"""Aware UTC; None if absent or invalid."""

Text = Annotated[str, WrapValidator(_or_empty_text)]
"""Empty if absent or not text."""

Texts = Annotated[list[str], BeforeValidator(_texts)]
"""The strings in a list; empty if it is not a list."""

Maybe = Annotated[T | None, WrapValidator(_or_none)]
"""None if absent or invalid."""

Object = Annotated[T, BeforeValidator(_object)]
"""Parsed from an empty object if absent or not an object."""

ObjectOrNone = Annotated[T | None, BeforeValidator(_object_or_none)]
"""None if absent or null; parsed from an empty object if it is any other non-object."""
