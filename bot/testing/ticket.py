"""`Ticket`: the agent's ticket, for assertions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bot.sandbox import records


@dataclass(frozen=True, slots=True)
class Ticket:
    """The agent's ticket.

    Attributes:
        status: "open", "solved" or "closed".
        fields: the values of `ticket_fields`, by field id.
        tags: the tags added by `tags`.
        priority: if given.
        requester: the given name and e-mail address: `{"name": "Ada"}`.
        messages: the messages copied into it, as lines of `Talk.transcript`.
        is_needless: whether it was opened after the user had ended the conversation.
    """

    status: str
    fields: dict[str, Any]
    tags: tuple[str, ...]
    priority: str | None
    requester: dict[str, str]
    messages: tuple[str, ...]
    is_needless: bool


def ticket_of(ticket: records.Ticket, lines: dict[str, str]) -> Ticket:
    """Convert a ticket of the sandbox. `lines` is the transcript, by message id."""
    system = dict(ticket.system_fields)
    tags = str(system.get("tags") or "")
    requester = {name.removeprefix("requester."): str(value) for name, value in system.items() if "requester." in name}
    return Ticket(
        ticket.status.value,
        dict(ticket.fields),
        tuple(tag for tag in tags.replace(",", " ").split() if tag),
        system.get("priority"),
        requester,
        tuple(lines[id_] for id_ in ticket.message_ids if id_ in lines),
        ticket.opened_after_end,
    )
