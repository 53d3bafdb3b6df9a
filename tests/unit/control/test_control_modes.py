"""The table "The two control modes" of docs/architecture.md, row by row, in both modes."""

from __future__ import annotations

from datetime import timedelta

import pytest
from control_samples import ANSWERBOT, BOT, BOTH_MODES, DESK, HOUR, MINUTE, SECOND, Story, owing, served, with_agent

from bot.control.commands import Forget, Read
from bot.control.facts import (
    AgentWrote,
    Answer,
    ControlFailed,
    Fact,
    FlowFailed,
    FlowHandedOver,
    FlowReleased,
    PersonRemoved,
    Removed,
    UserEnded,
)
from bot.control.modes import PassControl, ReleaseControl, mode_named
from bot.control.policy import PASS_ATTEMPTS
from bot.control.state import Action, OpeningKind, Purpose, Who

GRACE = timedelta(seconds=15)
HANDS_ON = [("release", "release"), ("pass", "pass to zd-agentWorkspace")]
in_both_modes = pytest.mark.parametrize("mode", BOTH_MODES)
what_is_owed = pytest.mark.parametrize(("mode", "action"), HANDS_ON)


def let_act(story: Story) -> Story:
    """Answer the read that comes before a pass; a guarded release has no such read."""
    return story.shows(BOT) if not story.actions else story


@what_is_owed
def test_complete(mode: str, action: str) -> None:
    """A complete flow is followed by a release, or a pass to `PASS_TO`."""
    story = let_act(owing(mode))
    assert story.actions == [action]
    assert story.flow is None
    assert story.drops == 0, "what the flow has said still goes out"


@what_is_owed
def test_complete_then_watch(mode: str, action: str) -> None:
    """Once another is active, the duty is over and the conversation is watched."""
    story = let_act(owing(mode)).answers(Answer.ACCEPTED).later().moves(DESK)
    assert story.state.duty is None
    assert story.state.watch_at is not None
    assert story.proofs == ["zd-agentWorkspace is active, shown by a passControl event"]


@in_both_modes
def test_flow_releases(mode: str) -> None:
    """`release()` releases, whatever the mode."""
    story = served(mode)
    assert story.tell(FlowReleased(story.run.id)).actions == ["release"]


@in_both_modes
@pytest.mark.parametrize(("to", "target"), [(None, "zd-agentWorkspace"), ("sales", "sales")])
def test_flow_hands_over(mode: str, to: str | None, target: str) -> None:
    """`hand_over(to)` passes to `to`, else to `PASS_TO`, with its metadata and after a read."""
    story = served(mode)
    story.tell(FlowHandedOver(story.run.id, to, {"tags": "vip"}))
    assert story.actions == []
    assert story.shows(BOT).actions == [f"pass to {target}"]
    assert story.duty.metadata == {"tags": "vip"}


@in_both_modes
@pytest.mark.parametrize("to", ["bot", "sw-bot", "custom"])
def test_flow_hands_over_to_itself(mode: str, to: str) -> None:
    """A pass to the bot itself, under whatever name, would prove nothing: it is a release."""
    story = served(mode)
    assert story.tell(FlowHandedOver(story.run.id, to)).actions == ["release"]


@what_is_owed
def test_raised(mode: str, action: str) -> None:
    """A flow that raised gives up like a complete one: what it has said still goes out."""
    story = served(mode)
    story = let_act(story.tell(FlowFailed(story.run.id, "ValueError")))
    assert (story.actions, story.reports, story.drops) == ([action], ["flow_failed"], 0)


@what_is_owed
def test_hung(mode: str, action: str) -> None:
    """A turn that never ends is stopped at its deadline."""
    story = let_act(served(mode).later(15 * MINUTE))
    assert (story.actions, story.reports, story.drops) == ([action], ["flow_timed_out"], 1)


