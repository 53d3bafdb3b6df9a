"""A widget that was opened without a word: no contact, unless there is a flow that greets."""

from __future__ import annotations

from datetime import timedelta

import pytest
from control_samples import BOT, BOTH_MODES, DESK, HOUR, SECOND, Story

from bot.control.facts import FlowFailed, HolderSeen, WidgetOpened
from bot.control.state import Input, Integration, OpeningKind, Purpose

in_both_modes = pytest.mark.parametrize("mode", BOTH_MODES)


def opened(story: Story, active: Integration | None = BOT, ago: timedelta = timedelta(0)) -> Story:
    """The widget is opened now; or it was, and that is told only now."""
    at = story.platform - ago
    return story.tell(HolderSeen(at, active)).tell(WidgetOpened(Input("created", at, OpeningKind.CREATED)))


def greeted(mode: str) -> Story:
    """A flow has greeted, and waits for the user."""
    return opened(Story(mode, greets=True)).flow_waits(HOUR)


@in_both_modes
def test_no_flow_begins_where_none_greets(mode: str) -> None:
    """The bot holds the conversation until it is idle, and releases it."""
    story = opened(Story(mode))
    assert story.flow is None
    assert story.later(HOUR).actions[0] == "release"


@in_both_modes
def test_a_flow_that_greets_begins(mode: str) -> None:
    """It knows what began it."""
    story = opened(Story(mode, greets=True))
    assert story.flow is Purpose.OPENING
    assert (story.run.opening.kind, story.run.opening.event_id) == (OpeningKind.CREATED, "created")
    assert not story.run.contact


@in_both_modes
@pytest.mark.parametrize("how", ["returns", "fails", "times out"])
def test_where_nobody_writes_nothing_is_passed_on(mode: str, how: str) -> None:
    """In pass mode it would be a ticket about nothing."""
    story = greeted(mode)
    if how == "times out":
        story.later(3 * HOUR)
    else:
        story.tell(FlowFailed(story.run.id, "x")) if how == "fails" else story.flow_returns()
    assert story.actions[0] == "release"


@pytest.mark.parametrize(("mode", "action"), [("release", "release"), ("pass", "pass to zd-agentWorkspace")])
@pytest.mark.parametrize("how", ["returns", "fails"])
def test_once_the_user_has_written_it_is_a_contact_like_any_other(mode: str, action: str, how: str) -> None:
    """A flow that is over then is followed by what the mode wants."""
    story = greeted(mode).later().user_says()
    assert story.run.contact
    story.tell(FlowFailed(story.run.id, "x")) if how == "fails" else story.flow_returns()
    if not story.actions:
        story.shows(BOT)
    assert story.actions == [action]


def test_a_greeting_that_is_told_late_is_none() -> None:
    """The user has written before: also where that flow is over and the bot still holds the conversation."""
    story = Story(greets=True).user_says().later(SECOND)
    run = story.run.id
    assert opened(story, ago=2 * SECOND).run.id == run
    assert story.state.inputs == ()


def test_a_greeting_where_another_is_active_is_none() -> None:
    """The bot may not speak there."""
    assert opened(Story(greets=True), DESK).flow is None


def test_a_bot_without_an_opening_flow_does_not_greet() -> None:
    """Whatever the router wants."""
    story = opened(Story(greets=True, opens=False))
    assert story.flow is None
