"""One conversation's timeline as lines: what was heard, said, decided, done and proven, in the order of time."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from bot.console.words import action, moment, owes
from bot.control.commands import Pass, Read, Release
from bot.control.history import Moment, MomentKind
from bot.control.state import Key, Who
from bot.engine.delivery import EFFECT_KEY
from bot.engine.orders import FLOW, SIGNAL
from bot.flows.steps import described
from bot.flows.turn import BEGAN, CALL, GATHERED, SIGNALLED, TOLD
from bot.store.interface import CleanUp, JournalEntry, Say
from bot.store.operators import PastDuty, PastEffect, PastEvent, Timeline
from webhooks.events import (
    ControlAccepted,
    ControlPassed,
    ControlReleased,
    ConversationCreate,
    ConversationMessage,
    ConversationPostback,
    ConversationRead,
    ConversationReferral,
    ConversationTyping,
    Event,
    InvalidEvent,
    MessageDelivered,
    parse_event,
)
from webhooks.messages import Content, Message


class Actor(StrEnum):
    """Who a line is about."""

    USER = "user"
    BOT = "bot"
    AGENT = "agent"
    PLATFORM = "platform"
    OPERATOR = "operator"


class Mark(StrEnum):
    """What a line means to who watches."""

    PLAIN = "plain"
    GOOD = "good"
    WARNING = "warning"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Line:
    """One line.

    Attributes:
        at: by the bot's clock.
        actor: who it is about.
        what: what happened, in words of the bot's own.
        text: what somebody said, as it was said; personal.
        name: who said it, where the platform names them; personal.
        note: how it went.
        value: what a step of a flow was given or gave, as JSON; personal.
        holder, holder_name: who was active from this line on, as far as the bot knew.
        turns: another becomes active with this line.
    """

    at: datetime
    actor: Actor
    what: str
    text: str = ""
    name: str = ""
    note: str = ""
    mark: Mark = Mark.PLAIN
    holder: Who = Who.UNKNOWN
    holder_name: str = ""
    turns: bool = False
    value: str = ""


_FROM_OUTSIDE = {SIGNAL: "told the flow something from outside", FLOW: "another system asked for a flow"}

_UNSAID = (ConversationRead, ConversationTyping, MessageDelivered)
"""Events that tell an operator nothing."""


def lines_of(timeline: Timeline) -> list[Line]:
    """The timeline, oldest first."""
    own = {effect.id for effect in timeline.effects}
    found: list[tuple[datetime, int, Line]] = []
    sources: tuple[Iterable[Line], ...] = (
        (line for event in timeline.events for line in _of_event(event, own)),
        (_of_moment(moment) for moment in timeline.moments),
        (line for past in timeline.duties for line in _of_duty(past)),
        (_of_effect(effect) for effect in timeline.effects),
        (line for entry in timeline.journal for line in _of_step(entry)),
    )
    for rank, source in enumerate(sources):
        found += [(line.at, rank, line) for line in source]
    ordered = [line for _, _, line in sorted(found, key=lambda entry: entry[:2])]
    return _with_holders(ordered)


def _with_holders(lines: list[Line]) -> list[Line]:
    holder, name, shown = Who.UNKNOWN, "", []
    for line in lines:
        if line.holder_name:
            holder, name = line.holder, line.holder_name
        shown.append(replace(line, holder=holder, holder_name=name or "not known"))
    return shown


def _of_event(past: PastEvent, own: set[str]) -> Iterator[Line]:
    at = past.received_at
    if past.by_operator:
        what = _FROM_OUTSIDE.get(past.type, "asked for a release by hand")
        actor = Actor.PLATFORM if past.type in _FROM_OUTSIDE else Actor.OPERATOR
        yield Line(at, actor, what, note=_fate(past), mark=_mark(past))
        return
    if not past.body:
        large = f"too large to show ({past.size / 1_000_000:.1f} MB); `switchboard-bot tape export` writes it to a file"
        yield Line(at, Actor.PLATFORM, past.type, note=large if past.size else "its content has been erased")
        return
    try:
        event = parse_event(past.body)
    except InvalidEvent as error:
        yield Line(at, Actor.PLATFORM, past.type, note=_fate(past) or str(error), mark=_mark(past))
        return
    if isinstance(event, _UNSAID) and past.status == "handled":
        return
    if isinstance(event, ConversationMessage) and event.payload.message.metadata.get(EFFECT_KEY) in own:
        return  # the bot's own message has a line already
    yield replace(_told(event, at, past.type), note=_fate(past), mark=_mark(past))


def _told(event: Event, at: datetime, type_: str) -> Line:
    match event:
        case ConversationMessage():
            return _message(event.payload.message, at)
        case ConversationPostback():
            return Line(at, Actor.USER, "tapped a button", event.payload.postback.payload or "")
        case ConversationReferral():
            return Line(at, Actor.USER, "came by a link")
        case ConversationCreate():
            how = "by opening the widget" if event.widget_opened else "with a first message"
            return Line(at, Actor.PLATFORM, f"the conversation was created {how}")
        case ControlReleased():
            return Line(at, Actor.PLATFORM, f"control was released{_reason(event.payload.reason)}")
        case ControlPassed() | ControlAccepted():
            active = event.payload.conversation.active_switchboard_integration
            to = active.name or active.id if active else "nobody"
            return Line(at, Actor.PLATFORM, f"control was passed to {to}{_reason(event.payload.reason)}")
        case _:
            return Line(at, Actor.PLATFORM, type_)


def _message(message: Message, at: datetime) -> Line:
    name, said = message.author.display_name or "", _content(message.content)
    if message.is_users_end:
        return Line(at, Actor.USER, "ended the conversation", name=name)
    if message.is_activity:
        return Line(at, Actor.PLATFORM, message.activity.type if message.activity else "an activity", said)
    if message.is_from_user:
        return Line(at, Actor.USER, "wrote", said, name)
    if message.is_from_agent:
        return Line(at, Actor.AGENT, "wrote", said, name)
    return Line(at, Actor.PLATFORM, "a message of the business", said, name)


def _content(content: Content) -> str:
    """What a message says; of what is no text, its kind."""
    return content.text or (f"({content.type})" if content.type else "")


def _reason(reason: str | None) -> str:
    return f" ({reason})" if reason else ""


def _fate(past: PastEvent) -> str:
    match past.status:
        case "pending":
            return "not taken up yet"
        case "set_aside":
            return f"set aside: {past.reason or 'no reason'}"
        case _:
            return ""


def _mark(past: PastEvent) -> Mark:
    return Mark.BAD if past.status == "set_aside" else Mark.PLAIN


_MOMENTS = {
    MomentKind.PROVEN: Mark.GOOD,
    MomentKind.REOPENED: Mark.WARNING,
    MomentKind.REPORT: Mark.WARNING,
    MomentKind.FAILED: Mark.BAD,
}


def _of_moment(moment: Moment) -> Line:
    mark = _MOMENTS.get(moment.kind, Mark.PLAIN)
    match moment.kind:
        case MomentKind.PROVEN:
            text = f"proven: {moment.text}"
        case MomentKind.ENDED:
            text = "took in the user's end"
        case _:
            text = moment.text
    if moment.kind is not MomentKind.HOLDER or moment.who is None:
        return Line(moment.at, Actor.BOT, text, mark=mark)
    name = moment.text.partition(" is active")[0]
    names = {Who.BOT: "the bot", Who.NOBODY: "nobody", Who.UNKNOWN: "not known", Who.OTHER: name}
    who = moment.who
    return Line(moment.at, Actor.PLATFORM, text, mark=mark, holder=who, holder_name=names[who], turns=True)


def _of_duty(past: PastDuty) -> Iterator[Line]:
    duty, attempts = past.duty, f"{past.duty.attempts} attempts" if past.duty.attempts != 1 else "1 attempt"
    last = f"; last answer: {duty.last_answer}" if duty.last_answer else ""
    if past.proof is None:
        yield Line(duty.since, Actor.BOT, f"owes a {owes(duty)}", note=f"{attempts}{last}", mark=Mark.WARNING)
        return
    yield Line(duty.since, Actor.BOT, f"owed a {owes(duty)}")
    over = past.proof.how.startswith(("void", "replaced", "given up"))
    what = f"no longer owed ({action(duty)})" if over else f"done ({action(duty)})"
    mark = Mark.PLAIN if over else Mark.GOOD
    yield Line(past.proof.at, Actor.BOT, what, note=f"{past.proof.how}, after {attempts}", mark=mark)


def _of_effect(past: PastEffect) -> Line:
    at = past.finished_at or past.created_at
    note = past.outcome or "not done yet"
    unwell = past.outcome is not None and past.outcome.startswith(("not said", "unreadable", "failed"))
    mark = Mark.BAD if unwell else Mark.PLAIN
    match past.effect:
        case Say(content=content):
            said = note not in ("said", "said: found in the conversation")
            return Line(at, Actor.BOT, "said", _said(content), note=note if said else "", mark=mark)
        case Release(key=key):
            which = "the app key" if key is Key.APP else "the integration's key"
            return Line(at, Actor.BOT, f"asked the platform to release, with {which}", note=note)
        case Pass(target=target):
            return Line(at, Actor.BOT, f"asked the platform to pass control to {target}", note=note)
        case Read():
            return Line(at, Actor.BOT, "read who is active", note=note.removeprefix("read: "))
        case CleanUp(function=function):
            return Line(at, Actor.BOT, f"cleaned up: {function}", note=note, mark=mark)
        case None:
            return Line(at, Actor.BOT, past.kind, note=note, mark=mark)


def _said(content: Mapping[str, Any]) -> str:
    text = content.get("text")
    return text if isinstance(text, str) and text else f"({content.get('type', 'a message')})"


def _of_step(entry: JournalEntry) -> Iterator[Line]:
    """A step of a flow; none where an earlier version of the bot has not recorded its time.

    A signal has a line of its own, as what came in.
    """
    if entry.at is None or entry.kind == TOLD:
        return
    data = entry.data if isinstance(entry.data, dict) else {}
    if entry.kind == BEGAN:
        yield Line(entry.at, Actor.BOT, f"flow {entry.key!r} version {data.get('version', 1)} began")
        return
    failed = "error" in data and entry.kind in (CALL, GATHERED)
    value = next((data[name] for name in ("error", "result", "args", "data") if name in data), None)
    yield Line(
        entry.at,
        Actor.BOT,
        f"step {entry.index}: {described(entry)}",
        note="; ".join(_went(entry, data)),
        mark=Mark.WARNING if failed else Mark.PLAIN,
        value="" if value is None else json.dumps(value, ensure_ascii=False),
    )


def _went(entry: JournalEntry, data: Mapping[str, Any]) -> Iterator[str]:
    """How a step went: where it stands, how long it took or may take, how often it was tried. No values."""
    if entry.kind in (CALL, GATHERED):
        attempts = data.get("attempts", 1)
        if "error" in data:
            yield "failed"
        if "seconds" in data:
            yield f"{data['seconds']:g} s"
        if attempts != 1:
            yield f"{attempts} attempts"
        if "failure" in data:
            yield f"last failure {data['failure']}"
    if "until" in data:
        yield f"until {moment(datetime.fromisoformat(data['until']))}"
    if "place" in data:
        yield str(data["place"])
    if entry.kind == "answer" and entry.data is None:
        yield "nobody answered"
    if entry.kind == SIGNALLED and entry.data is None:
        yield "it did not come"
