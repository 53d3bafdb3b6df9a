"""People's actions on the pages, one function each; takes the request's JSON body."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from bot.sandbox.contents import MAX_TEXT
from bot.sandbox.errors import NotPossibleError
from bot.sandbox.records import Json
from bot.sandbox.switchboard import BOT

if TYPE_CHECKING:
    from bot.sandbox.sandbox import Sandbox

LONGEST_NAME = 128
SOMEWHERE = {"lat": 52.3731, "long": 4.8922}
"""The location that every user of these pages shares."""


class BadRequestError(Exception):
    """The request is not one that the pages send."""


def new_user(sandbox: Sandbox, body: Json) -> Json:
    """Create a user: `{"name"}`."""
    user = sandbox.switchboard.create_user(_text(body, "name", LONGEST_NAME))
    return {"id": user.id}


def new_conversation(sandbox: Sandbox, user_id: str) -> Json:
    """Open the widget as this user."""
    return {"id": sandbox.switchboard.create_conversation(user_id, now=sandbox.clock.now()).id}


def _says(sandbox: Sandbox, conversation_id: str, body: Json) -> None:
    """Write a message: `{"text"}`."""
    sandbox.switchboard.user_says(conversation_id, _text(body, "text"), now=sandbox.clock.now())


def _taps(sandbox: Sandbox, conversation_id: str, body: Json) -> None:
    """Tap an action of a message or of one of its cards: `{"message", "place", "item"?}`."""
    board, now = sandbox.switchboard, sandbox.clock.now()
    action = _action(sandbox, conversation_id, body)
    match action["type"]:
        case "reply":
            board.user_says(conversation_id, action["text"], action["payload"], now=now)
        case "postback":
            board.user_taps(conversation_id, action["payload"], action.get("metadata"), now=now)
        case "locationRequest":
            board.user_sends(
                conversation_id,
                {"type": "location", "coordinates": SOMEWHERE},
                now=now,
            )
        case _:
            raise NotPossibleError("This button sends nothing.")


def _submits(sandbox: Sandbox, conversation_id: str, body: Json) -> None:
    """Submit a form: `{"message", "values": {name: value}}`."""
    values = body.get("values")
    if not isinstance(values, dict) or not all(isinstance(value, str) for value in values.values()):
        raise BadRequestError("values must be an object of texts.")
    board = sandbox.switchboard
    board.user_submits(conversation_id, _text(body, "message"), values, now=sandbox.clock.now())


def _ends(sandbox: Sandbox, conversation_id: str, _: Json) -> None:
    sandbox.switchboard.user_ends(conversation_id, now=sandbox.clock.now())


def _agent_says(sandbox: Sandbox, conversation_id: str, body: Json) -> None:
    sandbox.switchboard.agent_says(conversation_id, _text(body, "text"), sandbox.clock.now())


def _agent_passes_back(sandbox: Sandbox, conversation_id: str, _: Json) -> None:
    sandbox.switchboard.agent_passes(conversation_id, BOT, sandbox.clock.now())


def _agent_releases(sandbox: Sandbox, conversation_id: str, _: Json) -> None:
    sandbox.switchboard.agent_releases(conversation_id, sandbox.clock.now())


def _ticket_closes(sandbox: Sandbox, conversation_id: str, _: Json) -> None:
    sandbox.switchboard.close_ticket(conversation_id, sandbox.clock.now())


def _transfers(sandbox: Sandbox, conversation_id: str, _: Json) -> None:
    sandbox.switchboard.transfer_to_email(conversation_id, sandbox.clock.now())


def _agent_ends(sandbox: Sandbox, conversation_id: str, _: Json) -> None:
    sandbox.switchboard.agent_ends(conversation_id, sandbox.clock.now())


Act = Callable[["Sandbox", str, Json], None]

ACTS: Mapping[str, Mapping[str, Act]] = {
    "user": {"say": _says, "tap": _taps, "submit": _submits, "end": _ends},
    "agent": {
        "say": _agent_says,
        "pass": _agent_passes_back,
        "release": _agent_releases,
        "close": _ticket_closes,
        "transfer": _transfers,
        "end": _agent_ends,
    },
}
"""Actions in a conversation, by name; raise `NotPossibleError` and `BadRequestError`."""


def _action(sandbox: Sandbox, conversation_id: str, body: Json) -> Json:
    """The action named in the request. Raises `NotPossibleError` if there is none."""
    message_id, place, item = _text(body, "message"), body.get("place"), body.get("item")
    conversation = sandbox.switchboard.conversations.get(conversation_id)
    messages = [] if conversation is None else conversation.messages
    content = next((m.content for m in messages if m.id == message_id), {})
    if item is not None:
        content = _at(content.get("items"), item)
    action: Json = _at(content.get("actions"), place)
    if not action:
        raise NotPossibleError("There is no such button.")
    return action


def _at(things: Any, place: Any) -> Json:
    """The item at this position, or an empty one."""
    fits = isinstance(things, list) and isinstance(place, int) and 0 <= place < len(things)
    return things[place] if fits else {}


def _text(body: Json, key: str, longest: int = MAX_TEXT) -> str:
    text = body.get(key)
    if not isinstance(text, str) or not text.strip():
        raise BadRequestError(f"{key} must be a text.")
    if len(text) > longest:
        raise BadRequestError(f"{key} can have at most {longest} characters.")
    return text.strip()
