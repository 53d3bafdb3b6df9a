"""What the bot knows of one conversation and what it owes there: `Conversation`, and the invariant on it.

Everything here is a frozen value. `bot.control.rules.step` is the only place that makes new ones out of facts.
Times named `at`, `since` and `began` are the platform's (a fact's `createdAt`); all others are the bot's own clock.
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
"""The time of what versions of the bot recorded that did not note it."""

OVERDUE = timedelta(minutes=1)
"""A duty that is owed for longer is reported."""


class Who(StrEnum):
    """Who is active in a conversation, as seen from the bot."""

    BOT = "bot"
    OTHER = "other"
    NOBODY = "nobody"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Integration:
    """A switchboard integration, as the platform names it in `activeSwitchboardIntegration`."""

    id: str
    name: str | None = None
    type: str | None = None

    def answers_to(self, target: str) -> bool:
        """Is `target` (an id, a name or a type, the order in which passControl looks) this integration?"""
        return target in (self.id, self.name, self.type)

    @property
    def is_only_named(self) -> bool:
        """Did the event tell no id? The name stands in for it then."""
        return self.id == self.name

    @property
    def is_agent_workspace(self) -> bool:
        """Do agents work there?"""
        return self.type == "zd:agentWorkspace" or (self.type is None and self.name == "zd-agentWorkspace")

    def completed_by(self, known: Integration | None) -> Integration:
        """This integration, with what `known` tells beyond it if the two are the same."""
        if known is None or not (self.id == known.id or (self.name and self.name == known.name)):
            return self
        id_ = known.id if self.is_only_named else self.id
        return Integration(id_, self.name or known.name, self.type or known.type)

    def same_as(self, other: Integration | None) -> bool:
        """Are the two the same, as far as both are known?"""
        return other is not None and self.completed_by(other) == other.completed_by(self)

    def __str__(self) -> str:
        return self.name or self.id


@dataclass(frozen=True, slots=True)
class Holder:
    """Who is active, and how well that is known.

    Attributes:
        who: the bot, another integration, nobody, unknown.
        integration: the active one, where there is one.
        since: platform time from which it is known; older facts don't move it.
        certain: told by a control event or a read, and not just seen on a message.
        how: what told it, for people.
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
    """Control was given to the bot, with the platform's reason."""

    reason: str | None = None


class Outcome(StrEnum):
    """How a run of a flow ended.

    Attributes:
        COMPLETE: the flow returned.
        RELEASED: the flow called `release()` or `remind()`.
        HANDED_OVER: the flow called `hand_over()`.
        FAILED: the flow raised, was misused, no longer fits its journal, or could not deliver a message.
        TIMED_OUT: the flow took too long.
        ENDED: the user ended the conversation meanwhile.
        INTERRUPTED: somebody else took control, or the conversation was removed.
        UNKNOWN: it was stored by a version of the bot that did not record it.
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
        """Did the flow come to an end of its own choosing?"""
        return self in (Outcome.COMPLETE, Outcome.RELEASED, Outcome.HANDED_OVER)


class Purpose(StrEnum):
    """What a run of a flow is for."""

    OPENING = "opening"
    CLOSING = "closing"


class OpeningKind(StrEnum):
    """What began a run."""

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
        kind: what it was.
        event_id: of the event that told it.
        reason: that a handback came with.
        flow: the flow that begins, where it was named; empty: whichever serves the purpose.
        data: what the flow is given, as JSON; until its first turn has begun.
        about: the user and the conversation, as far as they were known; until then.
    """

    kind: OpeningKind
    event_id: str | None = None
    reason: str | None = None
    flow: str = ""
    data: Any = None
    about: dict[str, Any] = field(default_factory=dict)

    @property
    def is_uninvited(self) -> bool:
        """Has nobody said anything yet?"""
        return self.kind in (OpeningKind.CREATED, OpeningKind.OUTSIDE, OpeningKind.REMINDER)


