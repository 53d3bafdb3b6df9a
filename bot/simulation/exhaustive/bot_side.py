"""The bot in a story: facts take effect by the real rules, what the state says goes out, and calls are answered.

It does what the engine does, in the same order, without the engine: facts, then what is due, then the flow's turn, then
what is to be sent. A death of the process stores the state as the engine stores it while it is at work.
"""

from __future__ import annotations

from datetime import timedelta

from bot.control import outbox
from bot.control.by_hand import prospect
from bot.control.commands import Pass, Read, Release
from bot.control.facts import (
    Answer,
    Answered,
    ConversationRead,
    Fact,
    FlowFailed,
    FlowHandedOver,
    FlowOrdered,
    FlowReleased,
    FlowReturned,
    FlowSaid,
    FlowWaits,
    OperatorReleased,
    TakenUp,
    TimePassed,
    UserEnded,
)
from bot.control.rules import UnsafeStateError
from bot.control.state import Key, Purpose, RunStatus, Unsent
from bot.simulation.exhaustive import memory
from bot.simulation.exhaustive.promises import (
    Breach,
    check_patience,
    check_said,
    check_sent,
    check_step,
    check_taken,
    knows_better,
    note_heard,
    note_told,
)
from bot.simulation.exhaustive.setup import BOT, INTEGRATIONS, NOBODY
from bot.simulation.exhaustive.told import FAILED, SPOKEN, Told, facts_of, message_id
from bot.simulation.exhaustive.world import PASS, READ, RELEASE, SAY, Flight, LastRead, Listed, ReadResult, World

ASK_FOR = timedelta(minutes=2)
DATE_LAG = timedelta(milliseconds=900)  # the platform's Date has lost its fraction of a second
LEASE = timedelta(seconds=8)  # until another worker takes a dead one's conversation
MOST_STEPS = 8  # of time passing at one moment
MILLISECOND = timedelta(milliseconds=1)

RETURNS, ASKS, HANDS_OVER, RELEASES, FAILS, WORKS_ON = range(6)
TURNS = ("says and returns", "asks", "hands over", "releases", "says and fails", "works on")


def take(world: World, fact: Fact) -> None:
    """Let a fact take effect."""
    before = world.state
    try:
        state, records = memory.stepped(before, fact, world.now, world.setup.policy)
    except UnsafeStateError as error:
        raise Breach(f"invariant: {error}") from None
    except Exception as error:  # noqa: BLE001 - whatever it is, the story that leads to it is what is looked for
        raise Breach(f"the rules fail: {type(error).__name__}: {error}") from None
    world.state = state
    run = state.run
    if world.at_work and (run is None or before.run is None or run.id != before.run.id):
        world.at_work = False
    if world.waited_for and (run or state.duty):
        world.waited_for = False
    if world.order and world.flight is None and (state.duty is None or state.duty.against is None):
        world.order = NOBODY
    check_step(world, before, records, fact)


def go_on(world: World, *, calm: bool = False) -> bool:
    """Do what the engine does next, until it waits. True: the flow is to take its turn.

    Args:
        world: is changed.
        calm: everything under way arrives as well, in its order, and every call is carried out and answered.
    """
    for _ in range(10 * MOST_STEPS):
        _look_at_what_is_due(world)
        run = world.state.run
        if run and run.status is RunStatus.READY and not world.at_work:
            return True
        _send(world)
        if calm and world.wire:
            deliver(world, 0)
        elif calm and world.flight:
            late = world.flight.late
            answer(world, *(arrive(world) if late is None else (late,)))
        else:
            return False
    raise Breach("G1: the bot does not come to rest, and no time passes")


def _look_at_what_is_due(world: World) -> None:
    for _ in range(MOST_STEPS):
        due = memory.due_in(world.state)[1]
        if due is None or due > world.now:
            return
        take(world, TimePassed())
    raise Breach("spinning: what is due at one moment does not end")


# -- what the bot hears ----------------------------------------------------------------------------------------------


def deliver_newest(world: World, count: int) -> None:
    """What has just been told comes at once, before anything older."""
    for _ in range(count):
        deliver(world, len(world.wire) - count)
        count -= 1


