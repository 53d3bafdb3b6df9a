"""The rules against an honest platform that loses, delays and reorders: what is proven in the end."""

from __future__ import annotations

from datetime import datetime, timedelta

from control_samples import BOT, BOTH_MODES, DESK, HOUR, MINUTE, NOON, SECOND
from drawing import examples
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from platform_model import HAPPENS, HAPPENS_NOT, Platform

from bot.control.commands import Call, Pass, Read, Release, Report
from bot.control.facts import (
    AgentWrote,
    Answer,
    ConversationRead,
    Fact,
    FlowFailed,
    FlowHandedOver,
    FlowOrdered,
    FlowReleased,
    FlowReminded,
    FlowReturned,
    FlowTold,
    FlowWaits,
    HolderSeen,
    TimePassed,
)
from bot.control.modes import mode_named
from bot.control.outbox import call_of
from bot.control.policy import Policy
from bot.control.rules import step
from bot.control.state import Conversation, Key, RunStatus

CALLS_PER_HOUR = (
    100  # of one conversation in which everything goes wrong: about 2 for each of some 20 attempts, and reads
)


class Conversations(RuleBasedStateMachine):
    """One conversation, its platform, and the wire between them."""

    @initialize(
        mode=st.sampled_from(BOTH_MODES),
        keys=st.sampled_from([(True, False), (True, True), (False, True)]),
        closes=st.booleans(),
        opens=st.booleans(),
        skew=st.sampled_from([-20, 0, 20]),
    )
    def begin(self, mode: str, keys: tuple[bool, bool], closes: bool, opens: bool, skew: int) -> None:
        """A conversation begins with the bot active."""
        self.policy = Policy(
            "bot", mode_named(mode), opens=opens, closes=closes, integration_key=keys[0], app_key=keys[1]
        )
        self.platform = Platform(mode)
        self.state = Conversation("c1")
        self.now = NOON
        self.skew = skew * SECOND
        self.answer: Fact | None = None
        self.tried: str | None = None
        self.shown_to_be_ours = self.shown_to_be_free = False
        self.reports: list[str] = []
        self.calls: list[datetime] = []
        self.platform.under_way.append((HolderSeen(self.at, BOT),))

    @property
    def at(self) -> datetime:
        """The platform's clock."""
        return self.now + self.skew

    def tell(self, fact: Fact) -> None:
        """Let a fact take effect as the engine does."""
        before = self.state.pending
        self.state, records = step(self.state, fact, self.now, self.policy)
        self.reports += [record.event for record in records if isinstance(record, Report)]
        pending = self.state.pending
        if pending and (before is None or before.effect_id != pending.effect_id):
            self.robs_nobody(call_of(self.state))

    @property
    def call(self) -> Call | None:
        """The call that is pending and has not been tried yet."""
        pending = self.state.pending
        return call_of(self.state) if pending and pending.effect_id != self.tried else None

    def robs_nobody(self, call: Call) -> None:
        """What the platform would not refuse is done only to what was just read as the bot's, or has really ended."""
        if isinstance(call, Pass) and call.target == "bot":
            assert self.shown_to_be_free
        elif isinstance(call, Pass) or (isinstance(call, Release) and call.key is Key.APP):
            assert self.shown_to_be_ours or (self.platform.ended and isinstance(call, Release))

    # -- the world -------------------------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([0.4, 1, 3, 16, 70, 700, 4000]))
    def time_passes(self, seconds: float) -> None:
        """Time passes, and the bot looks at what is due."""
        end = self.now + timedelta(seconds=seconds)
        while (due := self.state.waits_until) and due <= end:
            self.now = max(self.now, due)
            self.tell(TimePassed())
        self.now = end

    @precondition(lambda self: not self.platform.ended)
    @rule()
    def user_writes(self) -> None:
        """The user writes."""
        self.platform.user_writes(self.at)

    @precondition(lambda self: not self.platform.ended)
    @rule(then=st.sampled_from(["stays", "released", "passed"]))
    def user_ends(self, then: str) -> None:
        """The user ends the conversation."""
        self.platform.user_ends(self.at, then)

    @precondition(lambda self: not self.platform.ended)
    @rule()
    def agent_takes_over(self) -> None:
        """The agent workspace takes control."""
        self.platform.move(DESK, self.at)

    @precondition(lambda self: not self.platform.ended)
    @rule()
    def agent_writes(self) -> None:
        """An agent writes, whoever is active."""
        event = (HolderSeen(self.at, self.platform.active), AgentWrote(self.at, "zd:agentWorkspace"))
        self.platform.under_way.append(event)

    @precondition(lambda self: self.platform.active == DESK)
    @rule(reason=st.sampled_from([None, "ticketClosed", "transferToEmail"]))
    def agent_hands_back(self, reason: str | None) -> None:
        """The agent is done."""
        self.platform.move(BOT if self.platform.mode == "pass" else None, self.at, reason)

    # -- the wire --------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.platform.under_way)
    @rule(place=st.integers(0, 3), lost=st.sampled_from([False, False, False, True]))
    def event(self, place: int, lost: bool) -> None:
        """One of the events arrives, in whatever order, or never."""
        facts = self.platform.under_way.pop(min(place, len(self.platform.under_way) - 1))
        for fact in facts if not lost else ():
            self.tell(fact)

    @precondition(lambda self: self.call and not self.answer)
    @rule(happens=st.booleans(), answer=st.sampled_from([*HAPPENS_NOT, Answer.ACCEPTED]))
    def tries(self, happens: bool, answer: Answer) -> None:
        """What is in the outbox is carried out, or is not."""
        self.answer = self.carry_out(happens and answer in HAPPENS, answer)

    @precondition(lambda self: self.answer)
    @rule()
    def answered(self) -> None:
        """The answer arrives."""
        assert self.answer
        fact, self.answer = self.answer, None
        self.shown_to_be_ours = getattr(fact, "active", None) == BOT
        self.shown_to_be_free = isinstance(fact, ConversationRead) and fact.active is None
        self.tell(fact)
        self.shown_to_be_ours = self.shown_to_be_free = False

    def carry_out(self, happens: bool, answer: Answer) -> Fact:
        """Carry out what is pending."""
        call = self.call
        assert call
        self.calls.append(self.now)
        self.tried = call.effect_id
        return self.platform.carry_out(call, self.at, happens, answer)

    # -- the flow --------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.state.run and self.state.run.status is RunStatus.READY)
    @rule(way=st.sampled_from(["asks", "sleeps", "returns", "raises", "releases", "reminds", "hands over"]))
    def turn(self, way: str) -> None:
        """The flow's turn ends. If this rule is not drawn, it hangs."""
        assert self.state.run
        run = self.state.run.id
        taken = tuple(given.event_id for given in self.state.inputs[:1])
        ways: dict[str, Fact] = {
            "asks": FlowWaits(run, wants_input=True, until=self.now + 5 * MINUTE, taken=taken),
            "sleeps": FlowWaits(run, wants_input=False, until=self.now + MINUTE),
            "returns": FlowReturned(run),
            "raises": FlowFailed(run, "x"),
            "releases": FlowReleased(run),
            "reminds": FlowReminded(run, "reminder", 10 * MINUTE),
            "hands over": FlowHandedOver(run),
        }
        self.tell(ways[way])

    @rule()
    def told(self) -> None:
        """Another system tells the flow something."""
        self.tell(FlowTold())

    @rule()
    def flow_ordered(self) -> None:
        """Another system wants a flow to begin."""
        self.tell(FlowOrdered("ordered"))

    # -- what holds ------------------------------------------------------------------------------------------------

    @invariant()
    def one_effect(self) -> None:
        """What is on its way is to be tried or answered, and the state is safe."""
        assert self.state.is_safe()
        if self.state.pending:
            assert self.call or self.state.pending.effect_id == getattr(self.answer, "effect_id", None)

    def teardown(self) -> None:
        """A bad hour, in which nothing happens whatever the platform answers; then the faults stop and time runs on."""
        for answer in HAPPENS_NOT:
            self.live(HOUR, happens=False, answer=answer)
        self.live(24 * HOUR, happens=True, answer=Answer.ACCEPTED)
        self.is_given_up()
        self.is_closed()

    def live(self, duration: timedelta, *, happens: bool, answer: Answer) -> None:
        """Let time run on, with every call answered at once, and count the calls of each hour."""
        end, self.calls = self.now + duration, []
        while self.now < end:
            self.settle(happens=happens, answer=answer)
            due = self.state.waits_until
            self.now = min(max(due or end, self.now), end)
            self.tell(TimePassed())
            assert len(self.calls) <= CALLS_PER_HOUR * max(1, duration / HOUR)

    def settle(self, *, happens: bool, answer: Answer) -> None:
        """Everything that is under way arrives, and a flow that is to take a turn is complete."""
        while self.answer or self.call or self.platform.under_way or self.turn_is_due:
            if self.answer:
                self.answered()
            elif self.platform.under_way:
                self.event(0, lost=False)
            elif self.call:
                truthful = isinstance(self.call, Read)
                self.answer = self.carry_out(happens or truthful, Answer.ACCEPTED if truthful else answer)
            else:
                self.turn("returns")
            assert len(self.calls) <= 25 * CALLS_PER_HOUR

    @property
    def turn_is_due(self) -> bool:
        """Is a flow to take a turn?"""
        return self.state.run is not None and self.state.run.status is RunStatus.READY

    def is_given_up(self) -> None:
        """G1: the flow is over and the bot has given control up; nothing is owed any more."""
        assert self.platform.active != BOT
        assert (self.state.run, self.state.duty) == (None, None)
        assert (self.state.start, self.state.reminders) == (None, ())

    def is_closed(self) -> None:
        """G1: what has ended has nobody active, and that is proven; without an app key it is at least reported."""
        if self.platform.ended is None:
            assert self.state.ended is None
        elif self.policy.app_key or self.platform.active is None:
            assert self.platform.active is None
            assert self.state.ended is None or self.state.closed
        else:
            assert "no_app_key" in self.reports
            assert not self.state.closed


Conversations.TestCase.settings = settings(max_examples=examples(15, new=300), stateful_step_count=30)
TestConversations = Conversations.TestCase
