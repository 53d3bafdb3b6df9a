"""Builds a tape from a database's stored events."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from bot.store.interface import StoredEvent
from bot.tape import TapedDelivery
from webhooks import wire


def deliveries_of(events: Iterable[StoredEvent], app_id: str = "") -> Iterator[TapedDelivery]:
    """Yield deliveries; events received at the same moment form one delivery.

    Args:
        events: in order of arrival. If an event was given to several conversations, the
            first copy is used.
        app_id: the app's id for the envelope.
    """
    known: set[str] = set()
    waiting: list[Any] = []
    came: datetime | None = None
    for event in events:
        value = wire.read_json(event.body)
        event_id = wire.event_id(value) if isinstance(value, dict) else event.id
        if event_id in known:
            continue
        known.add(event_id)
        if came is not None and event.received_at != came:
            yield _delivery(came, waiting, app_id)
            waiting = []
        came = event.received_at
        waiting.append(value)
    if came is not None:
        yield _delivery(came, waiting, app_id)


def _delivery(came: datetime, events: list[Any], app_id: str) -> TapedDelivery:
    app = {"app": {"id": app_id}} if app_id else {}
    return TapedDelivery(
        came,
        {**app, "webhook": {"id": "export", "version": "v2"}, "events": events},
    )
