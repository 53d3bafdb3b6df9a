"""Deliberate bugs, planted in the running program: each replaces a named function, method or property.

A check that finds no planted bug is worth nothing. The bugs are run-time patches and not changes of the source text, so
that they outlive a refactoring. Where a name goes, planting fails, and a test says so.
"""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any

from bot.cli import simulate as _whole_program  # noqa: F401 - everything that a bug may be planted in is loaded
from bot.control import by_hand, duties, holders, obligations, reading, rules, starts, users
from bot.control.commands import Pass, Release
from bot.control.draft import Draft
from bot.control.facts import Answer, Answered, ControlUndated, EndSuspected, NotUnderstood, OperatorReleased
from bot.control.state import Action, Conversation, Holder, Proof, Purpose, Stage, What, Who
from bot.engine import delivery
from bot.engine.delivery import EFFECT_KEY, Delivery, UsersLast
from bot.flows import turn
from bot.store import rows
from bot.store.interface import Change, Lease
from bot.store.sqlite import claim as sqlite_claim
from bot.store.sqlite import save as sqlite_save
from bot.sunshine.client import SunshineClient
from webhooks import wire
from webhooks.events import event_time
from webhooks.inbox import GroupCommit, NotStoredError
from webhooks.messages import Message

BUGS: dict[str, Callable[[], None]] = {}
AGES = 10_000  # times too long


def bug(name: str) -> Callable[[Callable[[], None]], Callable[[], None]]:
    """Register a function that plants a bug."""

    def register(plant: Callable[[], None]) -> Callable[[], None]:
        assert name not in BUGS
        BUGS[name] = plant
        return plant

    return register


def instead_of(owner: Any, name: str) -> Callable[[Callable[..., Any]], None]:
    """Put a function in the place of another, which it gets as its first argument.

    Args:
        owner: a class or a module. A function of a module is replaced wherever it has been imported to.
        name: of the function, method or property.

    Raises:
        AttributeError: there is nothing of that name.
    """
    old = vars(owner).get(name) or getattr(owner, name)

    def put(made: Callable[..., Any]) -> None:
        original = old.fget if isinstance(old, property) else old

        def new(*args: Any, **kwargs: Any) -> Any:
            return made(original, *args, **kwargs)

        if isinstance(owner, type):
            setattr(owner, name, property(new) if isinstance(old, property) else new)
            return
        for module in [module for key, module in sys.modules.items() if key.split(".")[0] in ("bot", "webhooks")]:
            for known, value in list(vars(module).items()):
                if value is old:
                    setattr(module, known, new)
                elif isinstance(value, dict) and any(each is old for each in value.values()):
                    value.update({key: new for key, each in value.items() if each is old})

    return put


# -- the edge ------------------------------------------------------------------------------------------------------


@bug("acknowledge before the commit")
def _acknowledge_early() -> None:
    @instead_of(GroupCommit, "add")
    async def add(add: Any, self: GroupCommit, events: Sequence[Any]) -> None:
        task = asyncio.ensure_future(add(self, events))
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        await asyncio.sleep(0)


@bug("acknowledge what could not be stored")
def _acknowledge_not_stored() -> None:
    @instead_of(GroupCommit, "add")
    async def add(add: Any, self: GroupCommit, events: Sequence[Any]) -> None:
        with suppress(NotStoredError):
            await add(self, events)


@bug("ignore the end that a business author tells")
def _end_by_business() -> None:
    @instead_of(Message, "is_users_end")
    def is_users_end(is_users_end: Any, self: Message) -> bool:
        return is_users_end(self) and self.author.is_user


@bug("forget the message id")
def _forget_message_id() -> None:
    @instead_of(wire, "said_id")
    def said_id(*_: Any) -> None:
        return


# -- what facts mean -----------------------------------------------------------------------------------------------


@bug("ignore a system message without its activity")
def _ignore_suspected_end() -> None:
    @instead_of(reading, "facts_of")
    def facts_of(facts_of: Any, *args: Any) -> tuple[Any, ...]:
        return tuple(fact for fact in facts_of(*args) if not isinstance(fact, EndSuspected))


@bug("ignore what only a read can tell")
def _ignore_doubts() -> None:
    @instead_of(rules, "_take_in")
    def take_in(take_in: Any, draft: Draft, fact: Any) -> None:
        if not isinstance(fact, ControlUndated | EndSuspected):
            take_in(draft, fact)


