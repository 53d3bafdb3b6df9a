"""Applies the simulation's checks to a replayed tape, and builds its result.

The simulation recognizes its own flows by their words. Here flows are arbitrary, so
messages are identified by the id that each message of the bot carries.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from bot.control.state import Conversation
from bot.engine.delivery import EFFECT_KEY
from bot.replay.player import Played
from bot.replay.result import Action, Happened, Held, Lane, Spoken
from bot.replay.scrub import is_stand_in
from bot.sandbox.history import Entry, Kind
from bot.sandbox.sessions import ENDED
from bot.sandbox.switchboard import BOT
from bot.simulation.checks import Checker, lost_events
from bot.simulation.record import Acknowledged, Called, Record
from webhooks import wire

_NOT_SHOWN = frozenset({"PostActivity"})


def lanes_of(played: Played) -> list[Lane]:
    """Return each played conversation, with its problems."""
    parts = _split(played)
    return [_lane(played, conversation_id, parts[conversation_id]) for conversation_id in played.record.holders]


def problems_of(played: Played) -> list[str]:
    """Return the problems beyond single conversations."""
    record = played.record
    found = list(record.errors)
    found += [f"G4: an acknowledged event is lost: {event_id}" for event_id in sorted(set(lost_events(record)))]
    pending = [event_id for event_id, status in record.inbox.items() if status == "pending"]
    found += [f"G4: an event never took effect: {event_id}" for event_id in pending]
    return found


class _Part:
    """The records of one conversation."""

    def __init__(self) -> None:
        self.record = Record()
        self.calls: list[tuple[str, Called]] = []
        self.diverged: list[Happened] = []


class _TapeChecker(Checker):
    """Checks for arbitrary flows, and for tapes that stop in mid-conversation.

    Args:
        goes_on: the user has not ended it, and the bot had no time to finish.
    """

    def __init__(self, record: Record, conversation_id: str, *, goes_on: bool) -> None:
        super().__init__(record, conversation_id)
        self._goes_on = goes_on
        self._end_messages = {
            entry.message_id
            for entry in self._entries
            if entry.kind is Kind.MESSAGE and entry.detail.get("activity") == ENDED
        }

    def _given_up(self) -> Iterator[str]:
        """Allow a running flow, or a bot that will look again, to hold control."""
        state = self._record.states.get(self._id)
        if self._goes_on and state and not state.duty and (state.run or state.idle_at):
            return iter(())
        return super()._given_up()

    def _doubled(self) -> Iterator[str]:
        effects = Counter(entry.metadata.get(EFFECT_KEY) for entry in self._spoken())
        texts = {entry.metadata.get(EFFECT_KEY): entry.text for entry in self._spoken()}
        for effect, times in effects.items():
            if effect is not None and times > 1:
                yield f"G4: said {times} times: {texts[effect]!r}"

    def _closed_twice(self) -> Iterator[str]:
        return iter(())  # the platform's history does not show which run said something


def _split(played: Played) -> Mapping[str, _Part]:
    parts: defaultdict[str, _Part] = defaultdict(_Part)
    whole = played.record
    for entry in whole.history:
        if entry.conversation_id:
            parts[entry.conversation_id].record.history.append(entry)
    for told in whole.acknowledged:
        if conversation_id := wire.conversation_id(told.event):
            parts[conversation_id].record.acknowledged.append(_checkable(told))
    for (operation, of), called in zip(played.operations, whole.calls, strict=True):
        if of:
            parts[of].record.calls.append(called)
            parts[of].calls.append((operation, called))
    for one in played.diverged:
        parts[one.conversation_id].diverged.append(Happened(one.at, one.what))
    for conversation_id, part in parts.items():
        part.record = replace(
            part.record,
            closes_for_others=whole.closes_for_others,
            holders={conversation_id: whole.holders.get(conversation_id)},
            states={conversation_id: whole.states[conversation_id]} if conversation_id in whole.states else {},
            key=whole.key,
            app_key=whole.app_key,
        )
    return parts


def _checkable(told: Acknowledged) -> Acknowledged:
    """Normalize an event for the checks: malformed ones get no type and an empty payload."""
    return replace(told, event={"type": "", "payload": {}, **told.event})


def _lane(played: Played, conversation_id: str, part: _Part) -> Lane:
    record, state = part.record, played.record.states.get(conversation_id)
    entries = record.history
    ends = [entry for entry in entries if entry.kind is Kind.ENDED]
    ended = [entry.at for entry in ends]
    reopened = [entry.at for entry in entries if entry.kind is Kind.REOPENED]
    removed = any(entry.kind in (Kind.REMOVED, Kind.MERGED) for entry in entries)
    is_over = bool(ended) and not removed and not (reopened and reopened[-1] >= ended[-1])
    holder = record.holders[conversation_id] or ""
    duty = state.duty if state else None
    proof = state.ended.proof.how if state and state.ended and state.ended.proof else ""
    breaches = list(
        _breaches(record, conversation_id, state, goes_on=not is_over and not played.until_quiet),
    )
    said = played.said.get(conversation_id, [])
    return Lane(
        id=conversation_id,
        ended_at=ended[-1] if is_over else None,
        open_for=_open_for(ends[-1], entries) if is_over and not holder else None,
        holder=_name(holder),
        proof=proof,
        overdue=duty is not None and not played.record.rests,
        last_fact=_last_fact(record.acknowledged),
        events=_events(record.acknowledged),
        messages=[_spoken(entry, record) for entry in entries if entry.kind is Kind.MESSAGE],
        holders=[_held(entry, record) for entry in entries if entry.kind in (Kind.HOLDER, Kind.REMOVED)],
        actions=[_action(called, name, conversation_id) for name, called in part.calls if name not in _NOT_SHOWN],
        duties=played.duties.get(conversation_id, []),
        breaches=breaches,
        diverged=sorted(
            [*part.diverged, *_said_differently(said, entries, record)],
            key=lambda one: one.at,
        ),
    )


def _open_for(end: Entry, entries: list[Entry]) -> timedelta:
    """How long somebody stayed active after the end."""
    moves = [entry.at for entry in entries if entry.kind is Kind.HOLDER and entry.number > end.number]
    return max(moves, default=end.at) - end.at


def in_time(lane: Lane, within: timedelta) -> Lane:
    """Add a breach if the conversation stayed open for too long after its end."""
    if lane.open_for is None or lane.open_for <= within:
        return lane
    taken, limit = lane.open_for.total_seconds(), within.total_seconds()
    late = f"it stayed open for {taken:.1f} s after its end, longer than {limit:g} s"
    return replace(lane, breaches=[*lane.breaches, late])


def _breaches(
    record: Record,
    conversation_id: str,
    state: Conversation | None,
    *,
    goes_on: bool,
) -> Iterator[str]:
    yield from _TapeChecker(record, conversation_id, goes_on=goes_on).breaches()
    if state and not state.is_safe():
        yield "invariant: an obligation has no time at which it is looked at again"


def _said_differently(said: list[str], entries: list[Entry], record: Record) -> Iterator[Happened]:
    """The bot's first message that differs from the tape's; scrubbed ones can't differ."""
    spoken = [e for e in entries if e.kind is Kind.MESSAGE and e.actor in (record.key, record.app_key)]
    for place in range(max(len(said), len(spoken))):
        then = said[place] if place < len(said) else None
        now = spoken[place] if place < len(spoken) else None
        if then is not None and now is not None and (then == now.text or is_stand_in(then)):
            continue
        at = now.at if now else entries[-1].at
        shown = "nothing more" if now is None else repr(now.text)
        yield Happened(
            at,
            f"the bot says {shown} where the tape has {'nothing more' if then is None else repr(then)}",
        )
        return


