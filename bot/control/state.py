"""The state of one conversation, and the invariant of the guarantee, `Conversation.is_safe`.

All values are frozen; only `bot.control.rules.step` derives new ones from facts. Times
named `at`, `since` and `began` are the platform's (a fact's `createdAt`) unless noted;
all others are by the bot's clock.

To begin, read `Conversation` near the end; the classes before it are its parts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from operator import attrgetter
from typing import Any

Metadata = dict[str, str | int | float | bool]
"""Flat metadata of a control action; at most 4 KB (docs/platform.md, 2)."""

LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
"""Replaces times that older versions of the bot did not record."""

OVERDUE = timedelta(minutes=1)
"""A duty older than this is reported."""


class Who(StrEnum):
    """Who is active in a conversation, from the bot's view."""

    BOT = "bot"
    OTHER = "other"
    NOBODY = "nobody"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Integration:
    """A switchboard integration, as in the platform's `activeSwitchboardIntegration`."""

    id: str
    name: str | None = None
    type: str | None = None

    def answers_to(self, target: str) -> bool:
        """Return whether `target` is this integration's id, name or type.

        passControl looks them up in this order.
        """
        return target in (self.id, self.name, self.type)

    @property
    def is_only_named(self) -> bool:
        """Whether the event gave a name but no id. The name then stands in for the id."""
        return self.id == self.name

    @property
    def is_agent_workspace(self) -> bool:
        """Whether agents work in this integration."""
        return self.type == "zd:agentWorkspace" or (self.type is None and self.name == "zd-agentWorkspace")

    def completed_by(self, known: Integration | None) -> Integration:
        """Return this integration, with missing fields from `known` if both are the same."""
        if known is None or not (self.id == known.id or (self.name and self.name == known.name)):
            return self
        id_ = known.id if self.is_only_named else self.id
        return Integration(id_, self.name or known.name, self.type or known.type)

    def same_as(self, other: Integration | None) -> bool:
        """Return whether both are the same, as far as they are known."""
        return other is not None and self.completed_by(other) == other.completed_by(self)

    def __str__(self) -> str:
        return self.name or self.id


@dataclass(frozen=True, slots=True)
class Holder:
    """Who is active, and how well that is known.

    Attributes:
        who: the bot, another integration, nobody, or unknown.
        integration: the active integration, if there is one.
        since: platform time from which it is known; older facts don't change it.
        certain: told by a control event or a read, not just seen on a message.
        how: the source, for people.
    """

    who: Who = Who.UNKNOWN
    integration: Integration | None = None
    since: datetime | None = None
    certain: bool = False
    how: str = ""

    def __str__(self) -> str:
        return str(self.integration) if self.who is Who.OTHER else self.who.value


@dataclass(frozen=True, slots=True)
class Handed:
    """Control given to the bot by an undated event, with the platform's reason."""

    reason: str | None = None


class Outcome(StrEnum):
    """Outcome of a flow's run.

    Attributes:
        COMPLETE: the flow returned.
        RELEASED: the flow called `release()` or `remind()`.
        HANDED_OVER: the flow called `hand_over()`.
        FAILED: the flow raised, was misused, no longer fits its journal, or could not
            deliver a message.
        TIMED_OUT: the flow took too long.
        ENDED: the user ended the conversation meanwhile.
        INTERRUPTED: someone else took control, or the conversation was removed.
        UNKNOWN: stored by a version of the bot that did not record outcomes.
    """

    COMPLETE = "complete"
    RELEASED = "released"
    HANDED_OVER = "handed_over"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    ENDED = "ended"
    INTERRUPTED = "interrupted"
    UNKNOWN = "unknown"

    @property
    def went_well(self) -> bool:
        """Whether the flow ended by its own choice."""
        return self in (Outcome.COMPLETE, Outcome.RELEASED, Outcome.HANDED_OVER)


class Purpose(StrEnum):
    """Purpose of a flow's run."""

    OPENING = "opening"
    CLOSING = "closing"


class OpeningKind(StrEnum):
    """Kind of event that began a run."""

    MESSAGE = "message"
    POSTBACK = "postback"
    REFERRAL = "referral"
    CREATED = "created"
    HANDBACK = "handback"
    ENDED = "ended"
    OUTSIDE = "outside"
    REMINDER = "reminder"


