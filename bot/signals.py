"""What the running parts tell: one data type, on which logs and metrics are hooks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import ContextVar
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


@dataclass(frozen=True, slots=True)
class AtWork:
    """The conversation that a task works on, and the newest event that it has taken; None: only time has passed."""

    conversation_id: str
    event_id: str | None = None


AT_WORK: ContextVar[AtWork | None] = ContextVar("at_work", default=None)
"""Set by the engine; what is told from within the task, or from a task that it has begun, is about that."""
