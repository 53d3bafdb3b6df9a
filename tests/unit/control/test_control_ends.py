"""After the user's end: grace, proof, and conversations in which somebody becomes active again."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from control_samples import BOT, BOTH_MODES, DESK, HOUR, MINUTE, NOON, SECOND, Story, owing, served, with_agent

from bot.control.commands import Read
from bot.control.facts import (
    Answer,
    ControlUndated,
    ConversationRead,
    EndSuspected,
    FlowReleased,
    HolderSeen,
    UserEnded,
    UserSpoke,
)
from bot.control.state import Input, Integration, Purpose, Who

in_both_modes = pytest.mark.parametrize("mode", BOTH_MODES)


def closed(mode: str = "release", **settings: Any) -> Story:
    """An agent had it, the user has ended it, and the platform has released it."""
    return with_agent(mode, **settings).user_ends().later().moves(None).later()


@in_both_modes
def test_closed_is_at_rest(mode: str) -> None:
    """A closed conversation is not looked at any more."""
    story = closed(mode)
    assert story.state.closed
    assert story.state.look_at is None


@in_both_modes
def test_release_before_the_end(mode: str) -> None:
    """A release that came before the end proves nothing, but a read after the grace does."""
    story = with_agent(mode).moves(None).later().user_ends()
    assert not story.state.closed
    assert story.later(15 * SECOND).shows(None).state.closed


@in_both_modes
def test_end_with_the_release(mode: str) -> None:
    """The release and the end have the same time: that proves it, in either order."""
    story = with_agent(mode)
    assert story.moves(None).user_ends().state.closed
    assert with_agent(mode).user_ends().moves(None).state.closed


@in_both_modes
@pytest.mark.parametrize("behind", [timedelta(milliseconds=4), 2 * SECOND, 3 * SECOND])
@pytest.mark.parametrize("active", [None, BOT])
def test_end_just_before_the_release_by_a_clock_behind(
    mode: str, behind: timedelta, active: Integration | None
) -> None:
    """It may have come after that, and have made the bot active: a read tells, and proves it or not."""
    story = owing().later().moves(None).later(MINUTE).tell(ControlUndated()).shows(None)
    story.tell(UserEnded(story.platform - behind, "m1"))
    assert (story.state.closed, story.state.in_doubt) == (False, True)
    assert story.shows(active).state.closed is (active is None)


@in_both_modes
def test_end_told_twice(mode: str) -> None:
    """The same end, told again, changes nothing: before the proof, and after it."""
    story = with_agent(mode).user_ends()
    again = UserEnded(story.platform, "m1")
    before = story.state
    assert story.tell(again).state == before
    before = story.later().moves(None).state
    assert story.tell(again).state == before


def test_second_end() -> None:
    """A later end of a conversation that was closed is a new one, with a proof of its own."""
    story = closed().user_ends()
    assert not story.state.closed
    assert story.later(15 * SECOND).shows(None).state.closed


def test_read_for_the_end_fails() -> None:
    """A read after the grace that fails is repeated, less and less often."""
    story = with_agent().user_ends().later(15 * SECOND)
    for _ in range(20):
        story.answers(Answer.UNCLEAR).later(5 * MINUTE)
    assert story.shows(None).state.closed


def test_bot_holds_after_the_grace_and_loses_it() -> None:
    """A bot that is found active after the grace releases; if another has it by then, the grace begins anew."""
    story = served().user_ends().later(15 * SECOND).shows(BOT).answers(Answer.NOT_OURS).shows(DESK)
    assert (story.state.duty, story.ended.held_after_grace) == (None, False)
    assert story.ended.check_at == story.now + 15 * SECOND


@in_both_modes
def test_somebody_becomes_active(mode: str) -> None:
    """Somebody who becomes active without the user having written makes the proof void; after a grace it is read."""
    story = closed(mode, app_key=True).sees(DESK)
    assert not story.state.closed
    assert story.later(15 * SECOND).shows(DESK).actions == ["release (app)"]


@in_both_modes
def test_bot_becomes_active(mode: str) -> None:
    """A bot that becomes active in a closed conversation says nothing there, and releases after the grace."""
    story = closed(mode).sees(BOT)
    assert (story.flow, story.actions) == (None, [])
    assert story.later(15 * SECOND).shows(BOT).actions == ["release"]


@in_both_modes
def test_passed_after_it_was_closed(mode: str) -> None:
    """A bot that gets a closed conversation by a pass runs the closing flow and releases."""
    story = closed(mode).moves(BOT)
    assert story.flow is Purpose.CLOSING
    assert story.flow_returns().answers(Answer.ACCEPTED).later().moves(None).state.closed


@in_both_modes
@pytest.mark.parametrize("before", ["agent", "bot, closing flow run", "bot, released by read"])
def test_reopened(mode: str, before: str) -> None:
    """The user writes in a closed conversation and the bot is active: it is served, and not just released."""
    if before == "agent":
        story = closed(mode)
    else:
        story = with_agent(mode).user_ends().moves(BOT).flow_returns().answers(Answer.ACCEPTED).later()
        story = (story.moves(None) if "run" in before else story.later().shows(None)).later()
    actions = story.actions
    story.user_says()
    assert (story.flow, story.state.ended, story.state.duty) == (Purpose.OPENING, None, None)
    assert story.actions == actions, "what the user has just begun is not released"


@in_both_modes
def test_reopened_during_the_release(mode: str) -> None:
    """The bot was about to release what it had got silently, and the user writes: the release is void."""
    story = closed(mode).sees(BOT).later(15 * SECOND).shows(BOT).answers(Answer.RATE_LIMITED)
    story.user_says()
    assert (story.flow, story.state.duty) == (Purpose.OPENING, None)


@in_both_modes
def test_reopened_with_an_agent(mode: str) -> None:
    """The user writes in a closed conversation and an agent is active: it is live again, and not taken away."""
    story = closed(mode, app_key=True).user_says(DESK)
    assert story.state.ended is None
    assert story.later(HOUR).shows(DESK).actions == []


@in_both_modes
def test_closing_flow_after_reopening(mode: str) -> None:
    """A conversation that was opened again and ended again gets its closing flow again."""
    story = with_agent(mode).user_ends().moves(BOT).flow_returns().answers(Answer.ACCEPTED).later().moves(None)
    story.later().user_says().later().moves(DESK).later().user_ends().moves(BOT)
    assert story.flow is Purpose.CLOSING


@in_both_modes
def test_end_told_after_reopening(mode: str) -> None:
    """An end from before the user wrote again, told late, ends nothing."""
    story = closed(mode)
    late = UserEnded(story.platform - SECOND, "m1")
    story.later().user_says().tell(late)
    assert (story.flow, story.state.ended) == (Purpose.OPENING, None)
    assert story.later().user_ends().ended.at == story.platform


@in_both_modes
def test_message_told_after_the_end(mode: str) -> None:
    """A message that the user wrote before the end, told after it, starts nothing. By its time alone, a read tells."""
    story = with_agent(mode)
    at = story.platform
    story.later().user_ends().later().moves(None).tell(UserSpoke(Input("late", at)))
    assert (story.flow, story.state.in_doubt) == (None, True)
    story.shows(None, ended=UserEnded(at, story.ended.message_id))
    assert story.state.closed
    assert (story.flow, story.state.inputs) == (None, ())


@in_both_modes
def test_message_long_before_the_end(mode: str) -> None:
    """A word that is clearly older than the end is no reason to read, and begins nothing."""
    story = with_agent(mode).later(MINUTE).user_ends().later()
    story.tell(UserSpoke(Input("old", story.ended.at - 2 * SECOND), DESK))
    assert (story.state.in_doubt, story.state.inputs) == (False, ())
    assert story.state.ended


@in_both_modes
@pytest.mark.parametrize("offset", [timedelta(0), -SECOND / 2, SECOND / 2, -HOUR], ids=str)
@pytest.mark.parametrize("is_void", [True, False])
def test_message_near_the_end(mode: str, offset: timedelta, is_void: bool) -> None:
    """Which came first, the order of the messages tells, whatever their times: it is void if it is listed before."""
    story = with_agent(mode).later(MINUTE).user_ends()
    end = story.ended
    word = Input("near", end.at + offset)
    story.tell(UserSpoke(word, DESK, late=offset < -SECOND))
    assert story.state.in_doubt
    void = end.message_id if is_void else None
    told = None if is_void else UserEnded(end.at, end.message_id)
    story.tell(ConversationRead(story.pending, story.platform, DESK, told, spoke_at=word.at, void_end=void))
    assert (story.state.ended is None) is is_void
    assert story.state.inputs == ()


@in_both_modes
def test_message_after_the_end_by_a_clock_behind(mode: str) -> None:
    """The user comes back in a closed conversation: what looks like an old word is answered once a read tells."""
    story = closed(mode).later(MINUTE)
    word = Input("back", story.platform - HOUR, said_id="m8")
    story.tell(HolderSeen(word.at, None, late=True)).tell(UserSpoke(word, late=True))
    void = story.ended.message_id
    story.tell(ConversationRead(story.pending, story.platform, BOT, None, spoke_at=word.at, void_end=void))
    assert (story.flow, story.state.ended) == (Purpose.OPENING, None)


@in_both_modes
def test_message_to_nobody_by_a_clock_behind(mode: str) -> None:
    """What is said to nobody may make the bot active: a read tells, where the word looks older than that."""
    for behind in (SECOND, HOUR):
        story = served(mode)
        story.tell(FlowReleased(story.run.id)).moves(None).later()
        word = Input("back", story.platform - behind, said_id="m8")
        story.tell(UserSpoke(word, late=behind > SECOND)).shows(BOT)
        assert story.run.opening.event_id == "back"


@in_both_modes
def test_answers_to_the_closing_flow(mode: str) -> None:
    """What the user still answers after the end reaches the closing flow; what was said before does not."""
    story = with_agent(mode).user_ends().moves(BOT).flow_waits()
    before = story.now - SECOND
    story.later().tell(UserSpoke(Input("late", before))).user_says()
    assert [kept.event_id for kept in story.state.inputs] == ["e2"]
    assert story.run.status == "ready"
    assert story.flow is Purpose.CLOSING


def test_answers_do_not_prolong_the_closing_flow() -> None:
    """A user who answers on and on does not keep a closing flow alive beyond its time."""
    story = with_agent("pass").user_ends().moves(BOT)
    deadline = story.run.deadline
    for _ in range(5):
        taken = tuple(given.event_id for given in story.state.inputs)
        story.flow_waits(HOUR, taken=taken).later(MINUTE).user_says()
        assert story.run.deadline == deadline
    assert story.later(10 * MINUTE).actions == ["release"]


@pytest.mark.parametrize("hold", ["nobody", "pending read", "pending action", "holder changes meanwhile"])
def test_end_suspected(hold: str) -> None:
    """An activity without its kind is read back at once, before anything that is owed; a new holder changes nothing."""
    story = owing()
    if hold == "nobody":
        story.moves(None)
    if hold == "pending read":
        story.answers(Answer.ACCEPTED).later(2 * SECOND)
    story.tell(EndSuspected(story.platform))
    if hold == "holder changes meanwhile":
        story.moves(DESK)
    story.later(SECOND)
    assert story.state.pending
    assert story.state.pending.what == "read to watch"
    story.shows(None, UserEnded(story.platform - SECOND, "m9"))
    assert story.state.closed


def test_suspicion_survives_failures() -> None:
    """A read that something asked for, and that failed, is repeated whoever becomes active meanwhile."""
    story = with_agent().tell(EndSuspected(NOON)).answers(Answer.RATE_LIMITED, 3 * SECOND).later().moves(BOT)
    assert story.state.read_at == story.now + 2 * SECOND
    assert story.later(2 * SECOND).state.pending


def test_end_found_by_the_watch() -> None:
    """An end that a read finds is taken in like one that was told, with the one who is still active."""
    story = with_agent("pass", app_key=True).later(10 * MINUTE)
    story.shows(DESK, UserEnded(story.platform - MINUTE, "m9"))
    assert not story.state.closed
    assert story.later(15 * SECOND).shows(DESK).actions == ["release (app)"]


@pytest.mark.parametrize("seconds", [-20, 20])
@in_both_modes
def test_skew(mode: str, seconds: int) -> None:
    """Clocks that differ lose no proof and make no loop: bot and agent holding, by event and by read."""
    skew = timedelta(seconds=seconds)
    for situation in (served, with_agent):
        by_event = situation(mode, skew, app_key=True).user_ends()
        if by_event.state.run:
            by_event.flow_returns()
        assert by_event.later().moves(None).state.closed
        by_read = situation(mode, skew, app_key=True).user_ends()
        by_read.later(20 * SECOND)
        if by_read.state.run:
            by_read.flow_returns().answers(Answer.ACCEPTED).later(2 * SECOND)
        by_read.shows(None)
        assert by_read.state.closed
        assert by_read.later(HOUR).state.pending is None


def test_end_from_the_future() -> None:
    """An end that is dated by a clock that is ahead (its own time was missing) is still proven by a read."""
    story = with_agent().tell(UserEnded(NOON + HOUR, "m1")).later(5 * SECOND).moves(None)
    assert story.state.holder.who is Who.NOBODY
    assert not story.state.closed
    assert story.later(10 * SECOND).shows(None).state.closed


@in_both_modes
def test_reopened_while_it_is_read(mode: str) -> None:
    """The user opens it again while the read after the grace is on its way: nothing is taken from the agent then."""
    story = closed(mode, app_key=True).sees(DESK).later(15 * SECOND)
    assert story.state.pending
    assert story.user_says(DESK).shows(DESK).actions == []
    assert story.later(HOUR).actions == []


@in_both_modes
@pytest.mark.parametrize("active", [BOT, DESK])
def test_read_of_what_was_closed_meanwhile(mode: str, active: Integration) -> None:
    """Somebody who becomes active after the proof, told by the read for that end, gets the grace."""
    story = with_agent(mode, app_key=True).user_ends().later(15 * SECOND).moves(None).later()
    assert story.state.closed
    assert story.shows(active).actions == []
    assert story.ended.check_at == story.now + 15 * SECOND


@in_both_modes
@pytest.mark.parametrize("shown", [BOT, DESK, None])
def test_reopened_by_a_message_that_shows_nobody(mode: str, shown: Integration | None) -> None:
    """The user writes in a closed conversation and nobody is active yet: the read that follows decides."""
    story = closed(mode, app_key=True).user_says(None)
    assert story.state.closed
    story.later().shows(shown)
    assert story.flow is (Purpose.OPENING if shown is BOT else None)
    assert (story.state.ended is None) is (shown is not None)
    assert story.actions == []


def test_duty_is_over_before_its_read() -> None:
    """A read for a duty that is over, and older than what is known, changes nothing but that it is answered."""
    story = owing().answers(Answer.ACCEPTED).later(2 * SECOND)
    read, at = story.pending, story.platform
    story.later().moves(DESK).tell(ConversationRead(read, at, None))
    assert (story.state.holder.who, story.state.duty, story.state.pending) == (Who.OTHER, None, None)


@pytest.mark.parametrize("active", [None, BOT])
def test_a_read_under_way_when_the_release_is_told(active: Integration | None) -> None:
    """It shows what came after that: an end whose message was lost, say, may have made the bot active."""
    story = owing().answers(Answer.ACCEPTED).later(2 * SECOND)
    read = story.pending
    story.moves(None)
    assert (story.proofs, story.pending) == (["nobody is active, shown by a releaseControl event"], read)
    story.later(SECOND / 2).shows(active)
    assert (story.state.holder.who, story.state.idle_at is None) == (Who.BOT if active else Who.NOBODY, not active)


@in_both_modes
def test_undated_input_hides_no_end(mode: str) -> None:
    """An input without a time of its own is dated by the bot's clock, which may be ahead: the end still counts."""
    story = Story(mode, skew=-20 * SECOND).user_says().later()
    story.tell(ControlUndated()).tell(UserSpoke(Input("undated", story.now)))
    story.later(2 * SECOND).user_ends()
    assert story.state.ended


