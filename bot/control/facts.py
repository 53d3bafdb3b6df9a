"""What can happen to a conversation: the closed union `Fact` that `step` takes."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from bot.control.state import Input, Integration, Metadata


@dataclass(frozen=True, slots=True)
class HolderSeen:
    """A message or another event showed who was active when it was made (None: nobody).

    Attributes:
        late: it came long after its time: told late, or dated by a clock that is behind.
        apart: dated by another clock than control events are: a user's, or an agent's.
    """

    at: datetime
    active: Integration | None
    late: bool = False
    apart: bool = False


@dataclass(frozen=True, slots=True)
class ControlMoved:
    """A control event: control is with `active` now (None: released). `reason` as the platform gives it.

    Attributes:
        late: it came long after its time, or was dated by a clock that is behind.
    """

    at: datetime
    active: Integration | None
    reason: str | None = None
    late: bool = False


@dataclass(frozen=True, slots=True)
class ControlUndated:
    """A control event without a believable time, so that its place in the order is not known: it asks for a read.

    What it says of who is active now, and why, counts if the read shows the same.

    Attributes:
        active: who has been given control; None: nobody, or it is not told (see `untold`).
        reason: the platform's reason.
        untold: control has been given to somebody whom the event does not name: it may be the bot.
    """

    active: Integration | None = None
    reason: str | None = None
    untold: bool = False


@dataclass(frozen=True, slots=True)
class NotUnderstood:
    """An event, or what it tells of who is active, could not be understood: only a read shows how things stand."""


@dataclass(frozen=True, slots=True)
class ControlFailed:
    """The platform says later that a pass (or an offer) failed, with its error code."""

    at: datetime
    code: str


@dataclass(frozen=True, slots=True)
class UserSpoke:
    """The user wrote, tapped a button or came by a link.

    Attributes:
        input: what it was.
        said_to: who was active then, as the event itself shows; None: nobody.
        late: told long after its time, or dated by a clock that is behind.
    """

    input: Input
    said_to: Integration | None = None
    late: bool = False


@dataclass(frozen=True, slots=True)
class WidgetOpened:
    """The conversation began with the widget being opened: nobody has written yet."""

    input: Input


@dataclass(frozen=True, slots=True)
class UserEnded:
    """The user ended the conversation.

    Attributes:
        late: it came long after its time: told late, or dated by a clock that is behind.
    """

    at: datetime
    message_id: str | None = None
    late: bool = False


@dataclass(frozen=True, slots=True)
class EndSuspected:
    """A system activity message came without its activity: only a read can tell whether it was the end."""

    at: datetime


@dataclass(frozen=True, slots=True)
class AgentWrote:
    """An agent wrote; `source` is the type of the integration that the message came from."""

    at: datetime
    source: str


@dataclass(frozen=True, slots=True)
class Removed:
    """The conversation was removed from the platform."""


@dataclass(frozen=True, slots=True)
class PersonRemoved:
    """A person who took part was removed from the platform: mostly with the conversation, but others may go on."""


@dataclass(frozen=True, slots=True)
class FlowWaits:
    """The turn is over: the flow waits for the user (`wants_input`) or for a time.

    Attributes:
        taken: event ids of the inputs that the run has used up.
        fresh: what else the user has said until now does not count as an answer.
    """

    run_id: int
    wants_input: bool
    until: datetime | None
    taken: tuple[str, ...] = ()
    fresh: bool = False


@dataclass(frozen=True, slots=True)
class FlowBegan:
    """A run's turn begins, by the registered flow of this name and version."""

    run_id: int
    flow: str
    version: int


@dataclass(frozen=True, slots=True)
class FlowReturned:
    """The flow is complete."""

    run_id: int


@dataclass(frozen=True, slots=True)
class FlowFailed:
    """The flow raised, or one of its messages can't be delivered.

    What it has said before still goes out; the engine drops what a message that can't be delivered leaves behind it.
    """

    run_id: int
    error: str


@dataclass(frozen=True, slots=True)
class FlowMismatched:
    """The run's journal no longer fits the code of its flow, or the flow is gone.

    Attributes:
        problem: where they first differ. Nothing that anybody said.
        restart: begin the run anew, unless that has been done already; else it counts as failed.
    """

    run_id: int
    problem: str
    restart: bool = False


@dataclass(frozen=True, slots=True)
class FlowReleased:
    """The flow called `release()`."""

    run_id: int


