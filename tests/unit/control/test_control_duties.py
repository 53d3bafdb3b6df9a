"""How a duty is carried out: guarded or after a read, again after a backoff, until there is proof."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from control_samples import BOT, BOTH_MODES, DESK, HOUR, MINUTE, NOON, SECOND, Story, owing, served, with_agent

from bot.control.commands import Pass, Read, Release
from bot.control.draft import Draft
from bot.control.facts import (
    AgentWrote,
    Answer,
    Answered,
    ControlFailed,
    ConversationRead,
    FlowReleased,
    OperatorReleased,
    TimePassed,
)
from bot.control.policy import FRESH, FRESH_CAP, GUARDED_ATTEMPTS, PROOF_WAIT, RETRY_CAP
from bot.control.state import Action, Conversation, Key, Purpose, Stage, What, Who

in_both_modes = pytest.mark.parametrize("mode", BOTH_MODES)
FRUITLESS = [Answer.ACCEPTED, Answer.REFUSED, Answer.RATE_LIMITED, Answer.NOT_SENT, Answer.UNCLEAR]


def ended_with_bot(**settings: Any) -> Story:
    """Pass mode without a closing flow: the user has ended it, and the release has been commanded."""
    return served("pass", closes=False, **settings).user_ends()


def test_accepted_is_no_proof() -> None:
    """A 200 is no proof: the duty stays, and a read follows unless an event comes first."""
    story = owing().answers(Answer.ACCEPTED)
    assert story.duty.stage is Stage.CHECK
    assert story.later(PROOF_WAIT).calls[-1] == Read(story.pending, messages=False)


@pytest.mark.parametrize("proof", ["event", "read"])
def test_proof(proof: str) -> None:
    """A releaseControl event or a read that shows nobody is the proof."""
    story = owing().answers(Answer.ACCEPTED).later(PROOF_WAIT)
    story = story.moves(None) if proof == "event" else story.shows(None)
    assert (story.state.duty, story.state.holder.who) == (None, Who.NOBODY)
    assert len(story.proofs) == 1


def test_message_is_no_proof() -> None:
    """That a message shows nobody active is no proof, but makes the bot read soon."""
    story = owing().answers(Answer.ACCEPTED).later().sees(None)
    assert story.duty.action is Action.RELEASE
    story.later()
    assert story.state.pending
    assert story.state.pending.what is What.READ_TO_WATCH
    assert story.shows(None).state.duty is None


def test_not_ours_proves_a_flow_over() -> None:
    """403 for a flow that is over is proof: it is not ours any more. Whose it is, a read tells soon."""
    story = owing().answers(Answer.NOT_OURS)
    assert (story.state.duty, story.state.holder.who) == (None, Who.UNKNOWN)
    assert story.later().state.pending
    assert story.shows(DESK).state.holder.who is Who.OTHER


def test_not_ours_after_the_end_asks_for_a_read() -> None:
    """403 for a conversation that has ended is no proof of its being closed: it is read at once."""
    story = ended_with_bot().answers(Answer.NOT_OURS)
    assert not story.state.closed
    assert story.calls[-1] == Read(story.pending, messages=False)
    assert story.shows(None).state.closed


def test_not_ours_and_still_active() -> None:
    """A platform that refuses the release, and shows the bot active, is not hammered."""
    story = ended_with_bot()
    story = keep_answering(story, Answer.NOT_OURS, HOUR)
    assert 10 < len(story.actions) < 30


def keep_answering(story: Story, answer: Answer, duration: timedelta) -> Story:
    """For a while every action gets that answer at once, and every read shows the bot active."""
    end = story.now + duration
    while story.now < end:
        while story.state.pending:
            what = story.state.pending.what
            story = story.answers(answer) if what in (What.RELEASE, What.PASS) else story.shows(BOT)
        story.later(SECOND)
    return story


@pytest.mark.parametrize("answer", FRUITLESS)
@pytest.mark.parametrize("settings", [{"integration_key": True}, {"integration_key": False, "app_key": True}])
def test_backoff(answer: Answer, settings: dict[str, Any]) -> None:
    """Whatever keeps failing is tried again less and less often, but at least every five minutes and a bit."""
    story = keep_answering(owing(**settings), answer, HOUR)
    assert 15 < len(story.actions) < 30
    before = len(story.actions)
    assert len(keep_answering(story, answer, RETRY_CAP + 5 * SECOND).actions) in (before + 1, before + 2)


@pytest.mark.parametrize("answer", [Answer.RATE_LIMITED, Answer.UNCLEAR])
def test_retry_after(answer: Answer) -> None:
    """`Retry-After` is honoured, but not beyond the cap of five minutes."""
    assert owing().answers(answer, 20 * SECOND).duty.next_attempt == NOON + SECOND + 20 * SECOND
    assert owing().answers(answer, HOUR).duty.next_attempt == NOON + SECOND + RETRY_CAP


@pytest.mark.parametrize("answer", [Answer.RATE_LIMITED, Answer.NOT_SENT])
def test_certainly_not_done(answer: Answer) -> None:
    """What certainly did not happen may be repeated without a read, if the key is guarded."""
    story = owing().answers(answer).later(2 * SECOND)
    assert [type(call) for call in story.calls] == [Release, Release]


@pytest.mark.parametrize("answer", [Answer.UNCLEAR, Answer.REFUSED, Answer.ACCEPTED])
def test_perhaps_done(answer: Answer) -> None:
    """What may have happened is never repeated without a read."""
    story = owing().answers(answer).later(PROOF_WAIT)
    assert [type(call) for call in story.calls] == [Release, Read]
    assert story.shows(BOT).actions == ["release", "release"]


@in_both_modes
def test_app_key_alone(mode: str) -> None:
    """With an app key alone, every release is preceded by a read that has just shown the bot active."""
    story = served(mode, integration_key=False, app_key=True)
    story.tell(FlowReleased(story.run.id))
    for answer in (Answer.RATE_LIMITED, Answer.NOT_OURS, Answer.ACCEPTED, Answer.UNCLEAR):
        assert story.last_call == "Read"
        story.shows(BOT)
        assert story.last_call == "Release"
        story.answers(answer).later(10 * SECOND)
    assert story.actions == ["release (app)"] * 4
    assert story.shows(DESK).state.duty is None


def test_app_key_is_not_used_before_the_end() -> None:
    """The app key is not used in a conversation that goes on, even if the other key is refused for ever."""
    story = keep_answering(owing(app_key=True), Answer.REFUSED, HOUR)
    assert set(story.actions) == {"release"}


def test_app_key_takes_over_after_the_end() -> None:
    """After an end, the app key takes over from a key that does not get anywhere, after a read."""
    story = keep_answering(ended_with_bot(app_key=True), Answer.REFUSED, MINUTE)
    assert story.actions[: GUARDED_ATTEMPTS + 1] == ["release"] * GUARDED_ATTEMPTS + ["release (app)"]


def test_app_key_acts_right_after_its_read() -> None:
    """The app key's release of what another holds after the end comes right after the read, again and again."""
    story = with_agent(app_key=True).user_ends().later(15 * SECOND).shows(DESK)
    for tries in range(1, 5):
        assert story.duty.key is Key.APP
        assert len(story.actions) == tries
        story.answers(Answer.ACCEPTED).later(20 * SECOND)
        assert story.last_call == "Read"
        story.shows(DESK)


