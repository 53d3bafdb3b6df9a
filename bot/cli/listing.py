"""How conversations look in the terminal and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from rich.table import Table
from rich.text import Text

from bot.console.lines import Line, Mark
from bot.console.words import age, badges, moment, owes
from bot.store.operators import Listed, SetAside, Standing

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
    """Conversations as a table."""
    since = "known for" if standing is Standing.ALL else f"{standing} for"
    table = Table("conversation", "active", "standing", since, "owes")
    for listed in conversations:
        state = listed.state
        owed = f"{owes(state.duty)} ({state.duty.attempts} attempts)" if state.duty else ""
        cells = (state.id, str(state.holder), ", ".join(badges(listed, now)), age(now - listed.since), owed)
        table.add_row(*(Text(_printable(cell)) for cell in cells))
    return table


def head_of(listed: Listed, now: datetime) -> Text:
    """One conversation in a line."""
    state = listed.state
    words = [f"conversation {state.id}: active is {state.holder}"]
    if standing := badges(listed, now):
        words.append(", ".join(standing))
    if state.duty:
        words.append(f"owes a {owes(state.duty)}, next attempt {moment(state.duty.next_attempt)}")
    return Text(_printable("; ".join(words)), style="bold")


def timeline_of(lines: Sequence[Line]) -> Table:
    """A timeline as a table."""
    table = Table("time (UTC)", "active", "who", "what", box=None, pad_edge=False)
    for line in lines:
        what = Text(_printable(line.what), style=_STYLES[line.mark])
        if line.text:
            what.append(f": {_printable(line.text)}", style="default")
        if line.note:
            what.append(f" ({_printable(line.note)})", style="dim")
        who = f"{line.actor} {line.name}".strip()
        table.add_row(moment(line.at), Text(_printable(line.holder_name)), Text(_printable(who)), what)
    return table


def _printable(text: str) -> str:
    """What others wrote must not steer the terminal."""
    return "".join(character if character.isprintable() else " " for character in text)


def set_aside_of(events: Sequence[SetAside]) -> Table:
    """Events that were set aside as a table."""
    table = Table("event", "type", "conversation", "came", "why")
    for event in events:
        cells = (event.id, event.type, event.conversation_id or "", moment(event.received_at), event.reason)
        table.add_row(*(Text(_printable(cell)) for cell in cells))
    return table


def plain(values: dict[str, Any]) -> dict[str, Any]:
    """Values as JSON has them."""
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in values.items()}