def _events(acknowledged: list[Acknowledged]) -> list[Happened]:
    known: set[str] = set()
    shown: list[Happened] = []
    for told in acknowledged:
        if told.event["id"] not in known:
            known.add(told.event["id"])
            shown.append(Happened(told.at, describe(told.event)))
    return shown


def _last_fact(acknowledged: list[Acknowledged]) -> str:
    if not acknowledged:
        return "none"
    told = acknowledged[-1]
    return f"{describe(told.event)} at {told.at.isoformat(timespec='milliseconds')}"


def describe(event: Mapping[str, Any]) -> str:
    """An event's type, and what it shows in a few words."""
    payload = event.get("payload")
    payload = payload if isinstance(payload, Mapping) else {}
    message, reason = payload.get("message"), payload.get("reason")
    words = str(event.get("type") or "unknown")
    if isinstance(message, Mapping):
        activity, author = message.get("activity"), message.get("author")
        if isinstance(activity, Mapping):
            words += f" ({activity.get('type')})"
        elif isinstance(author, Mapping):
            words += f" by {author.get('type')}"
    if words.startswith("switchboard:"):
        conversation = payload.get("conversation")
        active = conversation.get("activeSwitchboardIntegration") if isinstance(conversation, Mapping) else None
        words += f" → {_name(str(active.get('name'))) if isinstance(active, Mapping) else 'nobody'}"
    return f"{words} ({reason})" if isinstance(reason, str) else words


def _spoken(entry: Entry, record: Record) -> Spoken:
    who = entry.actor.partition(":")[0]
    return Spoken(
        entry.at,
        "bot" if entry.actor in (record.key, record.app_key) else who,
        _words(entry),
    )


def _words(entry: Entry) -> str:
    content = entry.detail.get("content")
    if entry.text or not isinstance(content, Mapping):
        return entry.text
    return f"[{content.get('type', 'something')}]"


def _held(entry: Entry, record: Record) -> Held:
    by = "bot" if entry.actor in (record.key, record.app_key) else "others"
    return Held(entry.at, _name(entry.holder or ""), by, str(entry.cause or entry.kind))


def _action(called: Called, name: str, conversation_id: str) -> Action:
    what = ""
    if name == "PostMessage":
        content = called.body.get("content") or {}
        what = str(content.get("text") or f"[{content.get('type')}]")
    elif name in ("PassControl", "OfferControl"):
        what = str(called.body.get("switchboardIntegration", ""))
    return Action(called.at, conversation_id, name, what)


def _name(holder: str) -> str:
    return "bot" if holder == BOT else holder
