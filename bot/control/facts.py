"""Everything that can happen to a conversation: the closed union `Fact`, the input of `step`."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from bot.control.state import Input, Integration, Metadata


@dataclass(frozen=True, slots=True)
class HolderSeen:
    """The active integration (None: nobody) as shown by a message or another event.

    Attributes:
        late: arrived long after its time: delivered late, or dated by a slow clock.
        apart: dated by the user's or an agent's clock, unlike control events.
    """

    at: datetime
    active: Integration | None
    late: bool = False
    apart: bool = False


@dataclass(frozen=True, slots=True)
class ControlMoved:
    """A control event: `active` has control now (None: released).

    Attributes:
        reason: the platform's reason.
        late: arrived long after its time, or was dated by a slow clock.
    """

    at: datetime
    active: Integration | None
    reason: str | None = None
    late: bool = False


@dataclass(frozen=True, slots=True)
class ControlUndated:
    """A control event without a believable time.

    Its place in the order of facts is unknown, so it requires a read.
    Its holder and reason count if the read shows the same holder.

    Attributes:
        active: the new holder; None: nobody, or not told (see `untold`).
        reason: the platform's reason.
        untold: control went to someone whom the event does not name; it may be the bot.
    """

    active: Integration | None = None
    reason: str | None = None
    untold: bool = False


@dataclass(frozen=True, slots=True)
class NotUnderstood:
    """An event that can't be understood, at least about who is active. Requires a read."""


@dataclass(frozen=True, slots=True)
class ControlFailed:
    """A pass or offer that the platform reports as failed, with its error code."""

    at: datetime
    code: str


@dataclass(frozen=True, slots=True)
class UserSpoke:
    """User input: a message, a tapped button or a referral link.

    Attributes:
        input: the input.
        said_to: the active integration that the event itself shows; None: nobody.
        late: arrived long after its time, or was dated by a slow clock.
    """

    input: Input
    said_to: Integration | None = None
    late: bool = False


@dataclass(frozen=True, slots=True)
class WidgetOpened:
    """A conversation created by opening the widget; nobody has written yet."""

    input: Input


@dataclass(frozen=True, slots=True)
class UserEnded:
    """The user's end of the conversation.

    Attributes:
        late: arrived long after its time, or was dated by a slow clock.
    """

    at: datetime
    message_id: str | None = None
    late: bool = False


@dataclass(frozen=True, slots=True)
class EndSuspected:
    """A system activity message without its activity. A read must tell whether it was the end."""

    at: datetime


@dataclass(frozen=True, slots=True)
class AgentWrote:
    """An agent's message; `source` is the type of the integration that it came from."""

    at: datetime
    source: str


@dataclass(frozen=True, slots=True)
class Removed:
    """Removal of the conversation from the platform."""


@dataclass(frozen=True, slots=True)
class PersonRemoved:
    """Removal of a participant from the platform.

    The conversation usually goes too, but others may continue in it.
    """


@dataclass(frozen=True, slots=True)
class FlowWaits:
    """End of a turn: the flow waits for the user (`wants_input`) or for a time.

    Attributes:
        taken: event ids of the inputs that the run has consumed.
        fresh: ignore all other input so far: it is no answer.
    """

    run_id: int
    wants_input: bool
    until: datetime | None
    taken: tuple[str, ...] = ()
    fresh: bool = False


@dataclass(frozen=True, slots=True)
class FlowBegan:
    """Start of a turn of the registered flow with this name and version."""

    run_id: int
    flow: str
    version: int


@dataclass(frozen=True, slots=True)
class FlowReturned:
    """Completion of the flow."""

    run_id: int


@dataclass(frozen=True, slots=True)
class FlowFailed:
    """Failure of the flow: it raised, or one of its messages can't be delivered.

    Messages said before still go out, except those behind an undeliverable one.
    """

    run_id: int
    error: str


