"""What is kept of how a conversation went: who held it when, its flows, its end, and what people were told."""

from __future__ import annotations

from dataclasses import replace

from control_samples import BOT, DESK, HOUR, NOON, SECOND, Story, served, with_agent

from bot.control.commands import Forget, Report
from bot.control.facts import Fact
from bot.control.history import Moment, MomentKind, moments
from bot.control.rules import step
from bot.control.state import Conversation, Holder, Who


class Chronicle(Story):
    """A story whose moments are kept."""

    def __init__(self, mode: str = "release") -> None:
        super().__init__(mode)
        self.moments: list[Moment] = []

    def tell(self, fact: Fact) -> Chronicle:
        """A fact, now."""
        before = self.state
        self.state, commands = step(before, fact, self.now, self.policy)
        self.moments += moments(before, self.state, commands, self.now)
        return self

    @property
    def told(self) -> list[tuple[str, str]]:
        """Kinds and texts since the last look."""
        told = [(moment.kind.value, moment.text) for moment in self.moments]
        self.moments = []
        return told


def test_from_first_to_last() -> None:
    """A user is served, ends the conversation, and the platform releases it."""
    story = Chronicle()
    story.user_says().later().user_ends().moves(None)
    first, *_ = story.moments
    assert (first.who, first.since, first.at) == (Who.BOT, NOON, NOON)
    assert story.moments[2].since == story.platform
    assert story.told == [
        ("holder", "the bot (bot) is active, by an event"),
        ("flow began", "opening flow began (message)"),
        ("ended", "the user ended the conversation"),
        ("flow over", "opening flow over"),
        ("holder", "nobody is active, by a releaseControl event"),
        ("proven", "nobody is active, shown by a releaseControl event"),
    ]


def test_opened_again() -> None:
    """A proof that becomes void, and then the end."""
    story = Chronicle()
    story.user_says().later().user_ends().moves(None).later()
    assert story.told
    story.sees(BOT)
    assert story.told == [
        ("holder", "the bot (bot) is active, by an event"),
        ("reopened", "somebody is active again after the end"),
    ]
    story.later().user_says()
    assert [kind for kind, _ in story.told] == ["reopened", "flow began"]


def test_ended_twice() -> None:
    """A second end is one of its own."""
    story = Chronicle()
    story.user_says().later().user_ends().moves(None).later(HOUR)
    assert story.told
    story.user_ends()
    assert ("ended", "the user ended the conversation") in story.told


def test_ended_and_closed_at_once() -> None:
    """An end that is told after the release is proven with it."""
    before = Conversation("c1")
    story = served().user_ends().moves(None)
    found = [moment.kind for moment in moments(before, story.state, tuple(story.records), NOON)]
    assert found[1:] == [MomentKind.ENDED, MomentKind.PROVEN]


def test_one_flow_after_the_other() -> None:
    """The closing flow follows upon the opening one."""
    story = Chronicle("pass")
    story.user_says().later().user_ends()
    flows = [text for kind, text in story.told if kind.startswith("flow")]
    assert flows == ["opening flow began (message)", "opening flow over", "closing flow began (ended)"]


def test_nothing_new() -> None:
    """A message of the same holder is no moment, and neither is a turn of the same flow."""
    story = Chronicle()
    story.user_says().later()
    assert story.told
    story.user_says().flow_waits().later().user_says()
    assert story.told == []


def test_holders() -> None:
    """Each holder in words; one of whom only the id is known by that."""
    state = with_agent().state
    unknown = replace(state, holder=Holder(Who.UNKNOWN))
    assert [moment.text for moment in moments(state, unknown, (), NOON)] == ["not known who is active"]
    nameless = replace(state, holder=replace(state.holder, integration=replace(DESK, name=None), how="a read"))
    assert [moment.text for moment in moments(unknown, nameless, (), NOON)] == ["sw-desk is active, by a read"]


def test_reports() -> None:
    """What people are told is kept; a failed flow marks the conversation. Other records are no moments."""
    state = Conversation("c1")
    records = (Report("flow_failed", "ValueError"), Report("mode_mismatch"), Forget())
    assert moments(state, state, records, NOON + SECOND) == (
        Moment(NOON + SECOND, MomentKind.FAILED, "flow failed: ValueError"),
        Moment(NOON + SECOND, MomentKind.REPORT, "mode mismatch"),
    )
