"""The outbox: order, timing, retries and withdrawal of everything that goes out.

It is part of the state: one control action or read in `pending`, messages and clean-ups
in `unsent`. The engine only carries out what stands there.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from bot.control.commands import Call, GivenUp, Pass, Read, Release
from bot.control.draft import Draft, effect_id
from bot.control.facts import (
    Answer,
    Answered,
    CleanedUp,
    CleanUpsOwed,
    EffectLost,
    FlowFailed,
    FlowSaid,
)
from bot.control.policy import CLEAN_UPS, HURRIED, MESSAGES, SETTLING, Retrying, backoff
from bot.control.state import Conversation, Key, Kind, Pending, Unsent, What, changed

KINDS = {What.RELEASE: Kind.RELEASE, What.PASS: Kind.PASS}
"""The kind of a pending effect; all others are reads."""


def kind_of(effect: Pending | Unsent) -> Kind:
    """Return an effect's kind."""
    return effect.kind if isinstance(effect, Unsent) else KINDS.get(effect.what, Kind.READ)


def id_of(effect: Pending | Unsent) -> str:
    """Return an effect's id."""
    return effect.id if isinstance(effect, Unsent) else effect.effect_id


def call_of(state: Conversation) -> Call:
    """Return the pending API call, with its key, target and metadata.

    Raises:
        ValueError: nothing is pending.
    """
    pending, duty = state.pending, state.duty
    if pending is None:
        raise ValueError("nothing is pending")
    if pending.what is What.RELEASE:
        return Release(pending.effect_id, duty.key if duty else Key.INTEGRATION, pending.before)
    if pending.what is What.PASS:
        target, metadata = (duty.target, duty.metadata) if duty else (None, {})
        return Pass(pending.effect_id, target or "", metadata, pending.before)
    return Read(pending.effect_id, pending.messages)


def find(state: Conversation, effect_id: str) -> Unsent | None:
    """Return the unfinished message or clean-up with this id, if there is one."""
    return next((unsent for unsent in state.unsent if unsent.id == effect_id), None)


def next_clean_up(state: Conversation, now: datetime) -> Unsent | None:
    """Return the clean-up to try now. They run one at a time, beside everything else."""
    due = (unsent for unsent in state.unsent if unsent.kind is Kind.CLEAN_UP and unsent.next_attempt <= now)
    return next(due, None)


def may_still_say(state: Conversation, effect_id: str) -> bool:
    """Return whether this message may go out, from all that is known now."""
    message = find(state, effect_id)
    return message is not None and not state.in_doubt and state.may_say(message.run_id)


def may_show_typing(state: Conversation, run_id: int) -> bool:
    """Return whether the bot may be shown typing.

    Not while a message goes out, or while a read decides whether the bot may speak.
    """
    return not state.in_doubt and state.sends_first is None and state.may_say(run_id)


def as_at_work(state: Conversation) -> Conversation:
    """Return the state to store while a worker has the conversation.

    The worker may die in the middle of an effect, so each counts as possibly done. Only
    a state that is given back is exact.
    """
    changes: dict[str, object] = {}
    if state.pending and not state.pending.maybe_done:
        changes["pending"] = replace(state.pending, maybe_done=True)
    if any(not unsent.maybe_done for unsent in state.unsent):
        changes["unsent"] = tuple(unsent.tried() for unsent in state.unsent)
    return changed(state, changes)


def said(draft: Draft, fact: FlowSaid) -> None:
    """Queue messages of the current run."""
    run = draft.state.run
    if run and run.id == fact.run_id:
        _add(draft, Kind.SAY, run.id, (1,) * fact.messages)
        drop_what_must_not_be_said(draft)


def owe_clean_ups(draft: Draft, fact: CleanUpsOwed) -> None:
    """Queue the clean-ups of a finished run."""
    _add(draft, Kind.CLEAN_UP, fact.run_id, fact.tries)


