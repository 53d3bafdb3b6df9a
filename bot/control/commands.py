"""What `step` returns beside the state: the closed union `Record`, written in the same transaction.

And the calls to the platform that a state asks for (`bot.control.outbox`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from bot.control.state import Duty, Key, Kind, Metadata, Outcome, Proof, Run


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
    """Read who is active; with `messages` also what the user did last, from the newest messages."""

    effect_id: str
    messages: bool = True


Call = Release | Pass | Read


@dataclass(frozen=True, slots=True)
class CloseDuty:
    """The duty is over: proven, or with `proof.how` saying why it is void. Kept for the record."""

    duty: Duty
    proof: Proof


@dataclass(frozen=True, slots=True)
class Proven:
    """The conversation that the user ended at `ended_at` (the platform's time) is proven closed."""

    ended_at: datetime
    proof: Proof


@dataclass(frozen=True, slots=True)
class RunOver:
    """A flow's run is over, in whichever way."""

    run: Run
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Forget:
    """Erase everything that is stored about the conversation."""


@dataclass(frozen=True, slots=True)
class Report:
    """Something that people should know: an event name for the log, with `detail` in words."""

    event: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class GivenUp:
    """A message or a clean-up is given up; `problem` says what went wrong, without secrets and texts."""

    kind: Kind
    run_id: int
    problem: str


Record = CloseDuty | Proven | RunOver | GivenUp | Forget | Report