@dataclass(frozen=True, slots=True)
class Opening:
    """What began a run.

    Attributes:
        kind: the kind of event.
        event_id: the event's id, if there is one.
        reason: the platform's reason for a handback.
        flow: the flow's name, if one was requested; empty: whichever serves the
            purpose.
        data: the flow's argument, as JSON, until its first turn begins.
        about: the user and the conversation as far as known, until the first turn
            begins.
    """

    kind: OpeningKind
    event_id: str | None = None
    reason: str | None = None
    flow: str = ""
    data: Any = None
    about: dict[str, Any] = field(default_factory=dict)

    @property
    def is_uninvited(self) -> bool:
        """Whether the run began without any user input."""
        return self.kind in (OpeningKind.CREATED, OpeningKind.OUTSIDE, OpeningKind.REMINDER)


@dataclass(frozen=True, slots=True)
class Reminder:
    """A flow to begin later, if nobody is active then.

    Attributes:
        flow: the flow's name.
        at: start time, by the bot's clock.
        data: the flow's argument, as JSON.
        about: the user and the conversation, as known to the flow that set the
            reminder.
    """

    flow: str
    at: datetime
    data: Any = None
    about: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Input:
    """A user's message, tap or link. The content stays in the inbox, under the event's id.

    Attributes:
        said_id: id of the content across repeated events, if there is one
            (`webhooks.wire.said_id`).
        said_to: name of the active integration, if the event told only its name; it may
            be the bot.
    """

    event_id: str
    at: datetime
    kind: OpeningKind = OpeningKind.MESSAGE
    said_id: str | None = None
    said_to: str | None = None


class RunStatus(StrEnum):
    """Status of a run: ready for a turn, or waiting for the user or for a time."""

    READY = "ready"
    WAITING = "waiting"


@dataclass(frozen=True, slots=True)
class Run:
    """One execution of a flow in a conversation, from its opening to its end.

    Attributes:
        id: number of the run within the conversation.
        purpose: opening (serves the user) or closing (runs when control is handed
            back).
        opening: what began it.
        began: platform time of the opening.
        status: ready (a turn is due now) or waiting.
        since: start of this status, by the bot's clock.
        wants_input: while waiting: user input ends the wait. (True for `ask`, False for
            `sleep`.)
        until: while waiting: when the wait ends without an answer.
        deadline: when the run is stopped, whatever it does.
        contact: the user has said something; False at first if the run began without
            user input.
        flow: name of the registered flow; empty before the first turn, and in runs of
            old versions of the bot.
        version: the flow's version.
        restarted: restarted because its journal no longer fitted the code.
    """

    id: int
    purpose: Purpose
    opening: Opening
    began: datetime
    status: RunStatus
    since: datetime
    deadline: datetime
    wants_input: bool = False
    until: datetime | None = None
    contact: bool = True
    flow: str = ""
    version: int = 1
    restarted: bool = False

    @property
    def look_at(self) -> datetime:
        """Time of this run's next turn or timeout."""
        if self.status is RunStatus.READY:
            return self.since
        return min(self.deadline, self.until or self.deadline)


class Action(StrEnum):
    """Control action that can be owed."""

    RELEASE = "release"
    PASS = "pass"
    TAKE = "take"  # take control that nobody has, by a pass to the bot


class Stage(StrEnum):
    """Next stage of a duty: the action itself, or a read that checks who is active."""

    ACT = "act"
    CHECK = "check"


class Key(StrEnum):
    """API key of an action.

    Only with the integration key does the platform refuse a release if the bot is not
    active.
    """

    INTEGRATION = "integration"
    APP = "app"