@dataclass(frozen=True, slots=True)
class FlowMismatched:
    """A run whose journal no longer fits its flow's code, or whose flow is gone.

    Attributes:
        problem: the first difference; quotes nobody.
        restart: restart the run, unless that has been done already; otherwise it counts
            as failed.
    """

    run_id: int
    problem: str
    restart: bool = False


@dataclass(frozen=True, slots=True)
class FlowReleased:
    """The flow's call of `release()`."""

    run_id: int


@dataclass(frozen=True, slots=True)
class FlowHandedOver:
    """The flow's call of `hand_over()`.

    Attributes:
        to: the target; None means PASS_TO.
        metadata: metadata of the pass, within the platform's limits.
        shortened: keys of values that were cut to fit.
        left_out: keys of values that could not be sent.
    """

    run_id: int
    to: str | None = None
    metadata: Metadata = field(default_factory=dict)
    shortened: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FlowReminded:
    """The flow's call of `remind()`: release control now, begin a flow later.

    Attributes:
        flow: name of that flow.
        after: the delay.
        data: its argument, as JSON.
        about: the user and the conversation, as this flow knows them.
    """

    run_id: int
    flow: str
    after: timedelta
    data: Any = None
    about: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FlowOrdered:
    """Another system's request to begin a flow, unless somebody is active.

    Attributes:
        flow: the flow's name.
        data: its argument, as JSON.
    """

    flow: str
    data: Any = None


@dataclass(frozen=True, slots=True)
class OperatorReleased:
    """An operator's request to release control.

    Attributes:
        by: the operator.
        against: id of the integration to take a live conversation from, if the operator
            confirmed that.
    """

    by: str
    against: str | None = None


@dataclass(frozen=True, slots=True)
class FlowTold:
    """A signal for the current run. A waiting flow takes a turn."""


class Answer(StrEnum):
    """The platform's answer to an action, a read or a message, as far as rules need it."""

    ACCEPTED = "accepted"  # 200: no proof for an action; a message is said
    NOT_OURS = "not ours"  # 403
    REFUSED = "refused"  # other 4xx: it did not happen and will not
    GONE = "gone"  # 404: there is no such conversation
    RATE_LIMITED = "rate limited"  # 429: it did not happen
    NOT_SENT = "not sent"  # no connection: it did not happen
    STALE = "stale"  # not sent: the read before an action is too old, or a message is unwanted
    UNCLEAR = "unclear"  # 5xx, reset, timeout, dead process: it may have happened


@dataclass(frozen=True, slots=True)
class Answered:
    """The platform's answer, or the lack of one, to an action, a read or a message."""

    effect_id: str
    answer: Answer
    retry_after: timedelta | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class ConversationRead:
    """Result of a read: who is active and, with messages, the user's last actions.

    Attributes:
        at: platform time since which the result is known to hold; never later than the
            read.
        ended: the user's end, if it is listed after all user messages. The order of the
            list decides, not the times.
        spoke_at: time of the user's newest message, if one is listed.
        void_end: message id of the user's last end, if the user wrote again afterwards.
        began: when the holder was requested, by the bot's clock; the result is not
            older. None: just now.
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
    """Number of new messages from the current run."""

    run_id: int
    messages: int


@dataclass(frozen=True, slots=True)
class CleanUpsOwed:
    """Clean-ups of a finished run: the maximum attempts of each, in order."""

    run_id: int
    tries: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class CleanedUp:
    """Result of a clean-up attempt.

    Attributes:
        failed: the error; empty on success.
        final: a retry would fail in the same way.
    """

    effect_id: str
    failed: str = ""
    final: bool = False


@dataclass(frozen=True, slots=True)
class EffectLost:
    """A message or clean-up whose stored content can't be read any more."""

    effect_id: str


@dataclass(frozen=True, slots=True)
class TakenUp:
    """A worker's take-over of the conversation. Pending effects may have happened or not."""


@dataclass(frozen=True, slots=True)
class TimePassed:
    """Passage of time alone: do what is due."""


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
