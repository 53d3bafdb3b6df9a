"""Functions of all kinds of result types, as a module of a team holds them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, SecretStr

if TYPE_CHECKING:
    from nowhere import Missing  # type: ignore[import-not-found]


class Size(Enum):
    """A choice."""

    SMALL = "s"
    LARGE = "l"


@dataclass(frozen=True)
class Item:
    """A part of a result."""

    name: str
    size: Size
    price: Decimal


@dataclass(frozen=True)
class GiftItem(Item):
    """An item with more."""

    card: str = ""


class Order(BaseModel):
    """A result."""

    model_config = ConfigDict(populate_by_name=True)

    number: UUID = Field(alias="orderNumber")
    items: list[Item]
    made_at: datetime


class Spot(NamedTuple):
    """A place."""

    row: int
    seat: int


class Login(BaseModel):
    """It would come back without its secret."""

    token: SecretStr


ITEM = Item("Tea", Size.LARGE, Decimal("1.10"))
ORDER = Order(orderNumber=UUID(int=7), items=[ITEM], made_at=datetime(2026, 3, 1, 12, 30, 0, 5, tzinfo=UTC))


def item() -> Item:
    """A dataclass."""
    return ITEM


async def order() -> Order:
    """A pydantic model, later."""
    await asyncio.sleep(0)
    return ORDER


def order_later() -> Awaitable[Order]:
    """A plain function that returns an awaitable."""
    return order()


def sizes() -> dict[Size, list[date]]:
    """Enums and dates within others."""
    return {Size.SMALL: [date(2026, 3, 1)], Size.LARGE: []}


def spot() -> Spot | None:
    """A named tuple, or none."""
    return Spot(1, 2)


def duration() -> timedelta:
    """A duration."""
    return timedelta(minutes=1, microseconds=3)


def pair() -> tuple[int, str]:
    """A tuple."""
    return (1, "one")


def many() -> Sequence[int]:
    """A tuple that its annotation does not name."""
    return (1, 2)


def untold():  # type: ignore[no-untyped-def]
    """Without an annotation."""
    return ITEM


def anything() -> Any:
    """With one that says nothing."""
    return ITEM


def gift() -> Item:
    """It returns more than it says."""
    return GiftItem("Tea", Size.LARGE, Decimal(1), "Happy birthday")


def login() -> Login:
    """It can't be kept."""
    return Login(token=SecretStr("hunter2"))


def lies() -> int:
    """It returns something else."""
    return "7"  # type: ignore[return-value]


def connection() -> object | asyncio.Event:
    """A type that no journal can keep, and a result that looks like one."""
    return asyncio.Event()


def missing() -> Missing:
    """A type that is there for type checkers only."""
    return ITEM


def missing_but_plain() -> Missing:
    """The same, of something that is JSON already."""
    return {"a": [1, "b", None]}
