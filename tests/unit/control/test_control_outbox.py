"""What goes out: the order, what is put off and dropped, and when to try again or to give up."""

from __future__ import annotations

from datetime import timedelta

import pytest
from control_samples import BOT, BOTH_MODES, DESK, HOUR, MINUTE, NOON, SECOND, Story, owing, served

from bot.control import outbox
from bot.control.commands import GivenUp, Read, Release
from bot.control.facts import (
    Answer,
    Answered,
    CleanedUp,
    CleanUpsOwed,
    ControlUndated,
    EffectLost,
    FlowFailed,
    FlowHandedOver,
    FlowReleased,
    FlowReturned,
    FlowSaid,
    OperatorReleased,
    Removed,
    TakenUp,
    UserEnded,
)
from bot.control.policy import CLEAN_UPS, HURRIED, MESSAGES, SETTLING
from bot.control.state import Kind, Outcome, Unsent, What


def saying(count: int = 2, mode: str = "release") -> Story:
    """A flow at work has said so many messages."""
    story = served(mode)
    return story.tell(FlowSaid(story.run.id, count))


def first(story: Story) -> str | None:
    """The id of what goes out next."""
    effect = story.state.sends_first
    return outbox.id_of(effect) if effect else None


def message(story: Story, place: int = 0) -> Unsent:
    """One of the messages that are unsent."""
    return [unsent for unsent in story.state.unsent if unsent.kind is Kind.SAY][place]


def answered(story: Story, answer: Answer, retry_after: timedelta | None = None) -> Story:
    """The platform answers the first message."""
    return story.tell(Answered(message(story).id, answer, retry_after, "why"))


class TestOrder:
    """Messages in their order, and what is pending in its place among them."""

    def test_messages(self) -> None:
        """The first goes out first, and at once."""
        story = saying(2)
        assert [unsent.id for unsent in story.state.unsent] == ["c1.2", "c1.3"]
        assert (first(story), story.state.sends_at) == ("c1.2", story.now)
        assert first(answered(story, Answer.ACCEPTED)) == "c1.3"
        assert first(answered(story, Answer.ACCEPTED)) is None

    def test_of_another_run(self) -> None:
        """What a run says that is over already is not taken in."""
        story = served()
        assert story.tell(FlowSaid(99, 1)).state.unsent == ()

    def test_a_release_waits_for_what_was_said(self) -> None:
        """And for no message that is said after it was commanded."""
        story = saying(2)
        story.flow_returns()
        assert story.state.pending
        assert (story.state.pending.behind, first(story)) == ("c1.3", "c1.2")
        assert first(answered(story, Answer.ACCEPTED)) == "c1.3"
        assert first(answered(story, Answer.ACCEPTED)) == story.pending

    def test_a_read_that_ends_a_doubt_waits_for_nothing(self) -> None:
        """Messages wait for it; nothing is due before it."""
        story = saying(1).tell(ControlUndated())
        assert (first(story), outbox.may_still_say(story.state, "c1.2")) == (story.pending, False)
        assert first(story.shows(BOT)) == "c1.2"
        assert outbox.may_still_say(story.state, "c1.2")

    def test_nothing_goes_out_in_doubt_before_the_read(self) -> None:
        """The read has failed, and is tried again later: the conversation sleeps until then."""
        story = saying(1).flow_waits().tell(ControlUndated()).answers(Answer.UNCLEAR)
        assert (first(story), story.state.sends_at) == (None, None)
        assert story.state.look_at == story.state.read_at

    def test_clean_ups_go_by_themselves(self) -> None:
        """One at a time, beside messages and releases."""
        story = saying(1).tell(CleanUpsOwed(1, (1, 1)))
        assert (first(story), story.state.cleans_at) == ("c1.2", story.now)
        due = outbox.next_clean_up(story.state, story.now)
        assert due
        assert (due.id, outbox.kind_of(due)) == ("c1.3", Kind.CLEAN_UP)
        assert outbox.next_clean_up(story.state, story.now - SECOND) is None

    def test_a_call_is_made_from_what_is_owed(self) -> None:
        """Whom it concerns, and with which key, the duty says."""
        assert outbox.call_of(owing().state) == Release("c1.3", owing().duty.key)
        assert outbox.call_of(owing("pass").state) == Read("c1.3")
        with pytest.raises(ValueError, match="nothing is pending"):
            outbox.call_of(served().state)


