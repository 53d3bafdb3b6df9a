"""Orders: requests of operators and other systems, delivered through the inbox.

Any process may write an order. It waits among the conversation's events, is as durable
as they are, and takes effect once.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pydantic import TypeAdapter, ValidationError

from bot.control.facts import Fact, FlowOrdered, FlowTold, OperatorReleased
from bot.control.reading import facts_of
from webhooks.events import Event, InvalidEventError
from webhooks.inbox import NewEvent
from webhooks.wire import content_id, write_json

RELEASE = "operator:release"
SIGNAL = "signal"
FLOW = "flow"

CONFIRMED_FOR = timedelta(minutes=5)
"""Validity of an operator's confirmation to take control. Later, the other may have it anew."""


@dataclass(frozen=True, slots=True)
class Told:
    """A signal for a flow from outside: its name, and its data as JSON."""

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
    """Return an order to release control.

    Args:
        conversation_id: the platform's conversation id.
        by: the operator.
        now: the time of the request.
        order_id: idempotency key: the same id twice is one order.
        against: id of the integration to take control from, if the operator confirmed
            that (see `bot.control.by_hand`).
    """
    body = json.dumps({"by": by, "against": against}).encode()
    return NewEvent(f"order:{order_id}", conversation_id, RELEASE, body, now)


def signal_order(
    conversation_id: str,
    name: str,
    data: Any,
    *,
    key: str,
    now: datetime,
) -> NewEvent:
    """Return a signal for the current flow.

    Args:
        conversation_id: the platform's conversation id.
        name: as in `chat.signal`.
        data: JSON.
        key: the sender's idempotency key within the conversation.
        now: the time of the request.
    """
    body = write_json({"name": name, "data": data})
    return NewEvent(content_id([SIGNAL, conversation_id, key]), conversation_id, SIGNAL, body, now)


def flow_order(conversation_id: str, flow: str, data: Any, *, key: str, now: datetime) -> NewEvent:
    """Return an order to begin a flow.

    Args:
        conversation_id: the platform's conversation id.
        flow: the flow's name.
        data: the flow's argument, as JSON.
        key: the sender's idempotency key within the conversation.
        now: the time of the request.
    """
    body = write_json({"flow": flow, "data": data})
    return NewEvent(content_id([FLOW, conversation_id, key]), conversation_id, FLOW, body, now)


def order_of(type_: str, body: bytes, age: timedelta = timedelta(0)) -> Order:
    """Parse a stored order.

    Raises:
        InvalidEventError: the order is unknown to this version, or its confirmation has
            expired.
    """
    if type_ not in _KINDS:
        raise InvalidEventError("an order of an unknown kind")
    try:
        order: Order = _KINDS[type_].validate_json(body)
    except ValidationError:
        raise InvalidEventError("an order of an unknown form") from None
    if isinstance(order, OperatorReleased) and order.against and age > CONFIRMED_FOR:
        raise InvalidEventError("the confirmation to take control from another has expired: request the release again")
    return order


def facts_of_either(event: Event | Order, received_at: datetime, now: datetime) -> tuple[Fact, ...]:
    """Return the facts of an event or an order."""
    match event:
        case OperatorReleased() | FlowOrdered():
            return (event,)
        case Told():
            return (FlowTold(),)
        case _:
            return facts_of(event, received_at, now)
