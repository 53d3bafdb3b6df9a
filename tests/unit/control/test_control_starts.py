"""Flows that begin although the user has not written: control is taken only where a read shows that nobody has it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from control_samples import ANSWERBOT, BOT, BOTH_MODES, DESK, HOUR, MINUTE, SECOND, Story, served, with_agent

from bot.control.commands import Report
from bot.control.facts import (
    AgentWrote,
    Answer,
    ControlMoved,
    ControlUndated,
    FlowBegan,
    FlowOrdered,
    FlowReminded,
    OperatorReleased,
    Removed,
)
from bot.control.policy import START_PATIENCE, TAKE_ATTEMPTS
from bot.control.state import OpeningKind, Who

ORDER = FlowOrdered("paid", {"amount": 7})
in_both_modes = pytest.mark.parametrize("mode", BOTH_MODES)


def free(mode: str = "release") -> Story:
    """Nobody is active, as a read has shown a while ago."""
    return Story(mode).moves(None).later(MINUTE).shows(None).later(MINUTE)


def ordered(story: Story | None = None) -> Story:
    """A flow is to begin where nobody is active, and a read is on its way."""
    return (story or free()).tell(ORDER)


def taking() -> Story:
    """A read has shown that nobody is active, and control is asked for."""
    return ordered().shows(None)


def reminded(after: timedelta = HOUR, flow: str = "later", mode: str = "release") -> Story:
    """A flow has reminded, and control is released."""
    story = served(mode)
    story.tell(FlowReminded(story.run.id, flow, after, {"a": 1}, {"user": {"name": "Sam"}}))
    return story.answers(Answer.ACCEPTED).later().moves(None)


def told(story: Story) -> list[tuple[str, str]]:
    """What people were told."""
    return [(record.event, record.detail) for record in story.records if isinstance(record, Report)]


def test_control_is_taken_after_a_read_and_the_flow_begins_with_the_proof() -> None:
    """What the flow is given stays until its first turn has begun, and is in its journal then."""
    story = ordered()
    assert (story.actions, story.last_call) == ([], "Read")
    story.shows(None)
    assert story.actions == ["pass to bot"]
    assert story.state.run is None
    story.answers(Answer.ACCEPTED).later().moves(BOT)
    assert story.proofs[-1] == "bot is active, shown by a passControl event"
    opening = story.run.opening
    assert (opening.kind, opening.flow, opening.data) == (OpeningKind.OUTSIDE, "paid", {"amount": 7})
    assert (story.state.start, story.state.duty) == (None, None)
    story.tell(FlowBegan(story.run.id, "paid", 1))
    assert (story.run.flow, story.run.opening.flow, story.run.opening.data) == ("paid", "paid", None)


@in_both_modes
def test_what_nobody_has_answered_is_released(mode: str) -> None:
    """Passed on to agents, it would be a ticket about nothing."""
    story = ordered(free(mode)).shows(None).answers(Answer.ACCEPTED).later().moves(BOT).flow_returns()
    assert story.actions == ["pass to bot", "release"]
    story = ordered(free(mode)).shows(None).answers(Answer.ACCEPTED).later().moves(BOT).flow_waits()
    story.user_says().flow_returns()
    assert (story.actions[-1] == "release") is (mode == "release")


def test_a_read_proves_it_too() -> None:
    """Where no event tells it."""
    story = taking().answers(Answer.ACCEPTED).later(3 * SECOND)
    assert story.last_call == "Read"
    story.shows(BOT)
    assert story.proofs[-1] == "bot is active, shown by a read"
    assert story.run.opening.flow == "paid"


def test_control_that_is_handed_to_the_bot_meanwhile() -> None:
    """Without a reason it is the bot's own doing; with one it is a handback, and no flow begins beside that."""
    assert taking().later().moves(BOT).run.opening.flow == "paid"
    story = taking().later().moves(BOT, "ticketClosed")
    assert told(story)[-1] == ("flow_not_begun", "paid: control was handed to the bot")
    assert story.run.opening.kind is OpeningKind.HANDBACK
    story = taking().later().moves(BOT, "transferToEmail")
    assert (story.duty.action, story.state.start) == ("release", None)


def test_a_handback_that_is_told_late_counts() -> None:
    """A read has shown already that the bot is active; the event then tells why."""
    story = with_agent("pass").later(MINUTE).tell(ORDER)
    story.tell(ControlUndated()).shows(BOT)
    assert (story.state.run, story.last_call) == (None, "Read")
    story.tell(ControlMoved(story.platform - SECOND, BOT, "transferToEmail"))
    assert told(story) == [("flow_not_begun", "paid: control was handed to the bot")]
    assert story.duty.action == "release"