def deliver(world: World, place: int, *, again: bool = False) -> None:
    """An event that is under way comes; if `again`, it will come once more under another id."""
    told = world.wire[place]
    later = (told._replace(again=True),) if again else ()
    world.wire = (*world.wire[:place], *world.wire[place + 1 :], *later)
    note_told(world, told)
    for fact in facts_of(told, world.now, world.setup):
        take(world, fact)
    _look_at_what_is_due(world)
    note_heard(world, told)


def operator_releases(world: World, *, confirmed: bool = False) -> None:
    """An operator releases by hand; if `confirmed`, from whoever the bot says has it."""
    against = prospect(world.state, world.setup.policy).against if confirmed else None
    if against:
        world.order = next(place for place, one in enumerate(INTEGRATIONS) if one and one.id == against)
        world.order_read = False
    take(world, OperatorReleased("an operator", against))


def order_flow(world: World) -> None:
    """Another system asks that a flow begins, unless somebody is active."""
    take(world, FlowOrdered("ordered"))


def take_turn(world: World, way: int) -> None:
    """The flow takes its turn, or goes on with it."""
    run = world.state.run
    if run is None:
        raise ValueError("no flow is at work")
    world.at_work = way == WORKS_ON
    if world.at_work:
        return
    if run.opening.event_id:
        world.opened += (int(run.opening.event_id[1:].rstrip("b")),)
    if run.purpose is Purpose.CLOSING and run.id not in world.closers:
        world.closers += (run.id,)
    answered = tuple(given.event_id for given in world.state.inputs[:1])
    if way not in (HANDS_OVER, RELEASES):
        take(world, FlowSaid(run.id, 1))
    take(
        world,
        (
            FlowReturned(run.id),
            FlowWaits(run.id, wants_input=True, until=world.now + ASK_FOR, taken=answered),
            FlowHandedOver(run.id),
            FlowReleased(run.id),
            FlowFailed(run.id, "as the story wants it"),
        )[way],
    )


def ways(world: World) -> tuple[int, ...]:
    """How the turn can go. After an end nothing can be asked any more: a question raises there."""
    asks = () if world.state.ended else (ASKS,)
    works_on = () if world.at_work else (WORKS_ON,)
    return (RETURNS, *asks, HANDS_OVER, RELEASES, FAILS, *works_on)


# -- what the bot does -----------------------------------------------------------------------------------------------


def _send(world: World) -> None:
    """Send what is due, if nothing is under way."""
    while world.flight is None:
        state, _, first, due = memory.due_in(world.state)
        if first is None or due is None or due > world.now:
            return
        if isinstance(first, Unsent):
            flight = Flight(first.id, SAY, world.now, maybe_done=first.maybe_done, run_id=first.run_id)
        else:
            call = outbox.call_of(state)
            if not isinstance(call, Read) and call.before and world.now >= call.before:
                take(world, Answered(call.effect_id, Answer.STALE))
                _look_at_what_is_due(world)
                continue
            flight = _flight(world, call)
        check_sent(world, flight)
        world.flight = flight._replace(knew=knows_better(world, flight))


def _flight(world: World, call: Release | Pass | Read) -> Flight:
    match call:
        case Release(effect_id, key):
            return Flight(effect_id, RELEASE, world.now, app_key=key is Key.APP)
        case Pass(effect_id, target):
            to = next((place for place, one in enumerate(INTEGRATIONS) if one and one.answers_to(target)), NOBODY)
            return Flight(effect_id, PASS, world.now, target=to)
        case Read(effect_id, messages):
            return Flight(effect_id, READ, world.now, messages=messages)


def arrive(
    world: World, *, repeated: bool = False, assigns: bool = False
) -> tuple[Answer | ReadResult, tuple[Told, ...]]:
    """The call reaches the platform: what it answers, and what it tells by webhooks.

    Args:
        world: is changed.
        repeated: an action that changes nothing is told by a webhook.
        assigns: a message to a conversation that nobody holds makes the bot active.
    """
    flight = world.flight
    if flight is None:
        raise ValueError("nothing is under way")
    world.tick()
    if flight.what == READ:
        listed = flight.listed or world.listed()
        return _result(world, flight, listed), ()
    if flight.what == SAY:
        return _posted(world, flight, assigns=assigns)
    if flight.what == RELEASE and not flight.app_key and world.active != BOT:
        return Answer.NOT_OURS, ()
    if flight.what == PASS and flight.target == NOBODY:
        return Answer.ACCEPTED, (world.moved()._replace(kind=FAILED),)
    check_taken(world, flight)
    changes = world.active != flight.target
    world.move(flight.target)
    return Answer.ACCEPTED, (world.moved(),) if changes or repeated else ()