def _add(draft: Draft, kind: Kind, run_id: int, tries: tuple[int, ...]) -> None:
    """Append new effects to `unsent`, each with an id of its own."""
    state, now = draft.state, draft.now
    ids = [effect_id(state.id, state.serial + number) for number in range(1, len(tries) + 1)]
    new = [Unsent(id_, kind, run_id, now, now, tries=most) for id_, most in zip(ids, tries, strict=True)]
    draft.set(unsent=(*state.unsent, *new), serial=state.serial + len(new))


def drop_what_must_not_be_said(draft: Draft) -> None:
    """Drop messages that are known not to be allowed any more.

    In doubt they stay: the read decides.
    """
    state = draft.state
    if state.unsent and not state.in_doubt:
        draft.drop(lambda unsent: unsent.kind is Kind.SAY and not state.may_say(unsent.run_id))


def taken_up(draft: Draft) -> Answered | None:
    """Return an unclear answer to a pending action of a worker that died.

    The action may have happened, so it is not just repeated.
    """
    pending = draft.state.pending
    if pending and pending.maybe_done and pending.what in (What.RELEASE, What.PASS):
        return Answered(pending.effect_id, Answer.UNCLEAR, detail="the process stopped meanwhile")
    return None


def message_answered(draft: Draft, message: Unsent, fact: Answered) -> FlowFailed | None:
    """Apply the platform's answer to a message: said, retried later, or given up.

    Returns:
        The failure of its flow, if the message is given up.
    """
    if fact.answer is Answer.ACCEPTED:
        draft.drop(lambda unsent: unsent.id == message.id)
        return None
    if fact.answer is Answer.STALE:  # looked for, and not found
        _update(draft, replace(message, maybe_done=False))
        return None
    last = message.since + (HURRIED if draft.state.pending else MESSAGES.patience)
    if fact.answer is Answer.REFUSED or draft.now >= last:
        draft.drop(lambda unsent: unsent.kind is Kind.SAY and unsent.run_id == message.run_id)
        draft.records.append(GivenUp(message.kind, message.run_id, fact.detail))
        return FlowFailed(message.run_id, f"a message could not be delivered: {fact.detail}")
    unclear = fact.answer is Answer.UNCLEAR
    wait = max(
        _wait(message, draft.state.id, MESSAGES),
        fact.retry_after or timedelta(0),
        SETTLING * unclear,
    )
    attempts, due = message.attempts + 1, min(draft.now + wait, max(last, draft.now + SETTLING))
    maybe_done = message.maybe_done or unclear
    _update(draft, replace(message, attempts=attempts, next_attempt=due, maybe_done=maybe_done))
    return None


def cleaned_up(draft: Draft, fact: CleanedUp) -> None:
    """Apply the result of a clean-up: done, retried later, or given up."""
    known = find(draft.state, fact.effect_id)
    if known is None:
        return
    attempts, late = known.attempts + 1, draft.now - known.since >= CLEAN_UPS.patience
    if fact.failed and not (fact.final or late) and attempts < known.tries:
        due = draft.now + _wait(known, known.id, CLEAN_UPS)
        _update(draft, replace(known, attempts=attempts, next_attempt=due))
        return
    draft.drop(lambda unsent: unsent.id == known.id)
    if fact.failed:
        draft.records.append(GivenUp(known.kind, known.run_id, fact.failed))


def lost(draft: Draft, fact: EffectLost) -> None:
    """Drop an effect whose stored content can't be read any more."""
    draft.drop(lambda unsent: unsent.id == fact.effect_id)


def _wait(effect: Unsent, salt: str, retrying: Retrying) -> timedelta:
    """Return the backoff before an effect's next attempt."""
    return backoff(effect.attempts + 1, salt, retrying.first, retrying.cap)


def _update(draft: Draft, new: Unsent) -> None:
    """Replace the unsent effect that has the same id."""
    draft.set(unsent=tuple(new if unsent.id == new.id else unsent for unsent in draft.state.unsent))
