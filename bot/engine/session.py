"""A claimed conversation at work: take facts, step, save, begin what is to be done, wait.

Everything that a moment of work changes is one `Change`, saved before any of it is acted upon. So the process may die
between any two lines here: what is stored says what is to be done next. What that is, `bot.control` decides.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from datetime import datetime

from bot.control.facts import NotUnderstood, TimePassed
from bot.control.policy import PROOF_WAIT
from bot.control.reading import place_of, seen_late
from bot.engine.context import Context
from bot.engine.delivery import Delivery
from bot.engine.effects import Effects
from bot.engine.leased import Leased
from bot.engine.orders import Order, Told, facts_of_either, order_of
from bot.engine.progress import Progress
from bot.engine.slots import Slots
from bot.engine.turns import Turns
from bot.flows.turn import TOLD as HEARD
from bot.signals import AT_WORK, AtWork, Level, Signal
from bot.store.interface import Lease, LeaseLost, StoredEvent, StoreError, Unavailable, Work
from webhooks.contacts import Contact, contacts_of
from webhooks.events import Event, InvalidEvent, event_user_ids, parse_event

MOST_CONTACTS = 100  # that one session adds to a conversation


class Session:
    """One conversation while this worker holds its lease.

    Args:
        context: the engine's surroundings.
        delivery: does things to the platform.
        work: the conversation, as it was claimed.
        slots: what is done to the platform needs one of these.
        at_rest: called whenever there is nothing to do but to wait.
    """

    def __init__(
        self,
        context: Context,
        delivery: Delivery,
        work: Work,
        slots: Slots,
        at_rest: Callable[[], None] = lambda: None,
    ) -> None:
        self._context = context
        self._tell = context.observe
        self._id = work.state.id
        self._leased = Leased(context, work.lease)
        self._at_rest = at_rest
        self._signal = asyncio.Event()
        self._events = dict(_parsed(_asked_for(work)))
        self._new_events: list[StoredEvent] = list(work.events)
        self._contacts: set[Contact] = set()  # stored already
        self._progress = Progress(context, work)
        wake = self._signal.set
        self._effects = Effects(context, delivery, slots, self._progress, wake, self._is_sure)
        self._turns = Turns(context, delivery, self._progress, self._events, wake)
        self._events_waiting = False
        self._stopping = False
        self._seen = context.clock.now()
        self._fetch_at = self._seen + context.fetch_every
        self._longest_wait = context.lease.total_seconds() / 3  # a clock that is set back is noticed by then

    def wake(self) -> None:
        """New events of this conversation are in the inbox."""
        self._events_waiting = True
        self._signal.set()

    @property
    def takes_no_slot(self) -> bool:
        """Is there nothing to do but to wait, for the flow's own code or for the proof of a control action?"""
        return not self._effects.is_sending and (self._turns.is_at_work or self._awaits_proof)

    def end_soon(self) -> None:
        """Finish what is under way, start nothing more, and give the lease back."""
        self._stopping = self._leased.in_a_hurry = True
        self._signal.set()

    def keeps(self, lease: Lease) -> bool:
        """Go on with a new lease, if nobody else has had the conversation since the old one ran out."""
        kept = self._leased.keeps(lease)
        if kept:
            self.wake()
        return kept

    async def run(self) -> None:
        """Work until nothing is to be done now, or something else has the conversation."""
        AT_WORK.set(AtWork(self._id))
        try:
            self._progress.take_up()
            while True:
                await self._take()
                if await self._save():
                    return
                if not self._stopping:
                    if self._turns.is_due:
                        continue
                    await self._leased.renew_if_due()
                    self._begin()
                await self._wait()
        except LeaseLost:
            self._tell(Signal("lease_lost", Level.WARNING, self._id))
        except StoreError as error:
            level = Level.DEBUG if isinstance(error, Unavailable) else Level.ERROR  # told once for all conversations
            self._tell(Signal("store_unavailable", level, self._id, {"error": str(error)}))
        finally:
            self._turns.cut_off()
            self._effects.cut_off()

    async def _take(self) -> None:
        """Let everything that has happened take effect."""
        progress = self._progress
        self._take_events(self._new_events)
        if progress.change.forget:
            return
        self._effects.take()
        self._turns.take()
        due = progress.due
        if due and due <= self._context.clock.now():
            progress.step(TimePassed())
        if not self._stopping:
            await self._turns.begin()

    def _begin(self) -> None:
        """Begin what is due. All that goes out rests on a lease that holds for a while."""
        due = self._effects.due
        if due and due <= self._context.clock.now() and not self._leased.has_time:
            raise LeaseLost("the lease is about to run out")
        self._effects.begin()
        self._turns.show_typing(sure=self._is_sure())

    # -- events ----------------------------------------------------------------------------------------------------

    def _take_events(self, events: Iterable[StoredEvent]) -> None:
        """Let stored events take effect, in the order of their own times as far as they have any."""
        readable: list[tuple[datetime, StoredEvent, Event | Order]] = []
        for stored in events:
            self._progress.dirty = True
            try:
                readable.append(self._readable(stored))
            except InvalidEvent as error:
                self._set_aside(stored, str(error), Level.WARNING)
        for _, stored, event in sorted(readable, key=lambda each: each[0]):
            if self._progress.change.forget:
                break  # what comes after that waits, in case the conversation begins anew
            self._take_event(stored, event)
        arrived = ((event, stored.received_at) for _, stored, event in readable if not isinstance(event, Order))
        for fact in seen_late(arrived) if not self._progress.change.forget else ():
            self._progress.attempt([fact])
        self._turns.notice()
        self._new_events = []

    def _readable(self, stored: StoredEvent) -> tuple[datetime, StoredEvent, Event | Order]:
        if stored.by_operator:
            age = self._context.clock.now() - stored.received_at
            return stored.received_at, stored, order_of(stored.type, stored.body, age)
        event = parse_event(stored.body)
        return place_of(event, stored.received_at), stored, event

    def _take_event(self, stored: StoredEvent, event: Event | Order) -> None:
        if not isinstance(event, Order):
            self._events[stored.id] = event
        elif isinstance(event, Told) and not self._turns.hear(event):
            self._progress.change.handled.append(stored.id)
            return
        facts = facts_of_either(event, stored.received_at, self._context.clock.now())
        if failure := self._progress.attempt(facts or (TimePassed(),)):
            self._set_aside(stored, f"internal error: {type(failure).__name__}", Level.ERROR)
            return
        self._turns.notice()
        AT_WORK.set(AtWork(self._id, stored.id))
        change = self._progress.change
        change.handled.append(stored.id)
        if not isinstance(event, Order):
            change.users |= event_user_ids(event)
            if len(self._contacts) < MOST_CONTACTS:
                change.contacts |= contacts_of(event) - self._contacts

    def _set_aside(self, stored: StoredEvent, reason: str, level: Level) -> None:
        """Keep an event from taking effect. What it would have told only a read can tell now."""
        self._progress.change.set_aside.append((stored.id, reason))
        self._tell(Signal("event_set_aside", level, self._id, {"reason": reason}))
        if not stored.by_operator:
            self._progress.attempt([NotUnderstood()])

    def _forget_events(self) -> None:
        """Keep only what a turn may still ask for, however many events go through here while the lease lasts."""
        state = self._progress.state
        named = {given.event_id for given in state.inputs}
        if state.run and state.run.opening.event_id:
            named.add(state.run.opening.event_id)
        for event_id in self._events.keys() - named:
            del self._events[event_id]

    # -- saving and waiting ----------------------------------------------------------------------------------------

    @property
    def _awaits_proof(self) -> bool:
        """The platform has just accepted a control action: its event is about to come, and then all is over."""
        duty = self._progress.state.duty
        accepted_at = duty.accepted_at if duty else None
        return accepted_at is not None and self._context.clock.now() < accepted_at + PROOF_WAIT

    def _is_sure(self) -> bool:
        """Is there nothing here that the state does not know of yet?"""
        return self._leased.has_time and not self._events_waiting

    def _is_idle(self) -> bool:
        """Is there nothing to do now? Then the lease goes back with the save."""
        effects, turns, state = self._effects, self._turns, self._progress.state
        if self._stopping:
            return not effects.is_sending
        if effects.is_sending or effects.is_cleaning or turns.is_at_work or turns.is_due or self._awaits_proof:
            return False
        due, now = (self._progress.due, state.sends_at, state.cleans_at), self._context.clock.now()
        return not any(time and time <= now for time in due)

    async def _save(self) -> bool:
        """Write what has changed. True if the lease went back with it: the work is over."""
        if self._stopping:
            self._turns.cut_off()
        progress = self._progress
        idle = progress.change.forget or (self._is_idle() and not self._events_waiting)
        if progress.dirty or idle:
            change = progress.to_be_stored(given_back=idle)
            await self._leased.save(change)
            self._contacts |= change.contacts
            progress.stored()
            self._turns.stored()
            self._forget_events()
        return idle

    async def _wait(self) -> None:
        """Until something happens: the flow, the platform's answer, an event, a time."""
        if not self._signal.is_set():
            if self.takes_no_slot:
                self._at_rest()
            timer = asyncio.get_running_loop().call_later(self._pause(), self._signal.set)
            await self._signal.wait()
            timer.cancel()
        self._signal.clear()
        now = self._context.clock.now()
        set_back, self._seen = now < self._seen, now
        await self._leased.renew_if_due(set_back=set_back)
        if set_back or self._events_waiting or now >= self._fetch_at:
            self._events_waiting = False
            self._fetch_at = now + self._context.fetch_every
            self._new_events = await self._leased.fetch()

    def _pause(self) -> float:
        """Seconds until there is something to do, if nothing happens meanwhile."""
        times = (self._fetch_at, self._leased.renew_at, self._progress.due, self._effects.due)
        due = min(time for time in (*times, self._turns.typing_at) if time)
        return max(0.0, min((due - self._context.clock.now()).total_seconds(), self._longest_wait))


def _asked_for(work: Work) -> Iterable[StoredEvent]:
    """Events of earlier that a turn may ask for: what opened the run only as long as its journal does not tell."""
    said = {given.event_id for given in work.state.inputs}
    has_begun = any(entry.kind != HEARD for entry in work.journal)
    return (event for event in work.inputs if event.id in said or not has_begun)


def _parsed(stored: Iterable[StoredEvent]) -> Iterator[tuple[str, Event]]:
    for event in stored:
        with suppress(InvalidEvent):
            yield event.id, parse_event(event.body)