@what_is_owed
def test_hung_while_the_user_writes(mode: str, action: str) -> None:
    """A user who keeps writing gives a hung turn no more time."""
    story = served(mode)
    for _ in range(4):
        story.later(4 * MINUTE).user_says()
    assert "flow_timed_out" in story.reports
    assert let_act(story).actions == [action]


@what_is_owed
def test_timed_out(mode: str, action: str) -> None:
    """A wait that ends without an answer gets a turn, and that turn has the idle time before it is stopped."""
    story = served(mode).flow_waits(5 * MINUTE).later(5 * MINUTE)
    assert story.run.status == "ready"
    story = let_act(story.later(15 * MINUTE))
    assert (story.actions, story.reports) == ([action], ["flow_timed_out"])


WAYS_DOWN = {
    "release": ["pass to sales", *["pass to zd-agentWorkspace"] * PASS_ATTEMPTS, "release"],
    "pass": [*["pass to sales"] * PASS_ATTEMPTS, *["pass to zd-agentWorkspace"] * PASS_ATTEMPTS, "release"],
}
"""Of a pass to a target that the flow named; only pass mode tries that one again."""


@in_both_modes
def test_pass_refused(mode: str) -> None:
    """A named target that is declined gives way to PASS_TO, and that to a release; each way is reported once."""
    story = served(mode)
    story.tell(FlowHandedOver(story.run.id, "sales", {"tags": "vip"}))
    while story.duty.action is Action.PASS:
        assert story.duty.metadata == {"tags": "vip"}, "the ticket's fields go along"
        story.shows(BOT).answers(Answer.REFUSED).later(4 * SECOND)
    assert story.actions == WAYS_DOWN[mode]
    assert story.reports == ["pass_refused", "pass_refused"]


@in_both_modes
def test_pass_failure_event(mode: str) -> None:
    """A pass that was accepted, but told to have failed later, is declined just the same. Retries have a backoff."""
    story = served(mode)
    story.tell(FlowHandedOver(story.run.id, "sales"))
    while story.duty.action is Action.PASS:
        story.shows(BOT).answers(Answer.ACCEPTED)
        tried, target = len(story.actions), story.duty.target
        story.tell(ControlFailed(story.platform, "switchboard_invalid_target"))
        retried = story.state.duty is not None and story.duty.target == target
        assert len(story.actions) == tried or not retried, "no retry before the backoff is over"
        story.later(4 * SECOND)
    assert story.actions == WAYS_DOWN[mode]


@in_both_modes
def test_pass_without_effect(mode: str) -> None:
    """A pass that is accepted, but never seen to take effect, gives way after three attempts."""
    story = served(mode)
    story.tell(FlowHandedOver(story.run.id, "sales"))
    while story.duty.action is Action.PASS:
        story.shows(BOT).answers(Answer.ACCEPTED).later(2 * SECOND)
        if story.state.pending is None:
            story.later(4 * SECOND)
    passes = ["pass to sales"] * PASS_ATTEMPTS + ["pass to zd-agentWorkspace"] * PASS_ATTEMPTS
    assert story.actions == [*passes, "release"]


@in_both_modes
@pytest.mark.parametrize("to", [None, "zd-agentWorkspace"])
def test_pass_to_declined(mode: str, to: str | None) -> None:
    """PASS_TO itself is tried three times before the bot releases, and reported once."""
    story = served(mode)
    story.tell(FlowHandedOver(story.run.id, to))
    while story.duty.action is Action.PASS:
        story.shows(BOT).answers(Answer.REFUSED).later(4 * SECOND)
    assert story.actions == ["pass to zd-agentWorkspace"] * PASS_ATTEMPTS + ["release"]
    assert story.reports == ["pass_refused"]


@in_both_modes
def test_second_way_works(mode: str) -> None:
    """Once PASS_TO has the conversation, nothing is owed any more."""
    story = served(mode)
    story.tell(FlowHandedOver(story.run.id, "sales"))
    while story.duty.target == "sales":
        story.shows(BOT).answers(Answer.REFUSED).later(4 * SECOND)
    story.shows(BOT).later().moves(DESK)
    assert (story.state.duty, story.actions[-1]) == (None, "pass to zd-agentWorkspace")


