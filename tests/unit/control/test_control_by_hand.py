"""Release by hand: what an operator is told beforehand, and that the rules then do that."""

from __future__ import annotations

import pytest
from control_samples import BOT, DESK, HOUR, MINUTE, SECOND, Story, owing, served, with_agent
from test_control_duties import keep_answering

from bot.control.by_hand import Consequence, prospect
from bot.control.facts import Answer, ConversationRead, FlowHandedOver, OperatorReleased, Removed
from bot.control.state import Key

TAKE = OperatorReleased("ann", against=DESK.id)


def foreseen(story: Story) -> tuple[Consequence, str]:
    """What an operator is told now."""
    told = prospect(story.state, story.policy)
    return told.consequence, told.words


class TestWhatTheBotHolds:
    """It is released by the same road as everything else."""

    def test_released(self) -> None:
        """The flow stops, and control is released."""
        story = served()
        outcome, words = foreseen(story)
        assert (outcome, "stops its flow" in words) == (Consequence.RELEASE, True)
        story.tell(OperatorReleased("ann"))
        assert (story.flow, story.actions, story.duty.reason) == (None, ["release"], "released by hand (ann)")

    def test_hurried(self) -> None:
        """A release that waits for its next attempt is looked at now."""
        story = keep_answering(owing(), Answer.UNCLEAR, 20 * MINUTE)
        calls = len(story.calls)
        assert len(story.tell(OperatorReleased("ann")).calls) == calls + 1

    def test_instead_of_a_pass(self) -> None:
        """A pass that is owed becomes a release, and what is on its way for it is taken back."""
        story = served()
        story.tell(FlowHandedOver(story.run.id, "sales")).shows(BOT)
        on_its_way = story.pending
        story.tell(OperatorReleased("ann"))
        assert story.pending != on_its_way
        assert story.actions == ["pass to sales", "release"]

    def test_unknown_holder(self) -> None:
        """Where nobody knows, the integration's key releases what is the bot's and nothing else."""
        story = Story()
        assert foreseen(story)[0] is Consequence.RELEASE
        story.tell(OperatorReleased("ann"))
        assert story.actions == ["release"]
        assert story.answers(Answer.NOT_OURS).state.duty is None

    def test_unknown_holder_without_that_key(self) -> None:
        """An app key would release what is anybody's: a read is all that follows."""
        story = Story(integration_key=False, app_key=True)
        assert foreseen(story)[0] is Consequence.LOOK
        assert story.tell(OperatorReleased("ann")).last_call == "Read"
        assert story.shows(DESK).actions == []


class TestAfterTheEnd:
    """The grace is not waited for; the rest is as ever."""

    @pytest.mark.parametrize("app_key", [True, False])
    def test_held_by_another(self, app_key: bool) -> None:
        """A read, and then the app key where there is one."""
        story = with_agent(app_key=app_key).user_ends()
        outcome, words = foreseen(story)
        assert (outcome, "releases it with the app key" in words) == (Consequence.LOOK, app_key)
        assert len(story.tell(OperatorReleased("ann")).calls) == 1
        assert story.shows(DESK).actions == (["release (app)"] if app_key else [])

    def test_held_by_nobody(self) -> None:
        """The read is the proof."""
        story = with_agent().user_ends().tell(OperatorReleased("ann"))
        assert story.shows(None).state.closed

    def test_closed(self) -> None:
        """Of what is proven closed there is nothing to do but to read once more."""
        story = served().user_ends().moves(None).later()
        assert foreseen(story)[0] is Consequence.LOOK
        assert story.tell(OperatorReleased("ann")).last_call == "Read"