@bug("forget the doubt of a set-aside event")
def _ignore_set_aside() -> None:
    @instead_of(rules, "_take_in")
    def take_in(take_in: Any, draft: Draft, fact: Any) -> None:
        if not isinstance(fact, NotUnderstood):
            take_in(draft, fact)


@bug("return from an end that looks late")
def _drop_late_end() -> None:
    @instead_of(users, "user_ended")
    def user_ended(user_ended: Any, draft: Draft, fact: Any) -> None:
        spoke_at = draft.state.spoke_at
        if not (spoke_at and fact.at < spoke_at):
            user_ended(draft, fact)


@bug("read no messages before a pass")
def _pass_blindly() -> None:
    @instead_of(Draft, "read")
    def read(read: Any, self: Draft, what: What) -> None:
        read(self, what)
        if self.state.duty and self.state.duty.action is Action.PASS:
            pending: Any = self.state.pending
            self.set(pending=replace(pending, messages=False))


@bug("take an event's own time without bound")
def _believe_any_time() -> None:
    @instead_of(reading, "believable_time")
    def believable_time(_: Any, event: Any, received_at: Any) -> Any:
        return event_time(event)


@bug("go by the times of an end and of what was said since")
def _void_no_end() -> None:
    @instead_of(delivery, "users_last")
    def users_last(users_last: Any, *args: Any) -> UsersLast:
        found: UsersLast = users_last(*args)
        return replace(found, void_end=None)


@bug("forget why control was given to somebody without a name")
def _forget_untold() -> None:
    @instead_of(holders, "control_undated")
    def control_undated(control_undated: Any, draft: Draft, fact: ControlUndated) -> None:
        control_undated(draft, replace(fact, untold=False))


@bug("take every event for one that comes in time")
def _never_late() -> None:
    @instead_of(reading, "facts_of")
    def facts_of(facts_of: Any, *args: Any) -> tuple[Any, ...]:
        return tuple(replace(fact, late=False) if hasattr(fact, "late") else fact for fact in facts_of(*args))


@bug("let an older fact move the holder")
def _older_moves() -> None:
    @instead_of(Draft, "learn")
    def learn(learn: Any, self: Draft, active: Any, at: Any, *args: Any, **more: Any) -> Any:
        holder = self.state.holder
        if holder.since and at < holder.since:
            at = holder.since
        return learn(self, active, at, *args, **more | {"is_newest": True})


@bug("take what a message shows for proof")
def _seen_is_proof() -> None:
    @instead_of(Draft, "learn")
    def learn(learn: Any, self: Draft, *args: Any, **more: Any) -> Any:
        return learn(self, *args, **more | {"certain": True})


@bug("ignore that the user wrote after the end")
def _never_reopen() -> None:
    @instead_of(users, "_reopen")
    def reopen(*_: Any, **__: Any) -> bool:
        return False


@bug("lose the reason of an explained holder")
def _lose_reason() -> None:
    @instead_of(holders, "explain")
    def explain(*_: Any) -> None:
        return


@bug("begin a flow for each hand-back without a word of the user")
def _hand_around() -> None:
    @instead_of(holders, "_handed_to_bot")
    def handed_to_bot(handed_to_bot: Any, draft: Draft, *args: Any) -> None:
        draft.set(handback_at=None)
        handed_to_bot(draft, *args)


@bug("let an automation stop the flow")
def _automation_is_agent() -> None:
    @instead_of(Message, "is_from_agent")
    def is_from_agent(_: Any, self: Message) -> bool:
        source = self.source.type if self.source else ""
        return self.author.is_business and source.startswith("zd:agentWorkspace") and not self.is_activity


# -- duties --------------------------------------------------------------------------------------------------------


@bug("act again without a read after an unclear answer")
def _act_again() -> None:
    @instead_of(duties, "answered")
    def answered(answered: Any, draft: Draft, duty: Any, what: What, fact: Answered) -> None:
        answered(draft, duty, what, fact)
        if fact.answer in (Answer.UNCLEAR, Answer.GONE):
            draft.set_duty(stage=Stage.ACT)


@bug("treat a 200 as proof")
def _accepted_is_proof() -> None:
    @instead_of(duties, "answered")
    def answered(answered: Any, draft: Draft, duty: Any, what: What, fact: Answered) -> None:
        if fact.answer is Answer.ACCEPTED and what is not What.READ_FOR_DUTY:
            draft.close_duty("accepted")
        else:
            answered(draft, duty, what, fact)