def test_late_failures_of_the_first_target() -> None:
    """Each attempt fails once: failures that come late, or twice, don't count against PASS_TO."""
    story = served("pass")
    story.tell(FlowHandedOver(story.run.id, "sales"))
    while story.duty.target == "sales":
        story.shows(BOT).answers(Answer.REFUSED).later(4 * SECOND)
    story.shows(BOT)
    for _ in range(PASS_ATTEMPTS):
        story.tell(ControlFailed(story.platform, "switchboard_invalid_target"))
    assert (story.duty.target, story.duty.refusals) == ("zd-agentWorkspace", 1)


@in_both_modes
def test_what_a_hand_over_lost_is_reported(mode: str) -> None:
    """Values that were cut or left out cost no hand-over, and people are told which they were."""
    story = served(mode)
    story.tell(FlowHandedOver(story.run.id, None, {}, shortened=("a", "b"), left_out=("c",)))
    assert story.duty.action is Action.PASS
    assert story.reports == ["ticket_field_shortened", "ticket_field_left_out"]


@in_both_modes
def test_foreign_failure(mode: str) -> None:
    """The failure of somebody else's pass, while the bot has not tried its own yet, counts for nothing."""
    story = served(mode)
    story.tell(FlowHandedOver(story.run.id, "sales"))
    for _ in range(PASS_ATTEMPTS):
        story.tell(ControlFailed(story.platform, "switchboard_invalid_target"))
    assert (story.duty.action, story.duty.refusals) == (Action.PASS, 0)


def test_release_mode_user_ends_while_bot_holds() -> None:
    """Release mode: the flow stops, the platform gets its grace, a read shows who holds it, and the bot releases."""
    story = served().user_ends()
    assert (story.flow, story.drops, story.state.duty) == (None, 1, None)
    story.later(GRACE)
    assert story.actions == []
    assert story.shows(BOT).actions == ["release"]


def test_release_mode_platform_releases() -> None:
    """Release mode: the platform's own release is the proof; nothing is asked and nothing done."""
    story = served().user_ends().later().moves(None)
    assert story.state.closed
    assert story.later(HOUR).calls == []


def test_pass_mode_user_ends_while_bot_holds() -> None:
    """Pass mode: the flow stops, the closing flow runs once, and then control is released."""
    story = served("pass").user_ends()
    assert (story.flow, story.drops) == (Purpose.CLOSING, 1)
    assert story.run.opening.kind is OpeningKind.ENDED
    assert story.flow_returns().actions == ["release"]
    assert story.answers(Answer.ACCEPTED).later().moves(None).state.closed


def test_pass_mode_without_closing_flow() -> None:
    """Pass mode without a closing flow: control is released at once."""
    assert served("pass", closes=False).user_ends().actions == ["release"]


def test_pass_mode_closing_flow_once() -> None:
    """Pass mode: a second handback after the closing flow runs no second one."""
    story = served("pass").user_ends().flow_returns().answers(Answer.UNCLEAR).moves(DESK).moves(BOT)
    assert story.flow is None
    assert story.duty.action is Action.RELEASE


@in_both_modes
def test_closing_flow_hangs(mode: str) -> None:
    """A closing flow is stopped at CLOSING_TIMEOUT, and control is released in both modes."""
    story = with_agent(mode).user_ends().moves(BOT)
    assert story.flow is Purpose.CLOSING
    assert story.later(10 * MINUTE).actions == ["release"]


@in_both_modes
@pytest.mark.parametrize("end", ["raises", "hands over", "releases"])
def test_closing_flow_ends(mode: str, end: str) -> None:
    """However a closing flow ends after the user's end, control is released and not passed."""
    story = with_agent(mode).user_ends().moves(BOT)
    run = story.run.id
    ways: dict[str, Fact] = {
        "raises": FlowFailed(run, "x"),
        "hands over": FlowHandedOver(run),
        "releases": FlowReleased(run),
    }
    assert story.tell(ways[end]).actions == ["release"]