class TestWhatOthersHold:
    """In a live conversation nothing is taken from others, unless the operator has confirmed from whom."""

    def test_unconfirmed(self) -> None:
        """It is read, and not taken."""
        story = with_agent(app_key=True)
        told = prospect(story.state, story.policy)
        assert (told.consequence, told.against) == (Consequence.TAKE, DESK.id)
        assert "an agent may be talking" in told.words
        story.tell(OperatorReleased("ann"))
        assert (story.actions, len(story.calls)) == ([], 1)
        assert story.shows(DESK).actions == []

    def test_a_read_for_something_else(self) -> None:
        """A read that was under way for an earlier duty is no read of what the operator wants."""
        story = served(integration_key=False, app_key=True).flow_returns()
        earlier = story.pending
        story.later().moves(DESK).tell(TAKE)
        assert story.tell(ConversationRead(earlier, story.platform, DESK)).actions == []
        assert story.later().shows(DESK).actions == ["release (app)"]

    def test_without_an_app_key(self) -> None:
        """It can't be taken, and the operator is told what is missing."""
        story = with_agent()
        outcome, words = foreseen(story)
        assert (outcome, "SUNSHINE_APP_KEY_ID" in words) == (Consequence.NOTHING, True)
        story.tell(TAKE)
        assert story.state.duty is None
        assert story.shows(DESK).actions == []

    def test_confirmed(self) -> None:
        """It is read first, then released with the app key, until that is proven."""
        story = with_agent(app_key=True).tell(TAKE)
        assert (story.last_call, story.actions) == ("Read", [])
        assert story.shows(DESK).actions == ["release (app)"]
        assert story.duty.key is Key.APP
        assert story.answers(Answer.ACCEPTED).state.duty, "a 200 is no proof"
        story.later().moves(None)
        assert (story.state.duty, story.proofs) == (None, ["nobody is active, shown by a releaseControl event"])

    def test_confirmed_for_another(self) -> None:
        """What was confirmed against one is not done to another."""
        story = with_agent(app_key=True).tell(OperatorReleased("ann", against="sw-sales"))
        assert story.state.duty is None
        assert story.shows(DESK).actions == []

    @pytest.mark.parametrize("now_active", [BOT, None])
    def test_moved_meanwhile(self, now_active: object) -> None:
        """If another holds it by the time of the read, or nobody does, nothing is taken."""
        story = with_agent(app_key=True).tell(TAKE)
        story.shows(BOT if now_active else None)
        assert (story.state.duty, story.actions) == (None, [])

    def test_accepted_in_vain(self) -> None:
        """One release an order: who is active after that may have it anew. People are told."""
        story = with_agent(app_key=True).tell(TAKE).shows(DESK).answers(Answer.ACCEPTED)
        story.later(3 * SECOND).shows(DESK)
        assert (story.state.duty, story.actions) == (None, ["release (app)"])
        assert story.reports == ["release_by_hand_failed"]
        assert story.later(HOUR).actions == ["release (app)"]

    @pytest.mark.parametrize("answer", [Answer.UNCLEAR, Answer.RATE_LIMITED, Answer.REFUSED, Answer.NOT_OURS])
    def test_failed(self, answer: Answer) -> None:
        """A release that fails is tried again, after a read each time, and then given up."""
        story = with_agent(app_key=True).tell(TAKE)
        for _ in range(3):
            assert story.last_call == "Read"
            story.shows(DESK).answers(answer).later(MINUTE)
        story.shows(DESK)
        assert (story.state.duty, story.actions) == (None, ["release (app)"] * 3)
        assert story.reports[-1] == "release_by_hand_failed"

    def test_handed_back_meanwhile(self) -> None:
        """What the bot is to release now is owed by itself, and not only against the other."""
        story = with_agent(app_key=True).tell(TAKE).later().moves(BOT, "transferToEmail")
        assert (story.duty.reason, story.duty.against) == ("transferred to email", None)
        assert story.actions == ["release"]

    def test_ended_meanwhile(self) -> None:
        """An end makes it a release like every other after an end."""
        story = with_agent(app_key=True).tell(TAKE).user_ends().shows(DESK)
        assert story.actions == ["release (app)"]
        assert story.answers(Answer.ACCEPTED).later().moves(None).state.closed


class TestWhatIsGone:
    """Nothing can be done about it."""

    def test_gone(self) -> None:
        """Neither foreseen nor done."""
        story = served().tell(Removed())
        assert foreseen(story)[0] is Consequence.NOTHING
        before = story.state
        assert story.tell(OperatorReleased("ann")).state == before


def test_nobody() -> None:
    """Where nobody is active, a read shows whether that is still so."""
    story = served().moves(None).later()
    assert "Nobody holds control" in foreseen(story)[1]
    assert story.tell(OperatorReleased("ann")).last_call == "Read"
