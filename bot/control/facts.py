"""What can happen to a conversation: the closed union `Fact` that `step` takes."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from bot.control.state import Input, Integration, Metadata


@dataclass(frozen=True, slots=True)
class HolderSeen:
    """A message or another event showed who was active when it was made (None: nobody)."""

    at: datetime
    active: Integration | None


@dataclass(frozen=True, slots=True)
class ControlMoved:
    """A control event: control is with `active` now (None: released). `reason` as the platform gives it."""

    at: datetime
    active: Integration | None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class ControlUndated:
    """A control event without a time of its own, so that its place in the order is not known: it asks for a read."""


@dataclass(frozen=True, slots=True)
class ControlFailed:
    """The platform says later that a pass (or an offer) failed, with its error code."""

    at: datetime
    code: str


@dataclass(frozen=True, slots=True)
class UserSpoke:
    """The user wrote, tapped a button or came by a link."""

    input: Input


@dataclass(frozen=True, slots=True)
class WidgetOpened:
    """The conversation began with the widget being opened: nobody has written yet."""

    input: Input


@dataclass(frozen=True, slots=True)
class UserEnded:
    """The user ended the conversation."""

    at: datetime
    message_id: str | None = None


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
class FlowReturned:
    """The flow is complete."""

    run_id: int


@dataclass(frozen=True, slots=True)
class FlowFailed:
    """The flow raised, its journal no longer fits its code, or one of its messages can't be delivered."""

    run_id: int
    error: str


@dataclass(frozen=True, slots=True)
class FlowReleased:
    """The flow called `release()`."""

    run_id: int


@dataclass(frozen=True, slots=True)
class FlowHandedOver:
    """The flow called `hand_over()`; no target means the one of the settings."""

    run_id: int
    to: str | None = None
    metadata: Metadata = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class OperatorReleased:
    """An operator asked by hand that control be released.

    Attributes:
        by: who asked.
        against: id of the integration from which the operator wants it taken, although the conversation is live.
    """

    by: str
    against: str | None = None


class Answer(StrEnum):
    """How the platform answered a control action or a read, as far as the rules need to know."""

    ACCEPTED = "accepted"  # 200: not a proof
    NOT_OURS = "not ours"  # 403
    REFUSED = "refused"  # other 4xx: it did not happen and will not
    GONE = "gone"  # 404: there is no such conversation
    RATE_LIMITED = "rate limited"  # 429: it did not happen
    NOT_SENT = "not sent"  # no connection: it did not happen
    UNCLEAR = "unclear"  # 5xx, reset, time-out, or a process that died: it may have happened


@dataclass(frozen=True, slots=True)
class Answered:
    """The platform's answer (or the lack of one) to a control action or a read that the rules commanded."""

    effect_id: str
    answer: Answer
    retry_after: timedelta | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class ConversationRead:
    """A read showed who is active and, if it took in the newest messages, what the user did last.

    Attributes:
        at: the platform time from which the answer is known to hold: never later than the moment of the read.
        ended: the user's end, if nothing that the user said is newer.
        spoke_at: when the user said the newest thing, if that is among the newest messages.
    """

    effect_id: str
    at: datetime
    active: Integration | None
    ended: UserEnded | None = None
    spoke_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class TimePassed:
    """Nothing but time: look at what is due."""


Fact = (
    HolderSeen
    | ControlMoved
    | ControlUndated
    | ControlFailed
    | UserSpoke
    | WidgetOpened
    | UserEnded
    | EndSuspected
    | AgentWrote
    | Removed
    | PersonRemoved
    | FlowWaits
    | FlowReturned
    | FlowFailed
    | FlowReleased
    | FlowHandedOver
    | OperatorReleased
    | Answered
    | ConversationRead
    | TimePassed
)
