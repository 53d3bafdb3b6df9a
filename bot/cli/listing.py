"""How conversations look in the terminal and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from bot.console.lines import Line, Mark
from bot.console.words import age, badges, flow, moment, owes
from bot.store.operators import Listed, SetAside, Standing
from bot.terminal import Styled, Table, line

LONGEST_VALUE = 500  # characters; `--json` has all of it

_STYLES = {Mark.PLAIN: "", Mark.GOOD: "green", Mark.WARNING: "yellow", Mark.BAD: "red"}


def row_of(listed: Listed, now: datetime) -> dict[str, Any]:
    """One conversation as JSON values."""
    state, duty = listed.state, listed.state.duty
    return {
        "id": state.id,
        "holder": state.holder.who.value,
        "holder_name": str(state.holder),
        "standing": badges(listed, now),
        "since": listed.since.isoformat(),
        "created_at": listed.created_at.isoformat(),
        "updated_at": listed.updated_at.isoformat(),
        "ended_at": state.ended.at.isoformat() if state.ended else None,
        "released_at": state.ended.proof.at.isoformat() if state.ended and state.ended.proof else None,
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
    """Show conversations as a table."""
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
    """Sum one conversation up in a line."""
    state = listed.state
    words = [f"conversation {state.id}: active is {state.holder}"]
    if standing := badges(listed, now):
        words.append(", ".join(standing))
    if state.run:
        words.append(f"at work is {flow(state.run)}")
    if state.duty:
        words.append(f"owes a {owes(state.duty)}, next attempt {moment(state.duty.next_attempt)}")
    return "; ".join(words), "bold"


def timeline_of(lines: Sequence[Line]) -> Table:
    """Show a timeline as a table."""
    table = Table("time (UTC)", "active", "who", "what")
    for one in lines:
        what: list[Styled] = [(one.what, _STYLES[one.mark])]
        if one.text:
            what.append(f": {one.text}")
        if one.note:
            what.append((f" ({one.note})", "dim"))
        if one.value:
            shown = one.value if len(one.value) <= LONGEST_VALUE else f"{one.value[:LONGEST_VALUE]}…"
            what.append((f" {shown}", "dim"))
        table.row(moment(one.at), one.holder_name, f"{one.actor} {one.name}".strip(), line(*what))
    return table


def set_aside_of(events: Sequence[SetAside]) -> Table:
    """Show events that were set aside as a table."""
    table = Table("event", "type", "conversation", "came", "why")
    for event in events:
        table.row(event.id, event.type, event.conversation_id or "", moment(event.received_at), event.reason)
    return table


def plain(values: dict[str, Any]) -> dict[str, Any]:
    """Values as JSON has them."""
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in values.items()}
