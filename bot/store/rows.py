"""Converts values to rows and back, for both engines."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from bot.control.history import Moment, MomentKind
from bot.control.state import Conversation, Duty, Proof
from bot.signals import Level, Observe, Signal
from bot.store.codec import Unreadable, dump_conversation, dump_data, dump_duty, dump_effect, load_unsent, unicode
from bot.store.interface import Change, CleanUp, JournalEntry, Lease, LeaseLost, Say, StoredEvent
from bot.store.times import from_micros, micros_or_none, to_micros
from webhooks.inbox import NewEvent

EVENT = "id, conversation_id, type, body, received_at, by_operator"
"""The columns that `event_of` takes, in this order."""

ERASED = "erased: it named a person who was removed"
"""The reason shown for an event that was set aside and then emptied."""


def event_of(row: tuple[Any, ...]) -> StoredEvent:
    """Read a row of `EVENT`."""
    event_id, conversation_id, type_, body, received_at, by_operator = row
    return StoredEvent(event_id, conversation_id, type_, body, from_micros(received_at), bool(by_operator))


def posted_row(event: NewEvent) -> tuple[Any, ...]:
    """Return an event's id, conversation, type, body, time, and the id of what was said."""
    return (
        unicode(event.id),
        event.conversation_id and unicode(event.conversation_id),
        unicode(event.type),
        event.body,
        to_micros(event.received_at),
        event.said_id and unicode(event.said_id),
    )


def unsent_effects(
    conversation_id: str, rows: Iterable[Sequence[Any]], observe: Observe
) -> tuple[list[Say | CleanUp], list[tuple[str, str]]]:
    """Return what is unsent in a conversation, and the ids of unreadable effects, each with its problem.

    Args:
        conversation_id: where.
        rows: each of id, kind, body.
        observe: gets `effect_unreadable`.
    """
    effects, unreadable = [], []
    for effect_id, kind, body in rows:
        try:
            effects.append(load_unsent(kind, body))
        except Unreadable as error:
            fields = {"effect_id": effect_id, "problem": str(error)}
            observe(Signal("effect_unreadable", Level.ERROR, conversation_id, fields))
            unreadable.append((effect_id, f"unreadable: {error}"))
    return effects, unreadable


def columns_of(state: Conversation) -> dict[str, Any]:
    """Return the columns that repeat a state's essentials, and the state itself."""
    ended, duty, run = state.ended, state.duty, state.run
    return {
        "id": state.id,
        "holder": state.holder.who.value,
        "ended_at": ended and to_micros(ended.at),
        "released_at": ended and ended.proof and to_micros(ended.proof.at),
        "gone": state.gone,
        "mismatch": state.mismatch_reported,
        "duty_id": duty and duty.id,
        "duty_since": to_micros(duty.since) if duty and duty.is_owed else None,
        "run_id": run and run.id,
        "flow": unicode(run.flow) if run else "",
        "flow_version": run.version if run else 0,
        "look_at": micros_or_none(state.look_at),
        "unsent": len(state.unsent) + (state.pending is not None),
        "state": dump_conversation(state),
    }


def duty_row(conversation_id: str, duty: Duty, proof: Proof | None) -> tuple[Any, ...]:
    """Return the row of a duty, open or closed with its proof.

    Of one that is closed, what it was to tell the agent is told, and no part of the record.
    """
    if proof:
        duty = replace(duty, metadata={})
    return (
        conversation_id,
        duty.id,
        duty.action.value,
        duty.target and unicode(duty.target),
        unicode(duty.reason),
        to_micros(duty.since),
        duty.attempts,
        to_micros(duty.next_attempt),
        duty.stage.value,
        duty.last_answer and unicode(duty.last_answer),
        dump_duty(duty),
        proof and to_micros(proof.at),
        proof and unicode(proof.how),
    )


def effect_rows(change: Change, now: datetime) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
    """Return the rows of new effects, and the updates of those in the outbox.

    Returns:
        Id, kind, body, creation, attempts and outcome of each new one (None: it is still to be done); and id, attempts
        and outcome of each that is done.
    """
    over: dict[str, tuple[int, str]] = {}
    new: list[tuple[Any, ...]] = []
    for done in change.done:
        told = (done.attempts, unicode(done.outcome))
        if done.call is None:
            over.setdefault(done.effect_id, told)
        else:
            new.append((done.effect_id, *dump_effect(done.call), to_micros(done.since or now), *told))
    new += [
        (effect.effect_id, *dump_effect(effect), to_micros(now), *over.pop(effect.effect_id, (0, None)))
        for effect in change.add
    ]
    known = [(effect_id, *told) for effect_id, told in over.items()]
    return new, known


def has_failed(change: Change) -> bool:
    """Return whether a flow has failed, or an event was set aside."""
    return bool(change.set_aside) or any(moment.kind is MomentKind.FAILED for moment in change.history)


def journal_row(conversation_id: str, entry: JournalEntry) -> tuple[Any, ...]:
    """Return a step's conversation, run, index, kind, key, data, time (0: unknown)."""
    texts = unicode(entry.kind), unicode(entry.key), dump_data(entry.data)
    return (conversation_id, entry.run_id, entry.index, *texts, micros_or_none(entry.at) or 0)


def moment_row(moment: Moment) -> tuple[Any, ...]:
    """Return a moment's time, kind, who, since, text."""
    who = moment.who and moment.who.value
    return to_micros(moment.at), moment.kind.value, who, micros_or_none(moment.since), unicode(moment.text)


def contact_rows(change: Change) -> list[tuple[str, str, str | None]]:
    """Return kind, term and text for each row of a change's contacts. Only the row of the whole term has the text."""
    rows: dict[tuple[str, str], str | None] = {}
    for contact in sorted(change.contacts, key=lambda contact: (contact.kind, contact.text)):
        for place, term in enumerate(contact.terms):
            key = (contact.kind.value, unicode(term))
            rows[key] = unicode(contact.text) if place == 0 else rows.get(key)
    return [(*key, shown) for key, shown in rows.items()]


def without_parts(cte: str) -> str:
    """Return PostgreSQL's common table expressions that delete what belongs to the conversations of `cte`."""
    parts = {"notes": "journal", "owed": "duties", "moments": "history", "people": "participants"}
    parts["names"] = "contacts"
    return ", ".join(
        f"{name} AS ( DELETE FROM {table} USING {cte} WHERE conversation_id = {cte}.id )"  # noqa: S608 - constants
        for name, table in parts.items()
    )


def names_removed(body: str) -> str:
    """Return PostgreSQL's condition that an event's body contains the id of a removed person."""
    return f"""EXISTS (
        SELECT FROM removed_users WHERE position(convert_to(to_json(user_id)::text, 'UTF8') IN {body}) > 0
    )"""


def named_events(state: Conversation) -> list[str]:
    """Return the ids of the events that a turn needs: the run's opening, and the user's messages since."""
    opening = state.run.opening.event_id if state.run else None
    return [*([opening] if opening else []), *(given.event_id for given in state.inputs)]


def lost(lease: Lease) -> LeaseLost:
    """Return the error for a lease that is not the newest."""
    return LeaseLost(
        f"conversation {lease.conversation_id}: the lease {lease.epoch} of {lease.owner} is over, because it was given "
        "back, taken over or the conversation erased; nothing was written"
    )