def test_overdue() -> None:
    """A duty is reported when it has been owed for 1, 4, 16 … minutes, even if nothing else is due then."""
    story = owing().answers(Answer.RATE_LIMITED, 5 * MINUTE)
    assert story.later(MINUTE - SECOND).reports == []
    assert story.later(SECOND).reports == ["duty_overdue"]
    assert story.later(2 * MINUTE).reports == ["duty_overdue"]
    assert story.later(MINUTE).reports == ["duty_overdue", "duty_overdue"]


def test_read_fails() -> None:
    """A read for a duty that fails is repeated with backoff; its failures are forgotten when one succeeds."""
    story = owing().answers(Answer.ACCEPTED).later(2 * SECOND)
    story.answers(Answer.UNCLEAR).later(SECOND).answers(Answer.RATE_LIMITED, 3 * SECOND)
    assert (story.duty.failures, story.duty.next_attempt) == (2, story.now + 3 * SECOND)
    assert story.later(3 * SECOND).shows(BOT).duty.failures == 0


def test_read_is_overtaken() -> None:
    """A read whose answer is older than what is known by now is repeated."""
    story = owing().answers(Answer.ACCEPTED).later(2 * SECOND)
    read, at = story.pending, story.platform
    story.later().sees(BOT).tell(ConversationRead(read, at, None))
    assert story.duty.next_attempt > story.now
    assert story.later().state.pending
    assert story.shows(None).state.duty is None


