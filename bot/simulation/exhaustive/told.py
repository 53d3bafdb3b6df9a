"""Webhook events under way, as small tuples, and the facts that the bot's own reading makes of them."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

from bot.control import reading
from bot.control.facts import Fact
from bot.sandbox.records import AGENT_WORKSPACE, iso
from bot.simulation.exhaustive.setup import INTEGRATIONS, Setup
from webhooks.events import parse_event

WORD, END, HALF_END, AGENT, MOVED, FAILED, SPOKEN, SYSTEM = range(8)
"""Kinds: the user's word; the end, whole or without its activity; an agent's word; control moved, or failed to; the
bot's own word; another system message."""

REASONS = (None, "ticketClosed", "transferToEmail")
_CACHE_LIMIT = 200_000


class Told(NamedTuple):
    """One event on its way to the bot.

    Attributes:
        kind: what it tells.
        at: when it happened.
        shown: who is active, as the event shows it.
        number: of the message; 0 for a control event.
        foreign: was the word said while another integration was active?
        again: does it come once more under another event id?
        reason: index in `REASONS`.
        fresh: has control not moved since?
    """

    kind: int
    at: datetime
    shown: int
    number: int
    foreign: bool = False
    again: bool = False
    reason: int = 0
    fresh: bool = True


def event_id(number: int, foreign: bool, again: bool) -> str:
    """The id of a message's event. It tells for the checks whom the message was said to."""
    return f"{'x' if foreign else 'e'}{number}{'b' if again else ''}"


def message_id(number: int) -> str:
    """The platform's id of a message."""
    return f"m{number}"


_cache: dict[tuple[Told, datetime, bool], tuple[Fact, ...]] = {}


def facts_of(told: Told, now: datetime, setup: Setup) -> tuple[Fact, ...]:
    """The facts of an event that comes in now."""
    key = (told, now, setup.dated)
    facts = _cache.get(key)
    if facts is None:
        if len(_cache) > _CACHE_LIMIT:
            _cache.clear()
        _cache[key] = facts = reading.facts_of(parse_event(_as_posted(told, setup)), now)
    return facts


def forget() -> None:
    """Forget the facts of earlier events: the reading has changed, in a test."""
    _cache.clear()


def _as_posted(told: Told, setup: Setup) -> dict[str, Any]:
    """The event as the platform posts it."""
    conversation: dict[str, Any] = {"id": "c", "type": "personal"}
    active = INTEGRATIONS[told.shown]
    if active:
        shown = {"id": active.id, "name": active.name, "integrationId": f"of-{active.id}"}
        conversation["activeSwitchboardIntegration"] = {**shown, "integrationType": active.type}
    event: dict[str, Any] = {"id": event_id(told.number, told.foreign, told.again)}
    if setup.dated:
        event["createdAt"] = iso(told.at)
    payload: dict[str, Any] = {"conversation": conversation}
    if told.kind == MOVED:
        event["type"] = "switchboard:passControl" if told.shown else "switchboard:releaseControl"
        if told.reason:
            payload["reason"] = REASONS[told.reason]
    elif told.kind == FAILED:
        event["type"] = "switchboard:passControl:failure"
        payload["error"] = {"code": "switchboard_invalid_target", "message": "The switchboard could not do that."}
    else:
        event["type"] = "conversation:message"
        payload["message"] = {"id": message_id(told.number), "received": iso(told.at), **_message(told.kind)}
    return {**event, "payload": payload}


def _message(kind: int) -> dict[str, Any]:
    text = {"content": {"type": "text", "text": "words"}}
    system = {"author": {"type": "business", "subtypes": ["activity"]}, "source": {"type": "web"}, **text}
    match kind:
        case _ if kind == WORD:
            return {"author": {"type": "user", "userId": "u"}, "source": {"type": "web"}, **text}
        case _ if kind == AGENT:
            author = {"type": "business", "displayName": "Ada", "subtypes": ["agent"]}
            return {"author": author, "source": {"type": AGENT_WORKSPACE}, **text}
        case _ if kind == SPOKEN:
            return {"author": {"type": "business"}, "source": {"type": "api:conversations"}, **text}
        case _ if kind == END:
            return {**system, "activity": {"type": "conversation:endedByUser"}}
        case _ if kind == HALF_END:
            return system
        case _:
            return {**system, "source": {"type": AGENT_WORKSPACE}, "activity": {"type": "ticket:closed"}}
