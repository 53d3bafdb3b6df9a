"""A person's screen as JSON for the pages: conversations, messages, holder, timeline."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from bot.sandbox.errors import NotPossibleError
from bot.sandbox.keys import Key
from bot.sandbox.pages import words
from bot.sandbox.pages.about_bot import BotView
from bot.sandbox.records import (
    AGENT_WORKSPACE,
    Conversation,
    Json,
    Message,
    SwitchboardIntegration,
    Ticket,
    TicketStatus,
    iso,
)
from bot.sandbox.switchboard import BOT

if TYPE_CHECKING:
    from bot.sandbox.sandbox import Sandbox

_LINKS = frozenset({"http", "https", "mailto", "tel", "sms"})
_SYSTEM_TEXTS = {
    "conversation:endedByUser": "The conversation was ended.",
    "ticket:closed": "The ticket was closed.",
    "ticket:transfer:email": "The conversation continues by e-mail.",
}


def user_list(sandbox: Sandbox, user_id: str) -> Json:
    """A user's widget: the name, and the conversations, newest first."""
    user = sandbox.switchboard.users.get(user_id)
    if user is None:
        raise NotPossibleError("This person does not exist or was deleted.")
    mine = [c for c in sandbox.switchboard.conversations.values() if c.user_id == user_id]
    return {
        "user": {"id": user.id, "name": user.name},
        "conversations": _listed(sandbox, mine),
    }


def desk_list(sandbox: Sandbox) -> Json:
    """The agents' desk: all conversations, the workspace's own first, newest first."""
    listed = _listed(sandbox, sandbox.switchboard.conversations.values())
    listed.sort(key=lambda shown: (shown["holder"] != "agent", shown["ended"]))
    return {"conversations": listed}


def conversation(sandbox: Sandbox, conversation_id: str, bot: BotView, reader: str) -> Json:
    """One conversation.

    Args:
        sandbox: the sandbox.
        conversation_id: its id. Raises `NotPossibleError` if there is none.
        bot: the bot's view of it.
        reader: `user` or `agent`.
    """
    board = sandbox.switchboard
    found = board.conversations.get(conversation_id)
    if found is None:
        raise NotPossibleError("This conversation does not exist or was deleted.")
    name = _named(sandbox, found)
    keys = {key.id for member in board.members.values() if member.name == BOT for key in _keys(sandbox, member)}
    actors = words.Actors("You" if reader == "user" else name, keys, sandbox.app_key.id)
    entries = board.history.of(conversation_id)
    state, sentence = words.standing(entries, actors, bot)
    return {
        "id": found.id,
        "user": name,
        "messages": [_message(message, found) for message in found.messages],
        "typing": conversation_id in board.typing,
        "canWrite": board.can_write(conversation_id),
        "ended": found.ended_at is not None,
        "holder": words.short(board.holder(conversation_id)),
        "state": state,
        "standing": sentence,
        "owes": bot.owes,
        "timeline": [
            {
                "at": iso(line.at),
                "text": line.text,
                "holder": line.holder,
                "kind": line.kind,
            }
            for line in words.timeline(entries, actors, bot)
        ],
        "ticket": _ticket(board.ticket_of(conversation_id)),
    }


def _named(sandbox: Sandbox, conversation: Conversation) -> str:
    """The participants' names, or else their ids."""
    users = [sandbox.switchboard.users[user_id] for user_id in conversation.participants]
    return ", ".join(user.name or user.external_id or user.id for user in users) or "Nobody"


def _keys(sandbox: Sandbox, member: SwitchboardIntegration) -> list[Key]:
    return sandbox.keys.of_integration(member.integration_id)


def _listed(sandbox: Sandbox, conversations: Iterable[Conversation]) -> list[Json]:
    board = sandbox.switchboard
    return [
        {
            "id": one.id,
            "user": _named(sandbox, one),
            "title": next(
                (m.text for m in one.messages if m.author["type"] == "user" and m.text),
                "New conversation",
            ),
            "at": iso(one.last_updated_at or one.created_at),
            "holder": words.short(board.holder(one.id)),
            "ended": one.ended_at is not None,
        }
        for one in sorted(
            conversations,
            key=lambda c: c.last_updated_at or c.created_at,
            reverse=True,
        )
    ]


def _ticket(ticket: Ticket | None) -> Json | None:
    if ticket is None:
        return None
    fields = {**ticket.system_fields, **ticket.fields}
    return {
        "number": ticket.number,
        "status": ticket.status.value,
        "open": ticket.status is not TicketStatus.CLOSED and not ticket.session_over,
        "fields": {str(name): str(value) for name, value in fields.items()},
    }


def _message(message: Message, conversation: Conversation) -> Json:
    content = message.content
    speaker = _speaker(message)
    shown: Json = {
        "id": message.id,
        "at": iso(message.received),
        "from": speaker,
        "name": str(message.author.get("displayName", "")),
        "text": _text(message),
        "actions": _actions(content, is_newest=message is conversation.messages[-1]),
    }
    if content["type"] == "carousel" or content["type"] == "list":
        shown["items"] = [
            {
                "title": str(item.get("title", "")),
                "description": str(item.get("description", "")),
                "picture": _address(item.get("mediaUrl")),
                "actions": _actions(item, is_newest=False),
            }
            for item in content["items"]
        ]
    if content["type"] == "form":
        shown["form"] = {
            "fields": content["fields"],
            "answered": _is_answered(message.id, conversation),
        }
    if content["type"] in ("image", "file"):
        shown["media"] = {
            "url": _address(content["mediaUrl"]),
            "alt": str(content.get("altText", "")),
        }
    return shown


def _speaker(message: Message) -> str:
    if message.activity is not None:
        return "system"
    if message.author["type"] == "user":
        return "user"
    return "agent" if message.source.get("type") == AGENT_WORKSPACE else "bot"


def _text(message: Message) -> str:
    if message.activity is not None:
        return _SYSTEM_TEXTS.get(message.activity["type"], message.text)
    if message.content["type"] == "formResponse":
        return str(message.content["textFallback"])
    if message.content["type"] == "location":
        place = message.content["coordinates"]
        return f"Location: {place['lat']}, {place['long']}"
    return message.text


def _actions(content: Json, *, is_newest: bool) -> list[Json]:
    """The buttons, each with its place in the message; quick replies only in the newest."""
    shown = []
    for place, action in enumerate(content.get("actions") or ()):
        if action["type"] == "reply" and not is_newest:
            continue
        address = _address(action.get("uri"))
        shown.append(
            {
                "place": place,
                "type": action["type"],
                "text": str(action["text"]),
                "url": address,
            }
        )
    return shown


def _is_answered(form_id: str, conversation: Conversation) -> bool:
    return any(
        field.get("quotedMessageId") == form_id
        for message in conversation.messages
        if message.content["type"] == "formResponse"
        for field in message.content["fields"]
    )


def _address(given: Any) -> str:
    """An address that a page may link to, or an empty string."""
    try:
        return given if isinstance(given, str) and urlsplit(given).scheme in _LINKS else ""
    except ValueError:
        return ""
