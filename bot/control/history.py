"""Finds the moments of a conversation that people look up later, by comparing two states.

Messages, events, effects and duties are stored by themselves. `moments` adds who held
control when, when a flow ran, and when the user's end was told, proven or undone.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from bot.control.commands import Proven, Record, Report
from bot.control.state import Conversation, Ended, Run, Who

FAILURES = frozenset({"flow_failed", "flow_timed_out"})
"""Names of reports that count a conversation as failed."""


class MomentKind(StrEnum):
    """Subject of a moment."""

    HOLDER = "holder"
    FLOW_BEGAN = "flow began"
    FLOW_OVER = "flow over"
    ENDED = "ended"
    REOPENED = "reopened"
    PROVEN = "proven"
    FAILED = "failed"
    REPORT = "report"


@dataclass(frozen=True, slots=True)
class Moment:
    """A lasting change in a conversation.

    Attributes:
        at: by the bot's clock.
        kind: the subject.
        text: description for people; never quotes the user.
        who: who is active from then on (`HOLDER` only).
        since: platform time of the change, where known.
    """

    at: datetime
    kind: MomentKind
    text: str
    who: Who | None = None
    since: datetime | None = None


def moments(
    before: Conversation, after: Conversation, records: tuple[Record, ...], now: datetime
) -> tuple[Moment, ...]:
    """Return the lasting changes of a step, in reading order."""
    found: list[Moment] = []
    if after.holder is not before.holder:
        found += _holder(before, after, now)
    if after.ended is not before.ended:
        found += _end(before.ended, after.ended, now)
    found += [Moment(now, MomentKind.PROVEN, record.proof.how) for record in records if isinstance(record, Proven)]
    if after.run is not before.run:
        found += _run(before.run, after.run, now)
    for record in records:
        if isinstance(record, Report):
            kind = MomentKind.FAILED if record.event in FAILURES else MomentKind.REPORT
            words = record.event.replace("_", " ")
            found.append(Moment(now, kind, f"{words}: {record.detail}" if record.detail else words))
    return tuple(found)


def _holder(before: Conversation, after: Conversation, now: datetime) -> list[Moment]:
    """Return the moment of a new holder, if it differs from the old one."""
    old, new = before.holder, after.holder
    if (old.who, old.integration) == (new.who, new.integration):
        return []
    name = new.integration.name or new.integration.id if new.integration else ""
    active = {Who.BOT: f"the bot ({name}) is active", Who.OTHER: f"{name} is active"}
    text = active.get(
        new.who,
        "nobody is active" if new.who is Who.NOBODY else "not known who is active",
    )
    return [Moment(now, MomentKind.HOLDER, f"{text}, by {new.how}" if new.how else text, new.who, new.since)]


def _end(before: Ended | None, after: Ended | None, now: datetime) -> list[Moment]:
    """Return the moment at which an end was told, voided or reopened."""
    found: list[Moment] = []
    if after is None:
        return [Moment(now, MomentKind.REOPENED, "the user wrote again after the end")]
    if before is None or before.at != after.at:
        found.append(Moment(now, MomentKind.ENDED, "the user ended the conversation", since=after.at))
    elif before.proof and not after.proof:
        found.append(Moment(now, MomentKind.REOPENED, "somebody is active again after the end"))
    return found


def _run(before: Run | None, after: Run | None, now: datetime) -> list[Moment]:
    """Return the moments at which a run ended and another began."""
    if before and after and before.id == after.id:
        return []
    found: list[Moment] = []
    if before:
        name = f" {before.flow!r}" if before.flow else ""
        found.append(Moment(now, MomentKind.FLOW_OVER, f"{before.purpose} flow{name} over"))
    if after:
        text = f"{after.purpose} flow began ({after.opening.kind})"
        found.append(Moment(now, MomentKind.FLOW_BEGAN, text, since=after.began))
    return found
