"""Who is active, and what the user said: late, undated and contradictory facts."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import permutations

import pytest
from control_samples import BOT, DESK, HOUR, MINUTE, NOON, SECOND, Story, served, with_agent

from bot.control.facts import (
    Answer,
    ControlMoved,
    ControlUndated,
    ConversationRead,
    FlowReturned,
    FlowWaits,
    HolderSeen,
    TimePassed,
    UserEnded,
    UserSpoke,
)
from bot.control.obligations import to_be_read
from bot.control.policy import INPUT_LIMIT, Policy
from bot.control.rules import UnsafeStateError, step
from bot.control.state import Conversation, Holder, Input, Integration, OpeningKind, Purpose, RunStatus, What, Who


@pytest.mark.parametrize(
    ("fact", "doubt"),
    [
        (ControlMoved(NOON - SECOND, DESK, "ticketClosed"), True),
        (ControlMoved(NOON - HOUR, DESK), True),
        (HolderSeen(NOON - SECOND, DESK), True),
        (HolderSeen(NOON - 2 * SECOND, DESK), False),
    ],
)
def test_late(fact: HolderSeen | ControlMoved, doubt: bool) -> None:
    """An older fact never moves the holder. A control event that contradicts it, or a message just before, is read."""
    story = served()
    before = story.state
    after = story.tell(fact).state
    assert (after.holder, after.run, after.inputs) == (before.holder, before.run, before.inputs)
    assert after.in_doubt is doubt


@pytest.mark.parametrize(
    ("first", "second", "holder"),
    [
        (ControlMoved(NOON, DESK), HolderSeen(NOON, BOT), Who.OTHER),
        (HolderSeen(NOON, BOT), ControlMoved(NOON, DESK), Who.OTHER),
        (HolderSeen(NOON, BOT), HolderSeen(NOON, DESK), Who.OTHER),
        (ControlMoved(NOON, BOT), ControlMoved(NOON, None), Who.NOBODY),
    ],
)
def test_ties(first: HolderSeen, second: HolderSeen, holder: Who) -> None:
    """Of two facts with one time, a control event beats a message, else the second counts, until a read."""
    story = Story().tell(first).tell(second)
    assert (story.state.holder.who, story.state.in_doubt) == (holder, True)


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_ties_of_many(order: tuple[int, ...]) -> None:
    """However often and in whatever order facts of one time are told, the bot doesn't speak before a read."""
    facts = (HolderSeen(NOON, BOT), ControlMoved(NOON, DESK), HolderSeen(NOON, BOT))
    story = Story()
    for place in order:
        story.tell(facts[place])
    assert (story.state.holder.who, story.state.in_doubt) == (Who.OTHER, True)
    assert story.shows(BOT).state.holder.who is Who.BOT
    if story.state.in_doubt:  # told while the read was under way: one more
        story.later().shows(BOT)
    assert (story.state.is_certain, len(story.calls) <= 2) == (True, True)


def test_a_handback_survives_ties() -> None:
    """The closing flow goes on, whatever the messages of the same moment show."""
    story = with_agent("pass").moves(BOT, "ticketClosed").sees(DESK).sees(DESK)
    assert (story.flow, story.state.in_doubt) == (Purpose.CLOSING, True)
    assert story.shows(BOT).flow is Purpose.CLOSING


def test_a_tie_with_messages_unsent() -> None:
    """The read that ends a doubt waits for no message: a control action that queues behind them is taken back."""
    story = Story().user_says().flow_returns()
    assert (story.last_call, story.pending) == ("Release", "c1.3")
    story.tell(ControlMoved(NOON, DESK))
    assert (story.last_call, story.drops, story.pending) == ("Read", 0, "c1.4")
    assert story.shows(DESK).proofs == ["zd-agentWorkspace is active, shown by a read"]


def test_a_tie_learned_during_a_read() -> None:
    """A fact of the same time that came while the read was under way may be newer than the read: one more read."""
    story = served().tell(ControlUndated())
    story.tell(ControlMoved(NOON + 5 * SECOND, DESK))
    story.tell(ConversationRead(story.pending, NOON + 5 * SECOND, BOT))
    assert story.state.in_doubt
    assert story.later().shows(DESK).state.holder.who is Who.OTHER


@pytest.mark.parametrize(
    ("active", "who"),
    [
        (None, Who.NOBODY),
        (Integration("bot"), Who.BOT),
        (Integration("x", "bot"), Who.BOT),
        (Integration("x", "y", "bot"), Who.BOT),
        (Integration("x", "y", "custom"), Who.OTHER),
    ],
)
def test_who(active: Integration | None, who: Who) -> None:
    """The bot is found by its id or name."""
    assert Story().sees(active).state.holder.who is who


