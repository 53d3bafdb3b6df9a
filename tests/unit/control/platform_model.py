"""A tiny honest platform: who really is active, what it answers, and which events it has sent."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from control_samples import BOT, DESK

from bot.control.commands import Pass, Read, Release
from bot.control.facts import Answer, Answered, ControlMoved, ConversationRead, Fact, HolderSeen, UserEnded, UserSpoke
from bot.control.state import Input, Integration, Key

HAPPENS = (Answer.ACCEPTED, Answer.UNCLEAR)
HAPPENS_NOT = (Answer.ACCEPTED, Answer.UNCLEAR, Answer.REFUSED, Answer.RATE_LIMITED, Answer.NOT_SENT)


@dataclass
class Platform:
    """The truth about one conversation.

    Attributes:
        mode: the control mode.
        active: who really is active.
        ended: the user's end.
        spoke_at: when the user wrote last.
        under_way: what was told by webhooks and has not arrived: the facts of one event each.
    """

    mode: str
    active: Integration | None = BOT
    ended: UserEnded | None = None
    spoke_at: datetime | None = None
    under_way: list[tuple[Fact, ...]] = field(default_factory=list)
    _told: int = 0

    def user_writes(self, at: datetime) -> None:
        """A message; where nobody is active the bot, as the default responder, silently becomes it."""
        self.active = self.active or BOT
        self._told += 1
        self.spoke_at = at
        self.under_way.append((HolderSeen(at, self.active), UserSpoke(Input(f"e{self._told}", at), self.active)))

    def user_ends(self, at: datetime, then: str) -> None:
        """The end; `then` says what a platform does that is free to choose: stays, released, passed."""
        self.ended = UserEnded(at, "end")
        self.under_way.append((HolderSeen(at, self.active), self.ended))
        if then == "passed" and self.mode == "pass":
            self.move(DESK if self.active == BOT else BOT, at)
        elif then != "stays":
            self.move(None, at)

    def move(self, active: Integration | None, at: datetime, reason: str | None = None) -> None:
        """Control moves, and an event tells it."""
        self.active = active
        self.under_way.append((ControlMoved(at, active, reason),))

    def carry_out(self, call: Release | Pass | Read, at: datetime, happens: bool, answer: Answer) -> Fact:
        """Answer a call. `answer` counts for what is no refusal of its own; reads are always truthful."""
        if isinstance(call, Read):
            if answer not in HAPPENS or not happens:
                return Answered(call.effect_id, answer if answer is not Answer.ACCEPTED else Answer.UNCLEAR)
            ended, spoke_at = (self.ended, self.spoke_at) if call.messages else (None, None)
            return ConversationRead(call.effect_id, at.replace(microsecond=0), self.active, ended, spoke_at)
        if isinstance(call, Release) and call.key is Key.INTEGRATION and self.active != BOT:
            return Answered(call.effect_id, Answer.NOT_OURS)
        if happens:
            self.move(None if isinstance(call, Release) else BOT if call.target == "bot" else DESK, at)
        return Answered(call.effect_id, answer)
