"""One claimed conversation at work: apply facts, save, act, wait.

Guarantee: all changes of one round are a single `Change`, saved before any of it is
acted upon. So the process may die between any two lines here; the stored state says
what to do next. What that is, `bot.control` decides.
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
from webhooks.events import Event, InvalidEventError, event_user_ids, parse_event

MOST_CONTACTS = 100  # added per session


class Session:
    """One conversation while this worker holds its lease.

    Args:
        context: dependencies of the engine.
        delivery: carries out calls and messages.
        work: the claimed conversation.
        slots: limit on concurrent API calls.
        at_rest: called when the session only waits.
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
        # Bounds the time in which a clock that was set back goes unnoticed.
        self._longest_wait = context.lease.total_seconds() / 3

    def wake(self) -> None:
        """Announce new events of this conversation in the inbox."""
        self._events_waiting = True
        self._signal.set()

    @property
    def takes_no_slot(self) -> bool:
        """Whether the session only waits, for the flow's own code or for a proof."""
        return not self._effects.is_sending and (self._turns.is_at_work or self._awaits_proof)

    def end_soon(self) -> None:
        """Finish effects in progress, start nothing more, and give the lease back."""
        self._stopping = self._leased.in_a_hurry = True
        self._signal.set()

    def keeps(self, lease: Lease) -> bool:
        """Adopt a new lease, if nobody else had the conversation in between."""
        kept = self._leased.keeps(lease)
        if kept:
            self.wake()
        return kept

    async def run(self) -> None:
        """Work until nothing is left to do now, or the lease is lost."""
        AT_WORK.set(AtWork(self._id))
        try:
            self._progress.take_up()
            while True:
                # In this order: nothing is sent before it is saved.
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
            # `Unavailable` is reported once for all conversations.
            level = Level.DEBUG if isinstance(error, Unavailable) else Level.ERROR
            self._tell(Signal("store_unavailable", level, self._id, {"error": str(error)}))
        finally:
            self._turns.cut_off()
            self._effects.cut_off()

    async def _take(self) -> None:
        """Apply everything that has happened since the last round."""
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
        """Begin the effects that are due. Sending requires a lease that holds for a while."""
        due = self._effects.due
        if due and due <= self._context.clock.now() and not self._leased.has_time:
            raise LeaseLost("the lease is about to run out")
        self._effects.begin()
        self._turns.show_typing(sure=self._is_sure())

    # -- events ----------------------------------------------------------------------------------------------------

    def _take_events(self, events: Iterable[StoredEvent]) -> None:
        """Apply stored events, ordered by their own times where they have any."""
        readable: list[tuple[datetime, StoredEvent, Event | Order]] = []
        for stored in events:
            self._progress.dirty = True
            try:
                readable.append(self._readable(stored))
            except InvalidEventError as error:
                self._set_aside(stored, str(error), Level.WARNING)
        for _, stored, event in sorted(readable, key=lambda each: each[0]):
            if self._progress.change.forget:
                break  # later events wait: the conversation may begin anew
            self._take_event(stored, event)
        arrived = ((event, stored.received_at) for _, stored, event in readable if not isinstance(event, Order))
        for fact in seen_late(arrived) if not self._progress.change.forget else ():
            self._progress.attempt([fact])
        self._turns.notice()
        self._new_events = []

    def _readable(self, stored: StoredEvent) -> tuple[datetime, StoredEvent, Event | Order]:
        """Parse a stored event or order, with the time that orders it.

        Raises:
            InvalidEventError: it can't be parsed.
        """
        if stored.by_operator:
            age = self._context.clock.now() - stored.received_at
            return stored.received_at, stored, order_of(stored.type, stored.body, age)
        event = parse_event(stored.body)
        return place_of(event, stored.received_at), stored, event

    def _take_event(self, stored: StoredEvent, event: Event | Order) -> None:
        """Apply one event, and mark it as handled."""
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
        """Exclude an event from processing, and request a read instead."""
        self._progress.change.set_aside.append((stored.id, reason))
        self._tell(Signal("event_set_aside", level, self._id, {"reason": reason}))
        if not stored.by_operator:
            self._progress.attempt([NotUnderstood()])

    def _forget_events(self) -> None:
        """Drop events that no turn can request, to bound memory while the lease lasts."""
        state = self._progress.state
        named = {given.event_id for given in state.inputs}
        if state.run and state.run.opening.event_id:
            named.add(state.run.opening.event_id)
        for event_id in self._events.keys() - named:
            del self._events[event_id]

    # -- saving and waiting ----------------------------------------------------------------------------------------

    @property
    def _awaits_proof(self) -> bool:
        """Whether a control action was just accepted, so that its event is about to arrive."""
        duty = self._progress.state.duty
        accepted_at = duty.accepted_at if duty else None
        return accepted_at is not None and self._context.clock.now() < accepted_at + PROOF_WAIT

    def _is_sure(self) -> bool:
        """Return whether the state reflects everything that is known here."""
        return self._leased.has_time and not self._events_waiting

    def _is_idle(self) -> bool:
        """Return whether nothing is left to do now. The next save then returns the lease."""
        effects, turns, state = self._effects, self._turns, self._progress.state
        if self._stopping:
            return not effects.is_sending
        if effects.is_sending or effects.is_cleaning or turns.is_at_work or turns.is_due or self._awaits_proof:
            return False
        due, now = (self._progress.due, state.sends_at, state.cleans_at), self._context.clock.now()
        return not any(time and time <= now for time in due)

    async def _save(self) -> bool:
        """Write the unsaved changes.

        Returns:
            True if the lease was returned with them, which ends the session.
        """
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
        """Wait for the flow, the platform's answer, an event, or a time."""
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
        """Return the seconds until something is due."""
        times = (self._fetch_at, self._leased.renew_at, self._progress.due, self._effects.due)
        due = min(time for time in (*times, self._turns.typing_at) if time)
        return max(0.0, min((due - self._context.clock.now()).total_seconds(), self._longest_wait))


def _asked_for(work: Work) -> Iterable[StoredEvent]:
    """Return the earlier events that a turn may request.

    The opening's event is needed only until the journal has its content.
    """
    said = {given.event_id for given in work.state.inputs}
    has_begun = any(entry.kind != HEARD for entry in work.journal)
    return (event for event in work.inputs if event.id in said or not has_begun)


def _parsed(stored: Iterable[StoredEvent]) -> Iterator[tuple[str, Event]]:
    """Yield parseable events with their ids."""
    for event in stored:
        with suppress(InvalidEventError):
            yield event.id, parse_event(event.body)