@bug("try a release once and never again")
def _act_once() -> None:
    @instead_of(duties, "advance")
    def advance(advance: Any, draft: Draft) -> None:
        before = draft.state.pending
        advance(draft)
        pending, duty = draft.state.pending, draft.state.duty
        acts = pending is not None and pending.what in (What.RELEASE, What.PASS) and pending is not before
        if acts and duty and duty.attempts > 1:
            draft.set(pending=None)


@bug("take a refusal after the end for proof")
def _refused_is_proof() -> None:
    @instead_of(duties, "_not_ours")
    def not_ours(not_ours: Any, draft: Draft, duty: Any) -> None:
        not_ours(draft, duty)
        if draft.state.ended:
            draft.close_duty("refused")
            draft.set(holder=Holder(Who.UNKNOWN, since=draft.state.holder.since), watches=0)
            draft.set_ended(proof=Proof("refused", draft.now))


@bug("pass again and again where it is declined")
def _pass_for_ever() -> None:
    @instead_of(duties, "_fall_back")
    def fall_back(*_: Any) -> None:
        return


@bug("use the app key without a read")
def _app_key_unread() -> None:
    @instead_of(Draft, "owe")
    def owe(owe: Any, self: Draft, *args: Any, **more: Any) -> None:
        before = self.state.duty
        owe(self, *args, **more)
        duty = self.state.duty
        if duty and duty is not before and duty.action is Action.RELEASE:
            self.set_duty(stage=Stage.ACT)


@bug("act on a read that has become old")
def _old_read() -> None:
    @instead_of(Delivery, "deliver")
    async def deliver(deliver: Any, self: Delivery, conversation_id: str, task: Any, *more: Any) -> Any:
        if isinstance(task.effect, Release | Pass):
            task = replace(task, effect=replace(task.effect, before=None))
        return await deliver(self, conversation_id, task, *more)


@bug("take what others hold without an operator's confirmation")
def _take_unconfirmed() -> None:
    @instead_of(rules, "_operator_released")
    def operator_released(operator_released: Any, draft: Draft, fact: OperatorReleased) -> None:
        against = by_hand.prospect(draft.state, draft.policy).against
        operator_released(draft, replace(fact, against=against or fact.against))


@bug("take by hand without a read")
def _take_unread() -> None:
    @instead_of(duties, "owe_against")
    def owe_against(owe_against: Any, draft: Draft, *args: Any) -> None:
        owe_against(draft, *args)
        draft.set_duty(stage=Stage.ACT)


# -- obligations ---------------------------------------------------------------------------------------------------


@bug("let a closing flow go on for ever")
def _endless_closing() -> None:
    @instead_of(Draft, "start_run")
    def start_run(start_run: Any, self: Draft, purpose: Purpose, *args: Any) -> None:
        start_run(self, purpose, *args)
        if purpose is Purpose.CLOSING and self.state.run:
            self.set_run(self.state.run, deadline=self.now + self.policy.closing * AGES)


@bug("never look again at what others hold")
def _never_watch() -> None:
    @instead_of(obligations, "_watch_delay")
    def watch_delay(watch_delay: Any, draft: Draft) -> timedelta | None:
        return None if draft.state.holder.who is Who.OTHER else watch_delay(draft)


@bug("hold control without a flow for ever")
def _hold_for_ever() -> None:
    @instead_of(obligations, "_while_bot_holds")
    def while_bot_holds(while_bot_holds: Any, draft: Draft) -> None:
        before = draft.state.idle_at
        while_bot_holds(draft)
        if draft.state.idle_at and before is None:
            draft.set(idle_at=draft.now + draft.policy.idle * AGES)


@bug("close a conversation twice")
def _close_twice() -> None:
    @instead_of(obligations, "_after_the_end")
    def after_the_end(after_the_end: Any, draft: Draft) -> None:
        closing_run = draft.state.closing_run
        if draft.state.run is None and draft.state.duty is None:
            draft.set(closing_run=None)
        after_the_end(draft)
        if draft.state.closing_run is None:
            draft.set(closing_run=closing_run)


@bug("forget to look after an end")
def _never_check_the_end() -> None:
    @instead_of(obligations, "_after_the_end")
    def after_the_end(after_the_end: Any, draft: Draft) -> None:
        if draft.state.holder.who is Who.BOT or not draft.state.ended:
            after_the_end(draft)
        else:
            draft.set_ended(check_at=draft.now + timedelta(days=1))