@dataclass(frozen=True, slots=True)
class FlowHandedOver:
    """The flow called `hand_over()`.

    Attributes:
        to: the target; None means PASS_TO.
        metadata: for the pass, within the platform's limits.
        shortened: keys of the values that were cut to fit.
        left_out: keys of the values that could not be sent.
    """

    run_id: int
    to: str | None = None
    metadata: Metadata = field(default_factory=dict)
    shortened: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FlowReminded:
    """The flow called `remind()`: control is released, and a flow begins later.

    Attributes:
        flow: the name of that flow.
        after: how much later.
        data: what it is given, as JSON.
        about: the user and the conversation, as this flow knows them.
    """

    run_id: int
    flow: str
    after: timedelta
    data: Any = None
    about: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FlowOrdered:
    """Another system asks that a flow begins, unless somebody is active.

    Attributes:
        flow: its name.
        data: what it is given, as JSON.
    """

    flow: str
    data: Any = None


@dataclass(frozen=True, slots=True)
class OperatorReleased:
    """An operator asked by hand that control be released.

    Attributes:
        by: who asked.
        against: id of the integration from which the operator wants it taken, although the conversation is live.
    """

    by: str
    against: str | None = None


@dataclass(frozen=True, slots=True)
class FlowTold:
    """The flow at work was told something from outside: it has a look, if it waits."""


class Answer(StrEnum):
    """How the platform answered a control action, a read or a message, as far as the rules need to know."""

    ACCEPTED = "accepted"  # 200: not a proof; a message is said
    NOT_OURS = "not ours"  # 403
    REFUSED = "refused"  # other 4xx: it did not happen and will not
    GONE = "gone"  # 404: there is no such conversation
    RATE_LIMITED = "rate limited"  # 429: it did not happen
    NOT_SENT = "not sent"  # no connection: it did not happen
    STALE = "stale"  # not sent: the read that it rests on has become too old; or a message that is not wanted now
    UNCLEAR = "unclear"  # 5xx, reset, time-out, or a process that died: it may have happened


@dataclass(frozen=True, slots=True)
class Answered:
    """The platform's answer (or the lack of one) to a control action, a read or a message."""

    effect_id: str
    answer: Answer
    retry_after: timedelta | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class ConversationRead:
    """A read showed who is active and, if it took in the newest messages, what the user did last.

    Attributes:
        at: the platform time from which the answer is known to hold: never later than the moment of the read.
        ended: the user's end, if it stands after everything that the user said. The order of the messages decides,
            whatever their times are.
        spoke_at: when the user said the newest thing, if that is among the newest messages.
        void_end: id of the message that told the user's last end, if the user has written again since.
        began: when the holder was asked for, by the bot's clock: what it shows is not older. None: just now.
    """

    effect_id: str
    at: datetime
    active: Integration | None
    ended: UserEnded | None = None
    spoke_at: datetime | None = None
    began: datetime | None = None
    void_end: str | None = None


@dataclass(frozen=True, slots=True)
class FlowSaid:
    """The flow at work has said so many messages."""

    run_id: int
    messages: int


@dataclass(frozen=True, slots=True)
class CleanUpsOwed:
    """A run that is over wants these clean-ups: how often each is tried at the most, in their order."""

    run_id: int
    tries: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class CleanedUp:
    """A clean-up was tried; `failed` says what went wrong, and is empty where nothing did.

    Attributes:
        final: another try would fail in the same way.
    """

    effect_id: str
    failed: str = ""
    final: bool = False


@dataclass(frozen=True, slots=True)
class EffectLost:
    """What a message or a clean-up is to say or to call can't be read any more."""

    effect_id: str


@dataclass(frozen=True, slots=True)
class TakenUp:
    """A worker takes the conversation up; what was under way at the one before may have been done or not."""


@dataclass(frozen=True, slots=True)
class TimePassed:
    """Nothing but time: look at what is due."""


Fact = (
    HolderSeen
    | ControlMoved
    | ControlUndated
    | NotUnderstood
    | ControlFailed
    | UserSpoke
    | WidgetOpened
    | UserEnded
    | EndSuspected
    | AgentWrote
    | Removed
    | PersonRemoved
    | FlowBegan
    | FlowWaits
    | FlowReturned
    | FlowFailed
    | FlowMismatched
    | FlowReleased
    | FlowHandedOver
    | FlowReminded
    | FlowOrdered
    | OperatorReleased
    | FlowTold
    | Answered
    | ConversationRead
    | FlowSaid
    | CleanUpsOwed
    | CleanedUp
    | EffectLost
    | TakenUp
    | TimePassed
)