@in_both_modes
def test_user_ends_while_another_holds(mode: str) -> None:
    """Another holds it when the user ends: the release that comes is the proof, and nothing is done."""
    story = with_agent(mode).user_ends().later().moves(None)
    assert story.state.closed
    assert story.ended.proof
    assert story.ended.proof.how == "nobody is active, shown by a releaseControl event"
    assert story.later(HOUR).calls == []


@in_both_modes
def test_read_after_the_grace(mode: str) -> None:
    """Another holds it when the user ends, and nothing comes: after the grace a read tells that nobody is active."""
    story = with_agent(mode).user_ends().later(GRACE)
    assert len(story.calls) == 1
    assert story.shows(None).state.closed


@in_both_modes
def test_app_key_releases(mode: str) -> None:
    """What another still holds after the grace is released with the app key, and a read proves it."""
    story = with_agent(mode, app_key=True).user_ends().later(GRACE).shows(DESK)
    assert story.actions == ["release (app)"]
    assert story.answers(Answer.ACCEPTED).later(2 * SECOND).shows(None).state.closed


@in_both_modes
def test_no_app_key(mode: str) -> None:
    """Without an app key that is reported once, nothing is taken from anybody, and the bot goes on watching."""
    story = with_agent(mode).user_ends().later(GRACE)
    for _ in range(5):
        story.shows(DESK).later(5 * MINUTE)
    assert story.reports == ["no_app_key"]
    assert story.actions == []
    assert story.shows(None).state.closed


@in_both_modes
@pytest.mark.parametrize("reason", [None, "ticketClosed", "somethingNew"])
def test_handed_back(mode: str, reason: str | None) -> None:
    """Control that comes back from the agent is answered by the closing flow and then released, in both modes."""
    story = with_agent(mode).moves(BOT, reason)
    assert (story.flow, story.run.opening.reason) == (Purpose.CLOSING, reason)
    assert story.flow_returns().actions == ["release"]


@in_both_modes
def test_handed_back_without_closing_flow(mode: str) -> None:
    """Without a closing flow, what comes back is released at once."""
    assert with_agent(mode, closes=False).moves(BOT, "ticketClosed").actions == ["release"]


@in_both_modes
def test_handed_back_while_a_flow_is_at_work(mode: str) -> None:
    """A handback stops the opening flow; a second one leaves the closing flow alone."""
    story = served(mode).later().moves(BOT, "ticketClosed")
    closing = story.run
    assert (story.flow, story.drops) == (Purpose.CLOSING, 1)
    assert story.later().moves(BOT, "ticketClosed").run == closing


@in_both_modes
def test_handed_back_after_the_end(mode: str) -> None:
    """Control that comes to the bot after the user's end is answered by the closing flow and then released."""
    story = with_agent(mode).user_ends().later().moves(BOT)
    assert story.flow is Purpose.CLOSING
    assert story.flow_returns().actions == ["release"]


@in_both_modes
def test_handed_back_after_the_end_without_closing_flow(mode: str) -> None:
    """Without a closing flow, what comes to the bot after the end is released at once."""
    assert with_agent(mode, closes=False).user_ends().later().moves(BOT).actions == ["release"]


@in_both_modes
@pytest.mark.parametrize("after", [timedelta(0), timedelta(milliseconds=40), GRACE])
def test_ended_message_after_the_pass(mode: str, after: timedelta) -> None:
    """The message that tells the end comes after the pass, even with a later time: the closing flow goes on."""
    story = with_agent(mode).moves(BOT)
    closing = story.run
    story.tell(UserEnded(story.platform + after, "m1"))
    assert story.run == closing
    assert story.ended.handed_back
    assert story.flow_returns().actions == ["release"]


