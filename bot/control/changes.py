"""Typed keyword arguments of `Draft.set…`, so that mypy checks every change to a state."""

from __future__ import annotations

from datetime import datetime
from typing import TypedDict

from bot.control.state import (
    Action,
    Duty,
    Ended,
    Handed,
    Holder,
    Input,
    Key,
    Metadata,
    Opening,
    Pending,
    Proof,
    Purpose,
    Reminder,
    Run,
    RunStatus,
    Stage,
    Start,
    Unsent,
)


class ConversationChanges(TypedDict, total=False):
    """Attributes of `Conversation`."""

    id: str
    holder: Holder
    run: Run | None
    inputs: tuple[Input, ...]
    ended: Ended | None
    duty: Duty | None
    pending: Pending | None
    unsent: tuple[Unsent, ...]
    idle_at: datetime | None
    watch_at: datetime | None
    watches: int
    read_at: datetime | None
    spoke_at: datetime | None
    heard: tuple[str, ...]
    in_doubt: bool
    closing_run: int | None
    mismatch_reported: bool
    no_app_key_reported: bool
    former: Holder | None
    elsewhere_at: datetime | None
    handback_at: datetime | None
    handed: Handed | None
    start: Start | None
    reminders: tuple[Reminder, ...]
    gone: bool
    serial: int


class RunChanges(TypedDict, total=False):
    """Attributes of `Run`."""

    id: int
    purpose: Purpose
    opening: Opening
    began: datetime
    status: RunStatus
    since: datetime
    deadline: datetime
    wants_input: bool
    until: datetime | None
    contact: bool
    flow: str
    version: int
    restarted: bool


class DutyChanges(TypedDict, total=False):
    """Attributes of `Duty`."""

    id: int
    action: Action
    reason: str
    since: datetime
    next_attempt: datetime
    stage: Stage
    key: Key
    target: str | None
    metadata: Metadata
    attempts: int
    failures: int
    refusals: int
    accepted_at: datetime | None
    last_answer: str | None
    overdue_reports: int
    against: str | None
    stale: int


class EndedChanges(TypedDict, total=False):
    """Attributes of `Ended`."""

    at: datetime
    check_at: datetime
    message_id: str | None
    checks: int
    handed_back: bool
    held_after_grace: bool
    proof: Proof | None
    was_proven: bool
