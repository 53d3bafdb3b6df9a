"""Carries out the effects that the state names.

Calls and messages go one at a time, clean-ups beside them, also one at a time. Each
result is a fact for the rules. Nothing is decided here.
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
    """An effect in progress."""

    effect: Pending | Unsent
    done: Done  # its record, without the outcome
    task: asyncio.Task[T]


class Effects:
    """The effects in progress of one conversation.

    Args:
        context: dependencies of the engine.
        delivery: carries out calls and messages.
        slots: limit on concurrent API calls; each call or message takes one.
        progress: names the next effect, and receives results.
        wake: called when an effect is over, or a slot may be free.
        may_go: whether a message may still go out after it was looked for, beyond what
            the state knows.
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
        """Whether a call or message is in progress."""
        return self._sending is not None

    @property
    def is_cleaning(self) -> bool:
        """Whether a clean-up is in progress."""
        return self._cleaning is not None

    @property
    def due(self) -> datetime | None:
        """When to begin the next effect; None if there is none, or it has to wait."""
        state = self._progress.state
        sends = None if self.is_sending or self._waits_for_slot else state.sends_at
        cleans = None if self.is_cleaning else state.cleans_at
        return min((time for time in (sends, cleans) if time), default=None)

    def begin(self) -> None:
        """Begin the effects that are due.

        The stored state must already say that they may have been tried.
        """
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
        """Apply the results of finished effects."""
        if self._sending and self._sending.task.done():
            sent, self._sending = self._sending, None
            self._take_result(sent, _result_of(sent, self._progress))
        if self._cleaning and self._cleaning.task.done():
            cleaned, self._cleaning = self._cleaning, None
            failure = Failure("cancelled") if cleaned.task.cancelled() else cleaned.task.result()
            words, final = (failure.words, failure.final) if failure else ("", False)
            outcome = f"failed: {words}" if words else "cleaned up"
            self._progress.step(CleanedUp(cleaned.done.effect_id, words, final), outcome)
            self._end(cleaned, outcome)

    def cut_off(self) -> None:
        """Cancel the effects in progress. They are taken up again, here or elsewhere."""
        self._slots.leave(self._wake)
        for under_way in (self._sending, self._cleaning):
            if under_way:
                under_way.task.cancel()
        self._cleaning = None

    def _send(self, effect: Pending | Unsent) -> None:
        """Start a call or a message as a task."""
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
        """Free the slot and wake the session."""
        self._slots.give_back()
        self._wake()

    def _is_wanted(self, effect_id: str) -> bool:
        """Return whether a message may still go out."""
        return self._may_go() and outbox.may_still_say(self._progress.state, effect_id)

    def _take_result(self, sent: _UnderWay[Result], result: Result) -> None:
        """Apply a result and log it."""
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
        self._end(sent, result.outcome)

    def _clean_up(self, unsent: Unsent) -> None:
        """Start a clean-up as a task."""
        work = clean_up(
            self._progress.clean_up(unsent),
            self._context.catalogue.functions,
            self._context.resources,
        )
        task = asyncio.get_running_loop().create_task(work, name=f"clean up {unsent.id}")
        task.add_done_callback(lambda _: self._wake())
        self._progress.under_way.add(unsent.id)
        self._cleaning = _UnderWay(unsent, Done(unsent.id, "", unsent.attempts), task)

    def _end(self, over: _UnderWay[T], outcome: str) -> None:
        """Remove an effect from those in progress. If it was dropped meanwhile, record that now."""
        effect_id, progress = over.done.effect_id, self._progress
        if effect_id not in progress.under_way:
            return
        progress.under_way.discard(effect_id)
        pending = progress.state.pending
        if outbox.find(progress.state, effect_id) is None and (pending is None or pending.effect_id != effect_id):
            progress.finish(Done(effect_id, outcome, over.done.attempts, over.done.call, over.done.since))


def _result_of(sent: _UnderWay[Result], progress: Progress) -> Result:
    """Return an effect's result.

    An internal error must not block the release: it counts as unclear for an action, as
    refused for a message.
    """
    error = sent.task.exception()
    if error is None:
        return sent.task.result()
    kind, effect_id = outbox.kind_of(sent.effect), sent.done.effect_id
    fields = {"effect": kind.value, "error": type(error).__name__}
    progress.tell(Signal("delivery_failed", Level.ERROR, progress.state.id, fields))
    if isinstance(sent.effect, Unsent):
        return Result(
            "not said: internal error",
            Answered(effect_id, Answer.REFUSED, detail="internal error"),
        )
    return Result("unclear: internal error", Answered(effect_id, Answer.UNCLEAR))
