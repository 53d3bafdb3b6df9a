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
        tags: what `tags` has added.
        priority: where one was given.
        requester: name and e-mail address, as far as they were given: `{"name": "Ada"}`.
        messages: the messages that were copied into it, line by line as in `Talk.transcript`.
        is_needless: it was opened after the user had ended the conversation.
    """

    status: str
    fields: dict[str, Any]
    tags: tuple[str, ...]
    priority: str | None
    requester: dict[str, str]
    messages: tuple[str, ...]
    is_needless: bool


def ticket_of(ticket: records.Ticket, lines: dict[str, str]) -> Ticket:
    """A ticket of the sandbox. `lines`: the transcript, by message id."""
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