def test_ended_during_the_survey() -> None:
    """A user who ends the conversation long after the handback stops the closing flow, which does not run again."""
    story = with_agent("pass").moves(BOT, "ticketClosed").later(5 * MINUTE).user_ends()
    assert (story.flow, story.actions) == (None, ["release"])


@in_both_modes
def test_transferred_to_email(mode: str) -> None:
    """`transferToEmail` is released at once; no flow runs."""
    story = with_agent(mode).moves(BOT, "transferToEmail")
    assert (story.flow, story.actions) == (None, ["release"])


@in_both_modes
def test_handed_over_by_another_bot(mode: str) -> None:
    """Another bot that passes control without a reason wants the user to be served."""
    story = Story(mode).moves(ANSWERBOT).later().moves(BOT)
    assert (story.flow, story.run.opening.kind) == (Purpose.OPENING, OpeningKind.HANDBACK)


@in_both_modes
def test_handed_over_by_another_bot_without_opening_flow(mode: str) -> None:
    """Without an opening flow that is given up at the idle deadline."""
    story = Story(mode, opens=False).moves(ANSWERBOT).later().moves(BOT)
    assert story.flow is None
    assert story.later(15 * MINUTE).actions == ["release"]


@pytest.mark.parametrize("before", [None, BOT])
def test_passed_without_a_story(before: object) -> None:
    """A pass from nobody, or to the one who has it, begins nothing: a message will, or the idle deadline ends it."""
    story = Story().moves(BOT if before else None).later()
    flow = story.flow
    assert story.moves(BOT).flow is flow


@in_both_modes
def test_another_takes_control(mode: str) -> None:
    """Another integration takes control: the flow stops and its unsent messages are dropped; it is watched."""
    story = served(mode).later().moves(DESK)
    assert (story.flow, story.drops, story.state.idle_at) == (None, 1, None)
    assert story.later(10 * MINUTE).calls, "the watch reads"


@in_both_modes
def test_another_takes_control_of_what_is_owed(mode: str) -> None:
    """Another integration takes control: the duty is dropped, and its action taken back."""
    story = let_act(owing(mode)).later().moves(ANSWERBOT)
    assert (story.state.duty, story.state.pending) == (None, None)
    assert story.proofs == ["zd-answerBot is active, shown by a passControl event"]


def test_another_takes_control_after_the_end() -> None:
    """After an end the release stays owed; the platform's 403 and a read end it, and the app key is the next."""
    story = served("pass", closes=False, app_key=True).user_ends().later().moves(DESK)
    assert story.duty.action is Action.RELEASE
    story.answers(Answer.NOT_OURS).shows(DESK)
    assert story.state.duty is None
    assert story.later(GRACE).shows(DESK).actions == ["release", "release (app)"]


@in_both_modes
def test_keeps_watching_for_the_end(mode: str) -> None:
    """While another holds it, an end that was never told is found by the watch."""
    story = with_agent(mode).later(10 * MINUTE)
    story.shows(None, UserEnded(story.now - MINUTE, "m1"))
    assert story.state.closed


@in_both_modes
def test_agent_writes(mode: str) -> None:
    """An agent writes while the bot holds control: the flow stops, and control is passed to the agent's integration."""
    story = served(mode).later()
    story.tell(AgentWrote(story.platform, "zd:agentWorkspace"))
    assert (story.flow, story.drops) == (None, 1)
    assert story.shows(BOT).actions == ["pass to zd:agentWorkspace"]


@in_both_modes
def test_agent_writes_where_nothing_is_to_do(mode: str) -> None:
    """An agent's message changes nothing where another holds it, where it has ended, or where it is told late."""
    assert with_agent(mode).tell(AgentWrote(Story().now + HOUR, "zd:agentWorkspace")).state.duty is None
    ended = served(mode).user_ends()
    before = ended.state
    assert ended.tell(AgentWrote(ended.platform, "zd:agentWorkspace")).state == before
    late = served(mode)
    assert late.tell(AgentWrote(late.now - HOUR, "zd:agentWorkspace")).flow is Purpose.OPENING