def test_an_event_just_after_the_read_is_believed() -> None:
    """It is what the bot has asked for; anything else so soon asks for a read."""
    story = taking().later(SECOND / 2).moves(BOT)
    assert story.run.opening.flow == "paid"
    story = ordered()
    story.shows(None).later(SECOND / 2).tell(ControlMoved(story.platform, DESK))
    assert story.state.in_doubt


def test_an_undated_event_lets_a_read_tell() -> None:
    """Nothing begins in doubt."""
    story = taking().tell(ControlUndated(BOT))
    assert (story.state.run, story.last_call) == (None, "Read")
    story.shows(BOT)
    assert story.run.opening.flow == "paid"


def test_control_that_the_bot_has_already_needs_no_pass() -> None:
    """A read shows that it is so."""
    story = Story().sees(BOT).later().tell(ORDER)
    assert (story.last_call, story.state.run) == ("Read", None)
    story.shows(BOT)
    assert (story.actions, story.run.opening.flow) == ([], "paid")


@pytest.mark.parametrize("active", [DESK, ANSWERBOT])
def test_nothing_is_taken_from_others(active: object) -> None:
    """A read decides, whatever was known before."""
    story = ordered().shows(active)  # type: ignore[arg-type]
    assert (story.actions, story.state.duty, story.state.start) == ([], None, None)
    assert told(story) == [("flow_not_begun", f"paid: {active} is active")]


def test_what_is_known_of_others_may_be_old() -> None:
    """An agent has given control up, and nobody has told the bot."""
    story = with_agent().later(MINUTE).tell(ORDER)
    assert (story.last_call, story.reports) == ("Read", [])
    story.shows(None).answers(Answer.ACCEPTED).later().moves(BOT)
    assert story.run.opening.flow == "paid"
    story = with_agent().later(MINUTE).tell(ORDER).shows(DESK)
    assert told(story) == [("flow_not_begun", "paid: zd-agentWorkspace is active")]


def test_whoever_comes_meanwhile_has_it() -> None:
    """The action is taken back, and a read tells later what has become of it."""
    story = taking().later(2 * SECOND).moves(DESK)
    assert told(story) == [("flow_not_begun", "paid: zd-agentWorkspace is active")]
    assert (story.state.duty, story.state.pending) == (None, None)
    assert story.state.read_at
    story.later(11 * SECOND)
    assert story.last_call == "Read"
    story.shows(BOT)  # the pass was on its way already
    story.later(timedelta(minutes=16))
    assert story.actions == ["pass to bot", "release"]


def test_an_agent_who_writes_is_about_to_have_it() -> None:
    """Whoever is active."""
    story = taking().later()
    story.tell(AgentWrote(story.platform, "zd:agentWorkspace"))
    assert told(story) == [("flow_not_begun", "paid: an agent has written")]
    story = Story().sees(BOT).later().tell(ORDER)
    story.tell(AgentWrote(story.platform, "zd:agentWorkspace"))
    assert (story.duty.action, story.duty.target) == ("pass", "zd:agentWorkspace")


def test_the_user_comes_first() -> None:
    """What they write begins the opening flow, and their end ends it all."""
    story = ordered().later().user_says(BOT)
    assert told(story) == [("flow_not_begun", "paid: the user has written")]
    assert (story.run.opening.kind, story.actions) == (OpeningKind.MESSAGE, [])
    story = taking().user_ends()
    assert told(story) == [("flow_not_begun", "paid: the user has ended the conversation")]
    assert story.state.run is None


def test_not_while_a_flow_is_at_work() -> None:
    """It is not disturbed."""
    story = served().tell(ORDER)
    assert told(story) == [("flow_not_begun", "paid: a flow is at work")]
    assert story.run.opening.kind is OpeningKind.MESSAGE


def test_one_at_a_time() -> None:
    """The second is told, and the first begins."""
    story = ordered().tell(FlowOrdered("other"))
    assert told(story) == [("flow_not_begun", "other: another flow is about to begin")]
    assert story.shows(None).actions == ["pass to bot"]