def test_undated_control_event() -> None:
    """A control event without a time moves nobody, but is read at once, whoever holds it."""
    for situation in (served, with_agent):
        story = situation().tell(ControlUndated())
        assert story.state.pending
        assert story.state.pending.what is What.READ_TO_WATCH
        assert story.shows(None).state.holder.who is Who.NOBODY


def test_undated_events_without_end() -> None:
    """A platform that never dates its events gets one read at a time."""
    story = served()
    for _ in range(10):
        story.tell(ControlUndated())
    assert len(story.calls) == 1
    assert len(story.shows(BOT).later().calls) == 2
    assert len(story.shows(BOT).later(MINUTE).calls) == 2


@pytest.mark.parametrize(("mode", "app"), [("release", False), ("pass", True)])
def test_watch(mode: str, app: bool) -> None:
    """What another holds is read after 10 minutes at first, and every six hours or so in the end."""
    story = with_agent(mode, app_key=app)
    reads: list[timedelta] = []
    for _ in range(12):
        began = story.now
        while not story.state.pending:
            story.later(MINUTE)
        reads.append(story.now - began)
        story.shows(DESK)
    assert 7 * MINUTE <= reads[0] <= 10 * MINUTE
    assert reads == sorted(reads) or reads[-1] >= 4 * HOUR
    assert max(reads) <= 6 * HOUR + MINUTE


def test_watch_fails() -> None:
    """A watch that could not read does so again soon, and not at the slow pace."""
    story = with_agent().later(10 * MINUTE).answers(Answer.UNCLEAR)
    assert story.later(2 * SECOND).state.pending


def test_known_by_the_read() -> None:
    """A read holds from what was known when it began, even if its own time is coarser."""
    story = with_agent().tell(ControlUndated())
    story.tell(ConversationRead(story.pending, NOON - HOUR, BOT))
    assert story.state.holder == Holder(Who.BOT, BOT, NOON, certain=True, how="a read")


def test_inputs_are_kept_for_the_flow() -> None:
    """What the user says while a turn runs is kept for the next question, which it then answers."""
    story = served().later().user_says().later().user_says()
    assert [kept.event_id for kept in story.state.inputs] == ["e2", "e3"]
    story.flow_waits(taken=("e2",))
    assert (story.run.status, [kept.event_id for kept in story.state.inputs]) == (RunStatus.READY, ["e3"])


def test_a_turn_takes_what_it_names() -> None:
    """And nothing in its place: what it names may be gone already, or stand behind what it does not name."""
    story = served().later().user_says().later().user_says().later().user_says()
    story.flow_waits(taken=("e1", "e3"))
    assert [kept.event_id for kept in story.state.inputs] == ["e2", "e4"]


def test_a_fresh_question_takes_all_that_was_said_before() -> None:
    """Also what no turn knows of."""
    story = served().later().user_says().later().user_says().flow_waits(taken=("e2",), fresh=True)
    assert (story.run.status, story.state.inputs) == (RunStatus.WAITING, ())
    story.later().user_says()
    assert (story.run.status, [kept.event_id for kept in story.state.inputs]) == (RunStatus.READY, ["e4"])


def test_input_answers() -> None:
    """User input ends the wait of a question, and not that of a sleep; the user's turn moves the deadline."""
    story = served().flow_waits().later(10 * MINUTE).user_says()
    assert (story.run.status, story.run.since) == (RunStatus.READY, story.now)
    assert story.run.deadline == NOON + SECOND + 30 * MINUTE
    story = served().flow_waits(HOUR, wants_input=False).later().user_says()
    assert story.run.status is RunStatus.WAITING
    assert len(story.state.inputs) == 1


def test_answer_after_a_long_wait() -> None:
    """An answer at the last moment still gets a turn with the whole idle time."""
    story = served().flow_waits(5 * SECOND)
    story.tell(TimePassed()).later(4 * SECOND).user_says()
    assert story.run.deadline >= story.now + 15 * MINUTE


def test_sleep_ends() -> None:
    """A sleep ends at its time, and what was said meanwhile is still there."""
    story = served().flow_waits(MINUTE, wants_input=False).later().user_says().later(MINUTE)
    assert (story.run.status, len(story.state.inputs)) == (RunStatus.READY, 1)


def test_inputs_are_bounded() -> None:
    """Of what a flow does not ask for, the oldest inputs are kept: a turn counts what it takes from the front."""
    story = served()
    for _ in range(INPUT_LIMIT + 5):
        story.user_says()
    assert len(story.state.inputs) == INPUT_LIMIT
    assert story.state.inputs[-1].event_id == f"e{INPUT_LIMIT + 1}"


