"""A conversation's next state while `step` works it out: the moves that the rules are made of."""

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
    """The state so far and what is to be recorded with it. Every method is one move."""

    __slots__ = ("_outcome", "_run", "now", "policy", "read_began", "records", "state")

    def __init__(self, state: Conversation, now: datetime, policy: Policy) -> None:
        self.state = state
        self.now = now
        self.policy = policy
        self.records: list[Record] = []
        self._run = state.run
        self._outcome: Outcome | None = None  # of that run, where it has come to its own end
        self.read_began = now  # of the read that this step has taken in

    def set(self, **changes: Unpack[ConversationChanges]) -> None:
        """Change attributes of the conversation. Mostly they are what they should be already."""
        self.state = changed(self.state, changes)

    def set_run(self, run: Run, **changes: Unpack[RunChanges]) -> None:
        """Change attributes of the flow at work, which is `run`."""
        self.set(run=replace(run, **changes))

    def set_duty(self, **changes: Unpack[DutyChanges]) -> None:
        """Change attributes of the duty that is owed."""
        if self.state.duty:
            self.set(duty=replace(self.state.duty, **changes))

    def set_ended(self, **changes: Unpack[EndedChanges]) -> None:
        """Change attributes of the end, if there is one."""
        if self.state.ended:
            self.set(ended=replace(self.state.ended, **changes))

    def next_serial(self) -> int:
        """A number that this conversation has not used yet."""
        self.set(serial=self.state.serial + 1)
        return self.state.serial

    def report(self, event: str, detail: str = "") -> None:
        """Tell people."""
        self.records.append(Report(event, detail))

    def close_run(self) -> None:
        """Record how the run has ended that was at work before this step, if it has."""
        before, run = self._run, self.state.run
        if before and (run is None or run.id != before.id):
            cut_off = Outcome.ENDED if self.state.ended else Outcome.INTERRUPTED
            self.records.append(RunOver(before, self._outcome or cut_off))

    def learn(
        self, active: Integration | None, at: datetime, how: str, *, certain: bool, is_newest: bool = False
    ) -> bool:
        """Record who is active from platform time `at` on. Return False if what is known already counts for more.

        Two facts with the same time that differ leave the holder in doubt until a read, however often they come. Until
        then nothing is said, and a control event or a read beats what a message shows.

        Args:
            active: the active integration; None: nobody.
            at: platform time of the fact.
            how: what told it, for people.
            certain: told by a control event or a read.
            is_newest: newer than every fact of the same time: a read that began after they were known.
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
        """Is someone else than `active` known to be active?"""
        old = self.state.holder
        same = active.same_as(old.integration) if active else old.integration is None
        return self.who(active) is not old.who or not same

    @property
    def holder_is_vague(self) -> bool:
        """Is another integration active that was told by its name alone? The bot may be known by its id."""
        holder = self.state.holder
        return holder.who is Who.OTHER and holder.integration is not None and holder.integration.is_only_named

    def who(self, active: Integration | None) -> Who:
        """Who that is, as seen from the bot."""
        if active is None:
            return Who.NOBODY
        return Who.BOT if active.answers_to(self.policy.me) else Who.OTHER

    def start_run(self, purpose: Purpose, opening: Opening, began: datetime) -> None:
        """Begin a flow; a flow that is at work is stopped first."""
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
        """Begin `run` anew under another number, once: what it has said still goes out, its input does not count."""
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
        """Stop the flow at work (an end, a loss of control, a timeout): drop its unsent messages and its input."""
        if self.state.run:
            self.drop_messages()
            self.set(run=None, inputs=())

    def time_out_run(self) -> None:
        """Stop the flow at work because it has taken too long."""
        self._outcome = Outcome.TIMED_OUT
        self.stop_run()

    def finish_run(self, outcome: Outcome) -> None:
        """End the flow that is over by itself, complete or failed: what it has said still goes out."""
        self._outcome = outcome
        self.set(run=None, inputs=())

    def drop_messages(self) -> None:
        """Drop what has not been said yet."""
        self.drop(lambda unsent: unsent.kind is Kind.SAY)

    def drop(self, which: Callable[[Unsent], bool]) -> None:
        """Take messages and clean-ups out of what is unsent: they are done, or are not to be done any more."""
        if any(which(unsent) for unsent in self.state.unsent):
            self.set(unsent=tuple(unsent for unsent in self.state.unsent if not which(unsent)))

    def owe(self, action: Action, reason: str, target: str | None = None, metadata: Metadata | None = None) -> None:
        """Make a control action owed. A release that is owed already stays as it is, unless it is against another.

        Only a release with the integration's key is refused by the platform when control is not ours: everything
        else begins with a read. A pass to ourselves would prove nothing: it becomes a release.
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
        holder = self.state.holder
        return target == self.policy.me or (holder.who is Who.BOT and _answers(holder.integration, target))

    def doubt(self) -> None:
        """Something happened that only a read can tell. What waits behind unsent messages goes out after that read."""
        self.set(read_at=self.now, in_doubt=True)
        if self.state.pending and self.state.pending.what is not What.READ_TO_WATCH:
            self.set(pending=None)
            self.set_duty(stage=Stage.CHECK, next_attempt=self.now)

    def close_duty(self, how: str, *, read_on: bool = False) -> None:
        """Close the duty. What is on its way for it is dropped: an action must not go out, a read serves nobody.

        Unless it is to be `read_on`, since the read may show what came after the proof.
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

    def prove(self, how: str) -> None:
        """The conversation that the user has ended is proven closed."""
        if self.state.ended:
            proof = Proof(how, self.now)
            self.set_ended(proof=proof)
            self.records.append(Proven(self.state.ended.at, proof))

    def read(self, what: What) -> None:
        """Read who is active; also the newest messages, unless the platform itself guards what the read is for.

        Nothing guards a pass or a release with the app key: an end that nobody told shows in the messages alone.
        """
        duty = self.state.duty
        for_duty = what is What.READ_FOR_DUTY
        guarded = for_duty and duty is not None and duty.is_guarded
        self.pend(what, messages=not guarded, ahead=not for_duty)

    @property
    def known_until(self) -> datetime | None:
        """Platform time of the newest fact known about who is active, or about the end."""
        known = [time for time in (self.state.holder.since, self.state.ended and self.state.ended.at) if time]
        return max(known, default=None)

    def pend(self, what: What, *, before: datetime | None = None, messages: bool = False, ahead: bool = False) -> None:
        """Put a control action or a read on its way: after the messages that are unsent, or `ahead` of them."""
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
        """Let no message that is put off put off for long what is pending behind it."""
        latest = self.now + HURRIED
        late = {u.id for u in self.state.unsent if u.kind is Kind.SAY and u.next_attempt > latest}
        if late:
            sooner = (replace(u, next_attempt=latest) if u.id in late else u for u in self.state.unsent)
            self.set(unsent=tuple(sooner))


def effect_id(conversation_id: str, serial: int) -> str:
    """The effect id made from a conversation's serial number: unique in the database."""
    return f"{conversation_id}.{serial}"


def _answers(integration: Integration | None, target: str) -> bool:
    return integration is not None and integration.answers_to(target)
