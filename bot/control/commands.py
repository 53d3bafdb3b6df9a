"""Outputs of the rules: records to store with the new state, and API calls to make.

`step` returns records (the closed union `Record`), written in the same transaction as
the state. API calls (`Call`) follow from the state; `bot.control.outbox` builds them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from bot.control.state import Duty, Key, Kind, Metadata, Outcome, Proof, Run


@dataclass(frozen=True, slots=True)
class Release:
    """Release control with the given key.

    Attributes:
        before: send deadline by the bot's clock, after which the read that justifies
            the release is stale. None if the platform itself refuses a release by an
            integration that is not active.
    """

    effect_id: str
    key: Key
    before: datetime | None = None


@dataclass(frozen=True, slots=True)
class Pass:
    """Pass control to `target` (an integration's id, name or type); `before` as in `Release`."""

    effect_id: str
    target: str
    metadata: Metadata = field(default_factory=dict)
    before: datetime | None = None


@dataclass(frozen=True, slots=True)
class Read:
    """Read who is active; with `messages`, also the user's last actions."""

    effect_id: str
    messages: bool = True


Call = Release | Pass | Read


@dataclass(frozen=True, slots=True)
class CloseDuty:
    """Record of a closed duty: proven, or void for the reason in `proof.how`."""

    duty: Duty
    proof: Proof


@dataclass(frozen=True, slots=True)
class Proven:
    """Proof that the conversation that the user ended at `ended_at` (platform time) is closed."""

    ended_at: datetime
    proof: Proof


@dataclass(frozen=True, slots=True)
class RunOver:
    """Record of a finished run, with its outcome."""

    run: Run
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Forget:
    """Request to erase everything stored about the conversation."""


@dataclass(frozen=True, slots=True)
class Report:
    """Notice for people: a log event's name, with `detail` in words."""

    event: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class GivenUp:
    """Message or clean-up given up; `problem` says why, without secrets or customers' words."""

    kind: Kind
    run_id: int
    problem: str


Record = CloseDuty | Proven | RunOver | GivenUp | Forget | Report