class TestDropped:
    """What may not be said any more is dropped as soon as that is known."""

    @pytest.mark.parametrize("mode", BOTH_MODES)
    @pytest.mark.parametrize("ends", [FlowReturned, FlowReleased, FlowHandedOver])
    def test_a_flow_that_is_over_has_said_it(
        self, mode: str, ends: type[FlowReturned | FlowReleased | FlowHandedOver]
    ) -> None:
        """It still goes out."""
        story = saying(2, mode)
        assert len(story.tell(ends(story.run.id)).state.unsent) == 2

    def test_a_flow_that_failed_has_said_it(self) -> None:
        """That too."""
        story = saying(2)
        assert len(story.tell(FlowFailed(story.run.id, "x")).state.unsent) == 2

    @pytest.mark.parametrize("over", [True, False])
    def test_control_is_lost(self, over: bool) -> None:
        """Whether the flow is still at work or not."""
        story = saying(2)
        if over:
            story.flow_returns()
        assert story.later().moves(DESK).state.unsent == ()

    def test_the_user_ends(self) -> None:
        """Only the closing flow may speak after that."""
        story = saying(2, "pass")
        story.later().tell(UserEnded(story.platform, "m1"))
        assert first(story) is None
        story.tell(FlowSaid(story.run.id, 1))
        assert [unsent.run_id for unsent in story.state.unsent] == [story.state.closing_run]

    def test_an_operator_releases(self) -> None:
        """By hand: the flow is stopped."""
        assert saying(2).tell(OperatorReleased("ann")).state.unsent == ()

    def test_the_conversation_is_gone(self) -> None:
        """Clean-ups stay, and are due."""
        story = saying(2).tell(CleanUpsOwed(1, (1,))).tell(Removed())
        assert [unsent.kind for unsent in story.state.unsent] == [Kind.CLEAN_UP]
        assert (story.state.rules_at, story.state.look_at) == (None, story.now)


class TestMessages:
    """A message is said once, or given up in time."""

    @pytest.mark.parametrize(
        ("answer", "maybe_done", "wait"),
        [
            (Answer.RATE_LIMITED, False, SECOND),
            (Answer.NOT_SENT, False, SECOND),
            (Answer.UNCLEAR, True, SETTLING),
        ],
    )
    def test_again(self, answer: Answer, maybe_done: bool, wait: timedelta) -> None:
        """What was not said is tried again soon; what may have been said is looked for, once it had time to appear."""
        story = answered(saying(1), answer)
        kept = message(story)
        assert (kept.attempts, kept.maybe_done) == (1, maybe_done)
        assert 0.75 * wait <= kept.next_attempt - story.now <= wait
        assert story.flow

    def test_ever_more_rarely(self) -> None:
        """The platform's own wish counts where it is longer."""
        story = saying(1)
        waits = []
        for _ in range(4):
            answered(story, Answer.NOT_SENT)
            waits.append(message(story).next_attempt - story.now)
        assert waits == sorted(waits)
        assert waits[-1] > 4 * SECOND
        answered(story, Answer.RATE_LIMITED, 2 * MINUTE)
        assert message(story).next_attempt == story.now + 2 * MINUTE

    def test_once_unclear_it_stays_so(self) -> None:
        """Until it was looked for."""
        story = answered(answered(saying(1), Answer.UNCLEAR), Answer.RATE_LIMITED)
        assert message(story).maybe_done
        assert not message(answered(story, Answer.STALE)).maybe_done

    def test_refused(self) -> None:
        """It is given up with all that its flow has said, and the flow has failed."""
        story = answered(saying(2), Answer.REFUSED)
        assert (story.flow, story.state.unsent) == (None, ())
        assert GivenUp(Kind.SAY, 1, "why") in story.records
        assert story.reports == ["flow_failed"]
        assert story.duty.reason == "opening flow failed"

    def test_refused_after_the_flow(self) -> None:
        """The flow is over, and control goes where it was to go."""
        story = saying(2)
        duty = story.flow_returns().duty
        assert answered(story, Answer.REFUSED).duty is duty
        assert (story.reports, first(story)) == ([], story.pending)

    @pytest.mark.parametrize("over", [False, True])
    def test_patience(self, over: bool) -> None:
        """Less of it where a control action waits behind the message."""
        story, patience = saying(1), HURRIED if over else MESSAGES.patience
        if over:
            story.flow_returns()
        while story.state.unsent:
            due = message(story).next_attempt
            story.now = max(story.now, due)
            answered(story, Answer.NOT_SENT)
        assert story.now == NOON + SECOND + patience

    def test_a_last_try_where_it_was_unclear_late(self) -> None:
        """It is looked for once more, even if patience is over by then."""
        story = saying(1)
        story.now = message(story).since + MESSAGES.patience - SECOND
        answered(story, Answer.UNCLEAR)
        assert message(story).next_attempt == story.now + SETTLING

    def test_a_message_that_is_put_off_hurries(self) -> None:
        """When a control action comes to wait behind it."""
        story = answered(saying(1), Answer.RATE_LIMITED, HOUR)
        assert message(story).next_attempt == story.now + MESSAGES.patience
        story.flow_returns()
        assert message(story).next_attempt == story.now + HURRIED

    def test_answers_for_what_is_gone(self) -> None:
        """Change nothing."""
        story = saying(1)
        before = answered(story, Answer.ACCEPTED).state
        assert story.tell(Answered("c1.2", Answer.UNCLEAR)).tell(CleanedUp("c1.9", "x")).state == before

    def test_the_conversation_is_not_there(self) -> None:
        """A 404 to a message ends everything."""
        story = answered(saying(2), Answer.GONE)
        assert (story.state.gone, story.state.unsent, story.reports) == (True, (), ["conversation_gone"])

    def test_what_cant_be_read_is_over(self) -> None:
        """The next one goes out."""
        story = saying(2).tell(EffectLost("c1.2"))
        assert first(story) == "c1.3"