@dataclass(frozen=True, slots=True)
class Reminder:
    """A flow that is to begin later, if nobody is active then.

    Attributes:
        flow: its name.
        at: when, by the bot's clock.
        data: what it is given, as JSON.
        about: the user and the conversation, as the flow knew them that has asked for it.
    """

    flow: str
    at: datetime
    data: Any = None
    about: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Input:
    """Something that the user said or tapped. What it was stays in the inbox, under the event's id.

    Attributes:
        said_id: the same under whichever event id it comes, where there is such an id (`webhooks.wire.said_id`).
        said_to: who was active by the name that the event told, if that was all; it may have been the bot.
    """

    event_id: str
    at: datetime
    kind: OpeningKind = OpeningKind.MESSAGE
    said_id: str | None = None
    said_to: str | None = None


class RunStatus(StrEnum):
    """Where a run is: a turn is to be taken, or it waits for the user or for a time."""

    READY = "ready"
    WAITING = "waiting"


@dataclass(frozen=True, slots=True)
class Run:
    """One flow at work in a conversation, from its opening to its end.

    Attributes:
        id: number of the run within the conversation.
        purpose: opening (serves the user) or closing (runs when control is handed back).
        opening: what began it.
        began: platform time of that.
        status: ready (a turn is due now) or waiting.
        since: when it became so.
        wants_input: while waiting: does user input end the wait? (An `ask` does, a `sleep` does not.)
        until: while waiting: when the wait ends without an answer.
        deadline: when the run is stopped, whatever it does.
        contact: has the user said anything? Not yet, where it began with the widget being opened.
        flow: name of the registered flow that serves it; empty until its first turn begins, and in runs that began
            under a version of the bot that did not record it.
        version: of that flow.
        restarted: it has been begun anew because its journal no longer fitted the code.
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
        """When this run needs the bot's attention next."""
        if self.status is RunStatus.READY:
            return self.since
        return min(self.deadline, self.until or self.deadline)


class Action(StrEnum):
    """A control action that can be owed."""

    RELEASE = "release"
    PASS = "pass"
    TAKE = "take"  # control that nobody has: a pass to the bot itself


class Stage(StrEnum):
    """What a duty needs next: the action itself, or a read that shows how things stand."""

    ACT = "act"
    CHECK = "check"


class Key(StrEnum):
    """Which API key an action uses. Only the integration's makes the platform refuse what is not ours."""

    INTEGRATION = "integration"
    APP = "app"


@dataclass(frozen=True, slots=True)
class Duty:
    """A control action that the bot owes until it is proven.

    Attributes:
        id: number of the duty within the conversation.
        action: release, or pass to `target`.
        target: id, name or type of a switchboard integration (pass only).
        metadata: sent along with a pass.
        reason: why it is owed, for people ("flow complete", "user ended", …).
        since: when it became owed.
        next_attempt: when the next stage is due.
        stage: act or check.
        key: which API key the next act uses.
        attempts: acts so far.
        failures: answers in a row that did not help; they make the next attempt later.
        refusals: how often the platform declined a pass.
        accepted_at: when the platform answered 200 to the last act; not a proof.
        last_answer: how the last act or check went, for people.
        overdue_reports: how often its being overdue has been reported: after a minute, then ever more rarely.
        against: an operator wants control taken from the integration with this id, and from no other.
        stale: how often the read had become too old before the action could go out; the next may be older.
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
        """When this duty needs the bot's attention next: for its next stage, or to report that it is overdue."""
        return min(self.next_attempt, self.overdue_at) if self.is_owed else self.next_attempt

    @property
    def is_owed(self) -> bool:
        """Is control to be given up? (To take it is a wish: it is dropped where it can't be had.)"""
        return self.action is not Action.TAKE

    @property
    def is_guarded(self) -> bool:
        """Does the platform refuse the action where control is not the bot's? Any other rests on a fresh read."""
        return self.action is Action.RELEASE and self.key is Key.INTEGRATION

    @property
    def overdue_at(self) -> datetime:
        """When its being overdue is reported next: 1, 4, 16, 64 minutes after it became owed, and so on."""
        return self.since + OVERDUE * int(4**self.overdue_reports)


