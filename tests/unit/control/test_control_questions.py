"""Nobody can answer after an end: what that means for a closing flow that asks."""

from __future__ import annotations

from datetime import timedelta

import pytest
from control_samples import BOT, BOTH_MODES, MINUTE, Story, served, with_agent

from bot.control.commands import Read
from bot.control.facts import FlowReturned, FlowWaits, UserEnded
from bot.control.policy import SOON
from bot.control.state import Purpose, RunStatus

in_both_modes = pytest.mark.parametrize("mode", BOTH_MODES)


def handed_back(mode: str = "pass") -> Story:
    """The ticket is closed, and the closing flow is at work."""
    story = with_agent(mode).moves(BOT, "ticketClosed").later()
    assert story.flow is Purpose.CLOSING
    return story


@in_both_modes
def test_end_while_it_asks(mode: str) -> None:
    """The question is over at once and taken back if it has not gone out; then control is released."""
    story = handed_back(mode).flow_waits(5 * MINUTE).user_ends()
    assert (story.run.status, story.drops) == (RunStatus.READY, 1)
    story.flow_returns().later()
    assert story.actions == ["release"]


@in_both_modes
def test_end_while_it_sleeps(mode: str) -> None:
    """A sleep is no question: it goes on, and what was said before it still goes out."""
    story = handed_back(mode).flow_waits(5 * MINUTE, wants_input=False).user_ends()
    assert (story.run.status, story.drops) == (RunStatus.WAITING, 0)


@in_both_modes
def test_it_asks_just_when_the_end_comes(mode: str) -> None:
    """The turn had begun before the end was known: its question is over at once, too."""
    story = handed_back(mode).user_ends().flow_waits(5 * MINUTE)
    assert story.run.status is RunStatus.READY


def test_end_while_it_asks_long_after_the_handback() -> None:
    """The end hands nothing back then: the flow is stopped, and control released."""
    story = handed_back().flow_waits(5 * MINUTE).later(SOON).shows(BOT).later(MINUTE).user_ends().later()
    assert (story.flow, story.actions) == (None, ["release"])


def test_end_that_nobody_tells() -> None:
    """A closing flow that asks is reason to read; an end found there ends the question."""
    story = handed_back().flow_waits(5 * MINUTE)
    story.later(SOON)
    assert isinstance(story.calls[-1], Read)
    assert story.calls[-1].messages
    story.shows(BOT, UserEnded(story.platform - timedelta(seconds=1), "m1"))
    assert story.run.status is RunStatus.READY


def test_no_end_is_found() -> None:
    """The user has five minutes to answer, and is served again if they do."""
    story = handed_back().flow_waits(5 * MINUTE).later(SOON).shows(BOT).later(4 * MINUTE)
    assert story.run.status is RunStatus.WAITING
    assert story.user_says().run.status is RunStatus.READY


def test_an_opening_flow_that_asks_is_no_reason_to_read() -> None:
    """Its end is told, or found when time is up."""
    story = served().flow_waits(5 * MINUTE).later(MINUTE)
    assert story.calls == []


@in_both_modes
def test_it_asks_again_and_again(mode: str) -> None:
    """Each question is over at once, and the flow ends within seconds."""
    story = handed_back(mode).user_ends()
    for _ in range(9):
        story.tell(FlowWaits(story.run.id, wants_input=True, until=story.now + MINUTE))
        assert story.run.status is RunStatus.READY
    assert story.tell(FlowReturned(story.run.id)).later().actions == ["release"]