@pytest.mark.parametrize("kind", [OpeningKind.MESSAGE, OpeningKind.POSTBACK, OpeningKind.REFERRAL])
def test_what_began(kind: OpeningKind) -> None:
    """A run knows what began it: a message, a postback or a referral."""
    story = Story().user_says(kind=kind)
    assert (story.run.opening.kind, story.run.opening.event_id, story.run.began) == (kind, "e1", NOON)


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("shown", [BOT, DESK, None])
def test_input_while_nobody_is_known_to_hold(known: bool, shown: Integration | None) -> None:
    """What the user says while nobody is active, or nobody knows who, is read soon: served or dropped then."""
    story = Story()
    if known:
        story.user_says(None)
    else:
        story.tell(UserSpoke(Input("e1", NOON)))
    assert story.flow is None
    story.later().shows(shown)
    assert story.flow is (Purpose.OPENING if shown is BOT else None)
    assert story.state.inputs == ()
    assert len(story.later().later(MINUTE).calls) <= 2, "and that was that"


def test_input_newer_than_the_release() -> None:
    """Input that is newer than a release, told before it, is not dropped with it: a read decides."""
    story = served().later()
    released = story.platform
    story.later().user_says(None).tell(ControlMoved(released, None))
    assert len(story.state.inputs) == 1
    assert story.later().shows(BOT).flow is Purpose.OPENING


def test_input_older_than_the_release() -> None:
    """Input that was said before control was released is dropped: others have answered it, or nobody will."""
    story = Story().tell(UserSpoke(Input("e1", NOON - SECOND))).moves(None)
    assert story.state.inputs == ()


def test_flow_that_was_stopped() -> None:
    """What a flow tells after it was stopped changes nothing."""
    story = served()
    run = story.run.id
    before = story.later().moves(DESK).state
    assert story.tell(FlowReturned(run)).tell(FlowWaits(run, wants_input=True, until=None)).state == before


def test_failed_elsewhere() -> None:
    """What a flow of another number tells changes nothing."""
    story = served()
    before = story.state
    assert story.tell(FlowReturned(99)).state == before


def test_turn_whose_wait_is_over_already() -> None:
    """A flow that waits until a time that has passed gets its next turn at once."""
    assert served().flow_waits(-SECOND).run.status is RunStatus.READY


def test_unsafe_state() -> None:
    """A state at stake that nothing looks at again is refused, and the message says which fact led to it."""

    class Sleepless(Conversation):
        """A conversation that is never looked at."""

        rules_at = None

    with pytest.raises(UnsafeStateError, match="HolderSeen led to an unsafe state of c1"):
        step(Sleepless("c1"), HolderSeen(NOON, BOT), NOON, Policy("bot"))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (ControlMoved(NOON, DESK), HolderSeen(NOON, BOT)),
        (HolderSeen(NOON, BOT), ControlMoved(NOON, DESK)),
        (ControlMoved(NOON, BOT), HolderSeen(NOON, None)),
    ],
)
def test_contradiction(first: HolderSeen | ControlMoved, second: HolderSeen | ControlMoved) -> None:
    """A control event and a message of one time that differ leave it in doubt until a read, which comes at once."""
    story = Story().tell(first).tell(second)
    assert not story.state.is_certain
    assert story.shows(BOT).state.holder == Holder(Who.BOT, BOT, story.now, certain=True, how="a read")
    assert len(story.later(MINUTE).calls) == 1


def test_contradiction_after_the_end() -> None:
    """After an end such a contradiction doesn't wait for the grace."""
    story = with_agent().later().user_ends()
    at = story.platform
    story.tell(ControlMoved(at, None)).tell(HolderSeen(at, DESK))
    assert story.later().shows(None).state.closed


def test_overtaken_at_the_deadline() -> None:
    """A flow that is late, in a conversation that another holds by then, leaves nothing owed."""
    story = served()
    story.now += HOUR
    assert story.moves(DESK).state.duty is None


def test_idle_deadline_stands() -> None:
    """Events in a conversation that the bot holds don't move its idle deadline."""
    story = Story().sees(BOT)
    idle_at = story.state.idle_at
    assert story.later(MINUTE).sees(BOT).state.idle_at == idle_at


def test_release_by_others_is_looked_into() -> None:
    """A release that the bot has not asked for may be an end that was not told: the messages are read."""
    story = with_agent().moves(None).later(5 * SECOND)
    assert story.shows(None, UserEnded(story.now - 6 * SECOND, "m9")).state.closed


@pytest.mark.parametrize("holds", [True, False])
def test_to_be_read_after_a_pause(holds: bool) -> None:
    """What others hold is put off until then; what the bot holds and is to be read earlier is not."""
    story = Story().moves(BOT if holds else DESK)
    soon, then = story.now + SECOND, story.now + HOUR
    state = to_be_read(replace(story.state, watch_at=soon, watches=3), then)
    assert (state.watch_at, state.watches) == (soon if holds else then, 0)