def test_after_a_release_that_is_to_be_proven() -> None:
    """Control is asked for once it is known to be with nobody."""
    story = served().flow_returns().answers(Answer.ACCEPTED).tell(ORDER)
    assert (story.state.start is not None, story.duty.action) == (True, "release")
    story.moves(None)
    assert (story.duty.action, story.last_call) == ("take", "Read")


def test_an_operator_who_wants_it_released_drops_it() -> None:
    """What is wanted by hand counts for more."""
    story = Story().tell(ORDER)
    assert story.state.holder.who is Who.UNKNOWN
    story.tell(OperatorReleased("Ada"))
    assert told(story) == [("flow_not_begun", "paid: control is given up")]
    assert story.duty.action == "release"


def test_it_is_tried_a_few_times() -> None:
    """Each time after a read. Then it is given up, and a read tells later whether it has worked all the same."""
    story = taking()
    for _ in range(TAKE_ATTEMPTS):
        story.answers(Answer.ACCEPTED).later(MINUTE).shows(None)
    assert story.actions == ["pass to bot"] * TAKE_ATTEMPTS
    assert told(story) == [("flow_not_begun", "paid: the platform does not give the bot control")]
    assert story.later(11 * SECOND).last_call == "Read"
    assert story.shows(None).later(HOUR).actions == ["pass to bot"] * TAKE_ATTEMPTS


def test_it_is_never_repeated_without_a_read() -> None:
    """Whatever the answer was."""
    for answer in (Answer.UNCLEAR, Answer.RATE_LIMITED, Answer.NOT_SENT, Answer.REFUSED, Answer.STALE):
        story = taking().answers(answer).later(4 * SECOND)
        assert (story.actions, story.last_call) == (["pass to bot"], "Read")


def test_an_outage_is_waited_for_within_bounds() -> None:
    """It is nothing that is owed: being late is not reported. A little before the bound it still begins."""
    story = ordered()
    for _ in range(40):
        if story.state.pending:
            story.answers(Answer.UNCLEAR)
        story.later(timedelta(seconds=10))
    assert story.reports == []
    assert story.state.start
    story.later(START_PATIENCE)
    assert told(story) == [("flow_not_begun", "paid: it was not possible in time")]
    assert (story.state.duty, story.actions) == (None, [])


@in_both_modes
def test_a_reminder_releases_and_begins_later(mode: str) -> None:
    """Without any fact but time, by the same road."""
    story = reminded(mode=mode)
    assert (story.actions, story.state.duty) == (["release"], None)
    (reminder,) = story.state.reminders
    assert (reminder.flow, story.state.look_at) == ("later", reminder.at)
    story.later(HOUR)
    assert (story.last_call, story.state.reminders) == ("Read", ())
    story.shows(None).answers(Answer.ACCEPTED).later().moves(BOT)
    opening = story.run.opening
    assert (opening.kind, opening.data, opening.about) == (OpeningKind.REMINDER, {"a": 1}, {"user": {"name": "Sam"}})
    story.tell(FlowBegan(story.run.id, "later", 1))
    assert story.run.opening.about == {}


def test_a_reminder_says_why_it_is_dropped() -> None:
    """Under a name of its own: it is nothing that is wrong."""
    story = reminded()
    story.moves(DESK).later(HOUR)
    story.shows(DESK)
    assert told(story) == [("reminder_dropped", "later: zd-agentWorkspace is active")]


def test_two_reminders_at_once() -> None:
    """The second has no room."""
    story = reminded()
    (first,) = story.state.reminders
    story.state = replace(story.state, reminders=(first, replace(first, flow="other")))
    story.later(HOUR)
    assert told(story) == [("reminder_dropped", "other: another flow is about to begin")]


def test_what_is_removed_reminds_of_nothing() -> None:
    """All that is known of it goes."""
    story = reminded().tell(Removed())
    assert (story.state.reminders, story.state.look_at) == ((), None)
    story = ordered().tell(Removed())
    assert (story.state.start, story.state.duty) == (None, None)


def test_a_state_that_was_read_in_part_takes_nothing() -> None:
    """Control is not taken where it is not known any more what for."""
    story = ordered()
    story.state = replace(story.state, start=None)
    story.shows(None)
    assert (story.state.duty, story.actions) == (None, [])
    story = taking().answers(Answer.ACCEPTED).later(3 * SECOND)
    story.state = replace(story.state, start=None)
    story.shows(BOT)
    assert (story.state.duty, story.state.run) == (None, None)
    assert story.proofs[-1] == "void: no flow is to begin any more"