def _result(world: World, flight: Flight, listed: Listed) -> ReadResult:
    end = spoke_at = void_end = None
    if flight.messages:
        end = None if listed.word_is_last else listed.end
        void_end = listed.end[0] if listed.end and listed.word_is_last else None
        spoke_at = listed.spoke_at
    began = flight.listed.at if flight.listed else flight.sent_at
    return ReadResult(world.now - DATE_LAG, world.active, end, spoke_at, void_end, began)


def _posted(world: World, flight: Flight, *, assigns: bool) -> tuple[Answer, tuple[Told, ...]]:
    if flight.maybe_done:  # it is looked for first; whether it is still wanted is asked after that
        if flight.effect_id in world.posted:
            return Answer.ACCEPTED, ()
        if not outbox.may_still_say(world.state, flight.effect_id):
            return Answer.STALE, ()
        flight = flight._replace(knew=knows_better(world, flight))
    check_said(world, flight)
    world.posted += (flight.effect_id,)
    if assigns and world.active == NOBODY:
        world.move(BOT)
    return Answer.ACCEPTED, (world.message(SPOKEN),)


def answer(world: World, what: Answer | ReadResult, told: tuple[Told, ...] = ()) -> None:
    """The answer arrives, or its lack is noticed; the webhooks are under way."""
    flight, world.flight = world.flight, None
    if flight is None:
        raise ValueError("nothing is under way")
    world.wire += told
    if isinstance(what, ReadResult):
        _read_answered(world, flight, what)
        return
    if flight.what in (RELEASE, PASS):
        world.unclear = flight.what if what is Answer.UNCLEAR else None
    take(world, Answered(flight.effect_id, what))


def _read_answered(world: World, flight: Flight, result: ReadResult) -> None:
    ended = UserEnded(result.end[1], message_id(result.end[0])) if result.end else None
    void = message_id(result.void_end) if result.void_end else None
    pending = world.state.pending
    if pending and pending.effect_id == flight.effect_id:  # else something has been told meanwhile that counts for more
        _note_read(world, result, void is not None)
    world.read = LastRead(result.active, ended is not None, result.began, world.now - result.began)
    world.unclear, world.order_read = None, True
    active = INTEGRATIONS[result.active]
    fact = ConversationRead(flight.effect_id, result.at, active, ended, result.spoke_at, result.began, void)
    take(world, fact)


def _note_read(world: World, result: ReadResult, is_void: bool) -> None:
    """Note what a read tells the bot."""
    if result.fresh:
        world.known = True
        if result.active != BOT:
            world.told_of_loss = True
    if result.end and world.ended and world.end and world.end[0] == result.end[0]:
        world.told_of_end = True
    if is_void and world.end and not world.ended:
        world.told_of_return = True


def die(world: World) -> None:
    """The process dies; another one takes the conversation up, as it was stored while it was at work."""
    flight = world.flight
    if flight and flight.what in (RELEASE, PASS):
        world.unclear = flight.what
    world.flight, world.at_work = None, False
    world.state = outbox.as_at_work(world.state)
    world.now += LEASE
    if world.state.pending:
        take(world, TakenUp())


def next_moment(world: World) -> timedelta | None:
    """How long it is until something is due; None if nothing is."""
    _, due, _, sends_at = memory.due_in(world.state)
    if sends_at and not world.flight and (due is None or sends_at < due):
        due = sends_at
    if due is None:
        return None
    left = due - world.now
    return -(-left // MILLISECOND) * MILLISECOND


def let_pass(world: World, time: timedelta) -> None:
    """Time passes."""
    check_patience(world, time)
    world.now += time
