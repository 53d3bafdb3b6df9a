"""Carries out what the state says is to be done: a call or a message at a time, and a clean-up beside it.

What comes of it is a fact for the rules. Nothing is decided here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Generic, TypeVar

from bot.control import outbox
from bot.control.facts import Answer, Answered, CleanedUp
from bot.control.state import Pending, Unsent
from bot.engine.clean_ups import Failure, clean_up
from bot.engine.context import Context
from bot.engine.delivery import Delivery, Result, Task
from bot.engine.progress import Progress
from bot.engine.slots import Slots
from bot.signals import Level, Signal
from bot.store.interface import Done

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _UnderWay(Generic[T]):
    """An effect that is being tried."""

    effect: Pending | Unsent
    done: Done  # how it is recorded, but for its outcome
    task: asyncio.Task[T]


class Effects:
    """What is under way in one conversation.

    Args:
        context: the engine's surroundings.
        delivery: does things to the platform.
        slots: each of those needs one.
        progress: says what is to be done, and hears what came of it.
        wake: called whenever something is over, or there may be a slot.
        may_go: may messages that had to be looked for still go out, by all that is known outside the state?
    """

    def __init__(
        self,
        context: Context,
        delivery: Delivery,
        slots: Slots,
        progress: Progress,
        wake: Callable[[], None],
        may_go: Callable[[], bool],
    ) -> None:
        self._context = context
        self._delivery = delivery
        self._slots = slots
        self._progress = progress
        self._wake = wake
        self._may_go = may_go
        self._sending: _UnderWay[Result] | None = None
        self._cleaning: _UnderWay[Failure | None] | None = None
        self._waits_for_slot = False

    @property
    def is_sending(self) -> bool:
        """Is something being done to the platform?"""
        return self._sending is not None

    @property
    def is_cleaning(self) -> bool:
        """Is a clean-up under way?"""
        return self._cleaning is not None

    @property
    def due(self) -> datetime | None:
        """When something is to be begun; None while nothing can be, or where nothing is to be done."""
        state = self._progress.state
        sends = None if self.is_sending or self._waits_for_slot else state.sends_at
        cleans = None if self.is_cleaning else state.cleans_at
        return min((time for time in (sends, cleans) if time), default=None)

    def begin(self) -> None:
        """Begin what is due now. It must be stored that it may be tried."""
        now, state = self._context.clock.now(), self._progress.state
        self._waits_for_slot = False
        first, sends = state.sends_first, state.sends_at
        if self._sending is None and first and sends and sends <= now:
            if self._slots.take(self._wake):
                self._send(first)
            else:
                self._waits_for_slot = True
        else:
            self._slots.leave(self._wake)
        if self._cleaning is None and (unsent := outbox.next_clean_up(state, now)):
            self._clean_up(unsent)

    def take(self) -> None:
        """Take what is over: each is a fact."""
        if self._sending and self._sending.task.done():
            sent, self._sending = self._sending, None
            self._take_result(sent, _result_of(sent, self._progress))
        if self._cleaning and self._cleaning.task.done():
            cleaned, self._cleaning = self._cleaning, None
            failure = Failure("cancelled") if cleaned.task.cancelled() else cleaned.task.result()
            words, final = (failure.words, failure.final) if failure else ("", False)
            outcome = f"failed: {words}" if words else "cleaned up"
            self._progress.step(CleanedUp(cleaned.done.effect_id, words, final), outcome)
            self._forget(cleaned, outcome)

    def cut_off(self) -> None:
        """Stop; what is under way is taken up again, here or elsewhere."""
        self._slots.leave(self._wake)
        for under_way in (self._sending, self._cleaning):
            if under_way:
                under_way.task.cancel()
        self._cleaning = None

    def _send(self, effect: Pending | Unsent) -> None:
        state = self._progress.state
        if isinstance(effect, Unsent):
            todo = Task(self._progress.message(effect), effect.since, effect.maybe_done)
            done = Done(effect.id, "", effect.attempts)
        else:
            call = outbox.call_of(state)
            todo, done = Task(call, effect.since), Done(call.effect_id, "", call=call, since=effect.since)
        wanted = partial(self._is_wanted, done.effect_id)
        sending = self._delivery.deliver(state.id, todo, wanted)
        task = asyncio.get_running_loop().create_task(sending, name=f"deliver {done.effect_id}")
        task.add_done_callback(self._sent)
        self._progress.under_way.add(done.effect_id)
        self._sending = _UnderWay(effect, done, task)

    def _sent(self, _: object) -> None:
        self._slots.give_back()
        self._wake()

    def _is_wanted(self, effect_id: str) -> bool:
        return self._may_go() and outbox.may_still_say(self._progress.state, effect_id)

    def _take_result(self, sent: _UnderWay[Result], result: Result) -> None:
        progress = self._progress
        progress.step(result.fact, result.outcome)
        again = outbox.find(progress.state, sent.done.effect_id) is not None
        fields = {
            "effect": outbox.kind_of(sent.effect).value,
            "outcome": "again later" if again else result.outcome,
            "status": result.status,
            "reason": result.reason,
        }
        progress.tell(Signal("effect_tried", Level.DEBUG, progress.state.id, fields))
        self._forget(sent, result.outcome)

    def _clean_up(self, unsent: Unsent) -> None:
        work = clean_up(self._progress.clean_up(unsent), self._context.catalogue.functions, self._context.resources)
        task = asyncio.get_running_loop().create_task(work, name=f"clean up {unsent.id}")
        task.add_done_callback(lambda _: self._wake())
        self._progress.under_way.add(unsent.id)
        self._cleaning = _UnderWay(unsent, Done(unsent.id, "", unsent.attempts), task)

    def _forget(self, over: _UnderWay[T], outcome: str) -> None:
        """It is not under way any more; where it was dropped meanwhile, that is recorded now."""
        effect_id, progress = over.done.effect_id, self._progress
        if effect_id not in progress.under_way:
            return
        progress.under_way.discard(effect_id)
        pending = progress.state.pending
        if outbox.find(progress.state, effect_id) is None and (pending is None or pending.effect_id != effect_id):
            progress.finish(Done(effect_id, outcome, over.done.attempts, over.done.call, over.done.since))


def _result_of(sent: _UnderWay[Result], progress: Progress) -> Result:
    """What came of it; what failed by a bug of ours is unclear, or refused, and must not hold up the release."""
    error = sent.task.exception()
    if error is None:
        return sent.task.result()
    kind, effect_id = outbox.kind_of(sent.effect), sent.done.effect_id
    fields = {"effect": kind.value, "error": type(error).__name__}
    progress.tell(Signal("delivery_failed", Level.ERROR, progress.state.id, fields))
    if isinstance(sent.effect, Unsent):
        return Result("not said: internal error", Answered(effect_id, Answer.REFUSED, detail="internal error"))
    return Result("unclear: internal error", Answered(effect_id, Answer.UNCLEAR))
