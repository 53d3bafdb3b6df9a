"""Renders conversations for the terminal and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from bot.console.formatting import age, badges, flow, moment, owes
from bot.console.lines import Line, Mark
from bot.store.operators import Listed, SetAside, Standing
from bot.terminal import Styled, Table, line

MAX_VALUE_LENGTH = 500  # characters; `--json` is not truncated

_STYLES = {Mark.PLAIN: "", Mark.GOOD: "green", Mark.WARNING: "yellow", Mark.BAD: "red"}


def row_of(listed: Listed, now: datetime) -> dict[str, Any]:
    """Return a conversation as JSON values."""
    state, duty = listed.state, listed.state.duty
    proof = state.ended.proof if state.ended else None
    return {
        "id": state.id,
        "holder": state.holder.who.value,
        "holder_name": str(state.holder),
        "standing": badges(listed, now),
        "since": listed.since.isoformat(),
        "created_at": listed.created_at.isoformat(),
        "updated_at": listed.updated_at.isoformat(),
        "ended_at": state.ended.at.isoformat() if state.ended else None,
        "released_at": proof.at.isoformat() if proof else None,
        "flow": state.run.purpose.value if state.run else None,
        "flow_name": state.run.flow if state.run else None,
        "flow_version": state.run.version if state.run else None,
        "duty": None
        if duty is None
        else {
            "action": duty.action.value,
            "target": duty.target,
            "reason": duty.reason,
            "since": duty.since.isoformat(),
            "attempts": duty.attempts,
            "next_attempt": duty.next_attempt.isoformat(),
            "last_answer": duty.last_answer,
        },
    }


def table_of(conversations: Sequence[Listed], standing: Standing, now: datetime) -> Table:
    """Return a table of conversations."""
    since = "known for" if standing is Standing.ALL else f"{standing} for"
    table = Table("conversation", "active", "standing", "flow", since, "newest", "owes")
    for listed in conversations:
        state = listed.state
        owed = f"{owes(state.duty)} ({state.duty.attempts} attempts)" if state.duty else ""
        at_work = flow(state.run) if state.run else ""
        standing_in = ", ".join(badges(listed, now)) or "quiet"
        times = age(now - listed.since), age(now - listed.updated_at)
        table.row(state.id, str(state.holder), standing_in, at_work, *times, owed)
    return table


def head_of(listed: Listed, now: datetime) -> Styled:
    """Return a one-line summary of a conversation."""
    state = listed.state
    parts = [f"conversation {state.id}: {state.holder} is active"]
    if standing := badges(listed, now):
        parts.append(", ".join(standing))
    if state.run:
        parts.append(f"running {flow(state.run)}")
    if state.duty:
        next_attempt = moment(state.duty.next_attempt)
        parts.append(f"owes a {owes(state.duty)}, next attempt {next_attempt}")
    return "; ".join(parts), "bold"


def timeline_of(lines: Sequence[Line]) -> Table:
    """Return a table of timeline entries."""
    table = Table("time (UTC)", "active", "who", "what")
    for one in lines:
        what: list[Styled] = [(one.what, _STYLES[one.mark])]
        if one.text:
            what.append(f": {one.text}")
        if one.note:
            what.append((f" ({one.note})", "dim"))
        if one.value:
            cut = f"{one.value[:MAX_VALUE_LENGTH]}…"
            shown = one.value if len(one.value) <= MAX_VALUE_LENGTH else cut
            what.append((f" {shown}", "dim"))
        actor = f"{one.actor} {one.name}".strip()
        table.row(moment(one.at), one.holder_name, actor, line(*what))
    return table


def set_aside_of(events: Sequence[SetAside]) -> Table:
    """Return a table of events that were set aside."""
    table = Table("event", "type", "conversation", "received", "reason")
    for event in events:
        received = moment(event.received_at)
        table.row(event.id, event.type, event.conversation_id or "", received, event.reason)
    return table


def plain(values: dict[str, Any]) -> dict[str, Any]:
    """Convert times to ISO text, for JSON."""
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in values.items()}
