"""Runs the current flow's turns in one conversation, and cancels those that no longer count."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from bot.control.facts import FlowBegan, FlowMismatched, FlowTold
from bot.control.outbox import may_show_typing
from bot.control.policy import TYPING_AFTER
from bot.control.state import Run, RunStatus
from bot.engine.context import Context
from bot.engine.delivery import Delivery
from bot.engine.flow_task import FlowTask, NoTurn, begun_anew, prepare
from bot.engine.orders import Told
from bot.engine.progress import Progress
from bot.flows.content import Text, messages
from bot.flows.turn import BEGAN, FIRST_TOLD, SIGNALS_LIMIT, TOLD, Said, TurnOutcome
from bot.signals import Level, Signal
from bot.store.interface import JournalEntry
from webhooks.events import Event


class Turns:
    """The current flow's turns in one conversation.

    Args:
        context: dependencies of the engine.
        delivery: shows the typing indicator.
        progress: receives what the flow does.
        events: user input that a turn may request, by event id.
        wake: called when the flow has done something.
    """

    def __init__(
        self,
        context: Context,
        delivery: Delivery,
        progress: Progress,
        events: dict[str, Event],
        wake: Callable[[], None],
    ) -> None:
        self._context = context
        self._delivery = delivery
        self._progress = progress
        self._events = events
        self._wake = wake
        self._task: FlowTask | None = None
        self._began = context.clock.now()
        self._told_meanwhile = False
        self._typing: asyncio.Task[None] | None = None
        self.typing_at: datetime | None = None
        """When to show the typing indicator, unless a message comes first."""

    @property
    def is_at_work(self) -> bool:
        """Whether a turn is in progress."""
        return self._task is not None

    @property
    def is_due(self) -> bool:
        """Whether a turn should begin."""
        run = self._progress.state.run
        return run is not None and run.status is RunStatus.READY and self._task is None

    async def begin(self) -> None:
        """Begin the turn that is due.

        What the flow does at once is saved together with the input that began the turn.
        """
        progress, run, now = self._progress, self._progress.state.run, self._context.clock.now()
        if run is None or not self.is_due:
            return
        self._began = now
        journal = [entry for entry in progress.journal if entry.run_id == run.id]
        self._task, first, outcome = prepare(
            self._context, progress.state, run, journal, self._events, self._wake, self._has_ended
        )
        self.typing_at = now + TYPING_AFTER if self._task else None
        progress.note(first)
        if self._task:
            flow = self._task.turn.flow
            if (run.flow, run.version) != (flow.name, flow.version):
                progress.step(FlowBegan(run.id, flow.name, flow.version))
        if outcome:
            self._end(run, outcome)
        else:
            await asyncio.sleep(0)  # the flow runs until it waits for something
            self.take()

    def take(self) -> None:
        """Collect what the flow has done, and apply its outcome. Both are saved together."""
        self.notice()
        task, progress = self._task, self._progress
        if task is None:
            return
        entries, said = task.turn.take()
        progress.note(entries)
        progress.say(task.run.id, said)
        if said:
            self.typing_at = self._context.clock.now() + TYPING_AFTER
        if task.turn.outcome:
            self.cut_off()
            self._report(task, task.turn.outcome)
            self._end(task.run, task.turn.outcome)
            if self._told_meanwhile:  # the flow may have just begun to wait
                progress.step(FlowTold())
                self._told_meanwhile = False

    def notice(self) -> None:
        """Cancel a turn whose run is over, whatever ended it."""
        run = self._progress.state.run
        if self._task and (run is None or run.id != self._task.run.id):
            self.cut_off()

    def hear(self, told: Told) -> bool:
        """Record a signal in the flow's journal.

        Returns:
            False if there is no flow, or it has too many signals.
        """
        progress, run = self._progress, self._progress.state.run
        heard = [entry for entry in progress.journal if run and entry.run_id == run.id and entry.kind == TOLD]
        if run is None or len(heard) >= SIGNALS_LIMIT:
            progress.tell(Signal("signal_unheard", Level.WARNING, progress.state.id, {"signal": told.name}))
            return False
        index, size, now = FIRST_TOLD + len(heard), len(str(told.data)), self._context.clock.now()
        entry = JournalEntry(run.id, index, TOLD, told.name, told.data, size, now)
        progress.note([entry])
        if self._task:
            self._task.turn.hear(entry)
            self._told_meanwhile = True
        return True

    def stored(self) -> None:
        """Let the flow continue, because its steps are stored."""
        if self._task:
            self._task.turn.stored()

    def show_typing(self, *, sure: bool) -> None:
        """Show the typing indicator during a slow turn. Nothing waits for it or stores it."""
        task, now, state = self._task, self._context.clock.now(), self._progress.state
        if task is None or self.typing_at is None or now < self.typing_at:
            return
        if state.sends_first:  # a message, or a read that decides whether the bot may speak
            self.typing_at = now + TYPING_AFTER
            return
        self.typing_at = None
        if sure and may_show_typing(state, task.run.id):
            showing = self._delivery.show_typing(state.id)
            self._typing = asyncio.get_running_loop().create_task(
                showing,
                name=f"typing {state.id}",
            )

    def cut_off(self) -> None:
        """Cancel the turn in progress, if any."""
        if self._task:
            self._task.cut_off()
            self._task = None
        self.typing_at = None
        if self._typing:
            self._typing.cancel()
            self._typing = None

    def _has_ended(self) -> bool:
        """Return whether the user has ended the conversation."""
        return self._progress.state.ended is not None

    def _report(self, task: FlowTask, outcome: TurnOutcome) -> None:
        """Report a finished turn."""
        flow, seconds = task.turn.flow, (self._context.clock.now() - self._began).total_seconds()
        fields = {"flow": flow.name, "version": flow.version, "seconds": seconds, "outcome": type(outcome).__name__}
        self._progress.report(Signal("turn_over", Level.DEBUG, self._progress.state.id, fields))

    def _end(self, run: Run, outcome: TurnOutcome | NoTurn) -> None:
        """Apply the outcome of a run."""
        if isinstance(outcome, FlowMismatched):
            self._end_mismatched(run, outcome)
        else:
            self._progress.step(outcome)

    def _end_mismatched(self, run: Run, outcome: FlowMismatched) -> None:
        """Restart a run whose journal no longer fits, or tell the user and end it."""
        progress, context = self._progress, self._context
        old = next(entry for entry in progress.journal if entry.run_id == run.id and entry.kind == BEGAN)
        may_restart = context.restarts and not run.restarted
        if may_restart and begun_anew(context, progress.state.id, run, old):
            progress.step(replace(outcome, restart=True))
            again = progress.state.run
            if again and again.restarted and (entry := begun_anew(context, progress.state.id, again, old)):
                progress.note([entry])  # the inbox may no longer hold the opening event
            return
        if context.mismatch_text and not progress.state.ended:
            progress.say(
                run.id,
                [Said(content, {}) for content in messages(Text(context.mismatch_text))],
            )
        progress.step(outcome)
