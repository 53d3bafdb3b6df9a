"""Infers from a tape who moved control: the bot of that time, or somebody else.

A tape does not say it, but the mode and the previous events mostly show it. Actions of
the old bot are withheld, because today's bot must do them itself; the sandbox sends its
own events for them. Actions of others are repeated. So the tape never makes a release in
place of today's bot.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from bot.control.policy import Policy
from bot.engine.delivery import EFFECT_KEY
from webhooks.messages import Message

SLACK = timedelta(seconds=3)  # delays of the live bot and the network
PROMPT = timedelta(seconds=2)
"""How soon after an end the platform acts by itself. A later move is attributed to the bot,
which waits longer (RELEASE_GRACE). Doubtful moves are the bot's, too: a needless *diverged*
is better than hiding a release that it owes."""
_API = "api:conversations"


class Who(StrEnum):
    """The holder as seen by the bot: itself, another integration, or nobody."""

    BOT = "bot"
    OTHER = "other"
    NOBODY = "nobody"


@dataclass(slots=True)
class Past:
    """A conversation's past on the tape, up to a moment.

    Attributes:
        holder: the holder in the tape's world; None if not yet known.
        ends: times of all ends by the user, anywhere on the tape.
        stirred_at: time of the last event that may have made the bot act.
        said: messages of the tape's bot, in order.
    """

    holder: Who | None = None
    ends: list[datetime] = field(default_factory=list)
    stirred_at: datetime | None = None
    said: list[str] = field(default_factory=list)

    def ended_before(self, at: datetime) -> datetime | None:
        """The last end by then, or up to a second later, since the order varies."""
        return max((end for end in self.ends if end <= at + timedelta(seconds=1)), default=None)


def is_own_message(message: Message, raw: dict[str, Any], past: Past) -> bool:
    """Return whether the tape's bot said it: by the effect's id, or else by its source."""
    if message.is_activity or not message.author.is_business:
        return False
    metadata = raw.get("metadata")
    if isinstance(metadata, dict) and EFFECT_KEY in metadata:
        return True
    source = message.source.type if message.source else ""
    return source == _API and past.holder is Who.BOT


def is_own_move(past: Past, to: Who, reason: str | None, at: datetime, policy: Policy) -> bool:
    """Return whether the tape's bot moved control, as far as can be told.

    Args:
        past: the conversation's past.
        to: the new holder.
        reason: the event's reason, which only the platform gives.
        at: the time of the move.
        policy: the bot's mode and timeouts.
    """
    if reason or to is Who.BOT:
        return False
    end = past.ended_before(at)
    if to is Who.NOBODY:
        if end is None:
            return past.holder is Who.BOT
        # At an end, the platform releases in release mode; in pass mode the bot has to.
        return policy.mode.closes_after_end or at - end > min(PROMPT, policy.grace)
    if past.holder is not Who.BOT or end is not None:
        return False
    if past.stirred_at is None:
        return False
    quiet = at - past.stirred_at
    return quiet <= SLACK or abs(quiet - policy.idle) <= SLACK
