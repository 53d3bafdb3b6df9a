"""How the fields of an event are read: what a decision needs is required, anything else gives way when it is wrong.

A field that gives way counts as absent. The platform adds keys and values at any time (docs/platform.md, 4), and an
event that is set aside because of a picture's address would be a lost event.
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
    """A frozen piece of an event; camelCase outside, snake_case here. Keys that it does not know are dropped."""

    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel, populate_by_name=True)


class OpenPart(Part):
    """A piece that keeps the keys that it does not know, under their names as posted (`model_extra`)."""

    model_config = ConfigDict(extra="allow")


def moment(value: object) -> datetime | None:
    """A time as an aware UTC datetime; None if it can't be read, or lies before the year 2000 or after 2099.

    Takes ISO text with a date and a time, or a datetime. A time without a zone is UTC. Plain numbers and dates are not
    guessed at: a wrong time would make an event look older or newer than it is, an absent one makes it look its age.
    """
    at = iso_time(value)
    return at if at and at.year in PLAUSIBLE_YEARS else None


def iso_time(value: object) -> datetime | None:
    """As `moment`, whatever the year."""
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
"""Required to be usable: printable text, or a whole number."""

Moment = Annotated[datetime | None, BeforeValidator(moment)]
"""Aware UTC, or None where it is absent or can't be read."""

Text = Annotated[str, WrapValidator(_or_empty_text)]
"""Empty where it is absent or no text."""

Texts = Annotated[list[str], BeforeValidator(_texts)]
"""The texts of a list; empty where it is none."""

Maybe = Annotated[T | None, WrapValidator(_or_none)]
"""None where it is absent or wrong."""

Object = Annotated[T, BeforeValidator(_object)]
"""Read from an empty object where it is absent or no object."""

ObjectOrNone = Annotated[T | None, BeforeValidator(_object_or_none)]
"""None where it is absent or null; read from an empty object where it is something else."""