@in_both_modes
def test_message_is_no_proof_of_the_end(mode: str) -> None:
    """That a message shows nobody active does not prove an ended conversation closed; a read does."""
    story = with_agent(mode).user_ends().later().sees(None)
    assert not story.state.closed
    assert story.later(15 * SECOND).shows(None).state.closed


@in_both_modes
@pytest.mark.parametrize("active", [BOT, DESK])
def test_read_shows_that_the_user_wrote_again(mode: str, active: Integration) -> None:
    """A read shows that the user wrote after the end: the conversation is live again, and nothing is taken."""
    story = with_agent(mode, app_key=True).user_ends().later(15 * SECOND)
    at = story.platform
    story.tell(ConversationRead(story.pending, at, active, spoke_at=at - SECOND))
    assert (story.state.ended, story.actions) == (None, [])


def test_read_shows_an_answer_to_the_closing_flow() -> None:
    """What the user says once the closing flow has begun is an answer to it, and does not void the end."""
    story = with_agent().user_ends().moves(BOT).later().tell(ControlUndated())
    story.tell(ConversationRead(story.pending, story.platform, BOT, spoke_at=story.platform))
    assert not story.state.closed
    assert story.flow is Purpose.CLOSING


def test_read_shows_that_another_has_the_user_who_wrote_after_the_closing_flow_began() -> None:
    """That is no answer to the closing flow: the conversation is live with an agent, and is not taken from them."""
    story = with_agent(app_key=True).user_ends().moves(BOT).later().tell(ControlUndated())
    story.tell(ConversationRead(story.pending, story.platform, DESK, spoke_at=story.platform))
    assert (story.state.ended, story.flow, story.actions) == (None, None, [])


def test_a_read_without_the_messages_reopens_nothing() -> None:
    """The user came back, and ended it again: a read that shows only who is active makes nothing live again."""
    story = served("pass").user_ends(BOT).flow_returns().answers(Answer.ACCEPTED).later(3 * SECOND)
    assert story.calls[-1] == Read(story.pending, messages=False)
    heard_before_the_second_end = Input("e9", story.ended.at + SECOND)
    story.state = replace(story.state, inputs=(heard_before_the_second_end,))
    story.shows(BOT)
    assert story.flow is None
    assert story.state.ended


def test_a_word_in_doubt_outlives_an_older_read() -> None:
    """The user comes back by a clock that is behind: a read from just before does not take that for said to nobody."""
    story = Story("release").sees(BOT).later().user_ends().moves(None)  # of one time: a read is to tell
    story.user_says()
    story.shows(None, UserEnded(story.ended.at, story.ended.message_id))
    assert story.state.in_doubt
    assert [given.event_id for given in story.state.inputs] == ["e2"]
    story.later(SECOND).shows(BOT, spoke_at=story.ended.at + SECOND / 100)
    assert story.flow is Purpose.OPENING