@dataclass(frozen=True, slots=True)
class Proof:
    """How it is known that a duty is done or a conversation closed: `how` in words, `at` by the bot's clock."""

    how: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Ended:
    """The user ended the conversation.

    Attributes:
        at: platform time of the end.
        message_id: the message that told it, where known.
        check_at: when to read how things stand, unless proof comes first.
        checks: reads so far.
        handed_back: control came to the bot by an explicit pass after (or with) the end.
        held_after_grace: a read after the grace found that the bot holds control.
        proof: that nobody is active any more.
        was_proven: it had been proven once; the user may since have written again.
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
    """A flow that is to begin now, as soon as a read has shown that nobody is active, and the bot has control.

    Attributes:
        opening: what begins it, with the flow's name.
        until: when it is given up.
        known: who was active when it was asked for, as far as known: only what is newer is a reason to drop it.
        asked: control has been asked for.
    """

    opening: Opening
    until: datetime
    known: Holder
    asked: bool = False


class What(StrEnum):
    """What a pending effect is, and for reads what for."""

    RELEASE = "release"
    PASS = "pass"
    READ_FOR_DUTY = "read for duty"
    READ_FOR_END = "read for end"
    READ_TO_WATCH = "read to watch"


@dataclass(frozen=True, slots=True)
class Pending:
    """The one control action or read that is on its way.

    Attributes:
        effect_id: unique in the database.
        what: what it is; whom an action concerns, and with which key, the duty says.
        known_until: platform time up to which the bot knew things when it began: what a read shows is newer.
        spoke_at: the conversation's `spoke_at` when it began.
        heard: event id of the last of its `inputs` when it began.
        end: message id of the end that was known when it began.
        since: when it was commanded.
        before: an action is not sent at or after this time: the read that it rests on is too old by then. None where
            the platform itself refuses what is not the bot's.
        messages: a read shows the newest messages too.
        behind: effect id of the message that goes out before it; None: it waits for none.
        maybe_done: it may have been tried by a process that died since.
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
    """What an effect is."""

    SAY = "say"
    CLEAN_UP = "clean_up"
    RELEASE = "release"
    PASS = "pass"
    READ = "read"


