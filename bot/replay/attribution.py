"""Whose doing was it that control moved? A tape does not tell, but the mode and what came before mostly do.

What the bot of that day did, the bot of today has to do again by itself: such an event of the tape is withheld, and
the sandbox's own takes its place. What others did happens again as the tape has it. So a release that the bot makes
no more is not made by the tape in its stead.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from bot.control.policy import Policy
from bot.engine.delivery import EFFECT_KEY
from webhooks.messages import Message

SLACK = timedelta(seconds=3)  # what the live bot and the network may have taken
PROMPT = timedelta(seconds=2)
"""Within so much of an end the platform does what it does by itself; what comes later is the bot's doing, which waits
for longer (RELEASE_GRACE). In doubt it is the bot's: better one *diverged* too many than a release that it owes."""
_API = "api:conversations"


class Who(StrEnum):
    """As seen from the bot: its own integration, another one, nobody; unknown before the tape shows it."""

    BOT = "bot"
    OTHER = "other"
    NOBODY = "nobody"


@dataclass(slots=True)
class Past:
    """What the tape has shown of a conversation, up to a moment.

    Attributes:
        holder: who was active in the world of the tape.
        ends: when the user ends it, at any time of the tape.
        stirred_at: when something last happened that may have made the bot act.
        said: what the bot of the tape said, in its order.
    """

    holder: Who | None = None
    ends: list[datetime] = field(default_factory=list)
    stirred_at: datetime | None = None
    said: list[str] = field(default_factory=list)

    def ended_before(self, at: datetime) -> datetime | None:
        """The last end by then; an end that the platform tells within a second counts, since the order varies."""
        return max((end for end in self.ends if end <= at + timedelta(seconds=1)), default=None)


def is_own_message(message: Message, raw: dict[str, Any], past: Past) -> bool:
    """Did the bot of the tape say it? Its messages carry the effect's id; an older bot's came by the API."""
    if message.is_activity or not message.author.is_business:
        return False
    metadata = raw.get("metadata")
    if isinstance(metadata, dict) and EFFECT_KEY in metadata:
        return True
    source = message.source.type if message.source else ""
    return source == _API and past.holder is Who.BOT


def is_own_move(past: Past, to: Who, reason: str | None, at: datetime, policy: Policy) -> bool:
    """Did the bot of the tape move control, as far as can be told?

    Args:
        past: what was before.
        to: who is active now.
        reason: of the event; only the platform gives one.
        at: when it was.
        policy: the mode, and how long things take.
    """
    if reason or to is Who.BOT:
        return False
    end = past.ended_before(at)
    if to is Who.NOBODY:
        if end is None:
            return past.holder is Who.BOT
        # In release mode the platform releases at the end; in pass mode somebody has to, and that is the bot.
        return policy.mode.closes_after_end or at - end > min(PROMPT, policy.grace)
    if past.holder is not Who.BOT or end is not None:
        return False
    if past.stirred_at is None:
        return False
    quiet = at - past.stirred_at
    return quiet <= SLACK or abs(quiet - policy.idle) <= SLACK
