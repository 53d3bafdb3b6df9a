"""A claimed conversation at work: facts in, state and effects out, until there is nothing to do now.

Everything that a moment of work changes is one `Change`, saved before any of it is acted upon. So the process may die
between any two lines here: what is stored says what is to be done next.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar

from bot.control.commands import CloseDuty, Command, DropUnsent, Forget, Pass, Read, Release, Report
from bot.control.draft import Draft
from bot.control.facts import (
    Answer,
    Answered,
    Fact,
    FlowBegan,
    FlowFailed,
    FlowMismatched,
    FlowTold,
    HolderSeen,
    NotUnderstood,
    TimePassed,
)
from bot.control.history import MomentKind, moments
from bot.control.policy import CLOCKS_DIFFER, PROOF_WAIT, backoff
from bot.control.reading import believable_time
from bot.control.rules import step
from bot.control.state import Run, RunStatus
from bot.engine.aftermath import Aftermath, chosen_by, clean_up_once, clean_ups_of, outcome_of
from bot.engine.context import Context
from bot.engine.delivery import PATIENCE_WHEN_OVER, Delivery, Result
from bot.engine.orders import Order, Told, facts_of_either, order_of
from bot.engine.performance import NoTurn, Performance, begun_anew, prepare
from bot.engine.places import Places
from bot.flows.content import Text, messages
from bot.flows.outcome import Outcome
from bot.flows.turn import BEGAN, FIRST_TOLD, SIGNALS_LIMIT, TOLD, Said, TurnOutcome
from bot.signals import AT_WORK, AtWork, Level, Signal
from bot.store.interface import (
    Change,
    CleanUp,
    JournalEntry,
    Lease,
    LeaseLost,
    OutboxItem,
    Say,
    StoredEvent,
    StoreError,
    Unavailable,
    Work,
)
from bot.troubles import What, database_failed
from webhooks.contacts import Contact, contacts_of
from webhooks.events import Event, InvalidEvent, event_user_ids, parse_event

T = TypeVar("T")

URGENT = frozenset({"duty_overdue", "no_app_key", "conversation_gone", "handed_around"})
NO_TROUBLE = frozenset({"reminder_dropped"})
LEASE_MARGIN = timedelta(seconds=2)
RETRY_FIRST, RETRY_CAP = timedelta(milliseconds=100), timedelta(seconds=2)  # while the database is out of reach
PATIENCE = timedelta(seconds=30)  # with a database that is out of reach
MOST_CONTACTS = 100  # that one session adds to a conversation
TYPING_AFTER = timedelta(milliseconds=500)
"""A turn that says nothing for so long shows that the bot is typing."""


class Session:
    """One conversation while this worker holds its lease.

    Args:
        context: the engine's surroundings.
        delivery: carries out the outbox.
        work: the conversation, as it was claimed.
        places: what is done to the platform needs one of these.
        at_rest: called whenever there is nothing to do but to wait.
    """

    def __init__(
        self,
        context: Context,
        delivery: Delivery,
        work: Work,
        places: Places,
        at_rest: Callable[[], None] = lambda: None,
    ) -> None:
        self._places = places
        self._waits_for_place = False
        self._at_rest = at_rest
        self._context = context
        self._delivery = delivery
        self._lease = work.lease
        self._state = work.state
        self._events = dict(_readable(_asked_for(work)))
        self._outbox = list(work.outbox)
        self._journal = list(work.journal)
        self._new_events: list[StoredEvent] = list(work.events)
        self._contacts: set[Contact] = set()  # stored already
        self._change = Change(work.state, update=[item for item in work.outbox if not item.maybe_done])
        self._reports: list[Signal] = []
        self._performance: Performance | None = None
        self._under_way: tuple[OutboxItem, asyncio.Task[Result]] | None = None
        self._dropped_under_way = False
        self._told_meanwhile = False
        self._signal = asyncio.Event()
        self._aftermath = Aftermath(context.catalogue.functions, self._signal.set)
        self._typing_at: datetime | None = None
        self._typing: asyncio.Task[None] | None = None
        self._events_waiting = False
        self._stopping = False
        self._is_in_store = False
        self._dirty = bool(self._change.update)
        self._seen = self._turn_began = context.clock.now()
        self._fetch_at = self._seen + context.fetch_every
        self._renew_before = context.lease * 2 / 3
        self._longest_wait = context.lease.total_seconds() / 3  # a clock that is set back is noticed by then

    def wake(self) -> None:
        """New events of this conversation are in the inbox."""
        self._events_waiting = True
        self._signal.set()

    @property
    def takes_no_place(self) -> bool:
        """Is there nothing to do but to wait, for the flow's own code or for the proof of a control action?"""
        return self._under_way is None and (self._performance is not None or self._awaits_proof)

    @property
    def _awaits_proof(self) -> bool:
        """The platform has just accepted a control action: its event is about to come, and then all is over."""
        duty = self._state.duty
        accepted_at = duty.accepted_at if duty else None
        return accepted_at is not None and self._context.clock.now() < accepted_at + PROOF_WAIT

    def end_soon(self) -> None:
        """Finish what is under way, start nothing more, and give the lease back."""
        self._stopping = True
        self._signal.set()

    def keeps(self, lease: Lease) -> bool:
        """Go on with a new lease, if nobody else has had the conversation since the old one ran out.

        Only between two store operations: one that is under way rests on the old lease.
        """
        if self._is_in_store or lease.epoch != self._lease.epoch + 1:
            return False
        self._lease = lease
        self.wake()
        return True

    async def run(self) -> None:
        """Work until nothing is to be done now, or something else has the conversation."""
        AT_WORK.set(AtWork(self._state.id))
        try:
            self._miss_pending()
            while True:
                self._take_events(self._new_events)
                if not self._change.forget:
                    self._take_result()
                    self._take_clean_up()
                    self._take_turn()
                    self._let_time_pass()
                    await self._begin_turn()
                if await self._save():
                    return
                if not self._stopping:
                    if self._is_turn_due:
                        continue
                    await self._renew_if_due()
                    self._start_delivery()
                    self._aftermath.start(self._outbox, self._context.clock.now())
                    self._show_typing()
                await self._wait()
        except LeaseLost:
            self._tell(Signal("lease_lost", Level.WARNING, self._state.id))
        except StoreError as error:
            level = Level.DEBUG if isinstance(error, Unavailable) else Level.ERROR  # told once for all conversations
            self._tell(Signal("store_unavailable", level, self._state.id, {"error": str(error)}))
        finally:
            self._cut_off()
            self._aftermath.cut_off()
            self._places.leave(self._signal.set)
            if self._under_way:
                self._under_way[1].cancel()

    # -- facts ---------------------------------------------------------------------------------------------------

    def _take_events(self, events: Iterable[StoredEvent]) -> None:
        """Let stored events take effect, in the order of their own times as far as they have any."""
        readable = []
        for stored in events:
            self._dirty = True
            try:
                event = self._order(stored) if stored.by_operator else parse_event(stored.body)
            except InvalidEvent as error:
                self._set_aside(stored, str(error), Level.WARNING)
                continue
            at = None if isinstance(event, Order) else believable_time(event, stored.received_at)
            readable.append((min(at or stored.received_at, stored.received_at), stored, event))
        for _, stored, event in sorted(readable, key=lambda item: item[0]):
            if self._change.forget:
                break  # what comes after that waits, in case the conversation begins anew
            if not isinstance(event, Order):
                self._events[stored.id] = event
            elif isinstance(event, Told) and not self._hear(event):
                self._change.handled.append(stored.id)
                continue
            if failure := self._try(_facts_of(event, stored)):
                self._set_aside(stored, f"internal error: {type(failure).__name__}", Level.ERROR)
            else:
                self._change.handled.append(stored.id)
                AT_WORK.set(AtWork(self._state.id, stored.id))
                if not isinstance(event, Order):
                    self._change.users |= event_user_ids(event)
                    if len(self._contacts) < MOST_CONTACTS:
                        self._change.contacts |= contacts_of(event) - self._contacts
        if not self._change.forget:
            self._look_again(readable)
        self._new_events = []

    def _look_again(self, received: Iterable[tuple[datetime, StoredEvent, Event | Order]]) -> None:
        """What came after something newer may be newer itself, by a clock that is behind."""
        newest: datetime | None = None
        for at, stored, event in received:
            if newest and newest - CLOCKS_DIFFER <= at < newest and not isinstance(event, Order):
                self._try(fact for fact in _facts_of(event, stored) if isinstance(fact, HolderSeen))
            newest = max(newest or at, at)

    def _try(self, facts: Iterable[Fact]) -> Exception | None:
        """Let facts take effect, all or none: a poisonous event must not hold up its conversation."""
        before = (self._state, self._outbox[:], self._change, self._reports[:])
        self._change = replace(
            self._change,
            add=self._change.add[:],
            finish=self._change.finish[:],
            closed_duties=self._change.closed_duties[:],
            history=self._change.history[:],
        )
        try:
            for fact in facts:
                self._step(fact)
        except Exception as error:  # noqa: BLE001 - told by the caller
            self._state, self._outbox, self._change, self._reports = before
            return error
        return None

    def _set_aside(self, stored: StoredEvent, reason: str, level: Level) -> None:
        """Keep an event from taking effect. What it would have told only a read can tell now."""
        self._change.set_aside.append((stored.id, reason))
        self._tell(Signal("event_set_aside", level, self._state.id, {"reason": reason}))
        if not stored.by_operator:
            self._try([NotUnderstood()])

    def _hear(self, told: Told) -> bool:
        """Note in the journal what the flow at work is told. False: there is no flow, or it was told too much."""
        run = self._state.run
        heard = [entry for entry in self._journal if run and entry.run_id == run.id and entry.kind == TOLD]
        if run is None or len(heard) >= SIGNALS_LIMIT:
            self._tell(Signal("signal_unheard", Level.WARNING, self._state.id, {"signal": told.name}))
            return False
        index, size, now = FIRST_TOLD + len(heard), len(str(told.data)), self._context.clock.now()
        entry = JournalEntry(run.id, index, TOLD, told.name, told.data, size, now)
        self._note([entry])
        if self._performance:
            self._performance.turn.hear(entry)
            self._told_meanwhile = True
        return True

    def _order(self, stored: StoredEvent) -> Order:
        return order_of(stored.type, stored.body, self._context.clock.now() - stored.received_at)

    def _forget_events(self) -> None:
        """Keep only what a turn may still ask for, however many events go through here while the lease lasts."""
        state = self._state
        named = {given.event_id for given in state.inputs}
        if state.run and state.run.opening.event_id:
            named.add(state.run.opening.event_id)
        self._events = {event_id: event for event_id, event in self._events.items() if event_id in named}

    def _miss_pending(self) -> None:
        """An effect that is waited for and that the outbox does not hold will never be answered: it is unclear."""
        pending = self._state.pending
        if pending and all(item.id != pending.effect_id for item in self._outbox):
            self._step(Answered(pending.effect_id, Answer.UNCLEAR, detail="the effect is not in the outbox"))

    def _step(self, fact: Fact) -> None:
        known, now = self._state, self._context.clock.now()
        before = known.run
        self._state, commands = step(known, fact, now, self._context.policy)
        self._dirty = True
        new = moments(known, self._state, commands, now)
        self._change.history += new
        if any(moment.kind is MomentKind.PROVEN for moment in new):
            self._report_proof()
        for command in commands:
            self._obey(command, before)
        run = self._state.run
        if before and (run is None or run.id != before.id):
            outcome = chosen_by(self._journal, before.id, outcome_of(fact, before, self._state, now))
            self._clean_up_after(before.id, outcome)
            seconds = max(0.0, (now - before.began).total_seconds())  # by two clocks
            told: dict[str, object] = {"run": before.id, "outcome": outcome.value, "seconds": seconds}
            self._report(Signal("flow_over", Level.INFO, self._state.id, {**_flow_of(before), **told}))
        if self._performance and (run is None or run.id != self._performance.run.id):
            self._cut_off()

    def _report_proof(self) -> None:
        ended = self._state.ended
        if ended and ended.proof and not self._state.gone:
            seconds = max(0.0, (ended.proof.at - ended.at).total_seconds())  # by two clocks
            fields = {"proof": ended.proof.how, "seconds": seconds}
            self._report(Signal("ended_proven", Level.INFO, self._state.id, fields))

    def _obey(self, command: Command, run: Run | None) -> None:
        """Carry a command out; `run` is the one that was at work before it."""
        match command:
            case Release() | Pass() | Read():
                self._enqueue(command)
            case DropUnsent(effect_id=None):
                self._drop([item for item in self._outbox if isinstance(item.effect, Say)])
            case DropUnsent(effect_id=revoked):
                self._drop([item for item in self._outbox if item.id == revoked])
            case CloseDuty(duty, proof):
                self._change.closed_duties.append((duty, proof))
                fields = {"action": duty.action.value, "attempts": duty.attempts, "proof": proof.how}
                seconds = (proof.at - duty.since).total_seconds()
                self._report(Signal("duty_closed", Level.INFO, self._state.id, {**fields, "seconds": seconds}))
            case Forget():
                self._change.forget = True
            case Report(event, detail):
                calm = Level.INFO if event in NO_TROUBLE else Level.WARNING
                level = Level.ERROR if event in URGENT else calm
                is_of_run = event.startswith("flow_") and event != "flow_not_begun"  # that one tells of another flow
                flow = _flow_of(run) if run and is_of_run else {}
                self._report(Signal(event, level, self._state.id, {"detail": detail, **flow}))

    def _let_time_pass(self) -> None:
        due = self._state.waits_until
        if due and due <= self._context.clock.now():
            self._step(TimePassed())

    # -- the outbox ----------------------------------------------------------------------------------------------

    def _enqueue(self, effect: Release | Pass | Read | Say | CleanUp) -> None:
        now = self._context.clock.now()
        if isinstance(effect, Release | Pass | Read):
            self._hurry(now + PATIENCE_WHEN_OVER)
        item = OutboxItem(effect, created_at=now, next_attempt=now, maybe_done=False)
        self._outbox.append(item)
        self._change.add.append(item)

    def _hurry(self, latest: datetime) -> None:
        """A control action waits behind these messages now: none may put it off for long."""
        for index, item in enumerate(self._outbox):
            if item.next_attempt > latest and not isinstance(item.effect, CleanUp):
                self._outbox[index] = replace(item, next_attempt=latest)
                self._change.update.append(self._outbox[index])

    def _drop(self, items: list[OutboxItem]) -> None:
        """Take effects back. One that is under way can't be taken back, but is not tried again."""
        for item in items:
            if self._under_way and self._under_way[0].id == item.id:
                self._dropped_under_way = True
                continue
            self._outbox.remove(item)
            self._finish(item, "dropped")

    def _finish(self, item: OutboxItem, outcome: str) -> None:
        if any(new.id == item.id for new in self._change.add):
            self._change.add = [new for new in self._change.add if new.id != item.id]
        else:
            self._change.finish.append((item.id, outcome))
        self._dirty = True

    def _next_item(self) -> OutboxItem | None:
        """The effect that is next: in order, but for reads that go ahead, and clean-ups, which have their own way.

        While the bot is in doubt, messages wait for the read that ends it.
        """
        ahead = (item for item in self._outbox if isinstance(item.effect, Read) and item.effect.ahead)
        others = (item for item in self._outbox if not isinstance(item.effect, CleanUp))
        first = next(ahead, None) or next(others, None)
        if first and self._state.in_doubt and isinstance(first.effect, Say):
            return None
        return first

    def _put_off_messages(self) -> None:
        """Until the read that ends the doubt is due: what waits for it must not wake the conversation before."""
        due = self._state.look_at
        for item in self._outbox:
            if due and item.next_attempt < due and not isinstance(item.effect, CleanUp):
                self._change.update.append(replace(item, next_attempt=due))

    def _start_delivery(self) -> None:
        now = self._context.clock.now()
        self._waits_for_place = False
        while self._under_way is None and (item := self._next_item()) and item.next_attempt <= now:
            if isinstance(item.effect, Say) and not self._state.may_say(item.effect.run_id):
                self._drop([item])
                continue
            if now >= self._lease.until - LEASE_MARGIN:
                raise LeaseLost("the lease is about to run out")
            if not self._places.take(self._signal.set):
                self._waits_for_place = True
                return
            hurry = any(isinstance(behind.effect, Release | Pass | Read) for behind in self._outbox)
            task = asyncio.get_running_loop().create_task(
                self._delivery.deliver(self._state.id, item, hurry=hurry, wanted=partial(self._is_wanted, item)),
                name=f"deliver {item.id}",
            )
            task.add_done_callback(self._delivered)
            self._under_way = (item, task)
            self._dropped_under_way = False
        self._places.leave(self._signal.set)

    def _delivered(self, _: object) -> None:
        self._places.give_back()
        self._signal.set()

    def _is_wanted(self, item: OutboxItem) -> bool:
        """May this message still go out, by all that is known now?"""
        allowed = isinstance(item.effect, Say) and self._state.may_say(item.effect.run_id)
        in_time = self._context.clock.now() < self._lease.until - LEASE_MARGIN
        return allowed and in_time and not (self._dropped_under_way or self._state.in_doubt or self._events_waiting)

    def _take_result(self) -> None:
        if self._under_way is None or not self._under_way[1].done():
            return
        item, task = self._under_way
        self._under_way = None
        result = self._result_of(item, task)
        self._tell(
            Signal(
                "effect_tried",
                Level.DEBUG,
                self._state.id,
                {
                    "effect": type(item.effect).__name__.lower(),
                    "outcome": result.outcome or "again later",
                    "status": result.status,
                    "reason": result.reason,
                },
            )
        )
        place = next((index for index, kept in enumerate(self._outbox) if kept.id == item.id), None)
        if place is not None:
            if result.again and not self._dropped_under_way:
                self._outbox[place] = result.again
                self._change.update.append(result.again)
                self._dirty = True
            else:
                del self._outbox[place]
                self._finish(item, result.outcome or "dropped while it was under way")
        if isinstance(result.fact, FlowFailed):
            run_id = result.fact.run_id
            flow = _flow_of(self._state.run) if self._state.run and self._state.run.id == run_id else {}
            fields = {"outcome": result.outcome, **flow}
            self._tell(Signal("message_given_up", Level.WARNING, self._state.id, fields))
            self._drop([kept for kept in self._outbox if isinstance(kept.effect, Say) and kept.effect.run_id == run_id])
        if result.fact:
            self._step(result.fact)

    def _clean_up_after(self, run_id: int, outcome: Outcome) -> None:
        """The run is over, in whichever way: what its flow has registered for that is due."""
        effects, unreadable = clean_ups_of(self._journal, run_id, outcome, self._new_effect_id)
        for effect in effects:
            self._enqueue(effect)
        for problem in unreadable:
            self._tell(Signal("clean_up_failed", Level.WARNING, self._state.id, {"error": problem}))

    def _take_clean_up(self) -> None:
        taken = self._aftermath.take(self._context.clock.now())
        if taken is None:
            return
        item, again, error = taken
        self._dirty = True
        place = next(index for index, kept in enumerate(self._outbox) if kept.id == item.id)
        if again:
            self._outbox[place] = again
            self._change.update.append(again)
            return
        del self._outbox[place]
        self._finish(item, f"failed: {error}" if error else "cleaned up")
        if error:
            self._tell(Signal("clean_up_failed", Level.WARNING, self._state.id, {"error": error}))

    def _result_of(self, item: OutboxItem, task: asyncio.Task[Result]) -> Result:
        """What came of a delivery; one that failed by a bug of ours is unclear, and must not hold up the release."""
        error = task.exception()
        if error is None:
            return task.result()
        fields = {"effect": type(item.effect).__name__.lower(), "error": type(error).__name__}
        self._tell(Signal("delivery_failed", Level.ERROR, self._state.id, fields))
        if isinstance(item.effect, Say):
            return Result(
                "not said: internal error", fact=FlowFailed(item.effect.run_id, "a message was not delivered")
            )
        return Result("unclear: internal error", fact=Answered(item.id, Answer.UNCLEAR))

    # -- the flow ------------------------------------------------------------------------------------------------

    @property
    def _is_turn_due(self) -> bool:
        run = self._state.run
        return run is not None and run.status is RunStatus.READY and self._performance is None

    async def _begin_turn(self) -> None:
        """Begin the turn that is due. What the flow does at once is saved together with what began the turn."""
        run = self._state.run
        if self._stopping or run is None or not self._is_turn_due:
            return
        self._turn_began = self._context.clock.now()
        journal = [entry for entry in self._journal if entry.run_id == run.id]
        self._performance, first, outcome = prepare(
            self._context, self._state, run, journal, self._events, self._signal.set, self._has_ended
        )
        self._typing_at = self._context.clock.now() + TYPING_AFTER if self._performance else None
        self._note(first)
        if self._performance:
            flow = self._performance.turn.flow
            if (run.flow, run.version) != (flow.name, flow.version):
                self._step(FlowBegan(run.id, flow.name, flow.version))
        if outcome:
            self._end_turn(run, outcome)
        else:
            await asyncio.sleep(0)  # the flow runs until it waits for something
            self._take_turn()

    def _has_ended(self) -> bool:
        return self._state.ended is not None

    def _take_turn(self) -> None:
        """Take what the flow has done since the last time; it is saved together with its outcome."""
        performance = self._performance
        if performance is None:
            return
        entries, said = performance.turn.take()
        self._note(entries)
        for message in said:
            self._say(performance.run.id, message)
            self._typing_at = self._context.clock.now() + TYPING_AFTER
        if performance.turn.outcome:
            self._cut_off()
            seconds = (self._context.clock.now() - self._turn_began).total_seconds()
            flow = performance.turn.flow
            fields = {"flow": flow.name, "version": flow.version}
            more = {"seconds": seconds, "outcome": type(performance.turn.outcome).__name__}
            self._report(Signal("turn_over", Level.DEBUG, self._state.id, {**fields, **more}))
            self._end_turn(performance.run, performance.turn.outcome)
            if self._told_meanwhile:  # perhaps when the flow had just begun to wait
                self._step(FlowTold())
                self._told_meanwhile = False

    def _end_turn(self, run: Run, outcome: TurnOutcome | NoTurn) -> None:
        if isinstance(outcome, FlowMismatched):
            self._end_mismatched(run, outcome)
        else:
            self._step(outcome)

    def _end_mismatched(self, run: Run, outcome: FlowMismatched) -> None:
        """The run's journal doesn't fit its flow any more: begin the run anew, or tell the user and end it."""
        old = next(entry for entry in self._journal if entry.run_id == run.id and entry.kind == BEGAN)
        may_restart = self._context.restarts and not run.restarted
        if may_restart and begun_anew(self._context, self._state.id, run, old):
            self._step(replace(outcome, restart=True))
            again = self._state.run
            if again and again.restarted and (entry := begun_anew(self._context, self._state.id, again, old)):
                self._note([entry])  # what began the run is not in the inbox any more, where it was long ago
            return
        if self._context.mismatch_text and not self._state.ended:
            for content in messages(Text(self._context.mismatch_text)):
                self._say(run.id, Said(content, {}))
        self._step(outcome)

    def _note(self, entries: list[JournalEntry]) -> None:
        self._journal.extend(entries)
        self._change.journal.extend(entries)
        self._dirty = self._dirty or bool(entries)

    def _say(self, run_id: int, said: Said) -> None:
        self._enqueue(Say(self._new_effect_id(), run_id, said.content, said.metadata))

    def _new_effect_id(self) -> str:
        draft = Draft(self._state, self._context.clock.now(), self._context.policy)
        made = draft.next_effect_id()
        self._state = draft.state
        return made

    def _show_typing(self) -> None:
        """Show the user that a slow turn is at work. Nothing waits for that, and nothing of it is stored."""
        performance, now = self._performance, self._context.clock.now()
        if performance is None or self._typing_at is None or now < self._typing_at:
            return
        if self._under_way or self._next_item():
            # A message goes out, or the bot is about to find out whether it may speak.
            self._typing_at = now + TYPING_AFTER
            return
        self._typing_at = None
        in_time = now < self._lease.until - LEASE_MARGIN
        sure = in_time and not (self._state.in_doubt or self._events_waiting)
        if sure and self._state.may_say(performance.run.id):
            showing = self._delivery.show_typing(self._state.id)
            self._typing = asyncio.get_running_loop().create_task(showing, name=f"typing {self._state.id}")

    def _cut_off(self) -> None:
        if self._performance:
            self._performance.cut_off()
            self._performance = None
        self._typing_at = None
        if self._typing:
            self._typing.cancel()
            self._typing = None

    # -- saving and waiting --------------------------------------------------------------------------------------

    def _is_idle(self) -> bool:
        """Is there nothing to do now? Then the lease goes back with the save."""
        if self._stopping:
            return self._under_way is None
        if self._performance or self._under_way or self._aftermath.is_busy or self._awaits_proof or self._is_turn_due:
            return False
        item, now = self._next_item(), self._context.clock.now()
        times = (self._state.waits_until, item and item.next_attempt, self._aftermath.due(self._outbox))
        return not any(due and due <= now for due in times)

    async def _save(self) -> bool:
        """Write what has changed. True if the lease went back with it: the work is over."""
        if self._stopping:
            self._cut_off()
        idle = self._change.forget or (self._is_idle() and not self._events_waiting)
        # An effect that is at work here may have been tried when the process dies; only what is given back is exact.
        if idle:
            self._change.update = [*self._outbox, *self._change.update]
            if self._state.in_doubt:
                self._put_off_messages()
        else:
            self._change.update = [replace(item, maybe_done=True) for item in self._change.update]
        if self._dirty or idle:
            self._change.state = self._state
            self._change.release = idle
            await self._patiently(
                lambda: self._context.store.save(self._lease, self._change, self._context.clock.now())
            )
            if self._change.forget:
                left = [item.effect for item in self._outbox if isinstance(item.effect, CleanUp)]
                clean_up_once(left, self._context.catalogue.functions)
            self._contacts |= self._change.contacts
            self._change, self._dirty = Change(self._state), False
            if self._performance:
                self._performance.turn.stored()
            self._forget_events()
            for signal in self._reports:
                self._tell(signal)
            self._reports = []
        return idle

    async def _wait(self) -> None:
        """Until something happens: the flow, the platform's answer, an event, a time."""
        if not self._signal.is_set():
            if self.takes_no_place:
                self._at_rest()
            timer = asyncio.get_running_loop().call_later(self._pause(), self._signal.set)
            await self._signal.wait()
            timer.cancel()
        self._signal.clear()
        now = self._context.clock.now()
        set_back, self._seen = now < self._seen, now
        await self._renew_if_due(set_back=set_back)
        if set_back or self._events_waiting or now >= self._fetch_at:
            self._events_waiting = False
            self._fetch_at = now + self._context.fetch_every
            self._new_events = await self._patiently(lambda: self._context.store.fetch(self._lease))

    def _pause(self) -> float:
        """Seconds until there is something to do, if nothing happens meanwhile."""
        times = [self._fetch_at, self._renew_at]
        times += [due for due in (self._state.waits_until, self._aftermath.due(self._outbox), self._typing_at) if due]
        item = self._next_item()
        if item and self._under_way is None and not self._waits_for_place:
            times.append(item.next_attempt)
        seconds = (min(times) - self._context.clock.now()).total_seconds()
        return max(0.0, min(seconds, self._longest_wait))

    async def _renew_if_due(self, *, set_back: bool = False) -> None:
        if set_back or self._context.clock.now() >= self._renew_at:
            self._lease = await self._patiently(
                lambda: self._context.store.renew(self._lease, self._context.clock.now() + self._context.lease)
            )

    async def _patiently(self, work: Callable[[], Awaitable[T]]) -> T:
        """Do something in the database; retry while it is out of reach.

        The lease may run out meanwhile. If nobody else has taken the conversation when the database is back, it
        is kept. Giving up at once would make the next session begin the unsaved turn anew, calls and all.
        """
        attempt, began = 0, self._context.clock.now()
        while True:
            self._is_in_store = True
            try:
                done = await work()
            except Unavailable as error:
                database_failed(self._context.troubles, error)
                attempt += 1
                pause = backoff(attempt, self._state.id, RETRY_FIRST, RETRY_CAP)
                if self._stopping or self._context.clock.now() + pause >= began + PATIENCE:
                    raise
            else:
                self._context.troubles.works(What.DATABASE)
                return done
            finally:
                self._is_in_store = False
            await asyncio.sleep(pause.total_seconds())

    @property
    def _renew_at(self) -> datetime:
        return self._lease.until - self._renew_before

    def _report(self, signal: Signal) -> None:
        """Tell once it is stored."""
        self._reports.append(signal)

    def _tell(self, signal: Signal) -> None:
        self._context.observe(signal)


def _flow_of(run: Run) -> dict[str, object]:
    """The flow of a run, for signals; without a name while none has taken it."""
    return {"flow": run.flow, "version": run.version} if run.flow else {}


def _facts_of(event: Event | Order, stored: StoredEvent) -> Iterator[Fact]:
    yield from facts_of_either(event, stored.received_at) or (TimePassed(),)


def _asked_for(work: Work) -> Iterable[StoredEvent]:
    """Events of earlier that a turn may ask for: what opened the run only as long as its journal does not tell."""
    said = {given.event_id for given in work.state.inputs}
    has_begun = any(entry.kind != TOLD for entry in work.journal)
    return (event for event in work.inputs if event.id in said or not has_begun)


def _readable(stored: Iterable[StoredEvent]) -> Iterator[tuple[str, Event]]:
    for event in stored:
        with suppress(InvalidEvent):
            yield event.id, parse_event(event.body)
