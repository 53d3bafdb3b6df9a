"""A conversation's next state while `step` works it out: the moves that the rules are made of."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import datetime
from operator import attrgetter
from typing import Any

from bot.control.commands import CloseDuty, Command, DropUnsent, Read, Report
from bot.control.policy import SOON, Policy
from bot.control.state import (
    Action,
    Conversation,
    Duty,
    Holder,
    Integration,
    Key,
    Metadata,
    Opening,
    OpeningKind,
    Pending,
    Proof,
    Purpose,
    Run,
    RunStatus,
    Stage,
    What,
    Who,
)

# `dataclasses.replace` of so many fields costs more than all the rules of most steps.
_NAMES = tuple(field.name for field in fields(Conversation))
_values = attrgetter(*_NAMES)


class Draft:
    """The state so far and the commands so far. Every method is one move; none decides anything by itself."""

    __slots__ = ("commands", "now", "policy", "state")

    def __init__(self, state: Conversation, now: datetime, policy: Policy) -> None:
        self.state = state
        self.now = now
        self.policy = policy
        self.commands: list[Command] = []

    def set(self, **changes: Any) -> None:
        """Change attributes of the conversation. Mostly they are what they should be already."""
        if any(getattr(self.state, name) is not value for name, value in changes.items()):
            self.state = type(self.state)(**dict(zip(_NAMES, _values(self.state), strict=True)) | changes)

    def set_run(self, run: Run, **changes: Any) -> None:
        """Change attributes of the flow at work, which is `run`."""
        self.set(run=replace(run, **changes))

    def set_duty(self, **changes: Any) -> None:
        """Change attributes of the duty that is owed."""
        if self.state.duty:
            self.set(duty=replace(self.state.duty, **changes))

    def set_ended(self, **changes: Any) -> None:
        """Change attributes of the end, if there is one."""
        if self.state.ended:
            self.set(ended=replace(self.state.ended, **changes))

    def next_serial(self) -> int:
        """A number that this conversation has not used yet."""
        self.set(serial=self.state.serial + 1)
        return self.state.serial

    def next_effect_id(self) -> str:
        """An effect id that is unique in the database."""
        return effect_id(self.state.id, self.next_serial())

    def report(self, event: str, detail: str = "") -> None:
        """Tell people."""
        self.commands.append(Report(event, detail))

    def learn(self, active: Integration | None, at: datetime, how: str, *, certain: bool) -> bool:
        """Take in who is active from platform time `at` on. False, and nothing changes, if newer facts are known.

        Where two facts have the same time, a control event or a read counts for more than what a message shows; but
        if they differ, either may be the newer one, and it takes a read to be certain.
        """
        old = self.state.holder
        if old.since and at < old.since:
            return False
        new = Holder(self.who(active), active, at, certain, how)
        differs = (new.who, new.integration) != (old.who, old.integration)
        if at == old.since and old.certain != certain and differs:
            self.set(holder=replace(old if old.certain else new, certain=False), read_at=self.now + SOON)
            self.set_ended(check_at=self.now + SOON)
            return not old.certain
        if differs:
            self.set(watch_at=None, watches=0, idle_at=None)
        self.set(holder=new)
        return True

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
                contact=opening.kind is not OpeningKind.CREATED,
            ),
            closing_run=number if closing else None,
            idle_at=None,
        )

    def stop_run(self) -> None:
        """Stop the flow at work: what it has not said yet is dropped, and what the user said to it as well."""
        if self.state.run:
            self.commands.append(DropUnsent())
            self.set(run=None, inputs=())

    def finish_run(self) -> None:
        """The flow is over by itself: what it has said still goes out."""
        self.set(run=None, inputs=())

    def owe(self, action: Action, reason: str, target: str | None = None, metadata: Metadata | None = None) -> None:
        """Make a control action owed. A release that is owed already stays as it is.

        Only a release with the integration's key is refused by the platform when control is not ours: everything
        else begins with a read. A pass to ourselves would prove nothing: it becomes a release.
        """
        holder, duty = self.state.holder, self.state.duty
        to_myself = target is not None and (
            target == self.policy.me or (holder.who is Who.BOT and _answers(holder.integration, target))
        )
        if to_myself:
            action, target, metadata = Action.RELEASE, None, None
        if duty and duty.action is Action.RELEASE:
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

    def doubt(self) -> None:
        """Something happened that only a read can tell. What waits behind unsent messages goes out after that read."""
        self.set(read_at=self.now, in_doubt=True)
        if self.state.pending and self.state.pending.what is not What.READ_TO_WATCH:
            self.commands.append(DropUnsent(self.state.pending.effect_id))
            self.set(pending=None)
            self.set_duty(stage=Stage.CHECK, next_attempt=self.now)

    def close_duty(self, how: str) -> None:
        """The duty is over; a control action for it that has not gone out yet must not any more."""
        if self.state.duty is None:
            return
        self.commands.append(CloseDuty(self.state.duty, Proof(how, self.now)))
        self.set(duty=None)
        if self.state.pending and self.state.pending.what in (What.RELEASE, What.PASS):
            self.commands.append(DropUnsent(self.state.pending.effect_id))
            self.set(pending=None)

    def read(self, what: What) -> None:
        """Read who is active and, where more hangs on it than the proof of a duty of ours, the newest messages too."""
        duty = self.state.duty
        for_duty = what is What.READ_FOR_DUTY
        ours = for_duty and not (duty and duty.key is Key.APP)
        self.commands.append(Read(self.pend(what), messages=not ours, ahead=not for_duty))

    def pend(self, what: What) -> str:
        """Note that an effect is on its way, and return its new id."""
        state = self.state
        known = [time for time in (state.holder.since, state.ended and state.ended.at) if time]
        new = self.next_effect_id()
        self.set(pending=Pending(new, what, max(known, default=None)))
        return new


def effect_id(conversation_id: str, serial: int) -> str:
    """The effect id made from a conversation's serial number."""
    return f"{conversation_id}.{serial}"


def _answers(integration: Integration | None, target: str) -> bool:
    return integration is not None and integration.answers_to(target)
