"""Signals: the one data type that parts emit, and that logs, metrics and traces observe."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from enum import StrEnum


class Level(StrEnum):
    """The severity of a signal."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Signal:
    """Something that happened.

    Attributes:
        event: a stable name in snake_case.
        level: the severity.
        conversation_id: the conversation, if it concerns one.
        fields: details, without secrets and without users' words.
    """

    event: str
    level: Level = Level.INFO
    conversation_id: str | None = None
    fields: Mapping[str, object] = field(default_factory=dict)


Observe = Callable[[Signal], None]


def silent(_: Signal) -> None:
    """Ignore a signal."""


@dataclass(frozen=True, slots=True)
class AtWork:
    """The conversation that a task processes.

    Attributes:
        conversation_id: the conversation's id.
        event_id: the newest event being processed; None for a timer.
    """

    conversation_id: str
    event_id: str | None = None


AT_WORK: ContextVar[AtWork | None] = ContextVar("at_work", default=None)
"""Set by the engine. Signals from the task, and from tasks it starts, concern this."""