class TestCleanUps:
    """A clean-up is tried as often as the flow wanted, within an hour."""

    def test_done(self) -> None:
        """It is over."""
        assert served().tell(CleanUpsOwed(1, (3,))).tell(CleanedUp("c1.2")).state.unsent == ()

    def test_again(self) -> None:
        """At growing intervals, then it is given up."""
        story = served().tell(CleanUpsOwed(1, (3,)))
        waits = []
        for _ in range(2):
            story.tell(CleanedUp("c1.2", "ValueError"))
            waits.append(story.state.unsent[0].next_attempt - story.now)
        assert SECOND / 2 < waits[0] < waits[1]
        story.tell(CleanedUp("c1.2", "ValueError"))
        assert (story.state.unsent, story.records[-1]) == ((), GivenUp(Kind.CLEAN_UP, 1, "ValueError"))

    @pytest.mark.parametrize("late", [True, False])
    def test_given_up(self, late: bool) -> None:
        """After an hour, and at once where another try would not help."""
        story = served().tell(CleanUpsOwed(1, (9,)))
        story.now += CLEAN_UPS.patience if late else timedelta(0)
        assert story.tell(CleanedUp("c1.2", "NotFound", final=not late)).state.unsent == ()


class TestDeaths:
    """What another worker finds: whatever could have been tried may have been done."""

    def test_while_at_work(self) -> None:
        """Everything may have been tried when the worker dies; what is given back is exact."""
        story = saying(2)
        story.flow_returns()
        stored = outbox.as_at_work(story.state)
        assert all(unsent.maybe_done for unsent in stored.unsent)
        assert stored.pending
        assert stored.pending.maybe_done
        assert outbox.as_at_work(stored) is stored
        assert not any(unsent.maybe_done for unsent in story.state.unsent)

    def test_a_control_action_is_unclear(self) -> None:
        """It is read before it is tried again."""
        story = owing()
        story.state = outbox.as_at_work(story.state)
        story.tell(TakenUp())
        assert (story.state.pending, story.duty.last_answer) == (
            None,
            "release: unclear (the process stopped meanwhile)",
        )
        assert story.later(2 * SECOND).last_call == "Read"

    def test_a_read_is_read(self) -> None:
        """Reading twice does no harm."""
        story = owing("pass")
        story.state = before = outbox.as_at_work(story.state)
        assert before.pending
        assert before.pending.what is What.READ_FOR_DUTY
        assert story.tell(TakenUp()).state is before

    def test_what_was_given_back_was_not_tried(self) -> None:
        """And is tried."""
        before = owing().state
        story = owing()
        assert story.tell(TakenUp()).state == before


class TestTyping:
    """The bot is shown typing while a slow turn is at work, and only where it may speak."""

    def test_while_nothing_goes_out(self) -> None:
        """Not while a message does, nor while it is in doubt, nor for a run that is over."""
        story = served()
        assert outbox.may_show_typing(story.state, story.run.id)
        assert not outbox.may_show_typing(saying(1).state, story.run.id)
        assert not outbox.may_show_typing(story.tell(ControlUndated()).state, story.run.id)
        assert not outbox.may_show_typing(story.shows(DESK).state, 1)


@pytest.mark.parametrize(
    ("ends", "outcome"),
    [
        (lambda story: story.flow_returns(), Outcome.COMPLETE),
        (lambda story: story.tell(FlowReleased(1)), Outcome.RELEASED),
        (lambda story: story.tell(FlowHandedOver(1)), Outcome.HANDED_OVER),
        (lambda story: story.tell(FlowFailed(1, "x")), Outcome.FAILED),
        (lambda story: story.tell(FlowSaid(1, 1)).tell(Answered("c1.2", Answer.REFUSED)), Outcome.FAILED),
        (lambda story: story.later(HOUR), Outcome.TIMED_OUT),
        (lambda story: story.user_ends(), Outcome.ENDED),
        (lambda story: story.moves(DESK), Outcome.INTERRUPTED),
        (lambda story: story.tell(Removed()), Outcome.INTERRUPTED),
    ],
)
def test_how_a_run_ended(ends: object, outcome: Outcome) -> None:
    """It is recorded once, whichever way."""
    assert callable(ends)
    story: Story = ends(served())
    well = (Outcome.COMPLETE, Outcome.RELEASED, Outcome.HANDED_OVER)
    assert outcome.went_well is (outcome in well)
    assert [record.outcome for record in story.records if hasattr(record, "outcome")] == [outcome]