def test_read_for_the_end_is_overtaken() -> None:
    """The same for the read after the grace."""
    story = served().user_ends().later(15 * SECOND)
    read, at = story.pending, story.platform
    story.later().sees(BOT).tell(ConversationRead(read, at, None))
    assert not story.state.closed
    assert story.later(5 * SECOND).shows(None).state.closed


def test_stale_answers() -> None:
    """Answers for what is not on its way any more change nothing."""
    story = owing()
    before = story.state
    assert story.tell(Answered("c1.99", Answer.ACCEPTED)).tell(ConversationRead("c1.99", NOON, None)).state == before


def test_answer_after_the_duty() -> None:
    """A read for a duty that is over by now is dropped, and what comes of it all the same means nothing."""
    story = owing().answers(Answer.ACCEPTED).later(2 * SECOND)
    read = story.state.pending
    assert read
    before = story.moves(DESK).state
    assert (before.pending, before.duty) == (None, None)
    assert story.tell(ConversationRead(read.effect_id, NOON, None)).state == before
    assert story.tell(Answered(read.effect_id, Answer.UNCLEAR)).state == before


def test_the_read_for_a_duty_voids_it() -> None:
    """It shows that the user has written again after the end: nothing is owed any more."""
    story = with_agent(app_key=True).user_ends().later(20 * SECOND).shows(DESK)
    assert story.duty.key is Key.APP
    story.answers(Answer.UNCLEAR).later(MINUTE)
    void = ConversationRead(
        story.pending, story.platform, DESK, spoke_at=story.platform, void_end=story.ended.message_id
    )
    assert story.state.pending
    assert story.state.pending.what is What.READ_FOR_DUTY
    assert (story.tell(void).state.duty, story.state.ended) == (None, None)


def test_an_answer_to_nothing_that_is_owed() -> None:
    """An earlier version stored a read for a duty that was over: its answer is taken in, and does nothing."""
    story = owing().answers(Answer.ACCEPTED).later(2 * SECOND)
    story.state = replace(story.state, duty=None)
    assert story.answers(Answer.UNCLEAR).state.pending is None


def test_gone_without_an_end() -> None:
    """A conversation that is gone without having been ended is owed nothing, and no end is made up."""
    state = owing().answers(Answer.GONE).state
    assert (state.gone, state.duty, state.ended, state.look_at) == (True, None, None, None)


def test_gone() -> None:
    """404: there is no such conversation; everything is over, and nothing is looked at any more."""
    story = served("pass").user_ends().tell(Answered("any", Answer.GONE))
    assert story.state.gone
    assert story.reports == ["conversation_gone"]
    assert (story.state.look_at, story.state.waits_until) == (None, None)
    before = story.state
    assert story.tell(ControlFailed(NOON, "forbidden")).tell(OperatorReleased("ann")).later(HOUR).state == before


