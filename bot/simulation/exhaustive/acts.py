"""What can happen next in a story: every act that is possible, each with the moments that it can lead to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial

from bot.control.by_hand import prospect
from bot.control.facts import Answer
from bot.simulation.exhaustive import bot_side
from bot.simulation.exhaustive.bot_side import TURNS, answer, arrive, go_on, let_pass, take_turn, ways
from bot.simulation.exhaustive.promises import Breach
from bot.simulation.exhaustive.setup import BOT, DESK, NAMES, NOBODY, OTHER
from bot.simulation.exhaustive.told import AGENT, END, FAILED, HALF_END, MOVED, SYSTEM, WORD, Told
from bot.simulation.exhaustive.world import PASS, READ, SAY, World

PATIENCE = timedelta(seconds=10)  # with a call, before it must be answered in one way or another
A_WHILE = timedelta(seconds=5)  # longer than an event may take that is not late

Act = Callable[[World], None]
Possible = tuple[str, Act, bool, int]
"""An act: its words, what it does, whether everything else goes well at once, and what it counts."""

USUAL, RARE = 1, 2
"""What an act counts: two where the platform does what its documents say least, or tells something twice."""

CALM = ", and all goes well"
AT_ONCE = ", and the bot is told at once"
LOST = ", and the bot is never told"

_WHAT = ("the message", "the release", "the pass", "the read")
_KINDS = {WORD: "the user's word", END: "the end", HALF_END: "the end", AGENT: "the agent's word"}


def successors(world: World, most: int = 2) -> Iterator[tuple[str, int, World | Breach]]:
    """Every moment that one act leads to: the act in words, what it counts, and the moment, or how it is a breach.

    Args:
        world: the moment before; it is not changed.
        most: only acts that count no more than this.
    """
    for words, act, calm, cost in _possible(world):
        if cost > most:
            continue
        new = world.copy()
        try:
            act(new)
        except Breach as breach:
            yield words, cost, breach
            continue
        for more, end in _and_then(words, new, calm):
            yield more, cost, end


def _and_then(words: str, world: World, calm: bool) -> Iterator[tuple[str, World | Breach]]:
    """The bot goes on, and its flow takes a turn in every way."""
    try:
        if not go_on(world, calm=calm):
            yield words, world
            return
    except Breach as breach:
        yield words, breach
        return
    for way in ways(world):
        new, more = world.copy(), f"{words}; the flow {TURNS[way]}"
        try:
            take_turn(new, way)
        except Breach as breach:
            yield more, breach
            continue
        yield from _and_then(more, new, calm)


def _possible(world: World) -> Iterator[Possible]:
    """Every act."""
    yield from _arrivals(world)
    yield from _answers(world)
    if world.at_work:
        for way in ways(world):
            yield f"the flow {TURNS[way]}", partial(take_turn, way=way), False, USUAL
    yield from _times(world)
    yield from _deaths(world)
    for words, act, usual in _of_people(world):
        cost = USUAL if usual else RARE
        yield words, partial(_told, act=act), False, cost
        yield words + AT_ONCE, partial(_told_at_once, act=act), False, cost
        if usual:
            yield words + CALM, partial(_told, act=act), True, cost
            yield words + LOST, partial(_untold, act=act), False, cost
    yield from _operators(world)


# -- the wire and the API --------------------------------------------------------------------------------------------


def _arrivals(world: World) -> Iterator[Possible]:
    if world.wire or world.flight:
        yield "everything under way arrives" + CALM, _nothing, True, USUAL
    for place, told in enumerate(world.wire):
        words = f"{_named(told)} comes" + (f" before {place} older" if place else "")
        yield words, partial(bot_side.deliver, place=place), False, USUAL
        if not told.again:
            yield words + ", and will come again", partial(bot_side.deliver, place=place, again=True), False, RARE


def _named(told: Told) -> str:
    if told.kind == MOVED:
        name = f"the event that control went to {NAMES[told.shown]}"
    elif told.kind == FAILED:
        name = "the event that the pass failed"
    else:
        name = _KINDS.get(told.kind, "a message that is not the user's")
    return name + (", told again," if told.again else "")


def _answers(world: World) -> Iterator[Possible]:
    flight = world.flight
    if flight is None:
        return
    what = _WHAT[flight.what]
    if flight.late is not None:
        yield f"the answer to {what} comes", _late_comes, False, USUAL
        yield f"the answer to {what} is lost", partial(answer, what=Answer.UNCLEAR), False, USUAL
        return
    yield f"{what} is answered", partial(_answered, told=True), False, USUAL
    yield f"{what} fails before it arrives", partial(answer, what=Answer.NOT_SENT), False, USUAL
    yield f"{what} is carried out, and the answer is late", _goes_late, False, USUAL
    if flight.what == READ:
        if flight.messages and flight.listed is None:
            yield "the read shows the messages, and goes on", _lists, False, USUAL
        return
    yield f"{what} times out before it arrives", partial(answer, what=Answer.UNCLEAR), False, USUAL
    yield (
        f"{what} is carried out, and the answer is lost",
        partial(_answered, told=True, what=Answer.UNCLEAR),
        False,
        USUAL,
    )
    yield f"{what} is refused", partial(answer, what=Answer.REFUSED), False, USUAL
    yield f"{what} is answered, and its event never comes", partial(_answered, told=False), False, USUAL
    if flight.what == SAY:
        if world.active == NOBODY:
            yield (
                f"{what} is answered and makes the bot active",
                partial(_answered, told=True, assigns=True),
                False,
                RARE,
            )
        return
    yield f"{what} is accepted and ignored", partial(answer, what=Answer.ACCEPTED), False, USUAL
    if flight.what == PASS:
        yield f"{what} is accepted and fails", _fails_later, False, USUAL
    if world.active == flight.target and (flight.what == PASS or flight.app_key):
        yield (
            f"{what} is answered and told, as if it changed something",
            partial(_answered, told=True, repeated=True),
            False,
            RARE,
        )


def _nothing(world: World) -> None:
    pass


def _late_comes(world: World) -> None:
    late = world.flight.late if world.flight else None
    if late is not None:
        answer(world, late)


def _answered(
    world: World, *, told: bool, what: Answer | None = None, repeated: bool = False, assigns: bool = False
) -> None:
    truth, events = arrive(world, repeated=repeated, assigns=assigns)
    answer(world, what or truth, events if told else ())


def _goes_late(world: World) -> None:
    late, events = arrive(world)
    world.wire += events
    if world.flight:
        world.flight = world.flight._replace(late=late)


def _lists(world: World) -> None:
    world.tick()
    if world.flight:
        world.flight = world.flight._replace(listed=world.listed())


def _fails_later(world: World) -> None:
    world.tick()
    answer(world, Answer.ACCEPTED, (world.moved()._replace(kind=FAILED),))


def _deaths(world: World) -> Iterator[Possible]:
    flight = world.flight
    if flight is None and not world.at_work:
        return  # all is stored as it is
    yield "the process dies", bot_side.die, False, USUAL
    if flight and flight.late is None and flight.what != READ:
        yield f"the process dies after {_WHAT[flight.what]} is carried out", _die_late, False, USUAL


def _die_late(world: World) -> None:
    _, events = arrive(world)
    world.wire += events
    bot_side.die(world)


def _times(world: World) -> Iterator[Possible]:
    time, flight = bot_side.next_moment(world), world.flight
    if time is not None and (flight is None or world.now + time <= flight.sent_at + PATIENCE):
        yield "time passes", partial(let_pass, time=time), False, USUAL
        yield "time passes" + CALM, partial(let_pass, time=time), True, USUAL
    if world.wire and (time is None or time > A_WHILE) and flight is None:
        yield "five seconds pass", partial(let_pass, time=A_WHILE), False, USUAL


# -- people ----------------------------------------------------------------------------------------------------------


def _told(world: World, act: Callable[[World], tuple[Told, ...]]) -> None:
    world.tick()
    told = act(world)  # marks what is under way already as older
    world.wire += told


def _told_at_once(world: World, act: Callable[[World], tuple[Told, ...]]) -> None:
    world.tick()
    told = act(world)
    world.wire += told
    bot_side.deliver_newest(world, len(told))


def _untold(world: World, act: Callable[[World], tuple[Told, ...]]) -> None:
    world.tick()
    act(world)


Deed = tuple[str, Callable[[World], tuple[Told, ...]], bool]
"""What people do: in words, what it changes and tells, and whether it is the usual way in which that happens."""


def _of_people(world: World) -> Iterator[Deed]:
    active = world.active
    words = "the user writes again after the end" if world.ended else "the user writes"
    yield words, _writes, True
    if active == NOBODY:
        yield words + ", and the event shows who was active before", partial(_writes, shown=NOBODY), False
    if not world.ended:
        yield from _ends(world)
        yield "an agent writes", partial(_agent_writes), True
        if active != DESK:
            yield "an agent writes and takes control", partial(_agent_writes, takes=True), True
            yield "the agent workspace takes control", partial(_moves, to=DESK), True
        if active != OTHER:
            yield "the other integration takes control", partial(_moves, to=OTHER), True
        if active == NOBODY:
            yield "an agent writes and makes the bot active", partial(_agent_writes, assigns=True), False
    if active in (DESK, OTHER):
        yield f"{NAMES[active]} gives control to the bot", partial(_moves, to=BOT), True
        yield f"{NAMES[active]} releases control", partial(_moves, to=NOBODY), True
    if active == DESK:
        for place, what in ((1, "the ticket is closed"), (2, "the agent transfers it to e-mail")):
            yield what, partial(_session_over, reason=place), True
            yield what + ", as a message tells too", partial(_session_over, reason=place, shown=DESK), False
            yield what + ", as a message tells later", partial(_session_over, reason=place, shown=NOBODY), False


def _ends(world: World) -> Iterator[Deed]:
    """The user ends the conversation, as the switches allow: where control goes, what is told, and in which order."""
    active, mode = world.active, world.setup.mode
    if active == NOBODY:
        goes: tuple[int, ...] = (NOBODY,)
    elif mode == "release":
        goes = (NOBODY,)
    elif active == DESK:
        goes = (BOT,)
    else:
        goes = (active, DESK, NOBODY)
    for to in goes:
        moves = to != active
        words = "the user ends it" + (f", control goes to {NAMES[to]}" if moves else "")
        for kind, how in ((END, ""), (HALF_END, ", told without its activity"), (0, ", which no message tells")):
            if not moves:
                yield words + how, partial(_end, kind=kind, to=to), kind == END
                if active == NOBODY:
                    yield words + how + ", which makes the bot active", partial(_end, kind=kind, to=BOT), False
                continue
            control = ((0, ""), (1, ", for a reason"), (None, ", and no event tells where control went"))
            for reason, tells in control:
                usual = kind == END and reason == 0
                yield words + how + tells, partial(_end, kind=kind, to=to, reason=reason), usual
                if kind:
                    late = ", the message last"
                    yield words + how + tells + late, partial(_end, kind=kind, to=to, reason=reason, last=True), False
            if to == NOBODY:
                yield (
                    words + how + ", and the message makes the bot active",
                    partial(_end, kind=kind, to=to, last=True, assigns=True),
                    False,
                )


def _end(
    world: World, *, kind: int, to: int, reason: int | None = None, last: bool = False, assigns: bool = False
) -> tuple[Told, ...]:
    before = world.active
    number = world.ends()
    shown = before
    told: list[Told] = []
    if not last and kind:
        told.append(Told(kind, world.now, shown, number, fresh=to == before))
    if to != before:
        world.move(to)
        if before != NOBODY and reason is not None:
            told.append(world.moved(reason))
    if last:
        if assigns:
            world.move(BOT)
            told = [one._replace(fresh=False) for one in told]
        if kind:
            told.append(Told(kind, world.now, world.active, number))
    return tuple(told)


def _writes(world: World, shown: int | None = None) -> tuple[Told, ...]:
    return (world.word(shown),)


def _agent_writes(world: World, *, takes: bool = False, assigns: bool = False) -> tuple[Told, ...]:
    told: tuple[Told, ...] = ()
    if takes:
        world.move(DESK)
        told = (world.moved(),)
    if assigns:
        world.move(BOT)
    return (*told, world.message(AGENT))


def _moves(world: World, to: int) -> tuple[Told, ...]:
    world.move(to)
    return (world.moved(),)


def _session_over(world: World, reason: int, shown: int | None = None) -> tuple[Told, ...]:
    """A ticket is closed, or goes on by e-mail. `shown`: who the system message shows; it comes first, or last."""
    first = (world.message(SYSTEM),) if shown == DESK else ()
    world.move(BOT if world.setup.mode == "pass" else NOBODY)
    moved = world.moved(reason)
    last = (world.message(SYSTEM),) if shown == NOBODY else ()
    return (*(told._replace(fresh=False) for told in first), moved, *last)


def _operators(world: World) -> Iterator[Possible]:
    yield "another system asks for a flow", bot_side.order_flow, False, RARE
    yield "an operator releases it", bot_side.operator_releases, False, USUAL
    if prospect(world.state, world.setup.policy).against:
        confirmed = partial(bot_side.operator_releases, confirmed=True)
        yield "an operator takes it from whoever has it", confirmed, False, USUAL