@dataclass(frozen=True, slots=True)
class Duty:
    """A control action that the bot owes until it is proven.

    Attributes:
        id: number of the duty within the conversation.
        action: release, pass to `target`, or take control that nobody has.
        target: id, name or type of the receiving integration; None for a release.
        metadata: metadata of a pass.
        reason: why it is owed, for people ("flow complete", "user ended", …).
        since: when it became owed, by the bot's clock.
        next_attempt: when the next stage is due.
        stage: act or check.
        key: API key of the next action.
        attempts: number of actions so far.
        failures: number of unsuccessful answers in a row; they increase the backoff.
        refusals: number of passes that the platform declined.
        accepted_at: time of the 200 for the last action; not a proof.
        last_answer: result of the last action or check, for people.
        overdue_reports: number of reports that it is overdue: after a minute, then ever
            more rarely.
        against: id of the only integration that an operator wants control taken from.
        stale: number of reads that became too old before the action; the next one may
            be older.
    """

    id: int
    action: Action
    reason: str
    since: datetime
    next_attempt: datetime
    stage: Stage
    key: Key = Key.INTEGRATION
    target: str | None = None
    metadata: Metadata = field(default_factory=dict)
    attempts: int = 0
    failures: int = 0
    refusals: int = 0
    accepted_at: datetime | None = None
    last_answer: str | None = None
    overdue_reports: int = 0
    against: str | None = None
    stale: int = 0

    @property
    def look_at(self) -> datetime:
        """Time of the next stage, or of the next overdue report."""
        return min(self.next_attempt, self.overdue_at) if self.is_owed else self.next_attempt

    @property
    def is_owed(self) -> bool:
        """Whether the duty gives control up.

        Taking control is only a wish, dropped if it can't be had.
        """
        return self.action is not Action.TAKE

    @property
    def is_guarded(self) -> bool:
        """Whether the platform refuses the action if the bot is not active.

        Any other action needs a fresh read before it.
        """
        return self.action is Action.RELEASE and self.key is Key.INTEGRATION

    @property
    def overdue_at(self) -> datetime:
        """Time of the next overdue report: 1, 4, 16, 64, … minutes after it became owed."""
        return self.since + OVERDUE * int(4**self.overdue_reports)


@dataclass(frozen=True, slots=True)
class Proof:
    """Proof of a done duty or a closed conversation: `how` in words, `at` by the bot's clock."""

    how: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Ended:
    """The user's end of the conversation.

    Attributes:
        at: platform time of the end.
        message_id: id of the message that told it, where known.
        check_at: when to read who is active, unless proof comes first.
        checks: number of reads so far.
        handed_back: control came to the bot by an explicit pass after or with the end.
        held_after_grace: a read after the grace found the bot active.
        proof: proof that nobody is active any more.
        was_proven: proven once, then active again; the user may have written again.
    """

    at: datetime
    check_at: datetime
    message_id: str | None = None
    checks: int = 0
    handed_back: bool = False
    held_after_grace: bool = False
    proof: Proof | None = None
    was_proven: bool = False


@dataclass(frozen=True, slots=True)
class Start:
    """A planned flow. It begins once a read shows that nobody is active and the bot gets control.

    Attributes:
        opening: what begins it, with the flow's name.
        until: when to give up.
        known: the holder on record when it was planned; only a newer holder is a reason
            to drop it.
        asked: control has been requested.
    """

    opening: Opening
    until: datetime
    known: Holder
    asked: bool = False


class What(StrEnum):
    """Type of a pending effect, with the purpose of a read."""

    RELEASE = "release"
    PASS = "pass"
    READ_FOR_DUTY = "read for duty"
    READ_FOR_END = "read for end"
    READ_TO_WATCH = "read to watch"


@dataclass(frozen=True, slots=True)
class Pending:
    """The one control action or read in progress.

    Attributes:
        effect_id: unique in the database.
        what: its type; the duty has the action's target and key.
        known_until: platform time of the newest knowledge when it began; a read's
            result is newer.
        spoke_at: the conversation's `spoke_at` when it began.
        heard: event id of the last of the conversation's `inputs` when it began.
        end: message id of the known end when it began.
        since: when it was queued.
        before: send deadline of an action, after which the read before it is too old.
            None if the platform guards the action.
        messages: the read includes the newest messages.
        behind: effect id of the message that goes out first; None: none does.
        maybe_done: possibly done by a process that died since.
    """

    effect_id: str
    what: What
    known_until: datetime | None = None
    spoke_at: datetime | None = None
    heard: str | None = None
    end: str | None = None
    since: datetime = LONG_AGO
    before: datetime | None = None
    messages: bool = False
    behind: str | None = None
    maybe_done: bool = False


