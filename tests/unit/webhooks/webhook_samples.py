"""Small deliveries and events, and an inbox, for the tests of `webhooks`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from webhooks.inbox import NewEvent

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)

KEY = {"X-API-Key": "s3cret"}

BOT = {"id": "sw-bot", "name": "bot", "integrationId": "int-bot", "integrationType": "custom"}
DESK = {"id": "sw-desk", "name": "zd-agentWorkspace", "integrationType": "zd:agentWorkspace"}
ANNA = {"id": "anna"}


def event(type_: str, payload: object = None, **changes: object) -> dict[str, Any]:
    """An event as posted. A change to None takes the key away."""
    whole = {
        "id": "e1",
        "createdAt": "2026-03-01T12:00:00.500Z",
        "type": type_,
        "payload": {} if payload is None else payload,
        **changes,
    }
    return {key: value for key, value in whole.items() if value is not None}


def in_conversation(type_: str, **payload: object) -> dict[str, Any]:
    """An event of the conversation `c1`, in which the bot is active."""
    return event(type_, {"conversation": {"id": "c1", "activeSwitchboardIntegration": BOT}, **payload})


def message(**fields: object) -> dict[str, Any]:
    """A `conversation:message` event with the message `m1`."""
    return in_conversation("conversation:message", message={"id": "m1", **fields})


def delivery(*events: object) -> bytes:
    """The body of a request."""
    envelope = {"app": {"id": "a1"}, "webhook": {"id": "w1", "version": "v2"}, "events": list(events)}
    return json.dumps(envelope).encode()


class Reports:
    """Keeps what is reported."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str, Mapping[str, object]]] = []

    def __call__(self, event: str, level: str, fields: Mapping[str, object]) -> None:
        self.calls.append((event, level, fields))

    @property
    def names(self) -> list[str]:
        """Of the reports so far."""
        return [event for event, _, _ in self.calls]


class Shelf:
    """An inbox that keeps what it is given, or fails."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.events: list[NewEvent] = []

    async def add(self, events: Sequence[NewEvent]) -> None:
        """Keep the events."""
        if self.error is not None:
            raise self.error
        self.events.extend(events)
