"""What the rules want done: the closed union `Command` that `step` returns, written together with the new state."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from bot.control.state import Duty, Key, Metadata, Proof


@dataclass(frozen=True, slots=True)
class Release:
    """Release control with the given key.

    Attributes:
        before: don't send it at or after this time (the bot's clock): the read that it rests on is too old by then.
            None where the platform itself refuses what is not the bot's.
    """

    effect_id: str
    key: Key
    before: datetime | None = None


@dataclass(frozen=True, slots=True)
class Pass:
    """Pass control to `target` (id, name or type of a switchboard integration); `before` as in `Release`."""

    effect_id: str
    target: str
    metadata: Metadata = field(default_factory=dict)
    before: datetime | None = None


@dataclass(frozen=True, slots=True)
class Read:
    """Read who is active.

    Attributes:
        messages: and what the user did last, from the newest messages.
        ahead: before messages that are unsent. A read that an action rests on goes after them, just before the action.
    """

    effect_id: str
    messages: bool = True
    ahead: bool = True


@dataclass(frozen=True, slots=True)
class DropUnsent:
    """Drop the messages that have not been sent yet; with an `effect_id` that control action and no message."""

    effect_id: str | None = None


@dataclass(frozen=True, slots=True)
class CloseDuty:
    """The duty is over: proven, or with `proof.how` saying why it is void. Kept for the record."""

    duty: Duty
    proof: Proof


@dataclass(frozen=True, slots=True)
class Forget:
    """Erase everything that is stored about the conversation."""


@dataclass(frozen=True, slots=True)
class Report:
    """Something that people should know: an event name for the log, with `detail` in words."""

    event: str
    detail: str = ""


Command = Release | Pass | Read | DropUnsent | CloseDuty | Forget | Report
