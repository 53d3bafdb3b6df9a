"""A conversation's working state: the state in memory, and all changes since it was last stored."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime

from bot.control import outbox
from bot.control.commands import Call, CloseDuty, Forget, GivenUp, Proven, Record, Report, RunOver
from bot.control.facts import (
    Answered,
    CleanedUp,
    CleanUpsOwed,
    ConversationRead,
    EffectLost,
    Fact,
    FlowSaid,
    TakenUp,
)
from bot.control.history import moments
from bot.control.rules import step
from bot.control.state import Conversation, Kind, Pending, Run, Unsent
from bot.engine.clean_ups import chosen_by, clean_up_once, clean_ups_of
from bot.engine.context import Context
from bot.flows.turn import Said
from bot.signals import Level, Signal
from bot.store.interface import Change, CleanUp, Done, JournalEntry, Say, Work

_ABOUT_AN_EFFECT = (Answered, ConversationRead, CleanedUp, EffectLost)
URGENT = frozenset({"duty_overdue", "no_app_key", "conversation_gone", "handed_around"})
NO_TROUBLE = frozenset({"reminder_dropped"})


class Progress:
    """The state in memory, with its unsaved changes as one `Change`.

    Attributes:
        state: the conversation.
        journal: the journal entries of its runs that may be needed.
        change: the unsaved changes.
        dirty: there is something to store.
        under_way: ids of effects in progress; their results are recorded once known.
    """

    def __init__(self, context: Context, work: Work) -> None:
        self.state = work.state
        self.journal = list(work.journal)
        self.change = Change(work.state)
        self.under_way: set[str] = set()
        self._context = context
        self._due_of: Conversation | None = None
        self._due: datetime | None = None
        self._said: dict[str, Say | CleanUp] = {effect.effect_id: effect for effect in work.unsent}
        # Clean-ups of an erased conversation can't be stored, so each is tried once.
        self._unstorable: list[CleanUp] = []
        self._reports: list[Signal] = []
        # Before anything is sent, the stored state must say that it may have been.
        self.dirty = any(not unsent.maybe_done for unsent in work.state.unsent)

    @property
    def due(self) -> datetime | None:
        """When time alone changes something.

        Cached, as it is needed more often than the state changes.
        """
        if self._due_of is not self.state:
            self._due_of, self._due = self.state, self.state.waits_until
        return self._due

    def take_up(self) -> None:
        """Take the conversation over from another process or session.

        What it left pending is unclear, and effects that can't be read any more are
        over.
        """
        if self.state.pending:
            self.step(TakenUp(), "unclear: the process stopped meanwhile")
        named = {unsent.id for unsent in self.state.unsent}
        for effect_id in named - self._said.keys():
            self.step(EffectLost(effect_id), "unreadable")
        for effect_id in self._said.keys() - named:
            self.finish(Done(effect_id, "dropped: the state does not name it"))

    def step(self, fact: Fact, outcome: str = "dropped") -> None:
        """Apply a fact; `outcome` describes the result of the effect that the fact is about."""
        before, now = self.state, self._context.clock.now()
        self.state, records = step(before, fact, now, self._context.policy)
        self.dirty = self.dirty or self.state is not before or bool(records)
        self.change.history += moments(before, self.state, records, now)
        about = fact.effect_id if isinstance(fact, _ABOUT_AN_EFFECT) else ""
        if isinstance(fact, TakenUp) and before.pending:
            about = before.pending.effect_id
        if Forget() in records:
            self.change.forget = True
            self._unstorable += [effect for effect in self._said.values() if isinstance(effect, CleanUp)]
        self._finish_dropped(before, about, outcome)
        for record in records:
            self._record(record, before.run)

    def attempt(self, facts: Iterable[Fact]) -> Exception | None:
        """Apply facts, all or none. Return the exception.

        A faulty event must not block its conversation.
        """
        before = (self.state, self.change, dict(self._said), self._reports[:])
        self.change = self.change.copy()
        try:
            for fact in facts:
                self.step(fact)
        except Exception as error:  # noqa: BLE001 - the caller reports it
            self.state, self.change, self._said, self._reports = before
            return error
        return None

    def say(self, run_id: int, said: list[Said]) -> None:
        """Queue messages of the current flow."""
        if said:
            ids = self._added(FlowSaid(run_id, len(said)))
            self._add([Say(id_, run_id, each.content, each.metadata) for id_, each in zip(ids, said, strict=False)])

    def note(self, entries: list[JournalEntry]) -> None:
        """Append new journal entries."""
        self.journal.extend(entries)
        self.change.journal.extend(entries)
        self.dirty = self.dirty or bool(entries)

    def message(self, unsent: Unsent) -> Say:
        """Return a message's content."""
        effect = self._said[unsent.id]
        if not isinstance(effect, Say):
            raise TypeError(f"{unsent.id} is no message")
        return effect

    def clean_up(self, unsent: Unsent) -> CleanUp:
        """Return a clean-up's function and arguments."""
        effect = self._said[unsent.id]
        if not isinstance(effect, CleanUp):
            raise TypeError(f"{unsent.id} is no clean-up")
        return effect

    def finish(self, done: Done) -> None:
        """Record that an effect is over."""
        self._said.pop(done.effect_id, None)
        if any(new.effect_id == done.effect_id for new in self.change.add):
            self.change.add = [new for new in self.change.add if new.effect_id != done.effect_id]
        else:
            self.change.done.append(done)
        self.dirty = True

    def to_be_stored(self, *, given_back: bool) -> Change:
        """Return the unsaved changes, with the state as another worker should find it."""
        self.change.state = self.state if given_back else outbox.as_at_work(self.state)
        self.change.release = given_back
        return self.change

    def stored(self) -> None:
        """Begin a new change after a save, and emit the signals that waited for it."""
        clean_up_once(self._unstorable, self._context.catalogue.functions, self._context.resources)
        self.change, self.dirty = Change(self.state), False
        for signal in self._reports:
            self.tell(signal)
        self._reports = []

    def report(self, signal: Signal) -> None:
        """Emit a signal after the next save."""
        self._reports.append(signal)

    def tell(self, signal: Signal) -> None:
        """Emit a signal now."""
        self._context.observe(signal)

    def _added(self, fact: Fact) -> list[str]:
        """Apply a fact that adds effects. Return the ids that the rules assigned."""
        known = {unsent.id for unsent in self.state.unsent}
        self.step(fact)
        return [unsent.id for unsent in self.state.unsent if unsent.id not in known]

    def _add(self, effects: Sequence[Say | CleanUp]) -> None:
        """Store the content of new effects."""
        self.change.add += effects
        self._said.update((effect.effect_id, effect) for effect in effects)

    def _finish_dropped(self, before: Conversation, about: str, outcome: str) -> None:
        """Record dropped effects, except those in progress, whose result will be recorded."""
        old, new = before.pending, self.state.pending
        if old and (new is None or new.effect_id != old.effect_id):
            self._over(old, about, outcome, outbox.call_of(before))
        if before.unsent is not self.state.unsent:
            kept = {unsent.id for unsent in self.state.unsent}
            for unsent in before.unsent:
                if unsent.id not in kept:
                    self._over(unsent, about, outcome)

    def _over(
        self,
        effect: Pending | Unsent,
        about: str,
        outcome: str,
        call: Call | None = None,
    ) -> None:
        """Record one effect that the state no longer names."""
        effect_id = outbox.id_of(effect)
        if effect_id == about:
            self.under_way.discard(effect_id)
        elif effect_id in self.under_way:
            return
        else:
            outcome = "dropped"
        attempts = effect.attempts if isinstance(effect, Unsent) else 0
        self.finish(Done(effect_id, outcome, attempts, call, effect.since))

    def _record(self, record: Record, run: Run | None) -> None:
        """Store and report a record of a step; `run` is the run before that step."""
        match record:
            case CloseDuty(duty, proof):
                self.change.closed_duties.append((duty, proof))
                seconds = (proof.at - duty.since).total_seconds()
                fields = {"action": duty.action.value, "attempts": duty.attempts, "proof": proof.how}
                self.report(Signal("duty_closed", Level.INFO, self.state.id, {**fields, "seconds": seconds}))
            case Proven(ended_at, proof):
                if not self.state.gone:
                    seconds = max(0.0, (proof.at - ended_at).total_seconds())  # by two clocks
                    told = {"proof": proof.how, "seconds": seconds}
                    self.report(Signal("ended_proven", Level.INFO, self.state.id, told))
            case RunOver():
                self._run_over(record)
            case GivenUp(Kind.CLEAN_UP, _, problem):
                self._clean_up_failed(problem)
            case GivenUp(_, run_id, problem):
                flow = flow_of(run) if run and run.id == run_id else {}
                told = {"outcome": f"not said: {problem}", **flow}
                self.tell(Signal("message_given_up", Level.WARNING, self.state.id, told))
            case Report(event, detail):
                calm = Level.INFO if event in NO_TROUBLE else Level.WARNING
                level = Level.ERROR if event in URGENT else calm
                # `flow_not_begun` is about another flow.
                is_of_run = event.startswith("flow_") and event != "flow_not_begun"
                flow = flow_of(run) if run and is_of_run else {}
                self.report(Signal(event, level, self.state.id, {"detail": detail, **flow}))
            case Forget():
                pass  # handled in `step`

    def _run_over(self, over: RunOver) -> None:
        """Queue the clean-ups of a finished run, and report its outcome."""
        run, now = over.run, self._context.clock.now()
        outcome = chosen_by(self.journal, run.id, over.outcome)
        effects, unreadable = clean_ups_of(self.journal, run.id, outcome)
        if self.change.forget:
            self._unstorable += effects
        elif effects:
            ids = self._added(CleanUpsOwed(run.id, tuple(effect.attempts for effect in effects)))
            self._add([replace(effect, effect_id=id_) for id_, effect in zip(ids, effects, strict=False)])
        for problem in unreadable:
            self._clean_up_failed(problem)
        seconds = max(0.0, (now - run.began).total_seconds())  # by two clocks
        told = {**flow_of(run), "run": run.id, "outcome": outcome.value, "seconds": seconds}
        self.report(Signal("flow_over", Level.INFO, self.state.id, told))

    def _clean_up_failed(self, problem: str) -> None:
        """Report a failed clean-up."""
        self.tell(Signal("clean_up_failed", Level.WARNING, self.state.id, {"error": problem}))


def flow_of(run: Run) -> dict[str, object]:
    """Return a run's flow and version for signals; empty until a flow takes the run."""
    return {"flow": run.flow, "version": run.version} if run.flow else {}