@dataclass(frozen=True, slots=True)
class Unsent:
    """A message that is not sent yet, or a function that a flow wants called after its end.

    What it says or calls stands in the outbox, under its id.

    Attributes:
        id: the effect id, unique in the database.
        kind: message or clean-up.
        run_id: the run that it comes from.
        since: when the flow wanted it.
        next_attempt: not before this time.
        attempts: tries that have failed.
        maybe_done: it may have taken effect: then it is looked for before it is tried again.
        tries: how often a clean-up is tried at the most.
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
        """The same, once a try may have been made."""
        return Unsent(self.id, self.kind, self.run_id, self.since, self.next_attempt, self.attempts, True, self.tries)


@dataclass(frozen=True, slots=True)
class Conversation:
    """All that the bot knows and owes in one conversation.

    Attributes:
        id: the platform's conversation id.
        holder: who is active.
        run: the flow at work, if any.
        inputs: what the user said that no flow has taken yet, oldest first.
        ended: set once the user has ended the conversation.
        duty: what the bot owes, until proven.
        pending: the control action or read that is on its way; there is never a second one.
        unsent: messages and clean-ups that are not done, in their order.
        idle_at: when control is given up because nothing happens while the bot holds it.
        watch_at: when to read a conversation that others hold, or of which too little is known.
        watches: reads of that kind in a row, which make the next one later.
        read_at: when to read because something asked for it, whoever holds the conversation.
        spoke_at: platform time of the newest that the user said; an end that looks older asks for a read.
        heard: `said_id` of the last that the user said, the newest last: what is told again counts once.
        in_doubt: something happened that only a read can tell; until then the bot says nothing.
        closing_run: the closing run that has begun since the user last opened the conversation; there is one at most.
        no_app_key_reported: it has been reported that only an app key could close this conversation.
        mismatch_reported: it has been reported that the platform acts in the other control mode.
        former: who was active before, until a control event (or a pass by the bot) explains the change.
        elsewhere_at: platform time up to which another is known to have been active before the bot.
        handback_at: platform time of the handback that last began a flow, until the user speaks.
        handed: an undated control event said that the bot has been given control: a read is to tell.
        start: a flow that is to begin now although the user has not written.
        reminders: flows that are to begin later; one for each flow at most.
        gone: removed from the platform; nothing is owed any more.
        serial: the last number given to a run, a duty or an effect of this conversation.
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
        """When the conversation must be looked at again, whatever happens; None where there is nothing to do."""
        times = [time for time in (self.rules_at, self.sends_at, self.cleans_at) if time]
        return min(times) if times else None

    @property
    def sends_at(self) -> datetime | None:
        """When what goes out next is to be tried; None where nothing does, or it waits for the end of a doubt."""
        first = self.sends_first
        if isinstance(first, Unsent):
            return first.next_attempt
        return first.since if first else None

    @property
    def cleans_at(self) -> datetime | None:
        """When the next clean-up is to be tried: they go by themselves."""
        times = [unsent.next_attempt for unsent in self.unsent if unsent.kind is Kind.CLEAN_UP]
        return min(times) if times else None

    @property
    def sends_first(self) -> Pending | Unsent | None:
        """What goes out next, to the platform: messages in their order, and what is pending in its place among them.

        While the bot is in doubt, messages wait for the read that ends it.
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
        """When the rules must look again, whatever happens; None where nothing is at stake."""
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
        """When time itself changes something. A run that is ready waits for its turn, and only its deadline counts."""
        if self.gone or self.run is None or self.run.status is RunStatus.WAITING:
            return self.rules_at
        return min(time for time in (self.run.deadline, self.watch_at, self.read_at) if time)

    @property
    def is_certain(self) -> bool:
        """Did a control event or a read tell who is active, with nothing in doubt since?"""
        return self.holder.certain and not self.in_doubt

    @property
    def closed(self) -> bool:
        """Has the user ended it, and is it proven that nobody is active?"""
        return self.ended is not None and self.ended.proof is not None

    def may_say(self, run_id: int) -> bool:
        """May a message of that run go out? Only while the bot holds control; after an end only the closing run's."""
        if self.gone or self.holder.who is not Who.BOT:
            return False
        return self.ended is None or run_id == self.closing_run

    @property
    def is_blank(self) -> bool:
        """Is nothing known of it, owed or at work in it, or to come?"""
        at_work = self.run or self.inputs or self.ended or self.duty or self.start or self.reminders
        return self.holder.since is None and not at_work

    def begun_anew(self, read_at: datetime) -> Conversation:
        """The conversation with nothing known of it any more, to be read at a time; no number is given twice."""
        return Conversation(self.id, read_at=read_at, in_doubt=True, serial=self.serial)

    @property
    def at_stake(self) -> bool:
        """Does the bot hold it, or has it ended without proof that it is released?"""
        if self.gone:
            return False
        return self.holder.who is Who.BOT or (self.ended is not None and not self.closed)

    def is_safe(self) -> bool:
        """The invariant of the guarantee: what is at stake always has a time at which it will be looked at again.

        The same goes for what is still to be sent.
        """
        if self.rules_at is not None:
            return True
        return not self.at_stake and (not (self.unsent or self.pending) or self.look_at is not None)


# A state is made anew at nearly every line of the rules: `dataclasses.replace` costs more than they do.
_NAMES = tuple(field.name for field in fields(Conversation))
_PLACES = {name: place for place, name in enumerate(_NAMES)}
_PUT = [getattr(Conversation, name).__set__ for name in _NAMES]
_values = attrgetter(*_NAMES)


def changed(state: Conversation, changes: Mapping[str, object]) -> Conversation:
    """The state with other values in some attributes; itself where these have them already."""
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