@bug("drop what was said before a failure")
def _drop_said() -> None:
    @instead_of(Draft, "finish_run")
    def finish_run(finish_run: Any, self: Draft, *args: Any) -> None:
        self.drop_messages()
        finish_run(self, *args)


# -- the engine and flows ------------------------------------------------------------------------------------------


@bug("send again without looking for the message first")
def _send_blindly() -> None:
    @instead_of(Delivery, "deliver")
    async def deliver(deliver: Any, self: Delivery, conversation_id: str, task: Any, *more: Any) -> Any:
        return await deliver(self, conversation_id, replace(task, maybe_done=False), *more)


@bug("leave the effect id out of a message")
def _no_effect_id() -> None:
    @instead_of(SunshineClient, "post_message")
    async def post_message(
        post_message: Any, self: SunshineClient, conversation_id: str, content: Any, metadata: Any
    ) -> Any:
        return await post_message(self, conversation_id, content, {**metadata, EFFECT_KEY: ""})


@bug("speak whoever holds control")
def _speak_anyway() -> None:
    @instead_of(Conversation, "may_say")
    def may_say(_: Any, self: Conversation, run_id: int) -> bool:
        return not self.gone and (self.ended is None or run_id == self.closing_run)


@bug("deliver the newest effect first")
def _newest_first() -> None:
    @instead_of(Conversation, "sends_first")
    def sends_first(sends_first: Any, self: Conversation) -> Any:
        return sends_first(replace(self, unsent=self.unsent[::-1]))


@bug("let a word answer twice")
def _answer_twice() -> None:
    @instead_of(turn, "_used_by")
    def used_by(*_: Any) -> Sequence[str]:
        return ()


@bug("take control without a look")
def _take_unseen() -> None:
    @instead_of(starts, "take_control")
    def take_control(take: Any, draft: Draft) -> None:
        take(draft)
        if draft.state.duty and draft.state.duty.action is Action.TAKE and not draft.state.duty.attempts:
            draft.set_duty(stage=Stage.ACT)


@bug("forget reminders")
def _forget_reminders() -> None:
    @instead_of(starts, "remind")
    def remind(*_: Any) -> None:
        return


@bug("ask after an end")
def _ask_after_end() -> None:
    @instead_of(turn.TurnContext, "__init__")
    def init(init: Any, self: Any, *args: Any, **more: Any) -> None:
        init(self, *args, **more | {"ended": lambda: False})


# -- the store -----------------------------------------------------------------------------------------------------


@bug("load nothing that was said before the turn")
def _load_nothing() -> None:
    @instead_of(rows, "named_events")
    def named_events(*_: Any) -> list[str]:
        return []


@bug("forget the fencing token")
def _no_fencing() -> None:
    @instead_of(sqlite_save, "save")
    def save(save: Any, connection: sqlite3.Connection, lease: Lease, *args: Any) -> Any:
        row = connection.execute("SELECT epoch FROM conversations WHERE id = ?", (lease.conversation_id,)).fetchone()
        return save(connection, replace(lease, epoch=row[0]) if row else lease, *args)


@bug("mark events handled before they have taken effect")
def _handled_early() -> None:
    @instead_of(sqlite_claim, "claim")
    def claim(claim: Any, connection: sqlite3.Connection, **more: Any) -> Any:
        works = claim(connection, **more)
        for work in works:
            connection.execute(
                "UPDATE inbox SET status = 'handled' WHERE conversation_id = ?", (work.lease.conversation_id,)
            )
        return works


@bug("keep what was removed")
def _keep_removed() -> None:
    @instead_of(sqlite_save, "save")
    def save(save: Any, connection: sqlite3.Connection, lease: Lease, change: Change, *args: Any) -> Any:
        return save(connection, lease, replace(change, forget=False), *args)


@bug("lose the journal")
def _lose_journal() -> None:
    @instead_of(sqlite_save, "save")
    def save(save: Any, connection: sqlite3.Connection, lease: Lease, change: Change, *args: Any) -> Any:
        return save(connection, lease, replace(change, journal=[]), *args)


@bug("take nothing over from the dead")
def _endless_lease() -> None:
    @instead_of(sqlite_claim, "claim")
    def claim(claim: Any, connection: sqlite3.Connection, *, lease: timedelta, **more: Any) -> Any:
        return claim(connection, lease=lease * AGES, **more)
