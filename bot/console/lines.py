"""Renders a conversation's timeline as lines, in order of time."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from bot.console.formatting import action, moment, owes
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
    InvalidEventError,
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
    """The emphasis of a line."""

    PLAIN = "plain"
    GOOD = "good"
    WARNING = "warning"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a timeline.

    Attributes:
        at: the time, by the bot's clock.
        actor: who acted.
        what: what happened, in the bot's words.
        text: a message's text, verbatim. Personal data.
        name: the author's name, if known. Personal data.
        note: details, such as the outcome.
        mark: the emphasis.
        holder: who was active from this line on, as far as the bot knew.
        holder_name: the name of the holder.
        turns: whether the holder changed with this line.
        value: the arguments or the result of a flow's step, as JSON. Personal data.
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


_FROM_OUTSIDE = {
    SIGNAL: "another system sent a signal to the flow",
    FLOW: "another system requested a flow",
}

_HIDDEN = (ConversationRead, ConversationTyping, MessageDelivered)
"""Events without information for an operator."""


def lines_of(timeline: Timeline) -> list[Line]:
    """Return the lines of a timeline, oldest first."""
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
        shown.append(replace(line, holder=holder, holder_name=name or "unknown"))
    return shown


def _of_event(past: PastEvent, own: set[str]) -> Iterator[Line]:
    at = past.received_at
    if past.by_operator:
        what = _FROM_OUTSIDE.get(past.type, "requested a release by hand")
        actor = Actor.PLATFORM if past.type in _FROM_OUTSIDE else Actor.OPERATOR
        yield Line(at, actor, what, note=_status_note(past), mark=_mark(past))
        return
    if not past.body:
        size = f"too large to show ({past.size / 1_000_000:.1f} MB)"
        large = f"{size}; `switchboard-bot tape export` writes it to a file"
        note = large if past.size else "content erased"
        yield Line(at, Actor.PLATFORM, past.type, note=note)
        return
    try:
        event = parse_event(past.body)
    except InvalidEventError as error:
        note = _status_note(past) or str(error)
        yield Line(at, Actor.PLATFORM, past.type, note=note, mark=_mark(past))
        return
    if isinstance(event, _HIDDEN) and past.status == "handled":
        return
    if isinstance(event, ConversationMessage):
        effect_id = event.payload.message.metadata.get(EFFECT_KEY)
        if effect_id in own:
            return  # the bot's own message has a line already
    yield replace(_line_for(event, at, past.type), note=_status_note(past), mark=_mark(past))


def _line_for(event: Event, at: datetime, type_: str) -> Line:
    match event:
        case ConversationMessage():
            return _message(event.payload.message, at)
        case ConversationPostback():
            return Line(at, Actor.USER, "tapped a button", event.payload.postback.payload or "")
        case ConversationReferral():
            return Line(at, Actor.USER, "arrived by a link")
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
        type_ = message.activity.type if message.activity else "an activity"
        return Line(at, Actor.PLATFORM, type_, said)
    if message.is_from_user:
        return Line(at, Actor.USER, "wrote", said, name)
    if message.is_from_agent:
        return Line(at, Actor.AGENT, "wrote", said, name)
    return Line(at, Actor.PLATFORM, "a message from the business", said, name)


def _content(content: Content) -> str:
    """Return the text of a message; its type if it has none."""
    return content.text or (f"({content.type})" if content.type else "")


def _reason(reason: str | None) -> str:
    return f" ({reason})" if reason else ""


def _status_note(past: PastEvent) -> str:
    match past.status:
        case "pending":
            return "not processed yet"
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
            text = "processed the user's end"
        case _:
            text = moment.text
    if moment.kind is not MomentKind.HOLDER or moment.who is None:
        return Line(moment.at, Actor.BOT, text, mark=mark)
    name = moment.text.partition(" is active")[0]
    names = {
        Who.BOT: "the bot",
        Who.NOBODY: "nobody",
        Who.UNKNOWN: "unknown",
        Who.OTHER: name,
    }
    return Line(
        moment.at,
        Actor.PLATFORM,
        text,
        mark=mark,
        holder=moment.who,
        holder_name=names[moment.who],
        turns=True,
    )


def _of_duty(past: PastDuty) -> Iterator[Line]:
    duty = past.duty
    attempts = f"{duty.attempts} attempts" if duty.attempts != 1 else "1 attempt"
    last = f"; last answer: {duty.last_answer}" if duty.last_answer else ""
    if past.proof is None:
        note = f"{attempts}{last}"
        yield Line(duty.since, Actor.BOT, f"owes a {owes(duty)}", note=note, mark=Mark.WARNING)
        return
    yield Line(duty.since, Actor.BOT, f"owed a {owes(duty)}")
    over = past.proof.how.startswith(("void", "replaced", "given up"))
    what = f"no longer owed ({action(duty)})" if over else f"done ({action(duty)})"
    mark = Mark.PLAIN if over else Mark.GOOD
    note = f"{past.proof.how}, after {attempts}"
    yield Line(past.proof.at, Actor.BOT, what, note=note, mark=mark)


def _of_effect(past: PastEffect) -> Line:
    at = past.finished_at or past.created_at
    note = past.outcome or "not done yet"
    outcome = past.outcome or ""
    has_failed = outcome.startswith(("not said", "unreadable", "failed"))
    mark = Mark.BAD if has_failed else Mark.PLAIN
    match past.effect:
        case Say(content=content):
            is_usual = note in ("said", "said: found in the conversation")
            shown = "" if is_usual else note
            return Line(at, Actor.BOT, "said", _said(content), note=shown, mark=mark)
        case Release(key=key):
            which = "the app key" if key is Key.APP else "the integration's key"
            return Line(at, Actor.BOT, f"requested a release with {which}", note=note)
        case Pass(target=target):
            return Line(at, Actor.BOT, f"requested a pass of control to {target}", note=note)
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
    """Yield the line of a flow's step; none if an older version recorded no time.

    A signal's step has none either: the signal has its own line.
    """
    if entry.at is None or entry.kind == TOLD:
        return
    data = entry.data if isinstance(entry.data, dict) else {}
    if entry.kind == BEGAN:
        yield Line(entry.at, Actor.BOT, f"flow {entry.key!r} version {data.get('version', 1)} began")
        return
    failed = "error" in data and entry.kind in (CALL, GATHERED)
    names = ("error", "result", "args", "data")
    value = next((data[name] for name in names if name in data), None)
    yield Line(
        entry.at,
        Actor.BOT,
        f"step {entry.index}: {described(entry)}",
        note="; ".join(_step_notes(entry, data)),
        mark=Mark.WARNING if failed else Mark.PLAIN,
        value="" if value is None else json.dumps(value, ensure_ascii=False),
    )


def _step_notes(entry: JournalEntry, data: Mapping[str, Any]) -> Iterator[str]:
    """Yield a step's outcome, duration, attempts, deadline and place in the code. No values."""
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
        yield "no signal arrived"
