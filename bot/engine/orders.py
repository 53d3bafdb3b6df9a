"""What operators and other systems ask of a conversation, on its way through the inbox: written by any process.

An order waits among the conversation's events, survives what they survive, and takes effect once, like them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pydantic import TypeAdapter, ValidationError

from bot.control.facts import Fact, FlowOrdered, FlowTold, OperatorReleased
from bot.control.reading import facts_of
from webhooks.events import Event, InvalidEvent
from webhooks.inbox import NewEvent
from webhooks.wire import content_id, write_json

RELEASE = "operator:release"
SIGNAL = "signal"
FLOW = "flow"

CONFIRMED_FOR = timedelta(minutes=5)
"""So long counts an operator's word that control may be taken from another. Later, that one may have it anew."""


@dataclass(frozen=True, slots=True)
class Told:
    """A flow is told something from outside: the signal's name, and its data, which is JSON."""

    name: str
    data: Any = None


Order = OperatorReleased | Told | FlowOrdered

_KINDS: dict[str, TypeAdapter[Any]] = {
    RELEASE: TypeAdapter(OperatorReleased),
    SIGNAL: TypeAdapter(Told),
    FLOW: TypeAdapter(FlowOrdered),
}


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


def signal_order(conversation_id: str, name: str, data: Any, *, key: str, now: datetime) -> NewEvent:
    """A signal for the flow at work.

    Args:
        conversation_id: where.
        name: as in `chat.signal`.
        data: JSON.
        key: the sender's idempotency key; a second signal of the conversation with the same one is the same.
        now: when.
    """
    body = write_json({"name": name, "data": data})
    return NewEvent(content_id([SIGNAL, conversation_id, key]), conversation_id, SIGNAL, body, now)


def flow_order(conversation_id: str, flow: str, data: Any, *, key: str, now: datetime) -> NewEvent:
    """An order to begin a flow.

    Args:
        conversation_id: where.
        flow: its name.
        data: what it is given; JSON.
        key: the sender's idempotency key; a second order of the conversation with the same one is the same.
        now: when.
    """
    body = write_json({"flow": flow, "data": data})
    return NewEvent(content_id([FLOW, conversation_id, key]), conversation_id, FLOW, body, now)


def order_of(type_: str, body: bytes, age: timedelta = timedelta(0)) -> Order:
    """What was asked. Raises `InvalidEvent` for what this version does not know, or does not do after so long."""
    if type_ not in _KINDS:
        raise InvalidEvent("an order of an unknown kind")
    try:
        order: Order = _KINDS[type_].validate_json(body)
    except ValidationError:
        raise InvalidEvent("an order of an unknown form") from None
    if isinstance(order, OperatorReleased) and order.against and age > CONFIRMED_FOR:
        raise InvalidEvent("it was confirmed too long ago that control may be taken from another: ask for it again")
    return order


def facts_of_either(event: Event | Order, received_at: datetime, now: datetime) -> tuple[Fact, ...]:
    """The facts of an event, or of an order."""
    match event:
        case OperatorReleased() | FlowOrdered():
            return (event,)
        case Told():
            return (FlowTold(),)
        case _:
            return facts_of(event, received_at, now)
