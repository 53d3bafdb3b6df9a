"""What operators ask of a conversation, on its way through the inbox: written by any process, read by the worker.

An order waits among the conversation's events, survives what they survive, and takes effect once, like them.
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta

from pydantic import TypeAdapter, ValidationError

from bot.control.facts import Fact, OperatorReleased
from bot.control.reading import facts_of
from webhooks.events import Event, InvalidEvent
from webhooks.inbox import NewEvent

RELEASE = "operator:release"

CONFIRMED_FOR = timedelta(minutes=5)
"""So long counts an operator's word that control may be taken from another. Later, that one may have it anew."""

_RELEASED = TypeAdapter(OperatorReleased)


def release_order(
    conversation_id: str, *, by: str, now: datetime, order_id: str, against: str | None = None
) -> NewEvent:
    """An order to release control.

    Args:
        conversation_id: where.
        by: who asks.
        now: when.
        order_id: unlike any other's; the same one a second time is the same order.
        against: id of the integration from which the operator has confirmed to take it (see `bot.control.by_hand`).
    """
    body = json.dumps({"by": by, "against": against}).encode()
    return NewEvent(f"order:{order_id}", conversation_id, RELEASE, body, now)


def order_of(type_: str, body: bytes, age: timedelta = timedelta(0)) -> OperatorReleased:
    """What was asked. Raises `InvalidEvent` for what this version does not know, or does not do after so long."""
    if type_ != RELEASE:
        raise InvalidEvent("an order of an unknown kind")
    try:
        order = _RELEASED.validate_json(body)
    except ValidationError:
        raise InvalidEvent("an order of an unknown form") from None
    if order.against and age > CONFIRMED_FOR:
        raise InvalidEvent("it was confirmed too long ago that control may be taken from another: ask for it again")
    return order


def facts_of_either(event: Event | OperatorReleased, received_at: datetime) -> tuple[Fact, ...]:
    """The facts of an event, or what an operator asks, which is one itself."""
    return (event,) if isinstance(event, OperatorReleased) else facts_of(event, received_at)
