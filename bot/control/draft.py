"""The working copy of a state during `step`, with the primitive changes that rules consist of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Unpack

from bot.control.changes import ConversationChanges, DutyChanges, EndedChanges, RunChanges
from bot.control.commands import CloseDuty, Proven, Record, Report, RunOver
from bot.control.policy import HURRIED, Policy
from bot.control.state import (
    Action,
    Conversation,
    Duty,
    Ended,
    Holder,
    Integration,
    Key,
    Kind,
    Metadata,
    Opening,
    Outcome,
    Pending,
    Proof,
    Purpose,
    Run,
    RunStatus,
    Stage,
    Unsent,
    What,
    Who,
    changed,
)


class Draft:
    """Working copy of a state, with the records of this step. Each method is one change."""

    __slots__ = ("_outcome", "_run", "now", "policy", "read_began", "records", "state")

    def __init__(self, state: Conversation, now: datetime, policy: Policy) -> None:
        self.state = state
        self.now = now
        self.policy = policy
        self.records: list[Record] = []
        self._run = state.run
        self._outcome: Outcome | None = None  # of that run, if it ended by itself
        self.read_began = now  # when the read in this step began, by the bot's clock

    def set(self, **changes: Unpack[ConversationChanges]) -> None:
        """Set attributes of the conversation. A no-op if nothing changes, which is common."""
        self.state = changed(self.state, changes)

    def set_run(self, run: Run, **changes: Unpack[RunChanges]) -> None:
        """Set attributes of `run`, the current run."""
        self.set(run=replace(run, **changes))

    def set_duty(self, **changes: Unpack[DutyChanges]) -> None:
        """Set attributes of the duty, if there is one."""
        if self.state.duty:
            self.set(duty=replace(self.state.duty, **changes))

    def set_ended(self, **changes: Unpack[EndedChanges]) -> None:
        """Set attributes of the end, if there is one."""
        if self.state.ended:
            self.set(ended=replace(self.state.ended, **changes))

    def next_serial(self) -> int:
        """Return a number that is new in this conversation."""
        self.set(serial=self.state.serial + 1)
        return self.state.serial

    def report(self, event: str, detail: str = "") -> None:
        """Record a notice for the log."""
        self.records.append(Report(event, detail))

    def close_run(self) -> None:
        """Record the outcome of the run that this step began with, if it is over."""
        before, run = self._run, self.state.run
        if before and (run is None or run.id != before.id):
            cut_off = Outcome.ENDED if self.state.ended else Outcome.INTERRUPTED
            self.records.append(RunOver(before, self._outcome or cut_off))

    def learn(
        self, active: Integration | None, at: datetime, how: str, *, certain: bool, is_newest: bool = False
    ) -> bool:
        """Record who is active since platform time `at`, unless better knowledge exists.

        Two contradicting facts with the same time leave the holder in doubt until a
        read, however often they arrive. Until then nothing is said, and a control event
        or a read overrides what a message shows.

        Args:
            active: the active integration; None: nobody.
            at: platform time of the fact.
            how: the source of the fact, for people.
            certain: the source is a control event or a read.
            is_newest: newer than every fact of the same time, as a read is that began
                after they were known.

        Returns:
            False if the fact was rejected: older than the holder on record, or less
            certain.
        """
        old = self.state.holder
        active = active and active.completed_by(old.integration)
        new = Holder(self.who(active), active, at, certain, how)
        if new.who is Who.OTHER:
            self.set(elsewhere_at=max(at, self.state.elsewhere_at or at))
        if old.since and at < old.since:
            return False
        differs = self.contradicts(active)
        if at == old.since and differs and not is_newest:
            self.doubt()
            if old.certain and not certain:
                return False
        if differs:
            self.set(former=old, watch_at=None, watches=0, idle_at=None)
        self.set(holder=new)
        return True

    def contradicts(self, active: Integration | None) -> bool:
        """Return whether `active` differs from the holder on record."""
        old = self.state.holder
        same = active.same_as(old.integration) if active else old.integration is None
        return self.who(active) is not old.who or not same

    @property
    def holder_is_vague(self) -> bool:
        """Whether another integration is active that is known by name alone.

        It may be the bot, which may be configured by its id.
        """
        holder = self.state.holder
        return holder.who is Who.OTHER and holder.integration is not None and holder.integration.is_only_named

    def who(self, active: Integration | None) -> Who:
        """Classify an active integration: the bot, another, or nobody."""
        if active is None:
            return Who.NOBODY
        return Who.BOT if active.answers_to(self.policy.me) else Who.OTHER

    def start_run(self, purpose: Purpose, opening: Opening, began: datetime) -> None:
        """Start a run; stop the current one first."""
        self.stop_run()
        closing = purpose is Purpose.CLOSING
        number = self.next_serial()
        self.set(
            run=Run(
                id=number,
                purpose=purpose,
                opening=opening,
                began=began,
                status=RunStatus.READY,
                since=self.now,
                deadline=self.now + (self.policy.closing if closing else self.policy.idle),
                contact=not opening.is_uninvited,
            ),
            closing_run=number if closing else None,
            idle_at=None,
        )

    def restart_run(self, run: Run) -> None:
        """Restart `run` under a new number, with its opening but without its input.

        Its unsent messages still go out. A run restarts at most once.
        """
        number = self.next_serial()
        closing = run.purpose is Purpose.CLOSING
        deadline = run.deadline if closing else max(run.deadline, self.now + self.policy.idle)
        self.set_run(
            run,
            id=number,
            status=RunStatus.READY,
            since=self.now,
            deadline=deadline,
            restarted=True,
            wants_input=False,
            until=None,
        )
        self._outcome = Outcome.FAILED
        self.set(closing_run=number if closing else self.state.closing_run, inputs=())

    def stop_run(self) -> None:
        """Stop the run after an end, a loss of control or a timeout.

        Drops its unsent messages and its input.
        """
        if self.state.run:
            self.drop_messages()
            self.set(run=None, inputs=())

    def time_out_run(self) -> None:
        """Stop the run because its deadline has passed."""
        self._outcome = Outcome.TIMED_OUT
        self.stop_run()

    def finish_run(self, outcome: Outcome) -> None:
        """End a run that completed or failed. Its unsent messages still go out."""
        self._outcome = outcome
        self.set(run=None, inputs=())

    def drop_messages(self) -> None:
        """Drop all unsent messages."""
        self.drop(lambda unsent: unsent.kind is Kind.SAY)

    def drop(self, which: Callable[[Unsent], bool]) -> None:
        """Remove messages and clean-ups that are done or no longer wanted."""
        if any(which(unsent) for unsent in self.state.unsent):
            self.set(unsent=tuple(unsent for unsent in self.state.unsent if not which(unsent)))

    def owe(
        self,
        action: Action,
        reason: str,
        target: str | None = None,
        metadata: Metadata | None = None,
    ) -> None:
        """Record a control action as owed.

        A release that is owed already stays, unless it is `against` another integration.
        Only a release with the integration key may be sent without a read: the platform
        refuses it if the bot is not active. A pass to the bot itself would prove
        nothing, so it becomes a release.
        """
        duty = self.state.duty
        if action is Action.PASS and target and self._is_myself(target):
            action, target, metadata = Action.RELEASE, None, None
        if duty and duty.action is Action.RELEASE and not duty.against:
            return
        if duty:
            self.close_duty(f"replaced: {reason}")
        guarded = action is Action.RELEASE and self.policy.integration_key
        self.set(
            duty=Duty(
                id=self.next_serial(),
                action=action,
                reason=reason,
                since=self.now,
                next_attempt=self.now,
                stage=Stage.ACT if guarded else Stage.CHECK,
                key=Key.INTEGRATION if self.policy.integration_key else Key.APP,
                target=target,
                metadata=metadata or {},
            ),
            idle_at=None,
        )

    def _is_myself(self, target: str) -> bool:
        """Return whether `target` names the bot."""
        holder = self.state.holder
        return target == self.policy.me or (holder.who is Who.BOT and _answers(holder.integration, target))

    def doubt(self) -> None:
        """Request a read, because only a read can resolve what happened.

        A pending action or check is withdrawn: it goes out again after that read.
        """
        self.set(read_at=self.now, in_doubt=True)
        if self.state.pending and self.state.pending.what is not What.READ_TO_WATCH:
            self.set(pending=None)
            self.set_duty(stage=Stage.CHECK, next_attempt=self.now)

    def close_duty(self, how: str, *, read_on: bool = False) -> None:
        """Close the duty and withdraw its pending effect.

        Its action must not go out any more, and its read has no purpose left. With
        `read_on` that read continues as a watch, since it may show what came after the
        proof.
        """
        if self.state.duty is None:
            return
        self.records.append(CloseDuty(self.state.duty, Proof(how, self.now)))
        self.set(duty=None)
        pending = self.state.pending
        if pending and pending.what is What.READ_FOR_DUTY and read_on:
            self.set(pending=replace(pending, what=What.READ_TO_WATCH))
        elif pending and pending.what in (What.RELEASE, What.PASS, What.READ_FOR_DUTY):
            self.set(pending=None)

    def prove(self, ended: Ended, how: str) -> None:
        """Record the proof that the ended conversation is closed."""
        proof = Proof(how, self.now)
        self.set_ended(proof=proof)
        self.records.append(Proven(ended.at, proof))

    def read(self, what: What) -> None:
        """Queue a read of who is active.

        It includes the newest messages, unless the platform guards the action that follows.
        Nothing guards a pass or a release with the app key. An end whose webhook was
        lost shows in the messages alone.
        """
        duty = self.state.duty
        for_duty = what is What.READ_FOR_DUTY
        guarded = for_duty and duty is not None and duty.is_guarded
        self.pend(what, messages=not guarded, ahead=not for_duty)

    @property
    def known_until(self) -> datetime | None:
        """Platform time of the newest fact about the holder or the end."""
        known = [time for time in (self.state.holder.since, self.state.ended and self.state.ended.at) if time]
        return max(known, default=None)

    def pend(
        self,
        what: What,
        *,
        before: datetime | None = None,
        messages: bool = False,
        ahead: bool = False,
    ) -> None:
        """Queue a control action or a read, behind the unsent messages or `ahead` of them."""
        serial = self.state.serial + 1
        ended, inputs = self.state.ended, self.state.inputs
        unsaid = [unsent.id for unsent in self.state.unsent if unsent.kind is Kind.SAY]
        self.set(
            serial=serial,
            pending=Pending(
                effect_id(self.state.id, serial),
                what,
                self.known_until,
                self.state.spoke_at,
                heard=inputs[-1].event_id if inputs else None,
                end=ended.message_id if ended else None,
                since=self.now,
                before=before,
                messages=messages,
                behind=unsaid[-1] if unsaid and not ahead else None,
            ),
        )
        self._hurry()

    def _hurry(self) -> None:
        """Cap the retry delay of unsent messages, so that they don't hold up the pending effect."""
        latest = self.now + HURRIED
        late = {u.id for u in self.state.unsent if u.kind is Kind.SAY and u.next_attempt > latest}
        if late:
            sooner = (replace(u, next_attempt=latest) if u.id in late else u for u in self.state.unsent)
            self.set(unsent=tuple(sooner))


def effect_id(conversation_id: str, serial: int) -> str:
    """Return the effect id for a serial number of a conversation; unique in the database."""
    return f"{conversation_id}.{serial}"


def _answers(integration: Integration | None, target: str) -> bool:
    """Return whether `integration` is known and answers to `target`."""
    return integration is not None and integration.answers_to(target)
