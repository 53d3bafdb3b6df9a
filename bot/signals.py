"""What the running parts tell: one data type, on which logs and metrics are hooks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Level(StrEnum):
    """How much attention a signal wants."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Signal:
    """Something happened.

    Attributes:
        event: a stable name in snake_case.
        level: how much attention it wants.
        conversation_id: where, if in one conversation.
        fields: details. Never a secret, never what somebody said.
    """

    event: str
    level: Level = Level.INFO
    conversation_id: str | None = None
    fields: Mapping[str, object] = field(default_factory=dict)


Observe = Callable[[Signal], None]


def silent(_: Signal) -> None:
    """Tell nobody."""
