"""What holds for every sequence of facts, however absurd: old, new, skewed, stale, contradictory."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import datetime, timedelta
from typing import Any, get_args

from control_samples import ANSWERBOT, BOT, BOTH_MODES, DESK, HOUR, MINUTE, NOON, SECOND
from drawing import built, examples
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.control.commands import CloseDuty, Forget, Proven, Record
from bot.control.facts import (
    AgentWrote,
    Answer,
    Answered,
    CleanedUp,
    ControlFailed,
    ControlMoved,
    ConversationRead,
    EffectLost,
    EndSuspected,
    Fact,
    FlowFailed,
    FlowHandedOver,
    FlowReleased,
    FlowReminded,
    FlowReturned,
    FlowSaid,
    FlowWaits,
    HolderSeen,
    PersonRemoved,
    Removed,
    TimePassed,
    UserEnded,
    UserSpoke,
    WidgetOpened,
)
from bot.control.modes import mode_named
from bot.control.policy import INPUT_LIMIT, Policy
from bot.control.rules import step
from bot.control.state import Action, Conversation, Input, Key, Kind, OpeningKind, Purpose, RunStatus, What, Who

CURRENT = "current"  # stands for the effect that is on its way
CURRENT_RUN = 0  # stands for the flow at work
LONGEST_WAIT = HOUR  # of a flow, in these tests

offsets = st.sampled_from([-HOUR, -20 * SECOND, -SECOND, 0 * SECOND, SECOND, 20 * SECOND, HOUR])
times = offsets.map(lambda offset: NOON + offset)
inputs = built(
    Input,
    event_id=st.sampled_from(["e1", "e2"]),
    at=times,
    kind=st.sampled_from([OpeningKind.MESSAGE, OpeningKind.POSTBACK, OpeningKind.REFERRAL]),
)
ends = built(UserEnded, at=times, message_id=st.sampled_from(["m1", "m2", None]))
words = st.just("x")

# By the names of fields. Where a name is not here, any value of the field's type is drawn.
NARROWED: dict[str, st.SearchStrategy[Any]] = {
    "at": times,
    "active": st.sampled_from([None, BOT, DESK, ANSWERBOT]),
    "reason": st.sampled_from([None, "ticketClosed", "transferToEmail", "somethingNew"]),
    "effect_id": st.sampled_from([CURRENT, CURRENT, CURRENT, "c1.1", "stale"]),
    "run_id": st.sampled_from([CURRENT_RUN, CURRENT_RUN, CURRENT_RUN, 1, 99]),
    "input": inputs,
    "message_id": st.sampled_from(["m1", "m2", None]),
    "retry_after": st.sampled_from([None, SECOND, 24 * HOUR]),
    "ended": st.none() | ends,
    "spoke_at": st.none() | times,
    "until": st.none() | times,
    "taken": st.lists(st.sampled_from(["e1", "e2", "e9"]), max_size=2, unique=True).map(tuple),
    "said_to": st.sampled_from([None, BOT, DESK, ANSWERBOT]),
    "began": st.sampled_from([None, NOON - SECOND, NOON - HOUR]),
    "to": st.sampled_from([None, "bot", "sales"]),
    "metadata": st.just({}),
    "flow": st.sampled_from(["reminder", "survey"]),
    "after": st.sampled_from([SECOND, 20 * SECOND, HOUR]),
    "data": st.sampled_from([None, {"a": 1}]),
    "about": st.just({}),
    "against": st.sampled_from([None, DESK.id]),
    "source": st.just("zd:agentWorkspace"),
    "by": words,
    "code": words,
    "detail": words,
    "error": words,
    "failed": st.sampled_from(["", "x"]),
    "messages": st.integers(0, 3),
    "tries": st.lists(st.integers(1, 3), max_size=2).map(tuple),
}


def facts_of(kind: type[Fact]) -> st.SearchStrategy[Fact]:
    """Facts of one kind, whatever fields it has."""
    named = {field.name: NARROWED[field.name] for field in fields(kind) if field.name in NARROWED}
    if kind is WidgetOpened:
        named["input"] = inputs.map(lambda given: replace(given, kind=OpeningKind.CREATED))
    return built(kind, **named)


facts: st.SearchStrategy[Fact] = st.one_of(*(facts_of(kind) for kind in get_args(Fact)))
pauses = st.sampled_from([timedelta(0), timedelta(0), SECOND, 2 * SECOND, 15 * SECOND, MINUTE, 10 * MINUTE, HOUR])
keys = st.sampled_from([(True, False), (True, True), (False, True)])


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    """Any mode, any keys, with and without flows."""
    integration_key, app_key = draw(keys)
    return Policy(
        "bot",
        mode_named(draw(st.sampled_from(BOTH_MODES))),
        opens=draw(st.booleans()),
        closes=draw(st.booleans()),
        integration_key=integration_key,
        app_key=app_key,
        greets=draw(st.booleans()),
    )


def moved(fact: Fact, by: timedelta) -> Fact:
    """The same fact, so much later."""
    match fact:
        case UserSpoke(spoken):
            return UserSpoke(replace(spoken, at=spoken.at + by))
        case WidgetOpened(opened):
            return WidgetOpened(replace(opened, at=opened.at + by))
        case ConversationRead(ended=UserEnded() as ended):
            return replace(fact, at=fact.at + by, ended=replace(ended, at=ended.at + by))
        case FlowWaits(until=datetime() as until):
            return replace(fact, until=until + by)
        case HolderSeen() | ControlMoved() | ControlFailed() | UserEnded():
            return replace(fact, at=fact.at + by)
        case EndSuspected() | AgentWrote() | ConversationRead():
            return replace(fact, at=fact.at + by)
        case _:
            return fact


def aimed(fact: Fact, state: Conversation) -> Fact:
    """The same fact for what is on its way, or at work, now."""
    match fact:
        case Answered(effect_id="current") | ConversationRead(effect_id="current") if state.pending:
            return replace(fact, effect_id=state.pending.effect_id)
        case Answered(effect_id="current") | CleanedUp(effect_id="current") | EffectLost(effect_id="current"):
            return replace(fact, effect_id=state.unsent[0].id) if state.unsent else fact
        case FlowSaid(run_id=0) if state.run:
            return replace(fact, run_id=state.run.id)
        case FlowWaits(run_id=0) | FlowReturned(run_id=0) | FlowFailed(run_id=0) if state.run:
            return replace(fact, run_id=state.run.id)
        case FlowReleased(run_id=0) | FlowHandedOver(run_id=0) | FlowReminded(run_id=0) if state.run:
            return replace(fact, run_id=state.run.id)
        case _:
            return fact


@settings(max_examples=examples(200, new=4000))
@given(policies(), st.lists(st.tuples(pauses, facts), max_size=25))
def test_every_step(policy: Policy, story: list[tuple[timedelta, Fact]]) -> None:
    """Every step leaves a state that is safe, consistent and at rest, and takes nothing from anybody."""
    state, now = Conversation("c1"), NOON
    for pause, told in story:
        now += pause
        fact = aimed(moved(told, now - NOON), state)
        before = state
        state, records = step(before, fact, now, policy)
        is_consistent(state)
        is_at_rest(state, now, policy)
        is_accounted_for(before, state, fact, records)
        takes_nothing(before, state, fact)
        is_looked_at_in_time(state, now, policy)


def test_every_kind_of_fact_is_drawn() -> None:
    """A kind that is added to the union is drawn without being listed here."""
    seen: set[type[Fact]] = set()

    @settings(max_examples=200)
    @given(facts)
    def look(fact: Fact) -> None:
        seen.add(type(fact))

    look()
    assert seen == set(get_args(Fact))


def is_consistent(state: Conversation) -> None:
    """No state contradicts itself."""
    assert state.is_safe()
    assert not (state.run and state.duty), "a flow is at work while control is to be given up"
    kept = state.holder.who is Who.BOT or state.in_doubt  # nothing is dropped that a read may show to be the bot's
    assert not state.run or kept, "a flow is at work in what the bot does not hold"
    assert not (state.duty and state.ended and state.duty.action is not Action.RELEASE), "a pass after an end"
    assert not (state.start and (state.run or state.inputs)), "a flow is to begin beside another"
    taking = state.duty is not None and state.duty.action is Action.TAKE
    assert taking == (state.start is not None and state.start.asked), "control is taken for nothing"
    assert not (state.closed and (state.duty or state.run)), "something is owed in a closed conversation"
    assert not (state.ended and state.run) or state.run.purpose is Purpose.CLOSING, "an opening flow after an end"
    assert len(state.inputs) <= INPUT_LIMIT
    reading = state.pending is not None and state.pending.what is What.READ_TO_WATCH
    assert not state.in_doubt or state.read_at or reading, "a doubt that no read will end"
    if state.gone:
        assert (state.run, state.duty, state.pending, state.inputs) == (None, None, None, ())
        assert (state.start, state.reminders) == (None, ())
        assert state.rules_at is None
        assert all(unsent.kind is Kind.CLEAN_UP for unsent in state.unsent)
    for unsent in state.unsent:
        assert unsent.kind is Kind.CLEAN_UP or state.in_doubt or state.may_say(unsent.run_id), "said to others"


def is_at_rest(state: Conversation, now: datetime, policy: Policy) -> None:
    """Time that does not pass changes nothing: there is no spinning."""
    assert state.waits_until is None or state.waits_until > now
    assert step(state, TimePassed(), now, policy) == (state, ())


def is_accounted_for(before: Conversation, after: Conversation, fact: Fact, records: tuple[Record, ...]) -> None:
    """A duty only goes with a record, and so does a proof; a late fact moves nobody."""
    assert (after.closed and not before.closed) <= any(isinstance(record, Proven) for record in records)
    if before.duty and (after.duty is None or after.duty.id != before.duty.id):
        assert before.duty.id in [record.duty.id for record in records if isinstance(record, CloseDuty)]
    if after.run and after.run.purpose is Purpose.CLOSING and (before.run is None or before.run.id != after.run.id):
        assert before.closing_run is None or before.gone, "a second closing flow"
    if isinstance(fact, HolderSeen | ControlMoved) and before.holder.since and fact.at < before.holder.since:
        assert after.holder == before.holder
    assert after.serial >= before.serial
    unknown_to_all = isinstance(fact, Answered) and fact.answer is Answer.GONE and before.is_blank and not before.gone
    assert (Forget() in records) is (isinstance(fact, Removed | PersonRemoved) or unknown_to_all)
    if isinstance(fact, PersonRemoved):
        assert after == Conversation(
            before.id, read_at=after.read_at, watch_at=after.watch_at, in_doubt=True, serial=after.serial
        )


def takes_nothing(before: Conversation, after: Conversation, fact: Fact) -> None:
    """What the platform would not refuse is commanded only by a read, of the bot's own or of what has ended."""
    pending, duty = after.pending, after.duty
    if pending is None or (before.pending and before.pending.effect_id == pending.effect_id):
        return
    releases = pending.what is What.RELEASE and duty is not None and duty.key is Key.APP
    if pending.what is What.PASS or releases:
        assert isinstance(fact, ConversationRead)
        assert before.pending
        assert fact.effect_id == before.pending.effect_id
        if pending.what is What.PASS and duty and duty.target == "bot":
            assert fact.active is None, "control is taken from somebody"
        else:
            assert fact.active == BOT or (after.ended and releases)


def is_looked_at_in_time(state: Conversation, now: datetime, policy: Policy) -> None:
    """What is at stake is looked at soon: with a flow by its times, a duty or an end within minutes, else when idle."""
    if not state.at_stake:
        return
    assert state.look_at
    bound = 5 * MINUTE
    if state.run:
        bound = policy.idle if state.run.status is RunStatus.READY else LONGEST_WAIT + policy.idle
    elif not (state.duty or state.ended):
        bound = policy.idle
    assert state.look_at - now <= bound