@in_both_modes
def test_gone_and_yet_there(mode: str) -> None:
    """What happens in it later shows that the 404 was wrong: the user is served, and what they end is closed."""
    story = served(mode).tell(Answered("any", Answer.GONE)).later().user_says()
    assert (story.state.gone, story.state.holder.who, story.run.purpose) == (False, Who.BOT, Purpose.OPENING)
    story = served(mode, closes=False).tell(Answered("any", Answer.GONE)).later().user_ends(BOT).later(MINUTE)
    assert (story.state.gone, story.state.look_at is not None) == (False, True)
    while isinstance(story.calls[-1], Read):
        story = story.shows(BOT).later(5 * MINUTE)
    assert story.calls[-1] == Release(story.pending, Key.INTEGRATION)


def test_gone_again() -> None:
    """A late event of what is gone costs one read, and its 404 ends it."""
    story = served("pass").tell(Answered("any", Answer.GONE)).later().sees(DESK).later(MINUTE)
    assert story.calls[-1] == Read(story.pending, messages=True)
    before = len(story.calls)
    story = story.answers(Answer.GONE).later(HOUR)
    assert (story.state.gone, story.state.look_at, len(story.calls)) == (True, None, before)


def test_duty_waits_for_a_foreign_read() -> None:
    """A duty that becomes due while a read for something else is on its way acts as soon as that is answered."""
    story = served().tell(TimePassed())
    story.tell(OperatorReleased("ann"))
    assert story.actions == ["release"]
    story = with_agent().later(10 * MINUTE)
    assert story.state.pending
    story.user_says().flow_returns()
    assert story.actions == [], "one effect at a time"
    assert story.duty.next_attempt - story.now <= SECOND
    read = story.pending
    story.tell(ConversationRead(read, story.platform, BOT))
    assert story.later(SECOND).actions == ["release"]


def test_duty_waits_for_its_own_answer() -> None:
    """While its own effect is on its way, a duty commands nothing more."""
    story = owing().later(HOUR)
    assert story.actions == ["release"]
    assert story.state.is_safe()


def test_superseded() -> None:
    """The user writes on after the release was accepted, and a read shows the bot active: a new opening flow."""
    story = owing().answers(Answer.ACCEPTED).later().user_says()
    assert story.state.run is None, "active again or still: only the read tells"
    story = story.later(PROOF_WAIT).shows(BOT)
    assert (story.flow, story.state.duty) == (Purpose.OPENING, None)
    assert story.run.opening.event_id == "e2"


def test_superseded_soon() -> None:
    """Such a message doesn't wait for a read that is minutes away."""
    story = keep_answering(owing(), Answer.ACCEPTED, 20 * MINUTE).user_says()
    assert story.duty.next_attempt <= story.now + PROOF_WAIT


@pytest.mark.parametrize("seconds", [-30, 30])
def test_superseded_with_skew(seconds: int) -> None:
    """A message from before the release, told after it, is not taken for one after it, however the clocks differ."""
    story = served(skew=timedelta(seconds=seconds)).flow_returns()
    told = story.platform
    story.later().answers(Answer.ACCEPTED).user_says()
    assert story.state.holder.since
    assert story.state.holder.since > told
    assert story.later().moves(None).flow is None
    assert story.proofs == ["nobody is active, shown by a releaseControl event"]


def test_not_superseded_without_opening_flow() -> None:
    """Where nothing could serve the user, the release goes on."""
    story = Story(opens=False).user_says().answers(Answer.ACCEPTED).later().user_says()
    assert story.later(PROOF_WAIT).shows(BOT).actions == ["release", "release"]


@pytest.mark.parametrize("situation", [served, owing, with_agent, ended_with_bot])
def test_one_effect_at_a_time(situation: object) -> None:
    """Whatever time passes, a second effect waits for the answer to the first."""
    assert callable(situation)
    story: Story = situation()
    before = len(story.calls)
    assert len(story.later(HOUR).calls) <= max(before, 1)


def test_pass_is_void_after_the_end() -> None:
    """A user who ends the conversation makes a pass void: it is released instead."""
    story = owing("pass", closes=False).shows(BOT).user_ends()
    assert story.actions == ["pass to zd-agentWorkspace", "release"]
    assert story.proofs == ["void: the user ended the conversation"]