class Kind(StrEnum):
    """Type of an effect."""

    SAY = "say"
    CLEAN_UP = "clean_up"
    RELEASE = "release"
    PASS = "pass"
    READ = "read"


@dataclass(frozen=True, slots=True)
class Unsent:
    """A message not yet sent, or a clean-up not yet done.

    Its content is in the outbox, under its id.

    Attributes:
        id: the effect id, unique in the database.
        kind: message or clean-up.
        run_id: the run that it comes from.
        since: when the flow queued it.
        next_attempt: earliest time of the next attempt.
        attempts: number of failed attempts.
        maybe_done: possibly done already; look for a message before the next attempt.
        tries: maximum attempts of a clean-up.
    """

    id: str
    kind: Kind
    run_id: int
    since: datetime
    next_attempt: datetime
    attempts: int = 0
    maybe_done: bool = False
    tries: int = 1

    def tried(self) -> Unsent:
        """Return a copy that counts as possibly done."""
        return Unsent(
            self.id,
            self.kind,
            self.run_id,
            self.since,
            self.next_attempt,
            self.attempts,
            True,
            self.tries,
        )


@dataclass(frozen=True, slots=True)
class Conversation:
    """Everything that the bot knows and owes in one conversation.

    Attributes:
        id: the platform's conversation id.
        holder: who is active.
        run: the current run of a flow, if any.
        inputs: unread user input, oldest first.
        ended: the user's end, if any.
        duty: what the bot owes, until proven.
        pending: the control action or read in progress; never more than one.
        unsent: messages and clean-ups not done yet, in order.
        idle_at: when to release if nothing happens while the bot is active.
        watch_at: when to read a conversation that others hold, or of which too little
            is known.
        watches: number of such reads in a row; they increase the interval.
        read_at: when to read on request, whoever is active.
        spoke_at: platform time of the user's newest input; an end that looks older
            requires a read.
        heard: `said_id` of recent input, newest last, so that repeated input counts
            once.
        in_doubt: a read must tell what happened; until then the bot says nothing.
        closing_run: number of the closing run since the user last opened the
            conversation; at most one.
        no_app_key_reported: it was reported that only an app key could close this
            conversation.
        mismatch_reported: it was reported that the platform acts in the other control
            mode.
        former: the previous holder, until a control event or the bot's own pass
            explains the change.
        elsewhere_at: platform time up to which another is known to have been active
            before the bot.
        handback_at: platform time of the handback that last began a flow, until the
            user speaks.
        handed: control given to the bot by an undated event; a read must tell.
        start: a flow planned without user input.
        reminders: flows to begin later; at most one reminder per flow.
        gone: removed from the platform; nothing is owed any more.
        serial: the last number given to a run, a duty or an effect.
    """

    id: str
    holder: Holder = field(default_factory=Holder)
    run: Run | None = None
    inputs: tuple[Input, ...] = ()
    ended: Ended | None = None
    duty: Duty | None = None
    pending: Pending | None = None
    unsent: tuple[Unsent, ...] = ()
    idle_at: datetime | None = None
    watch_at: datetime | None = None
    watches: int = 0
    read_at: datetime | None = None
    spoke_at: datetime | None = None
    heard: tuple[str, ...] = ()
    in_doubt: bool = False
    closing_run: int | None = None
    mismatch_reported: bool = False
    no_app_key_reported: bool = False
    former: Holder | None = None
    elsewhere_at: datetime | None = None
    handback_at: datetime | None = None
    handed: Handed | None = None
    start: Start | None = None
    reminders: tuple[Reminder, ...] = ()
    gone: bool = False
    serial: int = 0

    @property
    def look_at(self) -> datetime | None:
        """Time of the next check, whatever happens; None if nothing is left to do."""
        times = [time for time in (self.rules_at, self.sends_at, self.cleans_at) if time]
        return min(times) if times else None

    @property
    def sends_at(self) -> datetime | None:
        """Time of the next send attempt; None if nothing may be sent now."""
        first = self.sends_first
        if isinstance(first, Unsent):
            return first.next_attempt
        return first.since if first else None

    @property
    def cleans_at(self) -> datetime | None:
        """Time of the next clean-up attempt. Clean-ups wait for nothing else."""
        times = [unsent.next_attempt for unsent in self.unsent if unsent.kind is Kind.CLEAN_UP]
        return min(times) if times else None

    @property
    def sends_first(self) -> Pending | Unsent | None:
        """The next effect to send.

        Messages go in order, and the pending effect in its place among them. In doubt,
        messages wait for the read.
        """
        message = None
        for unsent in self.unsent:
            if unsent.kind is Kind.SAY:
                message = message or unsent
                if self.pending and unsent.id == self.pending.behind:
                    break
        else:
            if self.pending:
                return self.pending
        return None if self.in_doubt else message

    @property
    def rules_at(self) -> datetime | None:
        """Time of the rules' next check, whatever happens; None if nothing is at stake."""
        if self.gone:
            return None
        times = [time for time in (self.idle_at, self.watch_at, self.read_at) if time]
        if self.run:
            times.append(self.run.look_at)
        if self.duty:
            times.append(self.duty.look_at)
        elif self.ended and not (self.ended.proof or self.run):
            times.append(self.ended.check_at)
        if self.start:
            times.append(self.start.until)
        times += [reminder.at for reminder in self.reminders]
        return min(times) if times else None

    @property
    def waits_until(self) -> datetime | None:
        """Time at which time alone changes something.

        A ready run waits for its turn, so only its deadline counts.
        """
        if self.gone or self.run is None or self.run.status is RunStatus.WAITING:
            return self.rules_at
        return min(time for time in (self.run.deadline, self.watch_at, self.read_at) if time)

    @property
    def is_certain(self) -> bool:
        """Whether a control event or a read told the holder, and nothing is in doubt since."""
        return self.holder.certain and not self.in_doubt

    @property
    def closed(self) -> bool:
        """Whether the user has ended it, and it is proven that nobody is active."""
        return self.ended is not None and self.ended.proof is not None

    def may_say(self, run_id: int) -> bool:
        """Return whether a message of this run may go out.

        Only while the bot is active; after an end, only from the closing run.
        """
        if self.gone or self.holder.who is not Who.BOT:
            return False
        return self.ended is None or run_id == self.closing_run

    @property
    def is_blank(self) -> bool:
        """Whether nothing is known, owed, running or planned."""
        at_work = self.run or self.inputs or self.ended or self.duty or self.start or self.reminders
        return self.holder.since is None and not at_work

    def begun_anew(self, read_at: datetime) -> Conversation:
        """Return the conversation with all knowledge erased, to be read at `read_at`.

        The serial stays, so that no number is used twice.
        """
        return Conversation(self.id, read_at=read_at, in_doubt=True, serial=self.serial)

    @property
    def at_stake(self) -> bool:
        """Whether the bot holds it, or it has ended without proof of release."""
        if self.gone:
            return False
        return self.holder.who is Who.BOT or (self.ended is not None and not self.closed)

    def is_safe(self) -> bool:
        """Return whether the invariant of the guarantee holds.

        A conversation at stake always has a time for its next check. So has one with
        anything to send.
        """
        if self.rules_at is not None:
            return True
        return not self.at_stake and (not (self.unsent or self.pending) or self.look_at is not None)


# The rules copy the state at nearly every line; `dataclasses.replace` costs more than all of them.
_NAMES = tuple(field.name for field in fields(Conversation))
_PLACES = {name: place for place, name in enumerate(_NAMES)}
_PUT = [getattr(Conversation, name).__set__ for name in _NAMES]
_values = attrgetter(*_NAMES)


def changed(state: Conversation, changes: Mapping[str, object]) -> Conversation:
    """Return the state with other attribute values; the same object if nothing changes."""
    for name, value in changes.items():
        if getattr(state, name) is not value:
            break
    else:
        return state
    values = list(_values(state))
    for name, value in changes.items():
        values[_PLACES[name]] = value
    made = object.__new__(type(state))
    for put, value in zip(_PUT, values, strict=True):
        put(made, value)
    return made