@in_both_modes
def test_agent_writes_twice(mode: str) -> None:
    """An agent who writes on adds no second duty."""
    story = served(mode).later()
    duty = story.tell(AgentWrote(story.platform, "zd:agentWorkspace")).duty
    assert story.later().tell(AgentWrote(story.platform, "zd:agentWorkspace")).duty == duty


@in_both_modes
def test_silent_reassignment(mode: str) -> None:
    """A message that shows the bot active starts the opening flow, although no event told of it."""
    story = with_agent(mode).user_says(BOT)
    assert story.flow is Purpose.OPENING
    assert story.run.opening.event_id == "e1"


@in_both_modes
def test_idle(mode: str) -> None:
    """A conversation that the bot holds, and in which nothing happens, is released at the idle deadline."""
    story = Story(mode).sees(BOT).later(15 * MINUTE - SECOND)
    assert story.actions == []
    assert story.later().actions == ["release"]


@what_is_owed
def test_no_opening_flow(mode: str, action: str) -> None:
    """A bot without an opening flow gives up what a user's message brings it."""
    assert let_act(Story(mode, opens=False).user_says()).actions == [action]


@in_both_modes
@pytest.mark.parametrize("situation", [served, owing, with_agent])
def test_removed(mode: str, situation: object) -> None:
    """A removed conversation is forgotten: nothing is owed, at work, on its way, or looked at any more."""
    assert callable(situation)
    story: Story = situation(mode)
    state = story.user_ends().tell(Removed()).state
    assert (state.gone, state.run, state.duty, state.pending, state.look_at) == (True, None, None, None, None)
    assert Forget() in story.records


@in_both_modes
@pytest.mark.parametrize("situation", [served, owing, with_agent])
def test_person_removed(mode: str, situation: object) -> None:
    """Where a person was removed, all is forgotten, and a read tells what is left: nothing, or others to be served."""
    assert callable(situation)
    story: Story = situation(mode).user_ends().tell(PersonRemoved())
    assert Forget() in story.records
    assert story.state.is_blank
    assert isinstance(story.later().calls[-1], Read)
    gone = story.answers(Answer.GONE)
    assert (gone.state.gone, gone.state.look_at, gone.records[-1], gone.reports) == (True, None, Forget(), [])


@in_both_modes
def test_person_removed_among_others(mode: str) -> None:
    """If the conversation is still there and the bot holds it, control is given up as always."""
    story = served(mode).tell(PersonRemoved()).later()
    story.shows(BOT).later(HOUR)
    assert story.actions == ["release"]


@pytest.mark.parametrize(
    ("mode", "active", "reason", "reported"),
    [
        ("release", BOT, "ticketClosed", True),
        ("release", None, "ticketClosed", False),
        ("release", BOT, None, False),
        ("pass", None, "ticketClosed", True),
        ("pass", BOT, "ticketClosed", False),
        ("pass", None, None, False),
    ],
)
def test_mode_mismatch(mode: str, active: object, reason: str | None, reported: bool) -> None:
    """What the platform does only in the other mode is reported, once."""
    story = with_agent(mode)
    for _ in range(2):
        story.moves(BOT if active else None, reason).later()
    assert story.reports == ["mode_mismatch"] * reported


@pytest.mark.parametrize(("name", "mode"), [("release", ReleaseControl("x")), ("pass", PassControl("x"))])
def test_mode_named(name: str, mode: object) -> None:
    """CONTROL_MODE names the mode."""
    assert mode_named(name, "x") == mode


def test_mode_unknown() -> None:
    """Another name is refused with the names that there are."""
    with pytest.raises(ValueError, match="'release' or 'pass'"):
        mode_named("both")


@in_both_modes
def test_holder_words(mode: str) -> None:
    """A holder reads as people would say it."""
    assert str(with_agent(mode).state.holder) == "zd-agentWorkspace"
    assert str(served(mode).state.holder) == Who.BOT