def test_agent_does_not_stop_a_release() -> None:
    """An agent who writes while a release is on its way changes nothing: the release is guarded."""
    story = owing()
    duty = story.duty
    assert story.tell(AgentWrote(story.platform, "zd:agentWorkspace")).duty == duty


def test_failure_without_a_pass() -> None:
    """A failed pass that is not the bot's changes nothing."""
    story = owing()
    before = story.state
    assert story.tell(ControlFailed(story.platform, "x")).state == before


def test_nothing_is_owed_for_what_another_holds() -> None:
    """A pass that turns out to be superfluous, because another is active already, is not carried out."""
    story = owing("pass").shows(DESK)
    assert (story.actions, story.state.duty) == ([], None)


@pytest.mark.parametrize(
    ("reason", "flow", "actions"),
    [
        ("ticketClosed", Purpose.CLOSING, ["pass to zd-agentWorkspace"]),
        ("transferToEmail", None, ["pass to zd-agentWorkspace", "release"]),
    ],
)
def test_transfer_during_a_pass(reason: str, flow: Purpose | None, actions: list[str]) -> None:
    """Control that comes back while a pass is owed was passed: it isn't passed again."""
    story = owing("pass").shows(BOT).answers(Answer.ACCEPTED).later().moves(BOT, reason)
    assert (story.flow, story.actions) == (flow, actions)


class TestFreshReads:
    """What the platform doesn't refuse rests on a read, and only while that read is fresh."""

    def test_a_guarded_release_needs_none(self) -> None:
        """The platform refuses it where control is another's, however late it comes."""
        assert owing().calls[-1] == Release("c1.3", Key.INTEGRATION)

    @pytest.mark.parametrize("mode", BOTH_MODES)
    def test_an_action_has_its_time(self, mode: str) -> None:
        """Counted from when the read began, which is when somebody may have taken control unseen."""
        story = owing(mode, integration_key=False, app_key=True)
        story.tell(ConversationRead(story.pending, story.platform, BOT, began=story.now - SECOND))
        act = story.calls[-1]
        assert isinstance(act, Release | Pass)
        assert act.before == story.now + FRESH - SECOND

    def test_a_slow_read_is_read_anew(self) -> None:
        """Until it allows for the time that reads take here: a slow platform keeps nobody from being released."""
        story = owing(integration_key=False, app_key=True)
        for _ in range(3):
            story.tell(ConversationRead(story.pending, story.platform, BOT, began=story.now - 9 * SECOND))
            assert story.actions == []
            story.later(5 * SECOND)
        assert story.tell(
            ConversationRead(story.pending, story.platform, BOT, began=story.now - 9 * SECOND)
        ).actions == ["release (app)"]

    def test_the_most(self) -> None:
        """A read of more than a minute is no base for anything."""
        story = owing(integration_key=False, app_key=True)
        for _ in range(20):
            story.tell(ConversationRead(story.pending, story.platform, BOT, began=story.now - FRESH_CAP)).later(
                RETRY_CAP
            )
        assert story.actions == []

    def test_an_action_that_was_held_up(self) -> None:
        """It didn't go out, so it counts for no attempt; a read comes before the next."""
        story = owing("pass", integration_key=False, app_key=True).shows(BOT).answers(Answer.STALE)
        assert (story.duty.stage, story.duty.attempts, story.duty.stale) == (Stage.CHECK, 0, 1)
        assert story.later().last_call == "Read"
        assert story.shows(DESK).state.duty is None

    def test_the_app_key_after_an_end(self) -> None:
        """What another holds after the end is taken only while the read that showed it is fresh."""
        story = with_agent(app_key=True).user_ends().later(15 * SECOND).shows(DESK)
        act = story.calls[-1]
        assert isinstance(act, Release)
        assert act.before == story.now + FRESH


def test_nothing_to_change() -> None:
    """Without a duty or an end, setting their attributes changes nothing."""
    state = Conversation("c1")
    draft = Draft(state, NOON, Story().policy)
    draft.set_duty(failures=1)
    draft.set_ended(checks=1)
    assert draft.state is state
