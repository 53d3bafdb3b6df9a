"""A conversation told fact by fact: what the tests of `bot.control` are written in."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from bot.control.commands import Call, CloseDuty, Pass, Read, Record, Release, Report
from bot.control.facts import (
    Answer,
    Answered,
    ControlMoved,
    ConversationRead,
    Fact,
    FlowReturned,
    FlowWaits,
    HolderSeen,
    TimePassed,
    UserEnded,
    UserSpoke,
)
from bot.control.modes import mode_named
from bot.control.outbox import call_of
from bot.control.policy import Policy
from bot.control.rules import step
from bot.control.state import (
    Conversation,
    Duty,
    Ended,
    Input,
    Integration,
    Kind,
    OpeningKind,
    Purpose,
    Run,
    Unsent,
)

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
BOTH_MODES = ("release", "pass")

BOT = Integration("sw-bot", "bot", "custom")
DESK = Integration("sw-desk", "zd-agentWorkspace", "zd:agentWorkspace")
ANSWERBOT = Integration("sw-answerbot", "zd-answerBot", "zd:answerBot")

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)


class Story:
    """One conversation, its clock, every call to the platform, and everything that was recorded.

    `drops` counts how often unsent messages were dropped.

    Args:
        mode: the control mode.
        skew: how far the platform's clock is ahead of the bot's.
        settings: of the policy.
    """

    def __init__(self, mode: str = "release", skew: timedelta = timedelta(0), **settings: Any) -> None:
        self.policy = Policy("bot", mode_named(mode), **settings)
        self.skew = skew
        self.now = NOON
        self.state = Conversation("c1")
        self.records: list[Record] = []
        self.calls: list[Call] = []
        self.drops = 0
        self._tells = 0

    # -- what happens ----------------------------------------------------------------------------------------------

    def tell(self, fact: Fact) -> Story:
        """A fact, now."""
        before, unsaid = self.state, bool(self.state.run) and not self.state.unsent
        if unsaid:  # whatever flow is at work has said something that is not sent yet
            before = replace(before, unsent=(Unsent("unsaid", Kind.SAY, self.run.id, NOON, NOON),))
        self.state, records = step(before, fact, self.now, self.policy)
        self.records.extend(records)
        if unsaid:
            self.drops += before.unsent[0] not in self.state.unsent
            self.state = replace(self.state, unsent=tuple(kept for kept in self.state.unsent if kept.id != "unsaid"))
        pending = self.state.pending
        if pending and (before.pending is None or before.pending.effect_id != pending.effect_id):
            self.calls.append(call_of(self.state))
        return self

    def sees(self, active: Integration | None) -> Story:
        """An event of now shows who is active."""
        return self.tell(HolderSeen(self.platform, active))

    def moves(self, active: Integration | None, reason: str | None = None) -> Story:
        """A control event of now."""
        return self.tell(ControlMoved(self.platform, active, reason))

    def user_says(self, active: Integration | None = BOT, kind: OpeningKind = OpeningKind.MESSAGE) -> Story:
        """The user writes now; the event shows who is active."""
        self._tells += 1
        at = self.platform
        return self.tell(HolderSeen(at, active)).tell(UserSpoke(Input(f"e{self._tells}", at, kind), active))

    def user_ends(self, active: Integration | str | None = "unchanged") -> Story:
        """The user ends the conversation now; the event may show who is active."""
        if not isinstance(active, str):
            self.sees(active)
        self._tells += 1
        return self.tell(UserEnded(self.platform, f"m{self._tells}"))

    def answers(self, answer: Answer, retry_after: timedelta | None = None) -> Story:
        """The platform answers what is on its way."""
        return self.tell(Answered(self.pending, answer, retry_after))

    def shows(
        self, active: Integration | None, ended: UserEnded | None = None, spoke_at: datetime | None = None
    ) -> Story:
        """The read that is on its way shows who is active now, and what the user did last."""
        return self.tell(ConversationRead(self.pending, self.platform, active, ended, spoke_at))

    def flow_waits(
        self,
        until: timedelta | None = None,
        *,
        wants_input: bool = True,
        taken: tuple[str, ...] = (),
        fresh: bool = False,
    ) -> Story:
        """The turn ends with a question (or a sleep)."""
        return self.tell(FlowWaits(self.run.id, wants_input, self.now + until if until else None, taken, fresh))

    def flow_returns(self) -> Story:
        """The flow is complete."""
        return self.tell(FlowReturned(self.run.id))

    def later(self, duration: timedelta = SECOND) -> Story:
        """Time passes; whenever something is due, it is looked at."""
        end = self.now + duration
        while (due := self.state.waits_until) and due <= end:
            self.now = max(self.now, due)
            self.tell(TimePassed())
        self.now = end
        return self

    # -- what stands -----------------------------------------------------------------------------------------------

    @property
    def platform(self) -> datetime:
        """The platform's clock."""
        return self.now + self.skew

    @property
    def pending(self) -> str:
        """Id of the effect that is on its way."""
        assert self.state.pending is not None, "nothing is on its way"
        return self.state.pending.effect_id

    @property
    def run(self) -> Run:
        """The flow at work."""
        assert self.state.run is not None, "no flow is at work"
        return self.state.run

    @property
    def duty(self) -> Duty:
        """What is owed."""
        assert self.state.duty is not None, "nothing is owed"
        return self.state.duty

    @property
    def ended(self) -> Ended:
        """The end."""
        assert self.state.ended is not None, "it has not ended"
        return self.state.ended

    @property
    def flow(self) -> Purpose | None:
        """Which kind of flow is at work."""
        return self.state.run.purpose if self.state.run else None

    @property
    def last_call(self) -> str:
        """What kind of API call came last."""
        return type(self.calls[-1]).__name__

    @property
    def actions(self) -> list[str]:
        """The control actions so far, in words: `release`, `release (app)`, `pass to …`."""
        words = []
        for call in self.calls:
            match call:
                case Release(_, key):
                    words.append("release" if key == "integration" else "release (app)")
                case Pass(_, target):
                    words.append(f"pass to {target}")
                case Read():
                    pass
        return words

    @property
    def reports(self) -> list[str]:
        """What people were told."""
        return [record.event for record in self.records if isinstance(record, Report)]

    @property
    def proofs(self) -> list[str]:
        """How the duties were closed."""
        return [record.proof.how for record in self.records if isinstance(record, CloseDuty)]


def served(mode: str = "release", skew: timedelta = timedelta(0), **settings: Any) -> Story:
    """The user has written, and the opening flow is at work."""
    return Story(mode, skew, **settings).user_says().later()


def owing(mode: str = "release", skew: timedelta = timedelta(0), **settings: Any) -> Story:
    """The opening flow is complete, and what the mode wants has just been commanded."""
    return served(mode, skew, **settings).flow_returns()


def with_agent(mode: str = "release", skew: timedelta = timedelta(0), **settings: Any) -> Story:
    """An agent has control."""
    return Story(mode, skew, **settings).moves(DESK).later()
